"""A Dockerfile's text -> the images that it builds on, and a complaint about what would go to the network.

Only as much of the format as that needs; see https://docs.docker.com/reference/dockerfile/.
"""

import re
from collections.abc import Iterator, Mapping

from bot.errors import SandboxError

_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::?-([^}]*))?\})")
_REMOTE = re.compile(r"^([a-z][a-z0-9+.-]*://|git@)", re.IGNORECASE)


def base_images(text: str, args: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the images that the build starts from or copies from, in order, without its own stages.

    Raises SandboxError `dockerfile_invalid` for a name that can't be told, and for an ADD from the network, which the
    engine would do whatever network the build has.
    """
    values = dict(args)
    stages: set[str] = {"scratch"}
    found: list[str] = []
    started = False
    for word, rest in _instructions(text):
        if word == "ARG" and not started:
            name, _, default = rest.partition("=")
            values.setdefault(name.strip(), default.strip().strip("\"'"))
        elif word == "FROM":
            started = True
            parts = [each for each in rest.split() if not each.startswith("--")]
            found.append(_plain(parts[0] if parts else "", values, rest))
            if len(parts) == 3 and parts[1].upper() == "AS":
                if found[-1].lower() in stages:
                    found.pop()
                stages.add(parts[2].lower())
        elif word in ("COPY", "ADD"):
            found += _sources(word, rest, values, stages)
    if not started:
        raise _invalid("has no FROM")
    return tuple(dict.fromkeys(each for each in found if each.lower() not in stages and not each.isdigit()))


def _sources(word: str, rest: str, values: Mapping[str, str], stages: set[str]) -> Iterator[str]:
    words = rest.split()
    for option in (each for each in words if each.startswith("--from=")):
        yield _plain(option.removeprefix("--from="), values, rest)
    for source in re.sub(r"[\[\],\"]", " ", rest).split()[:-1] if word == "ADD" else ():
        if _REMOTE.match(source) or "$" in source:
            raise _invalid(f"adds {source[:100]!r} from the network, or from where can't be told")


def _plain(name: str, values: Mapping[str, str], line: str) -> str:
    filled = _VARIABLE.sub(lambda match: values.get(match[1] or match[2]) or match[3] or match[0], name)
    if not filled or "$" in filled:
        raise _invalid(f"names no image that can be told: {line[:100]!r}")
    return filled


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """(word, the rest) of each instruction, its lines joined."""
    escape = "`" if re.search(r"^#\s*escape\s*=\s*`", text, re.MULTILINE | re.IGNORECASE) else "\\"
    joined = ""
    for line in text.splitlines():
        if line.lstrip().startswith("#") or not line.strip():
            continue
        if line.rstrip().endswith(escape):
            joined += line.rstrip()[:-1] + " "
            continue
        word, _, rest = (joined + line).strip().partition(" ")
        joined = ""
        yield word.upper(), rest.strip()


def _invalid(what: str) -> SandboxError:
    return SandboxError(
        "dockerfile_invalid",
        f"the Dockerfile {what}",
        hint="start FROM an image named plainly, and COPY what lies in the checkout",
    )

"""A Triage -> one comment in Markdown, and the state hidden in it, by which the next judgement knows what was said.

What strangers or models wrote stands in code, where nothing is a link, a mention, an image or HTML; links are `#N` to
issues of the same repository, and no word before one closes it or marks it as a duplicate.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from bot.marks import LEADING_LINES, has_marker, marker
from bot.triage.policy_shape import Policy
from bot.types.event import Comment, Subject
from bot.types.triage import Chosen, Neighbour, Triage
from bot.types.value import Value
from bot.visible import fence, fenced, shown

SPAN = 120
"""Characters of a stranger's word in the comment."""
BY = {"rule": "rule of the policy", "model": "language model", "offline": "offline model"}
_STATE = re.compile(r"<!-- sandpiper:triaged=([A-Za-z0-9_-]{1,8000}) -->")


class Earlier(Value):
    """What an earlier judgement of the same issue left in its comment."""

    digest: Annotated[str, StringConstraints(max_length=64)] = ""
    """Of the text and the policy that were judged."""
    by: Literal["rules", "offline", "model"] = "rules"
    """Who judged."""
    asked: Annotated[str, StringConstraints(max_length=64)] = ""
    """The digest of when its author was asked something, empty for never."""
    labels: Annotated[tuple[str, ...], Field(max_length=100)] = ()
    """Labels that were on it or put on, then or before."""

    def asked_before(self, digest: str) -> bool:
        """Whether another text was asked something; the same text keeps its question, in the same comment."""
        return self.asked not in ("", digest)


def triage_marker(number: int) -> str:
    """First line of an issue's one triage comment."""
    return marker("triage", str(number))


def earlier_of(comments: Sequence[Comment], viewer: int, number: int) -> Earlier | None:
    """The state in our own comment on the issue, None where there is none; the same line of anybody else is forged."""
    for each in comments:
        if each.author.id == viewer and has_marker(each.body, triage_marker(number)):
            return _read_state(each.body) or Earlier()
    return None


def state_line(state: Earlier) -> str:
    """The hidden line that keeps the state."""
    data = base64.urlsafe_b64encode(state.model_dump_json().encode()).decode().rstrip("=")
    return f"<!-- sandpiper:triaged={data} -->"


def _read_state(body: str) -> Earlier | None:
    for line in body.split("\n", LEADING_LINES)[:LEADING_LINES]:
        if found := _STATE.fullmatch(line.strip()):
            try:
                return Earlier.model_validate_json(base64.urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4)))
            except (ValidationError, binascii.Error, ValueError):
                return None
    return None


def digest_of(subject: Subject, policy: Policy) -> str:
    """What a judgement depends on, in few characters; labels and comments come and go without changing it."""
    parts = (subject.title, subject.body, policy.triage.model_dump_json())
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:24]


def is_worth_saying(found: Triage) -> bool:
    """Whether anybody but the rules said something: what those say stands in the policy."""
    return found.by != "rules" or bool(found.missing) or found.security or found.spam


# --- words ------------------------------------------------------------------------------------------------------


def triage_words(found: Triage, *, fitting: Sequence[str], security_policy: str = "") -> str:
    """The judgement for people. `fitting` are the labels that are on it, or are put on with it."""
    if found.security:
        return _security(found, fitting, security_policy)
    lines = [f"- **{name}:** {words}" for name, words in _facts(found, fitting) if words]
    parts = ["### Triage", "\n".join(lines)]
    if found.question:
        parts += ["**A question to the author:**", fenced(_plain(found.question), "text")]
    parts += [_details(found), _origin(found)]
    return "\n\n".join(part for part in parts if part)


def _security(found: Triage, fitting: Sequence[str], path: str) -> str:
    where = f"as {_code(path)} says" if path else "as the repository's security policy says, if it has one"
    words = (
        "This seems to report a vulnerability, so nothing of it is repeated here. "
        f"Please report vulnerabilities privately, {where}; maintainers may want to hide or move this text."
    )
    labels = [_label(each) for each in found.labels if each.label in fitting]
    return "\n\n".join(part for part in ("### Triage", words, _list("Labels", labels), _origin(found)) if part)


def _list(name: str, items: Sequence[str]) -> str:
    return f"- **{name}:** {', '.join(items)}" if items else ""


def _facts(found: Triage, fitting: Sequence[str]) -> Iterator[tuple[str, str]]:
    if found.spam:
        yield "Spam", "this does not seem to be about the project"
    yield "Type", found.type or "can't be told"
    yield "Priority", found.priority
    if found.area:
        yield "Area", _code(found.area)
    yield "Labels", ", ".join(_label(each) for each in found.labels if each.label in fitting)
    yield "Proposed labels", ", ".join(_label(each) for each in found.labels if not each.apply)
    yield "Maybe the same as", ", ".join(map(_neighbour, found.duplicates))
    if found.fixed_by is not None:
        yield "May be solved already, see", _neighbour(found.fixed_by)
    yield "Missing", ", ".join(map(_code, found.missing))
    yield "Where to look", ", ".join(map(_code, found.files))
    yield "Owners", ", ".join(map(_code, found.owners))


def _label(each: Chosen) -> str:
    sure = "" if each.by == "rule" else f", {each.confidence:.0%}"
    return f"{_code(each.label)} ({BY[each.by]}{sure})"


def _neighbour(each: Neighbour) -> str:
    reason = f" as {each.closed_for.replace('_', ' ')}" if each.closed_for in ("completed", "not_planned") else ""
    return f"#{each.number} ({each.state}{reason})"


def _details(found: Triage) -> str:
    lines = [
        f"- Reproduction: {'given' if found.reproduction else 'not given'}",
        *([f"- Size of the work: {found.size}"] if found.size else []),
        f"- For an agent: {'yes' if found.agent.suitable else 'no'}",
        *([f"- Language: {_code(found.language)}"] if found.language else []),
    ]
    words = [_plain(each) for each in (found.summary, found.agent.reason) if each]
    inside = "\n".join(lines) + (f"\n\n{fenced(chr(10).join(words), 'text')}" if words else "")
    return f"<details>\n<summary>Details</summary>\n\n{inside}\n\n</details>"


def _origin(found: Triage) -> str:
    who = {"rules": "rules alone", "offline": "the offline model", "model": "a language model"}[found.by]
    cost = f", for {found.usage.usd:.4f} US dollars" if found.usage.usd > 0 else ""
    return f"<sub>Judged by {who}{cost}. A hint for people: nothing is closed, and every label can be taken off.</sub>"


def _plain(text: str) -> str:
    return shown(text, code=False).strip()


def _code(text: str) -> str:
    """A stranger's word as inline code."""
    line = " ".join(_plain(text).split())[:SPAN].strip()
    if not line:
        return "-"
    marks = fence(line, 1)
    pad = " " if line[0] == "`" or line[-1] == "`" else ""
    return f"{marks}{pad}{line}{pad}{marks}"

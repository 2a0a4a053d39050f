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
TOLD = 0.5
"""Probability from which on a guess of the type is worth a word: below, it is wrong more often than right."""
FEW = 90
"""Past issues; of fewer the offline model can't measure how often it is wrong."""
SIZES = {"xs": "tiny", "s": "small", "m": "medium", "l": "large", "xl": "very large"}
BY = {"rule": "rule of the policy", "model": "language model", "offline": "offline model"}
_STATE = re.compile(r"<!-- sandpiper:triaged=([A-Za-z0-9_-]{1,40000}) -->")


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
    """Whether it helps anybody: what rules say stands in the policy, and a weak guess alone is no help."""
    if found.by == "model" or found.security or found.spam:
        return True
    helps = (found.missing, found.labels, found.duplicates, found.fixed_by, found.files, found.owners)
    return any(helps) if found.by == "offline" else bool(found.missing)


# --- words ------------------------------------------------------------------------------------------------------


def triage_words(found: Triage, *, fitting: Sequence[str], security_policy: str = "") -> str:
    """The judgement for people. `fitting` are the labels that are on it, or are put on with it."""
    if found.security:
        return _security(found, fitting, security_policy)
    lines = [f"- **{name}:** {words}" for name, words in _facts(found, fitting) if words]
    parts = ["### Triage", "\n".join(lines)]
    if found.question and found.by == "model":
        parts += ["**A question to the author:**", fenced(_plain(found.question), "text")]
    elif found.question:
        parts.append(f"**A question to the author:** could you add {_and([_code(each) for each in found.missing])}?")
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
    yield "Type", _type(found)
    # Without a model nothing speaks of an ordinary issue's urgency: a default is no finding.
    yield "Priority", found.priority if found.by == "model" or found.priority in ("critical", "high") else ""
    if found.area:
        yield "Area", _code(found.area)
    yield "Labels", ", ".join(_label(each) for each in found.labels if each.label in fitting)
    yield "Proposed labels", ", ".join(_label(each) for each in found.labels if not each.apply)
    solved = found.fixed_by.number if found.fixed_by is not None else 0
    yield "Maybe the same as", ", ".join(_neighbour(each) for each in found.duplicates if each.number != solved)
    if found.fixed_by is not None:
        yield "May be solved already, see", _neighbour(found.fixed_by)
    if not found.question or found.by == "model":
        yield "Missing", ", ".join(map(_code, found.missing))
    yield "Where to look", ", ".join(map(_code, found.files))
    yield "Owners", ", ".join(map(_code, found.owners))


def _type(found: Triage) -> str:
    if found.type is None or (found.type_guessed is not None and found.type_guessed < TOLD):
        return "can't be told"
    return found.type if found.type_guessed is None else f"perhaps {found.type}"


def _and(items: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(items[:-1]), items[-1]) if part) if items else ""


def _label(each: Chosen) -> str:
    # Nobody is ever wholly sure.
    sure = "" if each.by == "rule" else f", {min(each.confidence, 0.99):.0%}"
    return f"{_code(each.label)} ({BY[each.by]}{sure})"


def _neighbour(each: Neighbour) -> str:
    reason = f" as {each.closed_for.replace('_', ' ')}" if each.closed_for in ("completed", "not_planned") else ""
    return f"#{each.number} ({each.state}{reason})"


def _details(found: Triage) -> str:
    by_us = found.by != "model"  # then the reason is a sentence of ours, and not a model's
    lines = [
        *([f"- Reproduction: {'given' if found.reproduction else 'not given'}"] if _type(found) == "bug" else []),
        *([f"- Size of the work: {SIZES[found.size]}"] if found.size else []),
        f"- For an agent: {'yes' if found.agent.suitable else 'no'}{f'. {found.agent.reason}' if by_us else ''}",
        *([f"- Language: {_code(found.language)}"] if found.language not in ("", "en") else []),
    ]
    words = [_plain(each) for each in (found.summary, "" if by_us else found.agent.reason) if each]
    inside = "\n".join(lines) + (f"\n\n{fenced(chr(10).join(words), 'text')}" if words else "")
    return f"<details>\n<summary>Details</summary>\n\n{inside}\n\n</details>"


def _origin(found: Triage) -> str:
    who = {"rules": "rules alone", "offline": _offline(found.lessons), "model": "a language model"}[found.by]
    cost = f", for {found.usage.usd:.4f} US dollars" if found.usage.usd > 0 else ""
    return f"<sub>Judged by {who}{cost}. A hint for people: nothing is closed, and every label can be taken off.</sub>"


def _offline(lessons: int | None) -> str:
    """What it learned from, in words that do not change with each issue that comes."""
    if lessons == 0:
        return "the offline model, which knows no labelled issue of this repository yet"
    few = lessons is not None and lessons < FEW
    return f"the offline model{', which knows few labelled issues of this repository yet' if few else ''}"


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

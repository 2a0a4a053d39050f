"""Identities and states -> hidden first lines of comments, and back.

GitHub has no field in which a bot could keep its own data on a comment. An HTML comment in the leading lines is
invisible to people and comes back with the body, so it serves as the key of a comment and as the memory of a run.
Anybody can write such a line: it counts only in comments whose author id is our own account's.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import quote

from pydantic import Field, StringConstraints, ValidationError

from bot.types.output import Receipt
from bot.types.pull import ReplyKind
from bot.types.value import Conclusion, RunId, Status, Trust, Value

LEADING_LINES = 4
"""Only so many lines at the top may be ours; a quotation of an old comment further down is not read."""

STATE = 12_000
"""Characters of a state at the most: with the longest text behind it a comment still fits."""
_REPLY = re.compile(r"<!-- sandpiper:reply=(fix|justification):[^\s>]{0,64} -->\s*$", re.MULTILINE)
_STATE = re.compile(r"<!-- sandpiper:state=([A-Za-z0-9_-]{1,20000}) -->")


RUN_TRAILER = "Sandpiper-Run"
"""Git trailer of every commit that a run makes: the run's id."""
UNDO_TRAILER = "Sandpiper-Undo"
"""Git trailer of the commit that takes such a one back: the same run's id."""


class Made(Value):
    """What a run published beside its comment, so that `undo` can take it back."""

    branch: str = ""
    """The branch that was written."""
    sha: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})?$")] = ""
    """The commit made on it."""
    pull: int = 0
    """The pull request opened."""
    labels: tuple[str, ...] = ()
    """Labels that it put on and that were not there before."""
    review: bool = False
    """Whether it wrote a review, which GitHub lets nobody take back."""
    undone: bool = False
    """Whether it was taken back."""


class Mark(Value):
    """State of a run, hidden in the second line of its status comment."""

    run: RunId
    """The run."""
    task: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
    """Name of its task; it is written into the commit that undoes the run."""
    status: Status
    """How far it is."""
    conclusion: Conclusion | None = None
    """How it ended, None before the end."""
    attempt: int = Field(default=1, ge=1)
    """How often this was started."""
    requester: int
    """Numeric id of the account that asked."""
    trust: Trust = "anyone"
    """How far that account's request was trusted."""
    instructions: Annotated[str, StringConstraints(max_length=2000)] = ""
    """What was asked for in free text, so that `retry` can ask for the same."""
    cut: bool = False
    """Whether that is only the beginning of it."""
    made: Made = Made()
    """What it published."""


def made_of(receipts: Sequence[Receipt]) -> Made:
    """What receipts say about branch, pull request and labels."""
    last = {receipt.kind: receipt for receipt in receipts}
    commit, pull = last.get("commit"), last.get("pull")
    put_on = (receipt.name.split("\n") for receipt in receipts if receipt.kind == "labels" and receipt.name)
    return Made(
        branch=commit.name if commit else "",
        sha=commit.sha if commit else "",
        pull=pull.id if pull else 0,
        labels=tuple(dict.fromkeys(name for names in put_on for name in names)),
        review="review" in last,
    )


def left_by(made: Made) -> tuple[Receipt, ...]:
    """What an earlier attempt published, as receipts of the next one: what that one publishes itself comes after."""
    commit = Receipt(key="earlier-commit", kind="commit", sha=made.sha, name=made.branch)
    pull = Receipt(key="earlier-pull", kind="pull", id=made.pull)
    labels = Receipt(key="earlier-labels", kind="labels", name="\n".join(made.labels))
    there = (made.sha, commit), (made.pull, pull), (made.labels, labels)
    return () if made.undone else tuple(receipt for exists, receipt in there if exists)


def marker(kind: str, value: str) -> str:
    """The hidden line for one thing; characters that could end an HTML comment are percent-encoded."""
    return f"<!-- sandpiper:{quote(kind, safe='')}={quote(value, safe=':.,@/')} -->"


def run_marker(run_id: str) -> str:
    """First line of a run's status comment."""
    return marker("run", run_id)


def stop_marker(run_id: str) -> str:
    """First line of the comment with which `/bot stop` asks a running process to stop."""
    return marker("stop", run_id)


def refusal_marker(actor_id: int, day: str) -> str:
    """First line of a refusal: at most one for each account, subject and day (an ISO date)."""
    return marker("refusal", f"{actor_id}:{day}")


def help_marker(event_id: str) -> str:
    """First line of the answer to one question, so that a second delivery of it edits the answer."""
    return marker("help", event_id)


def reply_marker(kind: ReplyKind, run_id: str) -> str:
    """First line of an answer to a remark: what it is, and the run whose work it tells of."""
    return marker("reply", f"{kind}:{run_id}")


def reply_kind(body: str) -> ReplyKind | None:
    """What an answer to a remark is, None for every other text."""
    found = _REPLY.match(body)
    return "fix" if found and found[1] == "fix" else "justification" if found else None


def has_marker(body: str, wanted: str) -> bool:
    """Whether one of the leading hidden lines is that marker."""
    return wanted in _leading(body)


def state_line(mark: Mark) -> str:
    """The hidden line that keeps a run's state. What was asked for is cut where the line would be too long."""
    data = _encoded(mark)
    while len(data) > STATE and mark.instructions:
        mark = mark.changed(instructions=mark.instructions[: len(mark.instructions) * 3 // 4], cut=True)
        data = _encoded(mark)
    return f"<!-- sandpiper:state={data} -->"


def _encoded(mark: Mark) -> str:
    return base64.urlsafe_b64encode(mark.model_dump_json().encode()).decode().rstrip("=")


def read_mark(body: str) -> Mark | None:
    """The state in the leading hidden lines, None where there is none or it is damaged."""
    for line in _leading(body):
        if found := _STATE.fullmatch(line):
            data = found[1] + "=" * (-len(found[1]) % 4)
            try:
                return Mark.model_validate_json(base64.urlsafe_b64decode(data))
            except (ValidationError, binascii.Error, ValueError):
                return None
    return None


def _leading(body: str) -> list[str]:
    """The hidden lines at the very top; GitHub's forms send CRLF."""
    lines: list[str] = []
    for line in body.split("\n", LEADING_LINES)[:LEADING_LINES]:
        line = line.strip()
        if not line.startswith("<!--"):
            break
        lines.append(line)
    return lines

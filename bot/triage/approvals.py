"""A fork's pull request and a maintainer's `approve` -> a task at exactly the commit that was named, or the way to it.

Approval starts a task that policy would not start by itself. It earns the fork's code no trust: still no network, no
write, no secret. Whoever pushes after the approval gets nothing, because the commit's name is part of it.
"""

import re

from bot.marks import marker
from bot.triage import gate
from bot.triage.answers import told
from bot.triage.case import Case, Request
from bot.triage.policy import closest
from bot.types.decision import Answer
from bot.types.event import Commented, Opened, Subject, Upstream
from bot.types.output import Note

MOMENTS = ("opened", "synchronize", "reopened", "ready_for_review", "upstream")
"""When a pull request has something new to look at; in this order policy is asked for its task."""
SHA = re.compile(r"[0-9a-f]{7,64}")
"""What is meant to be a commit. Another one that begins with the same seven digits is found within seconds, with the
same twelve within hours: a fork could push it after the approval."""
WHOLE = (40, 64)
"""Digits of a commit's name, by SHA-1 and by SHA-256."""


def approve(case: Case, number: int, request: Request) -> Request | Answer:
    """`approve <sha> [task]`: the task at that commit, which the gate compares with the head."""
    subject = case.reader.subject(number)
    if subject is None or subject.pull is None or gate.trust_of(case.event, subject, case.level) != "fork":
        text = "Approval is not needed here: only the pull request of a fork waits for it. Ask for the task itself."
        return told(case.event, number, "approve", text)
    sha, words = _named_commit(case, request.text)
    head, phrase = subject.pull.head.sha, case.settings.phrase
    if not sha:
        text = "Name the commit that you looked at, and no other is worked on. The present one is approved by:"
        return told(case.event, number, "approve", f"{text}\n\n{_command(phrase, head, words)}")
    if len(sha) not in WHOLE and head.startswith(sha):  # of any other the gate says that it is another
        text = (
            "The beginning of a commit's name can be forged, so name the whole of it. The present one is approved by:"
        )
        return told(case.event, number, "approve", f"{text}\n\n{_command(phrase, head, words)}")
    name = words[0].lower() if words else automatic_task(case)
    if not name:
        text = "Policy starts nothing on pull requests by itself, so name a task:"
        return told(case.event, number, "approve", f"{text}\n\n{_command(phrase, head, ['<task>'])}")
    if name not in case.tasks:
        near = closest(name, list(case.tasks)) if len(name) <= 40 else ""
        hint = near if near.startswith("; did") else ""
        return told(case.event, number, "approve", f"There is no task of that name{hint}.")
    return Request(name=name, options=request.options, sha=sha)


def waiting(case: Case, name: str) -> Answer | None:
    """The comment on a fork's pull request that waits for approval: one, edited on each new head.

    None where nobody need be told: no fork, or a moment that brings no new commit.
    """
    subject = _new_state(case)
    if subject is None or subject.pull is None or subject.locked:
        return None
    if gate.trust_of(case.event, subject, case.level) != "fork":
        return None
    return Answer(
        code="approval",
        reason=f"task {name!r} waits until somebody with write access approves {subject.pull.head.sha[:12]}",
        outputs=(_waiting_note(case, subject, subject.pull.head.sha, name),),
        optional=True,  # a job that a fork started has a token that may only read
        conclusion="action_required",
    )


def _new_state(case: Case) -> Subject | None:
    """The pull request, where the event brings a new state of it; None where it does not, or a newer one is there."""
    event, trigger = case.event, case.event.trigger
    if isinstance(trigger, Opened):
        return event.subject if trigger.action in MOMENTS else None
    if not isinstance(trigger, Upstream):
        return None
    found = case.reader.subject(f"{trigger.head_repository.partition('/')[0]}:{trigger.head.ref}")
    return found if found and found.pull and found.pull.head.sha == trigger.head.sha else None


def automatic_task(case: Case) -> str:
    """The first task that policy names for a new state of a pull request, empty where it names none."""
    by_moment = {str(moment): names for moment, names in case.policy.on.items()}
    named = (name for moment in MOMENTS for name in by_moment.get(moment, ()))
    fits = (
        name for name in named if "pull_request" in case.tasks[name].subjects and case.tasks[name].runtime != "triage"
    )
    return next(fits, "")


def _named_commit(case: Case, text: str) -> tuple[str, list[str]]:
    """The commit that was named, and the other words: of a comment on the diff it is the one that the page showed."""
    words = text.split()
    first = words[0].strip("`").lower() if words else ""
    if SHA.fullmatch(first) and first not in case.tasks:
        return first, words[1:]
    trigger = case.event.trigger
    shown = trigger.comment.commit.lower() if isinstance(trigger, Commented) else ""
    if first and first not in case.tasks:
        return "", []  # it was meant to be a commit
    return (shown if SHA.fullmatch(shown) else ""), words


def _command(phrase: str, sha: str, words: list[str]) -> str:
    """The line to copy; the whole name, because the beginning of one can be forged."""
    shown = [word for word in words[:1] if re.fullmatch(r"[a-z0-9_-]{1,40}|<task>", word)]
    return "```text\n" + " ".join([phrase, "approve", sha, *shown]) + "\n```"


def _waiting_note(case: Case, subject: Subject, sha: str, name: str) -> Note:
    body = (
        # Words that stay true once somebody has approved: nobody edits this comment then.
        f"### ✋ `{name}` starts only with approval\n\n"
        "This pull request comes from a fork, so nothing starts by itself. Somebody with write access looks at the "
        f"changes up to `{sha[:12]}` and then comments:\n\n{_command(case.settings.phrase, sha, [])}\n\n"
        "<sub>The approval holds for this commit only. The task gets no network, no secret and no right to write.</sub>"
    )
    return Note(key="approval", number=subject.number, marker=marker("approval", str(subject.number)), body=body)

"""Remarks of reviewers -> a task that answers each by a change or by a reason, and its report -> those answers.

Only remarks of people who may write here become part of what a task is told; anybody can write a remark.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Literal

from bot.triage.pulls.feedback import cleaned
from bot.triage.tasks import prompt
from bot.types.event import Dispatched
from bot.types.pull import Feedback, ReplyKind
from bot.types.run import Run
from bot.types.value import Value

ANSWERING, MENDING = "run", "fix-ci"
"""Tasks that do the two kinds of work."""
MOST = 15
"""Remarks of one round; the others come in the next."""
TEXT = 700
"""Characters of a remark that are passed on; what a task is told is bounded."""
WORDS = 1_000

_LINE = re.compile(r"^[\s>*_`\-\d.)]*\b(f[0-9]{1,3})\b(.{0,300}?)\b(fixed|kept)\b[\s:*_`,\-–—]*(.*)$", re.IGNORECASE)


class Step(Value):
    """One thing to do."""

    kind: Literal["mend_checks", "answer_feedback", "for_person"]
    """Work on the checks, work on remarks, or something that no bot does."""
    text: str
    """What, in a sentence of ours."""
    feedback: tuple[Feedback, ...] = ()
    """Remarks that it answers."""


class Answered(Value):
    """What a remark got."""

    feedback: str
    """The remark's id."""
    kind: ReplyKind
    """A change, or a reason against one."""
    text: str = ""
    """What was changed, or why not; a model's words, cleaned; empty where the commit says it."""


class Worked(Value):
    """What a step came to."""

    step: Step
    """The step."""
    commit: str = ""
    """The commit that was made."""
    answers: tuple[Answered, ...] = ()
    """What the remarks got."""
    run: str = ""
    """The run that did it."""
    trouble: str = ""
    """Why nothing came of it, in a sentence."""
    stopped: bool = False
    """Whether a person stopped it."""

    @property
    def ok(self) -> bool:
        return bool(self.commit or self.answers)


def request_of(step: Step, number: int) -> Dispatched:
    """The task that a step stands for, on the pull request of that number."""
    if step.kind == "mend_checks":
        return Dispatched(task=MENDING, number=number)
    return Dispatched(task=ANSWERING, prompt=instructions(step.feedback), number=number)


def instructions(feedback: Sequence[Feedback]) -> str:
    """What the task is told. JSON delimits: no text inside can end its own string."""
    rows = [
        {"id": f"f{at}", "path": each.path, "line": each.line, "by": each.author, "text": cleaned(each.text, TEXT)}
        for at, each in enumerate(feedback, 1)
    ]
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    return f"{prompt('answer-remarks')}\n\n[{lines}]"


def answers_in(summary: str, feedback: Sequence[Feedback], *, committed: bool) -> tuple[Answered, ...]:
    """What a report says about the remarks that it was asked about, each once.

    A change counts only with a commit. A commit whose report names no remark at all is taken as the answer to all of
    them: their reviewers see it and judge.
    """
    ids = {f"f{at}": each.id for at, each in enumerate(feedback, 1)}
    found: dict[str, Answered] = {}
    for line in summary.splitlines():
        said = _LINE.match(line[:WORDS])
        where = ids.get(said[1].lower()) if said else None
        if said is None or where is None or where in found:
            continue
        text = cleaned(said[4].strip(), WORDS)
        if said[3].lower() == "kept" and text:
            found[where] = Answered(feedback=where, kind="justification", text=text)
        elif said[3].lower() == "fixed" and committed:
            found[where] = Answered(feedback=where, kind="fix", text=text)
    if committed and not found:
        return tuple(Answered(feedback=each.id, kind="fix") for each in feedback)
    return tuple(found.values())


def worked_by(step: Step, number: int, dispatch: Callable[[Dispatched], Run]) -> Worked:
    """Do a step by a run of its task. What the run publishes (a commit, its comment) it publishes by itself."""
    run = dispatch(request_of(step, number))
    commit = run.receipt("commit")
    sha = commit.sha if commit else ""
    summary = run.result.summary if run.result and run.conclusion in ("success", "neutral") else ""
    answers = answers_in(summary, step.feedback, committed=bool(sha))
    trouble = "" if sha or answers else _trouble(run)
    return Worked(
        step=step, commit=sha, answers=answers, run=run.run_id, trouble=trouble, stopped=run.conclusion == "cancelled"
    )


def _trouble(run: Run) -> str:
    if run.failure is not None:
        return run.failure.message
    if run.decision is not None and run.decision.kind != "run":
        return run.decision.reason
    return "it changed nothing and gave no reason"

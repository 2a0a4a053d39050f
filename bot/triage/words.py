"""help, status, stop, retry, undo, approve, and any other word of a comment that names no task -> an answer, or a task.

Only marks in comments of our own account count; the same line in anybody else's comment is a forgery.
"""

from bot.marks import Mark, read_mark
from bot.triage import gate
from bot.triage.answers import help_answer, status_answer, stop_answer, told, unknown_answer
from bot.triage.approvals import approve
from bot.triage.case import Case, Request
from bot.triage.policy_shape import RESERVED
from bot.triage.undoing import undo
from bot.types.decision import Answer
from bot.types.event import Comment, Commented

WRITERS = ("stop", "retry", "undo", "approve")
"""Words that need the permission `write`; the others need `triage`."""


def own_word(case: Case, number: int, request: Request) -> Request | Answer:
    """One of the bot's own words, said in a comment; any other word names nothing."""
    event, tasks, settings = case.event, case.tasks, case.settings
    if request.name not in RESERVED or not isinstance(event.trigger, Commented):
        return unknown_answer(event, number, request.name, tasks, settings)
    if request.name == "help":
        return help_answer(event, number, tasks, settings)
    if request.name == "approve":
        return approve(case, number, request)
    ours = _ours(case, number)
    marks = [mark for mark in map(read_mark, (each.body for each in ours)) if mark is not None]
    if request.name == "status":
        return status_answer(event, number, marks)
    if request.name == "stop":
        return stop_answer(event, number, [mark for mark in marks if mark.status != "completed"])
    if request.name == "undo":
        return undo(case, number, request.text, ours, marks)
    return _retry(case, number, request, marks)


def _ours(case: Case, number: int) -> tuple[Comment, ...]:
    """What we wrote here, oldest first."""
    viewer = case.reader.viewer().id
    return tuple(each for each in case.reader.comments(number) if each.author.id == viewer)


def _retry(case: Case, number: int, request: Request, marks: list[Mark]) -> Request | Answer:
    if not marks:
        return told(case.event, number, "retry", "No run has been started here.")
    last = marks[-1]
    if last.status != "completed":
        return told(case.event, number, "retry", f"Run `{last.run}` is still going on; stop it first.")
    if last.task not in case.tasks:
        return told(case.event, number, "retry", "The task of the last run does not exist any more.")
    if not request.text and last.instructions and not _may_repeat(case, last):
        text = (
            "The last run was asked for by somebody who may do less here than you. Read what they asked for, and ask."
        )
        return told(case.event, number, "retry", text)
    if not request.text and last.cut:
        text = "What was asked for last is too long to be kept here. Ask for it again in a comment of its own."
        return told(case.event, number, "retry", text)
    return Request(name=last.task, text=request.text or last.instructions, options=request.options)


def _may_repeat(case: Case, last: Mark) -> bool:
    """Whether the words of the last run may count as this actor's: a stranger's must not gain a writer's rights."""
    return last.requester == case.event.actor.id or last.trust != "anyone" or not gate.at_least(case.level, "write")

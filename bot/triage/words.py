"""help, status, stop, retry and any other word of a comment that names no task -> an answer, or a task to start."""

from bot.marks import Mark, read_mark
from bot.triage import gate
from bot.triage.answers import help_answer, retry_answer, status_answer, stop_answer, unknown_answer
from bot.triage.case import Case, Request
from bot.triage.policy_shape import RESERVED
from bot.types.decision import Answer
from bot.types.event import Comment, Commented


def own_word(case: Case, number: int, request: Request) -> Request | Answer:
    """help, status, stop and retry by comment; any other word names nothing."""
    event, tasks, settings = case.event, case.tasks, case.settings
    if request.name not in RESERVED or not isinstance(event.trigger, Commented):
        return unknown_answer(event, number, request.name, tasks, settings)
    if request.name == "help":
        return help_answer(event, number, tasks, settings)
    marks = _marks(case.reader.comments(number), case.reader.viewer().id)
    if request.name == "status":
        return status_answer(event, number, marks)
    if request.name == "stop":
        return stop_answer(event, number, [mark for mark in marks if mark.status != "completed"])
    return _retry(case, number, request, marks)


def _marks(comments: tuple[Comment, ...], viewer: int) -> list[Mark]:
    """States of our runs, oldest first; a mark in anybody else's comment is a forgery."""
    found = (read_mark(comment.body) for comment in comments if comment.author.id == viewer)
    return [mark for mark in found if mark is not None]


def _retry(case: Case, number: int, request: Request, marks: list[Mark]) -> Request | Answer:
    if not marks:
        return retry_answer(case.event, number, "No run has been started here.")
    last = marks[-1]
    if last.status != "completed":
        return retry_answer(case.event, number, f"Run `{last.run}` is still going on; stop it first.")
    if last.task not in case.tasks:
        return retry_answer(case.event, number, "The task of the last run does not exist any more.")
    if not request.text and last.instructions and not _may_repeat(case, last):
        text = (
            "The last run was asked for by somebody who may do less here than you. Read what they asked for, and ask."
        )
        return retry_answer(case.event, number, text)
    return Request(name=last.task, text=request.text or last.instructions, options=request.options)


def _may_repeat(case: Case, last: Mark) -> bool:
    """Whether the words of the last run may count as this actor's: a stranger's must not gain a writer's rights."""
    return last.requester == case.event.actor.id or last.trust != "anyone" or not gate.at_least(case.level, "write")

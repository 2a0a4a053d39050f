"""What came of each step of an undo -> the last words about the run: its status comment and the answer. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bot.errors import SandpiperError
from bot.forge.render import sections
from bot.forge.render.markdown import code_span
from bot.forge.render.sanitize import clean
from bot.marks import Mark, help_marker, read_mark, run_marker, state_line
from bot.types.decision import Undoing
from bot.types.event import Event
from bot.types.output import Note, Receipt

SHOWN_REMARK = 400
STEPS = frozenset({"close_pull", "delete_branch", "revert", "labels"})
"""Kinds of outputs that take something back; a reaction that failed is nothing that was left."""


def undone(event: Event, undoing: Undoing, receipts: Sequence[Receipt]) -> tuple[Note, Note]:
    """The run's status comment, which says that it was undone, and the answer to who asked.

    Where something was left, the run does not count as undone, so that one can ask again.
    """
    mark = read_mark(undoing.state)
    if mark is None:
        raise SandpiperError("state_lost", "the state of the run to undo can't be read", hint="ask for the undo again")
    prose = sections.Prose(repository=event.repository.full_name)
    taken = [text for receipt in receipts if receipt.done and (text := _taken(receipt, mark, prose))]
    remarks = (*(each.remark for each in receipts if each.kind in STEPS and not each.done), *undoing.kept)
    left = [prose.line(each, SHOWN_REMARK) for each in remarks]
    person, task = code_span(clean(event.actor.login)), code_span(mark.task)
    now = mark.changed(made=mark.made.changed(undone=not left))
    words = "undone" if not left else "undone in part" if taken else "not undone"
    text = sections.joined(
        [
            f"### ↩️ {task} {words}",
            f"Asked for by {person}. What stood here is in the history of this comment.",
            *_lists(taken, left),
            f"<sub>run <code>{mark.run}</code></sub>",
        ]
    )
    status = Note(
        key="undo-status", number=undoing.number, marker=run_marker(mark.run), body=f"{state_line(now)}\n{text}"
    )
    answer = sections.joined([f"Run `{mark.run}` ({task}) was {words}.", *_lists(taken, left)])
    return status, Note(key="undo-answer", number=undoing.number, marker=help_marker(event.id), body=answer)


def _lists(taken: Sequence[str], left: Sequence[str]) -> list[str]:
    parts = []
    if taken:
        parts.append("Taken back:\n\n" + "\n".join(f"- {each}" for each in taken))
    if left:
        parts.append("Not taken back:\n\n" + "\n".join(f"- {each}" for each in left))
    return parts or ["It had published nothing but its comment."]


def _taken(receipt: Receipt, mark: Mark, prose: sections.Prose) -> str:
    """One step in words; empty for what is no step, such as the reaction."""
    if receipt.remark and receipt.kind == "revert":
        return prose.line(receipt.remark, SHOWN_REMARK)
    match receipt.kind:
        case "close_pull":
            return f"the pull request #{mark.made.pull} is closed"
        case "delete_branch":
            return f"the branch {code_span(clean(mark.made.branch))} is gone"
        case "revert":
            by = sections.link(receipt.sha[:12], receipt.url)
            return f"the commit `{mark.made.sha[:12]}` is taken back by {by} on {code_span(clean(mark.made.branch))}"
        case "labels":
            return "these labels are off: " + ", ".join(code_span(clean(each)) for each in mark.made.labels)
        case _:
            return ""

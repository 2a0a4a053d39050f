"""What needs no sandbox -> the comments that say it: help, status, stop, an unknown word, triage's findings.

Fixed text, names of tasks and the policy's own descriptions; a stranger's words are never quoted, and a model's
words stand in a code block, where nothing in them is live.
"""

from collections.abc import Mapping, Sequence

from bot.marks import Mark, help_marker, marker, stop_marker
from bot.settings import Settings
from bot.triage.assess import Assessment
from bot.triage.policy import closest
from bot.triage.policy_shape import RESERVED
from bot.types.decision import Answer
from bot.types.event import Commented, Event, Labeled
from bot.types.output import LabelChange, Note, Output, Reaction
from bot.types.task import Task
from bot.visible import fenced


def help_answer(event: Event, number: int, tasks: Mapping[str, Task], settings: Settings) -> Answer:
    """The list of tasks and how to ask for them."""
    outputs = (*_sign(event, number), _note(event, number, "help", help_lines(tasks, settings)))
    return Answer(code="help", reason="somebody asked for help", outputs=outputs)


def unknown_answer(event: Event, number: int, word: str, tasks: Mapping[str, Task], settings: Settings) -> Answer:
    """A word that names no task, with the closest one that does, and the list."""
    near = closest(word, [*tasks, *RESERVED]) if len(word) <= 40 else ""
    hint = near.removeprefix("; ") if near.startswith("; did") else ""
    text = " ".join(part for part in ("That word names no task.", hint.capitalize()) if part)
    body = f"{text}\n\n{help_lines(tasks, settings)}"
    outputs = (*_sign(event, number, "confused"), *_unlabel(event, number), _note(event, number, "unknown", body))
    return Answer(code="unknown_command", reason="the word names no task", outputs=outputs)


def help_lines(tasks: Mapping[str, Task], settings: Settings) -> str:
    """Markdown: every task with its description and who may start it."""
    lines = [
        f"Write `{settings.phrase} <task> [text]` as the first line of a new comment, "
        f"or put on the label `{settings.label_prefix}<task>`.",
        "",
        "| task | what it does | for |",
        "|---|---|---|",
    ]
    for task in tasks.values():
        description = task.description.replace("|", "\\|")
        lines.append(f"| `{task.name}` | {description} | {task.permission} |")
    words = ", ".join(f"`{settings.phrase} {word}`" for word in RESERVED)
    return "\n".join([*lines, "", f"Also: {words}. Options: `--model`, `--image`, `--minutes`, `--steps`, `--usd`."])


def status_answer(event: Event, number: int, marks: Sequence[Mark]) -> Answer:
    """The runs on this subject, newest first."""
    rows = [
        f"| `{mark.run}` | `{mark.task}` | {mark.status.replace('_', ' ')} | {mark.conclusion or '-'} |"
        for mark in reversed(marks)
        if mark.task.replace("-", "").replace("_", "").isalnum()
    ]
    head = ["| run | task | status | conclusion |", "|---|---|---|---|"]
    body = "\n".join([*head, *rows[:10]]) if rows else "No run has been started here."
    outputs = (*_sign(event, number), _note(event, number, "status", body))
    return Answer(code="status", reason=f"{len(rows)} runs are known here", outputs=outputs)


def stop_answer(event: Event, number: int, running: Sequence[Mark]) -> Answer:
    """A comment for each run in progress, that its process finds and obeys."""
    if not running:
        note = _note(event, number, "stop", "Nothing is running here.")
        return Answer(code="stop", reason="nothing is running", outputs=(*_sign(event, number, "confused"), note))
    notes = [
        Note(key=f"stop:{mark.run}", number=number, marker=stop_marker(mark.run), body=f"Run `{mark.run}` is to stop.")
        for mark in running
    ]
    return Answer(code="stop", reason=f"{len(notes)} runs are to stop", outputs=(*_sign(event, number, "+1"), *notes))


def retry_answer(event: Event, number: int, reason: str) -> Answer:
    """Why there is nothing to start again."""
    outputs = (*_sign(event, number, "confused"), _note(event, number, "retry", reason))
    return Answer(code="retry", reason=reason, outputs=outputs)


def triage_answer(event: Event, number: int, labels: Sequence[str], found: Assessment) -> Answer:
    """Labels that are new on the subject, and one comment where policy wants it."""
    add = tuple(each for each in found.labels if each.lower() not in {label.lower() for label in labels})
    outputs: list[Output] = [*_sign(event, number, "+1"), *_unlabel(event, number)]
    if add:
        outputs.append(LabelChange(key="labels", number=number, add=add))
    parts = [*found.comments, *([fenced(found.summary, "text")] if found.summary else [])]
    if parts:
        # One comment for the subject, however often it is triaged.
        body = "\n\n".join(parts)[:60_000]
        outputs.append(Note(key="triage", number=number, marker=marker("triage", str(number)), body=body))
    return Answer(code="triage", reason=found.reason, outputs=tuple(outputs))


def _sign(event: Event, number: int, content: str = "eyes") -> tuple[Output, ...]:
    """A reaction on the comment that asked."""
    trigger = event.trigger
    if isinstance(trigger, Commented):
        reaction = Reaction.model_validate(
            {
                "key": "reaction",
                "number": number,
                "comment": trigger.comment.id,
                "comment_kind": trigger.comment.kind,
                "content": content,
            }
        )
        return (reaction,)
    return ()


def _unlabel(event: Event, number: int) -> tuple[Output, ...]:
    """The label that asked is taken off, so that it can be put on again."""
    if isinstance(event.trigger, Labeled):
        return (LabelChange(key="trigger-label", number=number, remove=(event.trigger.label,)),)
    return ()


def _note(event: Event, number: int, key: str, body: str) -> Note:
    return Note(key=key, number=number, marker=help_marker(event.id), body=body[:60_000])

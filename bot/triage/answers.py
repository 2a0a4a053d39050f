"""What needs no sandbox -> the comments that say it: help, status, stop, an unknown word, triage's findings.

Fixed text, names of tasks and the policy's own descriptions; a stranger's or a model's words stand in code, where
nothing in them is live.
"""

from collections.abc import Mapping, Sequence

from bot.marks import Mark, help_marker, stop_marker
from bot.settings import Settings
from bot.triage.issues.comment import (
    Earlier,
    digest_of,
    is_worth_saying,
    state_line,
    triage_marker,
    triage_words,
)
from bot.triage.issues.rules import Ruled
from bot.triage.policy import closest
from bot.triage.policy_shape import RESERVED, Policy
from bot.types.decision import Answer
from bot.types.event import Commented, Event, Labeled, Subject
from bot.types.output import LabelChange, Note, Output, Reaction
from bot.types.task import Task
from bot.types.triage import Triage

WORDS = {
    "help": ("this list", "triage"),
    "status": ("the runs on this subject", "triage"),
    "stop": ("stop what is running here", "write"),
    "retry": ("start the last task once more", "write"),
    "undo [run]": ("take back what a run published, the last one if none is named", "write"),
    "approve <commit> [task]": ("let a task work on a fork's pull request, at that commit only", "write"),
}
"""The bot's own words, for people: what each does and the least permission of whoever says it."""


def help_answer(event: Event, number: int, tasks: Mapping[str, Task], settings: Settings) -> Answer:
    """The list of tasks and how to ask for them."""
    outputs = (*sign(event, number), note(event, number, "help", help_lines(tasks, settings)))
    return Answer(code="help", reason="somebody asked for help", outputs=outputs)


def unknown_answer(event: Event, number: int, word: str, tasks: Mapping[str, Task], settings: Settings) -> Answer:
    """A word that names no task, with the closest one that does, and the list."""
    near = closest(word, [*tasks, *RESERVED]) if len(word) <= 40 else ""
    hint = near.removeprefix("; ") if near.startswith("; did") else ""
    text = " ".join(part for part in ("That word names no task.", hint.capitalize()) if part)
    body = f"{text}\n\n{help_lines(tasks, settings)}"
    outputs = (*sign(event, number, "confused"), *_unlabel(event, number), note(event, number, "unknown", body))
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
    lines += ["", "| word | what it does | for |", "|---|---|---|"]
    lines += [f"| `{word}` | {does} | {level} |" for word, (does, level) in WORDS.items()]
    return "\n".join([*lines, "", "Options: `--model`, `--image`, `--minutes`, `--steps`, `--usd`."])


def status_answer(event: Event, number: int, marks: Sequence[Mark]) -> Answer:
    """The runs on this subject, newest first."""
    rows = [
        f"| `{mark.run}` | `{mark.task}` | {_state(mark)} | {mark.conclusion or '-'} | {_result(mark)} |"
        for mark in reversed(marks)
        if mark.task.replace("-", "").replace("_", "").isalnum()
    ]
    head = ["| run | task | status | conclusion | result |", "|---|---|---|---|---|"]
    body = "\n".join([*head, *rows[:10]]) if rows else "No run has been started here."
    outputs = (*sign(event, number), note(event, number, "status", body))
    return Answer(code="status", reason=f"{len(rows)} runs are known here", outputs=outputs)


def _state(mark: Mark) -> str:
    return "undone" if mark.made.undone else mark.status.replace("_", " ")


def _result(mark: Mark) -> str:
    """The pull request, which GitHub makes a link of, or the commit."""
    return f"#{mark.made.pull}" if mark.made.pull else f"`{mark.made.sha[:12]}`" if mark.made.sha else "-"


def stop_answer(event: Event, number: int, running: Sequence[Mark]) -> Answer:
    """A comment for each run in progress, that its process finds and obeys."""
    if not running:
        reply = note(event, number, "stop", "Nothing is running here.")
        return Answer(code="stop", reason="nothing is running", outputs=(*sign(event, number, "confused"), reply))
    notes = [
        Note(key=f"stop:{mark.run}", number=number, marker=stop_marker(mark.run), body=f"Run `{mark.run}` is to stop.")
        for mark in running
    ]
    return Answer(code="stop", reason=f"{len(notes)} runs are to stop", outputs=(*sign(event, number, "+1"), *notes))


def told(event: Event, number: int, word: str, reason: str) -> Answer:
    """Why nothing is done for one of the bot's own words."""
    outputs = (*sign(event, number, "confused"), note(event, number, word, reason))
    return Answer(code=word, reason=reason, outputs=outputs)


def triage_answer(
    event: Event,
    subject: Subject,
    found: Triage,
    ruled: Ruled,
    policy: Policy,
    *,
    earlier: Earlier | None = None,
    looked: bool = False,
    security_policy: str = "",
) -> Answer:
    """Labels that are new on the issue, and one comment where policy wants it."""
    outputs = triage_outputs(
        subject, found, ruled, policy, earlier=earlier, looked=looked, security_policy=security_policy
    )
    number = subject.number
    return Answer(
        code="triage",
        reason=found.reason,
        outputs=(*sign(event, number, "+1"), *_unlabel(event, number), *outputs),
        usage=found.usage,
    )


def same_answer(event: Event, number: int) -> Answer:
    """Nothing to write: the comment that is there says it."""
    outputs = (*sign(event, number, "+1"), *_unlabel(event, number))
    return Answer(code="triage", reason="nothing has changed since it was judged", outputs=outputs)


def triage_outputs(
    subject: Subject,
    found: Triage,
    ruled: Ruled,
    policy: Policy,
    *,
    earlier: Earlier | None = None,
    looked: bool = False,
    security_policy: str = "",
) -> tuple[Output, ...]:
    """What a judgement writes: labels, and one comment for the issue, however often it is judged.

    A label that was named before and is gone now was taken off by a person, and stays off. What is said is the same
    before and after the labels are put on, so that a try that was cut short between both is made good by the next.
    `looked` says that the comments were read just now, so that without `earlier` there is none.
    """
    before = {label.casefold() for label in earlier.labels} if earlier else set[str]()
    there = {label.casefold() for label in subject.labels}
    applied = [each.label for each in found.labels if each.apply]
    fitting = [label for label in applied if label.casefold() in there or label.casefold() not in before]
    parts = list(ruled.comments)
    stale = found.by != "rules" and earlier is not None and bool(earlier.digest)  # it says something else by now
    if "comment" in policy.triage.actions and (stale or is_worth_saying(found)):
        digest = digest_of(subject, policy)
        state = Earlier(
            digest=digest,
            by=found.by,
            asked=(earlier.asked if earlier else "") or (digest if found.question else ""),
            labels=tuple(dict.fromkeys((*(earlier.labels if earlier else ()), *fitting)))[:100],
        )
        parts = [state_line(state), *parts, triage_words(found, fitting=fitting, security_policy=security_policy)]
    add = tuple(label for label in fitting if label.casefold() not in there)
    return (*_labels(subject.number, add), *_words(subject.number, parts, new=looked and earlier is None))


def ruled_answer(event: Event, subject: Subject, ruled: Ruled, words: str = "") -> Answer:
    """What rules alone want, and perhaps more words of ours: of a pull request, how it stands."""
    add = tuple(each for each in ruled.labels if each.casefold() not in {label.casefold() for label in subject.labels})
    said = [*ruled.comments, *([words] if words else [])]
    outputs = (*_labels(subject.number, add), *_words(subject.number, said))
    first = (*sign(event, subject.number, "+1"), *_unlabel(event, subject.number))
    return Answer(code="triage", reason=ruled.reason, outputs=(*first, *outputs))


def _labels(number: int, add: tuple[str, ...]) -> tuple[Output, ...]:
    return (LabelChange(key="labels", number=number, add=add),) if add else ()


def _words(number: int, parts: Sequence[str], *, new: bool = False) -> tuple[Output, ...]:
    body = "\n\n".join(parts)[:60_000]
    return (Note(key="triage", number=number, marker=triage_marker(number), body=body, new=new),) if body else ()


def sign(event: Event, number: int, content: str = "eyes") -> tuple[Output, ...]:
    """A reaction on the comment that asked; GitHub has none for the text above a review."""
    trigger = event.trigger
    if isinstance(trigger, Commented) and trigger.comment.kind != "verdict":
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


def note(event: Event, number: int, key: str, body: str) -> Note:
    return Note(key=key, number=number, marker=help_marker(event.id), body=body[:60_000])

"""A run, at each stage of its life -> the outputs that may be published, and what people read. Pure: no clock, no I/O.

Code, checks and reviews have a file each beside this one: render_code, render_check, render_review.
"""

from __future__ import annotations

from collections.abc import Sequence

from bot.forge.render import sections
from bot.forge.render.check import check_of
from bot.forge.render.code import code_outputs, person_of
from bot.forge.render.markdown import code_span
from bot.forge.render.review import review_of
from bot.forge.render.sanitize import clean
from bot.marks import Mark, help_marker, made_of, refusal_marker, run_marker, state_line
from bot.redaction import redact
from bot.settings import Settings
from bot.types.decision import Go, Refuse
from bot.types.event import Commented, Event, Labeled
from bot.types.output import LabelChange, Note, Output, Reaction, Receipt
from bot.types.result import Failure, RunResult
from bot.types.run import Run
from bot.types.task import RunSpec
from bot.types.value import Conclusion, Status

WORD, TAKEN_OFF = "note-completed", "labels-trigger"
"""Keys of the last word, and of the label that started the run being taken off."""
SHOWN_HOSTS = 3
INSTRUCTIONS = 2_000
"""Characters of what was asked for that a status comment keeps."""


def announce(event: Event, spec: RunSpec, *, settings: Settings) -> tuple[Output, ...]:
    """The first sign of life: eyes, the status comment, and where the task shows one a check that is under way."""
    check = check_of(spec, None, None, None, settings)
    checks: tuple[Output, ...] = (check,) if check else ()
    if spec.subject is None:
        return checks
    number, trigger = spec.subject.number, event.trigger
    reaction = Reaction(key="reaction", number=number)
    if isinstance(trigger, Commented) and trigger.comment.kind != "verdict":  # GitHub has no reactions to reviews
        comment = trigger.comment
        reaction = Reaction(key="reaction", number=number, comment=comment.id, comment_kind=comment.kind)
    note = status_note(
        spec,
        None,
        (),
        status="in_progress",
        conclusion=None,
        failure=None,
        settings=settings,
        attempt=event.attempt,
    )
    return (reaction, *((note,) if note else ()), *checks)


def closing(
    event: Event,
    spec: RunSpec,
    result: RunResult | None,
    conclusion: Conclusion,
    failure: Failure | None,
    *,
    settings: Settings,
) -> tuple[Output, ...]:
    """What ends with the run, however it ends: its check, and the label that started it, to be put on again."""
    check = check_of(spec, result, conclusion, failure, settings)
    outputs: list[Output] = [check] if check else []
    if isinstance(event.trigger, Labeled) and spec.subject:
        outputs.append(LabelChange(key=TAKEN_OFF, number=spec.subject.number, remove=(event.trigger.label,)))
    return tuple(outputs)


def proposals(spec: RunSpec, result: RunResult, *, settings: Settings, diff: str = "") -> tuple[Output, ...]:
    """What the task, its trust and its result allow to be written, in the order in which it must be written.

    `diff` is the pull request's, on whose lines a review's remarks are put.
    """
    outputs: list[Output] = [*code_outputs(spec, result, settings)]
    if review := review_of(spec, result, diff, settings):
        outputs.append(review)
    done = result.conclusion == "success" and not result.held
    if "labels" in spec.task.outputs and spec.task.labels and spec.subject and done:
        outputs.append(LabelChange(key="labels-done", number=spec.subject.number, add=spec.task.labels))
    return tuple(outputs)


def status_note(
    spec: RunSpec,
    result: RunResult | None,
    receipts: Sequence[Receipt],
    *,
    status: Status,
    conclusion: Conclusion | None,
    failure: Failure | None,
    settings: Settings,
    artifacts_url: str = "",
    attempt: int = 1,
) -> Note | None:
    """The one status comment of a run, in every stage of its life. None where there is nothing to comment on."""
    if spec.subject is None or "comment" not in spec.task.outputs:
        return None
    instructions = redact(spec.instructions, ())
    mark = Mark(
        run=spec.run_id,
        task=spec.task.name,
        status=status,
        conclusion=conclusion,
        attempt=attempt,
        requester=spec.requester.id,
        trust=spec.trust,
        instructions=instructions[:INSTRUCTIONS],
        cut=len(instructions) > INSTRUCTIONS,
        made=made_of(receipts),
    )
    text = _report(spec, result, receipts, status, conclusion, failure, settings, artifacts_url)
    return Note(
        # A key for each stage: the pipeline writes each key once, and the marker makes them one comment.
        key=f"note-{status}",
        number=spec.subject.number,
        marker=run_marker(spec.run_id),
        body=f"{state_line(mark)}\n{text}",
    )


def refusal(event: Event, decision: Refuse, *, day: str) -> tuple[Output, ...]:
    """A polite word to somebody who is not served, where the decision allows one.

    The marker keeps it to one a day, and where it is always said to one for each event.
    """
    if event.subject is None or not decision.speak:
        return ()
    reason = sections.Prose(repository=event.repository.full_name).text(_sentence(decision.reason), 1000)
    head, foot = "Not done", "Nothing was run and nothing was changed."
    if decision.spent:
        head, foot = "Not published", "The work was done before that, and its artifacts are kept; nothing was changed."
    body = f"### 🚫 {head}\n\n{reason}\n\n<sub>{foot}</sub>"
    marker = help_marker(event.id) if decision.always else refusal_marker(event.actor.id, day)
    return (Note(key="refusal", number=event.subject.number, marker=marker, body=body),)


def _sentence(reason: str) -> str:
    """A reason as people read it; its first word may also be a name, which keeps its form."""
    start = reason[:1].upper() + reason[1:] if reason.partition(" ")[0].isalpha() else reason
    return start if "\n" in start or start.endswith((".", "?", "!")) else f"{start}."


def step_summary(run: Run, *, settings: Settings | None = None) -> str:
    """The page that GitHub shows for the job (`GITHUB_STEP_SUMMARY`)."""
    settings = settings or Settings()
    if not isinstance(run.decision, Go):
        reason = run.decision.reason if run.decision else "nothing was decided"
        kind = run.decision.kind if run.decision else "none"
        return f"### Sandpiper\n\n{sections.Prose().text(reason, 1000)}\n\n<sub>Decision: {kind}</sub>\n"
    spec = run.decision.spec
    text = _report(spec, run.result, run.receipts, run.status, run.conclusion, run.failure, settings, "")
    return text + "\n"


def _report(
    spec: RunSpec,
    result: RunResult | None,
    receipts: Sequence[Receipt],
    status: Status,
    conclusion: Conclusion | None,
    failure: Failure | None,
    settings: Settings,
    artifacts_url: str,
) -> str:
    prose = sections.prose_of(spec, settings)
    parts = [sections.headline(spec, status, conclusion)]
    if status != "completed":
        parts.append(_under_way(spec, settings))
    else:
        failure = failure or (result.failure if result else None)
        parts += _finished(spec, result, receipts, conclusion, failure, prose)
    return sections.joined([*parts, _footer(spec, result, status, settings, artifacts_url)])


def _under_way(spec: RunSpec, settings: Settings) -> str:
    minutes = f"{spec.task.limits.minutes:g} minute{'' if spec.task.limits.minutes == 1 else 's'}"
    revision = f"{code_span(clean(spec.revision.ref))} at `{spec.revision.sha[:7]}`"
    return (
        f"Asked for by {person_of(spec, settings)}. It works on {revision}, in a sandbox {_reach(spec)}, "
        f"for {minutes} at the most. This comment will tell how it ended.\n\n"
        f"To stop it, comment `{settings.phrase} stop`."
    )


def _reach(spec: RunSpec) -> str:
    """What the sandbox may talk to: code from a fork and of strangers to nobody, whatever the task says."""
    hosts = spec.task.hosts if spec.trust == "writer" else ()
    if not hosts:
        return "without network"
    named = ", ".join(code_span(clean(each)) for each in hosts[:SHOWN_HOSTS])
    more = len(hosts) - SHOWN_HOSTS
    return f"that reaches nothing but {named}" + (
        f" and {more} more host{'' if more == 1 else 's'}" if more > 0 else ""
    )


def _finished(
    spec: RunSpec,
    result: RunResult | None,
    receipts: Sequence[Receipt],
    conclusion: Conclusion | None,
    failure: Failure | None,
    prose: sections.Prose,
) -> list[str]:
    parts = []
    if result is not None and result.title and conclusion in ("success", "neutral", "action_required"):
        parts.append(f"**{prose.line(result.title)}**")
    parts.append(sections.links(receipts))
    parts += [sections.note_box(remark) for remark in _how(spec, receipts)]
    if result is not None and result.held:
        parts.append(sections.held_box(result.held, prose))
    elif failure is not None and conclusion not in ("success", "neutral"):
        parts.append(sections.failure_box(failure, prose))
    elif conclusion == "cancelled":
        parts.append("It was stopped before it was done; nothing was written to the repository.")
    if result is None:
        return parts
    parts += sections.result_sections(result, prose)
    if result.changes.files and not receipts_of_code(receipts) and not result.held:
        parts.append(sections.note_box(_why_no_commit(spec, result)))
    elif not result.changes.files and conclusion == "success" and "branch" in spec.task.outputs:
        parts.append("Nothing had to be changed.")
    return parts


def _how(spec: RunSpec, receipts: Sequence[Receipt]) -> list[str]:
    """What people should know about how it was written."""
    remarks = [receipt.remark for receipt in receipts if receipt.remark]
    pull = next((receipt for receipt in receipts if receipt.kind == "pull"), None)
    head = spec.subject.pull.head.ref if spec.subject and spec.subject.pull else ""
    # On the default branch itself nothing is ever committed, whether it moved on or not.
    if pull and head not in ("", spec.repository.default_branch) and "branch" in spec.task.outputs:
        branch = code_span(clean(head))
        remarks.append(f"{branch} moved on meanwhile and touched the same files, so this is a pull request into it.")
    return remarks


def receipts_of_code(receipts: Sequence[Receipt]) -> bool:
    """Whether a commit was published."""
    return any(receipt.kind == "commit" for receipt in receipts)


def _why_no_commit(spec: RunSpec, result: RunResult) -> str:
    where = "The change is `changes.patch` in the run's artifacts."
    if spec.trust == "fork":
        return f"This pull request comes from a fork, so nothing is pushed. {where}"
    if result.conclusion not in ("success", "neutral"):
        return f"Because the run did not succeed, nothing was pushed. {where}"
    if not {"branch", "pull_request"} & set(spec.task.outputs):
        return f"This task does not push commits. {where}"
    return where


def _footer(spec: RunSpec, result: RunResult | None, status: Status, settings: Settings, artifacts_url: str) -> str:
    parts = []
    if result is not None:
        parts.append(sections.cost_line(result.usage, result.seconds))
    if status == "completed":
        parts.append(sections.link("artifacts", artifacts_url) if artifacts_url else "")
        parts.append(f"once more: <code>{settings.phrase} retry</code>" if spec.subject else "")
    parts.append(f"run <code>{spec.run_id}</code>")
    return f"<sub>{' · '.join(part for part in parts if part)}</sub>"

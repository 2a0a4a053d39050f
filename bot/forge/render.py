"""A run, at each stage of its life -> the outputs that may be published, and what people read. Pure: no clock, no I/O.

What may be written to code is decided here and nowhere else: `publishable`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from bot.forge import sections
from bot.forge.markdown import code_span
from bot.forge.sanitize import GITHUB, clean, one_line
from bot.marks import Mark, refusal_marker, run_marker, state_line
from bot.redaction import redact
from bot.settings import Settings
from bot.types.decision import Go, Refuse
from bot.types.event import Commented, Event, Labeled
from bot.types.output import Check, Commit, LabelChange, Note, Output, Pull, Reaction, Receipt
from bot.types.result import Annotation, Failure, RunResult
from bot.types.run import Run
from bot.types.task import RunSpec
from bot.types.value import Conclusion, Status

TITLE = 72
"""Characters of a commit's subject line, the custom of git."""
ANNOTATIONS = 200
_LOGIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})(?:\[bot\])?")


def announce(event: Event, spec: RunSpec, *, settings: Settings) -> tuple[Output, ...]:
    """The first sign of life: eyes, the trigger label taken off so that it can be put on again, the status comment."""
    if spec.subject is None:
        return ()
    number, trigger = spec.subject.number, event.trigger
    outputs: list[Output] = []
    if isinstance(trigger, Commented):
        comment = trigger.comment
        outputs.append(Reaction(key="reaction", number=number, comment=comment.id, comment_kind=comment.kind))
    else:
        outputs.append(Reaction(key="reaction", number=number))
    if isinstance(trigger, Labeled):
        outputs.append(LabelChange(key="labels-trigger", number=number, remove=(trigger.label,)))
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
    return (*outputs, note) if note else tuple(outputs)


def publishable(spec: RunSpec, result: RunResult) -> bool:
    """Whether the changes may be written to the repository at all."""
    return (
        spec.trust == "writer"
        and result.conclusion in ("success", "neutral")
        and not result.held
        and result.changes.complete
        and bool(result.changes.files)
    )


def proposals(spec: RunSpec, result: RunResult, *, settings: Settings) -> tuple[Output, ...]:
    """What the task, its trust and its result allow to be written, in the order in which it must be written."""
    outputs: list[Output] = []
    if publishable(spec, result):
        outputs += _code(spec, result, settings)
    if "check" in spec.task.outputs and spec.trust != "anyone":
        outputs.append(_check(spec, result, settings))
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
    mark = Mark(
        run=spec.run_id,
        task=spec.task.name,
        status=status,
        conclusion=conclusion,
        attempt=attempt,
        requester=spec.requester.id,
        trust=spec.trust,
        instructions=redact(spec.instructions, ())[:2000],
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
    """A polite word to somebody who is not served, where the decision allows one; the marker keeps it to one a day."""
    if event.subject is None or not decision.speak:
        return ()
    reason = sections.Prose(repository=event.repository.full_name).text(decision.reason, 1000)
    body = f"### 🚫 Not done\n\n{reason}\n\n<sub>Nothing was run and nothing was changed.</sub>"
    marker = refusal_marker(event.actor.id, day)
    return (Note(key="refusal", number=event.subject.number, marker=marker, body=body),)


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


def branch_name(spec: RunSpec) -> str:
    """`bot/<task>-<number>-<run>`: the same for every attempt to publish the same run."""
    number = f"{spec.subject.number}-" if spec.subject else ""
    return f"bot/{spec.task.name}-{number}{spec.run_id[:8]}"


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
    prose = sections.prose_of(spec, settings.server_url)
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
        f"Asked for by {_person(spec, settings)}. It works on {revision}, in a sandbox without network, "
        f"for {minutes} at the most. This comment will tell how it ended.\n\n"
        f"To stop it, comment `{settings.phrase} stop`."
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


def _person(spec: RunSpec, settings: Settings) -> str:
    """Who asked, as a link rather than a mention: they know already and need no notification."""
    login = spec.requester.login
    if spec.requester.type != "User" or not _LOGIN.fullmatch(login) or login.endswith("]"):
        return code_span(clean(login))
    return f"[{login}]({(settings.server_url or GITHUB).rstrip('/')}/{login})"


def _code(spec: RunSpec, result: RunResult, settings: Settings) -> list[Output]:
    """A commit on the pull request's own branch; or on a new branch of ours, with a draft pull request if allowed."""
    allowed, subject = set(spec.task.outputs), spec.subject
    if not {"branch", "pull_request"} & allowed:
        return []
    base = spec.base.ref
    if subject is not None and subject.kind == "pull_request":
        pull = subject.pull
        if pull is None or (pull.head_repository or "").lower() != spec.repository.full_name.lower():
            return []
        if "branch" in allowed and pull.head.ref != spec.repository.default_branch:
            return [_commit(spec, result, settings, pull.head.ref, create=False)]
        base = pull.head.ref
    commit = _commit(spec, result, settings, branch_name(spec), create=True)
    if "pull_request" not in allowed:
        return [commit]
    title, body = _title(spec, result, 200), _pull_body(spec, result, settings)
    return [commit, Pull(key="pull", head=commit.branch, base=base, title=title, body=body)]


def _commit(spec: RunSpec, result: RunResult, settings: Settings, branch: str, *, create: bool) -> Commit:
    return Commit(
        key="commit",
        branch=branch,
        create=create,
        parent=spec.revision.sha,
        message=_commit_message(spec, result, settings),
        files=result.changes.files,
    )


def _title(spec: RunSpec, result: RunResult, limit: int) -> str:
    subject = spec.subject
    issue = subject.number if subject and subject.kind == "issue" else None
    title = one_line(result.title, limit=limit, issue=issue, repository=spec.repository.full_name)
    return title or f"{spec.task.name}: changes for " + (f"#{subject.number}" if subject else spec.base.ref)[:100]


def _commit_message(spec: RunSpec, result: RunResult, settings: Settings) -> str:
    host = urlsplit(settings.server_url or GITHUB).hostname or "github.com"
    lines = [_title(spec, result, TITLE), "", f"Sandpiper-Run: {spec.run_id}"]
    person = spec.requester
    if person.id and _LOGIN.fullmatch(person.login):
        lines.append(f"Co-authored-by: {person.login} <{person.id}+{person.login}@users.noreply.{host}>")
    return "\n".join(lines)


def _pull_body(spec: RunSpec, result: RunResult, settings: Settings) -> str:
    prose, subject = sections.prose_of(spec, settings.server_url), spec.subject
    parts = []
    if subject is not None:
        parts.append(f"Fixes #{subject.number}" if subject.kind == "issue" else f"For #{subject.number}")
    # The files have a tab of their own in a pull request.
    parts += sections.result_sections(result, prose, files=False)
    parts.append("---")
    cost = sections.cost_line(result.usage, result.seconds)
    run = f"run <code>{spec.run_id}</code>"
    parts.append(f"Made by Sandpiper, task {code_span(spec.task.name)}, asked for by {_person(spec, settings)}.")
    parts.append(f"<sub>{' · '.join(part for part in (cost, run) if part)}</sub>")
    return sections.joined(parts)


def _check(spec: RunSpec, result: RunResult, settings: Settings) -> Check:
    prose = sections.prose_of(spec, settings.server_url)
    pull = spec.subject.pull if spec.subject else None
    parts = [
        sections.held_box(result.held, prose) if result.held else "",
        sections.failure_box(result.failure, prose) if result.failure else "",
        *sections.result_sections(result, prose),
    ]
    sign, words = sections.HEADLINES[result.conclusion]
    return Check(
        key=f"check-{spec.run_id}",
        name=f"{settings.phrase.lstrip('/@')} {spec.task.name}",
        sha=pull.head.sha if pull else spec.revision.sha,
        conclusion=result.conclusion,
        title=_title(spec, result, 200) if result.title else f"{sign} {spec.task.name} {words}",
        summary=sections.joined(parts) or f"{spec.task.name} {words}.",
        annotations=tuple(_annotation(each) for each in result.annotations[:ANNOTATIONS]),
    )


def _annotation(remark: Annotation) -> Annotation:
    """GitHub shows annotations as plain text; only what nobody can see is taken out."""
    return remark.changed(message=clean(remark.message)[:5000] or "(no text)", title=clean(remark.title)[:200])

"""Door 1: a job of GitHub Actions -> one run, told to the runner as outputs, summary, remarks and an exit code.

run        the whole story in one job
propose    everything but writing: the first of two jobs, which needs no right to write
publish    the second of two jobs: believes the first one's result only after checking it
finalise   the last step of a job, whatever happened: what was killed is cleared away, and its comment made true
"""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import click

from bot.action_handover import adopt_result, agreed_spec, export_run, read_proposal
from bot.action_runner import (
    Job,
    annotate,
    commands_stopped,
    mask,
    newest,
    read_job,
    with_place,
    write_outputs,
    write_summary,
)
from bot.deps import Deps
from bot.errors import Cancelled, EventError, ProviderError, SandboxError, SandpiperError
from bot.forge.events.parsing import load_payload, parse_event
from bot.forge.render.story import proposals, step_summary
from bot.pipeline import exit_code, handle, propose
from bot.protocols import Cancelled as IsCancelled
from bot.publishing import finalise, owes_word, say_ended
from bot.redaction import Secrets, redact, secrets_of
from bot.settings import Settings, load_settings
from bot.stop import stoppable
from bot.telemetry.display import in_github_job, plain_observer
from bot.triage.decide import decide
from bot.types.decision import Answer, Decision, Go, Ignore, Refuse
from bot.types.event import Event
from bot.types.output import Commit
from bot.types.result import Failure, RunResult
from bot.types.run import Run, run_id_of
from bot.types.task import RunSpec
from bot.wiring import wire

KNOWLEDGE = "knowledge"
"""Folder in the state folder that the job's cache keeps: what was learned from the repository's past."""


@dataclass(frozen=True)
class Visit:
    """What a mode works with."""

    job: Job
    event: Event
    deps: Deps
    known: float
    """When the last was learned that was kept from earlier jobs."""


@dataclass(frozen=True)
class Ending:
    """What the runner is told at the very end."""

    code: int
    failure: Failure | None = None
    level: Literal["notice", "error"] = "error"


Mode = Callable[[Visit], Run | None]


@click.group(hidden=True)
def action() -> None:
    """What the GitHub Action calls; inputs arrive as variables SANDPIPER_<NAME>."""


@action.command("run")
def run_command() -> int:
    """Do everything in this job."""
    return _enter(lambda visit: handle(visit.event, visit.deps))


@action.command("propose")
def propose_command() -> int:
    """Decide and work, but write nothing: the result is left for `publish`."""
    return _enter(lambda visit: propose(visit.event, visit.deps), handover=True)


@action.command("publish")
@click.option("--folder", envvar="RUN_FOLDER", required=True, type=click.Path(path_type=Path))
def publish_command(folder: Path) -> int:
    """Check what `propose` left in FOLDER, and publish it."""
    return _enter(lambda visit: _publish(visit, folder))


@action.command("finalise")
@click.option("--mode", envvar="MODE", default="run")
@click.option("--job-status", envvar="JOB_STATUS", default="failure")
def finalise_command(mode: str, job_status: str) -> int:
    """End a run that was killed; nothing happens after one that ended by itself."""
    return _enter(lambda visit: _finalise(visit, writes=mode != "propose", cancelled=job_status == "cancelled"), False)


# --- modes ------------------------------------------------------------------------------------------------------


def _publish(visit: Visit, folder: Path) -> Run:
    """Put our own decision and the other job's checked result on the record; the pipeline does the rest."""
    event, deps = visit.event, visit.deps
    run = deps.store.open(event)
    if run.decision is None:
        decision = decide(event, reader=deps.reader, settings=deps.settings, model=deps.model, knowledge=deps.knowledge)
        decision = _not_in_silence(decision, folder)
        run = run.changed(decision=decision)
        if isinstance(decision, Go):
            spec, result = _taken_over(decision.spec, visit, folder)
            run = run.changed(decision=decision.changed(spec=spec), result=result, status="in_progress")
        deps.store.save(run)
    return handle(event, deps)


def _not_in_silence(decision: Decision, folder: Path) -> Decision:
    """What changed since the other job began may rule its work out; who paid for it is told so."""
    if not isinstance(decision, Ignore | Refuse):
        return decision
    try:
        proposal = read_proposal(folder)
    except SandpiperError:
        return decision
    if proposal is None or proposal.result is None or not isinstance(proposal.decision, Go):
        return decision
    defect = isinstance(decision, Refuse) and decision.defect
    return Refuse(code=decision.code, reason=decision.reason, speak=True, always=True, spent=True, defect=defect)


def _taken_over(spec: RunSpec, visit: Visit, folder: Path) -> tuple[RunSpec, RunResult]:
    """A proposal that is missing or not believed becomes a failed result, so that people are told."""
    try:
        proposal = read_proposal(folder)
        if proposal is None or proposal.result is None or not isinstance(proposal.decision, Go):
            return spec, _without_result(proposal)
        spec = agreed_spec(spec, proposal.decision.spec, pinned=visit.job.sha)
        target = visit.deps.store.folder(spec.run_id)
        settings, secrets = visit.deps.settings, visit.deps.secrets
        return spec, adopt_result(proposal.result, spec, folder, target, secrets, policy=settings.policy)
    except SandpiperError as error:
        return spec, RunResult(conclusion="failure", failure=error.failure())


def _without_result(proposal: Run | None) -> RunResult:
    lost = Failure(
        code="proposal_missing",
        message="the job that does the work ended without a result",
        hint="its log says why; start the task again",
        blame="provider",
    )
    cancelled = proposal is not None and proposal.conclusion == "cancelled"
    return RunResult(
        conclusion="cancelled" if cancelled else "failure", failure=(proposal and proposal.failure) or lost
    )


def _finalise(visit: Visit, *, writes: bool, cancelled: bool) -> Run | None:
    deps, run = visit.deps, visit.deps.store.load(run_id_of(visit.event))
    if run is None or (run.status == "completed" and not owes_word(run)):
        return None
    # An engine that is gone has no leftovers that could be removed, and the comment must be made true all the same.
    with contextlib.suppress(SandboxError):
        deps.sandboxes.sweep(run.run_id)
    if not writes:
        return None
    if run.status == "completed":  # killed between its end on the record and the comment
        return say_ended(run, deps)
    failure = Failure(
        code="job_cancelled" if cancelled else "job_died",
        message="the job was cancelled" if cancelled else "the job ended before the run did",
        hint="start the task again; the log of the job says what happened",
        blame="person" if cancelled else "provider",
    )
    return finalise(run, deps, failure, "cancelled" if cancelled else "failure")


# --- the door ---------------------------------------------------------------------------------------------------


def _enter(mode: Mode, tell: bool = True, *, handover: bool = False) -> int:
    """Read the job, do the mode, tell the runner. The one place where errors of the Action end."""
    try:
        job, settings = read_job(os.environ), load_settings(os.environ)
    except SandpiperError as error:
        return _close(Ending(error.exit_code, error.failure()), ())
    secrets = Secrets(secrets_of(os.environ, settings))
    if in_github_job(os.environ):
        mask(sys.stdout, secrets)
    # The runner sends SIGINT, after 7.5 s SIGTERM, after 2.5 s more it kills: the first asks, the second interrupts.
    with stoppable(signal.SIGINT, signal.SIGTERM) as cancelled:
        # Left by an exception, the block leaves commands off: what a defect prints may hold a stranger's lines.
        with commands_stopped(sys.stdout):
            ending = _ending(mode, partial(_visit, job, settings, cancelled, secrets), tell, handover)
        return _close(ending, secrets)


def _ending(mode: Mode, visiting: Callable[[], Visit], tell: bool, handover: bool) -> Ending:
    try:
        visit = visiting()
        with contextlib.closing(visit.deps):
            run = mode(visit)
            if run is None:
                return Ending(0)
            if tell:
                _tell(run, visit, handover)
    except SandpiperError as error:
        return Ending(error.exit_code, error.failure())
    except KeyboardInterrupt:
        return Ending(Cancelled.exit_code, Cancelled("cancelled", "the job was cancelled").failure())
    failure = run.failure or (run.result.failure if run.result else None)
    refused = isinstance(run.decision, Refuse) and not run.decision.defect
    return Ending(exit_code(run), failure, "notice" if refused else "error")


def _close(ending: Ending, secrets: Sequence[str]) -> int:
    if ending.failure is not None:
        text = "\n".join(part for part in (ending.failure.message, ending.failure.hint) if part)
        annotate(sys.stdout, ending.level, f"Sandpiper: {ending.failure.code}", redact(text, secrets))
    return ending.code


def _visit(job: Job, settings: Settings, cancelled: IsCancelled, secrets: Secrets) -> Visit:
    try:
        payload = with_place(load_payload(job.event_path.read_bytes()), os.environ)
    except OSError as error:
        raise EventError("payload_unreadable", f"the event's file can't be read: {error.strerror}") from None
    event = parse_event(job.event_name, payload, settings=settings, delivery=job.run_id, attempt=job.attempt)
    workspace = job.workspace if job.workspace and (job.workspace / ".git").exists() else None
    deps = wire(
        settings,
        event.repository,
        watch=plain_observer(sys.stdout),
        environ=os.environ,
        checkout=workspace,
        cancelled=cancelled,
        actor=event.actor.login,
        installation=event.installation,
        secrets=secrets,
    )
    pages = f"{settings.server_url}/{event.repository.full_name}"
    url = f"{pages}/actions/runs/{job.run_id}" if settings.server_url and job.run_id else ""
    return Visit(job, event, replace(deps, artifacts_url=url), newest(settings.state / KNOWLEDGE))


# --- telling the runner -----------------------------------------------------------------------------------------


def _tell(run: Run, visit: Visit, handover: bool) -> None:
    deps, job = visit.deps, visit.job
    try:
        folder = export_run(
            run, deps.store.folder(run.run_id), job.temp / "sandpiper-artifacts" / run.run_id, handover=handover
        )
    except OSError as error:
        raise ProviderError("artifacts_not_written", f"artifacts can't be kept: {error.strerror}") from error
    learned = newest(deps.settings.state / KNOWLEDGE) > visit.known
    more = {"artifacts_dir": str(folder or ""), "learned": "true" if learned else ""}
    write_outputs(job, {**_outputs(run, deps.settings, deps.secrets), **more})
    write_summary(job, redact(step_summary(run, settings=deps.settings), deps.secrets))


def _cost(run: Run) -> float:
    """US dollars of the work, or of the answer that needed none."""
    if run.result is not None:
        return run.result.usage.usd
    return run.decision.usage.usd if isinstance(run.decision, Answer) else 0.0


def _outputs(run: Run, settings: Settings, secrets: Sequence[str]) -> dict[str, str]:
    """The Action's outputs; what was not made is empty."""
    pull, note, result = run.receipt("pull"), run.receipt("note"), run.result
    data = result.structured_output if result else None
    return {
        "conclusion": run.conclusion or (result.conclusion if result else "skipped"),
        "run_id": run.run_id,
        "branch_name": _branch(run, settings),
        "pr_number": str(pull.id) if pull else "",
        "pr_url": pull.url if pull else "",
        "comment_url": note.url if note else "",
        "cost_usd": f"{_cost(run):.6f}",
        "structured_output": "" if data is None else redact(json.dumps(data), secrets),
    }


def _branch(run: Run, settings: Settings) -> str:
    """The branch of the commit that was made: a receipt holds addresses only, the output itself is made again."""
    if run.receipt("commit") is None or run.result is None or not isinstance(run.decision, Go):
        return ""
    outputs = proposals(run.decision.spec, run.result, settings=settings)
    return next((each.branch for each in outputs if isinstance(each, Commit)), "")

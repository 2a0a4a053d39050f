"""A pinned task -> its result: checkout, sandbox, runtime, kill, collect, guard. Nothing is written to the forge."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from bot.deps import Deps, tell
from bot.errors import Cancelled as CancelledError
from bot.forge.guard import hold_reasons, text_reasons, to_the_letter, words_of
from bot.protocols import Sandbox
from bot.redaction import redact_data
from bot.stop import watch_for_stop
from bot.store.artifacts import write_artifacts
from bot.store.diff import with_counts
from bot.types.network import Network
from bot.types.result import Outcome, RunResult
from bot.types.run import Run
from bot.types.sandbox import Changes, Template
from bot.types.task import RunSpec


def execute(run: Run, spec: RunSpec, deps: Deps) -> RunResult:
    """Do the task in a sandbox and read back what it changed. Raises when a provider fails or a person cancels."""
    started = time.monotonic()
    folder = deps.store.folder(spec.run_id)
    blobs = folder / "blobs"
    runtime = deps.runtime(spec)
    cancelled = watch_for_stop(spec, deps.reader, deps.cancelled, since=run.created_at.isoformat(timespec="seconds"))
    with _sandbox(spec, folder, deps) as sandbox:
        tell(deps, "work", f"{spec.task.name} with the {spec.task.runtime} runtime")
        outcome = runtime.run(spec, sandbox, watch=deps.watch, cancelled=cancelled)
        if cancelled():
            raise CancelledError("cancelled", "a person stopped the run")
        tell(deps, "collect", "reading what changed")
        changes = with_counts(sandbox.collect(blobs), blobs)
        record = sandbox.record
    outcome, changes, held = _cleaned(spec, outcome, changes, blobs, deps)
    result = _result(outcome, changes, held, time.monotonic() - started)
    result = result.changed(sandbox=record, artifacts=write_artifacts(folder, spec, result, outcome, deps.secrets))
    if held:  # nobody commits these bytes, and they may be what must not be kept
        shutil.rmtree(blobs, ignore_errors=True)
    return result


@contextlib.contextmanager
def _sandbox(spec: RunSpec, folder: Path, deps: Deps) -> Iterator[Sandbox]:
    """A sandbox over the pinned checkout, gone when the block is left, however it is left."""
    for leftovers in (spec.run_id, None):  # this run's, and those of processes that died
        deps.sandboxes.sweep(leftovers)
    own = folder / "checkout"
    tell(deps, "checkout", f"{spec.revision.ref} at {spec.revision.sha[:12]}")
    try:
        deps.sandboxes.warm(_template(spec, deps))  # what can be made ahead is made while the checkout is fetched
        checkout = deps.checkouts.prepare(spec, own)
        template = _template(spec, deps).changed(checkout=str(checkout), pristine=own in checkout.parents)
        tell(deps, "sandbox", f"starting a container from {template.image!r}: {_reach(template)}, no secrets")
        with contextlib.closing(deps.sandboxes.create(template)) as sandbox:
            yield sandbox
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _template(spec: RunSpec, deps: Deps) -> Template:
    """What the sandbox is made from, but for the checkout. Code from a fork has no network whatever the task says."""
    trusted = spec.trust == "writer"
    network = Network()
    if trusted and spec.task.hosts:
        network = Network(mode="restricted", allow=spec.task.hosts, private=deps.settings.private_hosts)
    return Template(
        image=spec.task.image or deps.settings.image,
        run_id=spec.run_id,
        env=spec.task.env,
        limits=spec.task.limits,
        network=network,
        runtime=deps.settings.oci_runtime,
        trusted=trusted,
        symlinks=spec.task.symlinks,
        cache_scope=str(spec.repository.id or spec.repository.full_name.lower()) if deps.settings.caches else "",
    )


def _reach(template: Template) -> str:
    return f"network to {', '.join(template.network.allow)} only" if template.network.allow else "no network"


def _cleaned(
    spec: RunSpec, outcome: Outcome, changes: Changes, blobs: Path, deps: Deps
) -> tuple[Outcome, Changes, tuple[str, ...]]:
    """Both without a secret in what people see, and why a human must look before it is published, if so."""
    held = (
        *hold_reasons(spec, changes, blobs, deps.secrets, policy=deps.settings.policy),
        *text_reasons(words_of(outcome), deps.secrets),
    )
    outcome = outcome.changed(findings=to_the_letter(outcome.findings, deps.secrets))
    shown = redact_data(outcome.model_dump(exclude={"trajectory"}), deps.secrets)
    changes = Changes.model_validate(redact_data(changes.model_dump(), deps.secrets)) if held else changes
    return Outcome.model_validate({**shown, "trajectory": outcome.trajectory}), changes, held


def _result(outcome: Outcome, changes: Changes, held: tuple[str, ...], seconds: float) -> RunResult:
    done_well = outcome.conclusion in ("success", "neutral")
    return RunResult(
        conclusion="action_required" if held and done_well else outcome.conclusion,
        title=outcome.title,
        summary=outcome.summary,
        changes=changes,
        reports=outcome.reports,
        annotations=outcome.annotations,
        findings=outcome.findings,
        usage=outcome.usage,
        seconds=round(seconds, 3),
        failure=outcome.failure,
        held=held,
        structured_output=outcome.structured_output,
    )

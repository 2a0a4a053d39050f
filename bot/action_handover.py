"""A proposed run -> a folder for the next job, and back: what the job that may write believes of what it is handed.

The job that proposes ran a model on strangers' text, so its word counts little. The publishing job decides about the
event anew (without a model) and takes from the folder only the result: typed, its files checked against their digests,
and judged by the guard a second time. Task, subject, branch and trust are never read from the folder.
"""

import shutil
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from bot.blobs import read_blob
from bot.errors import CallerError, Conflict, TaskError
from bot.forge.guard import hold_reasons, text_reasons, to_the_letter, words_of
from bot.types.result import RunResult
from bot.types.run import Run
from bot.types.sandbox import Blob, Changes
from bot.types.task import RunSpec

RECORD = "run.json"
RECORD_BYTES = 64_000_000
"""A record holds at most some tens of command outputs; one that is larger is not ours."""


def export_run(run: Run, folder: Path, into: Path, *, handover: bool) -> Path | None:
    """Copy a run's artifacts into a fresh folder; for a handover its record and the files to commit too.

    Returns None where there is nothing. A held result's files stay behind: they may hold what must not leave.
    """
    result = run.result
    if not handover and (result is None or not result.artifacts):
        return None
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    for artifact in result.artifacts if result else ():
        shutil.copyfile(folder / artifact.name, into / artifact.name)
    if handover:
        (into / RECORD).write_text(run.model_dump_json(), encoding="utf-8")
        (into / "blobs").mkdir()
        for blob in _blobs(result.changes) if result and not result.held else ():
            shutil.copyfile(folder / "blobs" / blob.digest, into / "blobs" / blob.digest)
    return into


def read_proposal(folder: Path) -> Run | None:
    """The record in a folder that was handed over; None when the other job left none. Raises CallerError."""
    path = folder / RECORD
    if not _is_regular(path):
        return None
    if path.stat().st_size > RECORD_BYTES:
        raise _refused("its record is too large")
    try:
        return Run.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise _refused(f"its record has {error.error_count()} mistakes") from None


def agreed_spec(ours: RunSpec, theirs: RunSpec, *, pinned: str) -> RunSpec:
    """Our own specification, at the commit that the work was done on.

    `pinned` is the commit that GitHub gave to both jobs: the branch may have moved on since. Raises CallerError when
    the other job did something else than what is asked, Conflict when it worked on a commit that is neither.
    """
    if _question(ours) != _question(theirs):
        raise _refused("it answers another question than this event asks")
    commits = {ours.revision.sha}
    if ours.subject is None or ours.subject.kind == "issue":
        commits.add(pinned)
    if theirs.revision.sha not in commits:
        raise Conflict(
            "proposal_outdated",
            f"the branch {ours.revision.ref} moved while the task was done",
            hint="start the task again",
        )
    # A pull request's base may move as it likes: what is committed goes on top of the head.
    base = theirs.revision if ours.base.ref == ours.revision.ref else ours.base
    return ours.changed(revision=theirs.revision, base=base)


def _question(spec: RunSpec) -> tuple[object, ...]:
    subject = (spec.subject.kind, spec.subject.number) if spec.subject else None
    names = (spec.repository.full_name, spec.revision.ref, spec.base.ref)
    return (spec.run_id, spec.task, subject, names, spec.requester.id, spec.trust, spec.instructions)


def adopt_result(
    result: RunResult,
    spec: RunSpec,
    source: Path,
    folder: Path,
    secrets: Sequence[str],
    *,
    policy: str = ".github/bot.yml",
) -> RunResult:
    """The result, with its files copied to `folder` and checked on the way. Raises CallerError where one is wrong.

    `policy` is the path of the repository's policy, which no proposal may change.
    """
    blobs = folder / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    if not result.held:
        _check_bounds(result.changes, spec)
        for blob in _blobs(result.changes):
            (blobs / blob.digest).write_bytes(_read(source / "blobs", blob))
    found = (
        *(() if result.held else hold_reasons(spec, result.changes, blobs, secrets, policy=policy)),
        *text_reasons(words_of(result), secrets),
    )
    held = tuple(dict.fromkeys((*result.held, *found)))
    done_well = result.conclusion in ("success", "neutral")
    conclusion = "action_required" if held and done_well else result.conclusion
    # Its artifacts were kept by the other job, and a name among them could lead anywhere on this machine.
    findings = to_the_letter(result.findings, secrets)
    return result.changed(held=held, conclusion=conclusion, artifacts=(), findings=findings)


def _check_bounds(changes: Changes, spec: RunSpec) -> None:
    """Before anything is read: more than the task may change would have been held by the other job's guard."""
    limits = spec.task.limits
    if len(changes.files) > limits.changed_files:
        raise _refused("it changes more files than the task may")
    if sum(each.new.size for each in changes.files if each.new) > limits.changed_bytes:
        raise _refused("it holds more bytes than the task may change")


def _blobs(changes: Changes) -> Iterable[Blob]:
    return (blob for each in changes.files for blob in (each.old, each.new) if blob is not None)


def _read(blobs: Path, blob: Blob) -> bytes:
    try:
        return read_blob(blobs, blob)
    except TaskError as error:
        raise _refused(error.message) from None


def _is_regular(path: Path) -> bool:
    """Whether it is a plain file itself: a link could lead anywhere on this machine."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _refused(why: str) -> CallerError:
    return CallerError(
        "proposal_refused",
        f"what the proposing job handed over is not published: {why}",
        hint="start the task again; if it happens twice, look at the proposing job's log",
    )

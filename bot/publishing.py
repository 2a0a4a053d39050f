"""A run with a result -> what stands on the forge: each output once, the status comment last, so that it is true.

The world is looked at again before anything but a comment is written: what the gate pinned and what moved since then
stops the publication, with a reason that people read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bot.deps import Deps, tell
from bot.errors import Conflict, ForgeError, NotFound, SandpiperError
from bot.forge.reading.ahead import together
from bot.forge.render.check import BEGUN, CHECKED
from bot.forge.render.code import stacked
from bot.forge.render.story import TAKEN_OFF, WORD, announce, closing, proposals, status_note
from bot.marks import left_by, made_of
from bot.redaction import redact_data
from bot.triage.policy import digest_of
from bot.types.decision import Answer, Go, Refuse
from bot.types.event import Event, Labeled, Scheduled, Subject
from bot.types.output import Commit, Note, Output
from bot.types.result import Failure, RunResult
from bot.types.run import Run
from bot.types.task import RunSpec
from bot.types.value import PERMISSIONS, Conclusion

OPTIONAL = frozenset({"checks_need_app"})
"""Refusals of the forge that cost an output and not the run: only Apps and jobs may write check runs."""
MOVED = frozenset(
    {"branch_exists", "branch_gone", "empty_commit", "head_moved", "rejected", "subject_gone", "tree_differs"}
)
"""Failures of a publication that the same result would meet again."""
ENDINGS = frozenset({WORD, CHECKED, TAKEN_OFF})
"""Keys of what told of an end that was not the last."""
UNHEARD = frozenset({"unreachable", "rate_limited"})
"""Failures that say nothing but that the forge did not answer."""


def say_started(run: Run, spec: RunSpec, deps: Deps, *, new: bool = False) -> Run:
    """The first sign of life on the forge; `new` where its comments were just read and none is this run's."""
    tell(deps, "announce", f"run {run.run_id}: task {spec.task.name} for {spec.requester.login}")
    for output in announce(run.event, spec, settings=deps.settings):
        if isinstance(output, Note):
            output = output.changed(new=new)
        if output.kind != "check" or run.result is None:  # a check that is done already need not be begun
            run = _put_or_leave(run, output, deps)
    return run


def publish(run: Run, deps: Deps) -> Run:
    """Write to the forge what the result deserves. Raises SandpiperError where a run has no result."""
    if run.result is None or not isinstance(run.decision, Go):
        raise SandpiperError("no_result", f"run {run.run_id} has no result to publish", hint="propose it first")
    spec = run.decision.spec
    tell(deps, "publish", f"publishing as {deps.reader.viewer().login}")
    result = run.result if _begun(run) else _held_back(run, spec, run.result, deps)
    if result != run.result:
        run = deps.store.save(run.changed(result=result))
    for output in proposals(spec, result, settings=deps.settings, diff=_diff(spec, result, deps)):
        run = _put_on_what_moved(run, output, spec, result, deps)
    run = _close(run, spec, result.conclusion, result.failure, deps)
    if note := _last_word(run, spec, result.conclusion, result.failure, deps):
        run = put(run, note, deps)
    return complete(run, result.conclusion, result.failure, deps)


def finalise(run: Run, deps: Deps, failure: Failure, conclusion: Conclusion = "failure") -> Run:
    """End a run that can't go on, in the store and on the forge, whatever state it is in."""
    if run.status == "completed":
        return run
    return say_ended(complete(run, conclusion, failure, deps), deps)


def say_ended(run: Run, deps: Deps) -> Run:
    """Tell the forge how a run ended that ended on the record, if it was told of its beginning and listens."""
    conclusion = run.conclusion
    if isinstance(run.decision, Go) and run.intents and conclusion:
        spec = run.decision.spec
        with contextlib.suppress(ForgeError):
            run = _close(run, spec, conclusion, run.failure, deps)
        run = _reloaded(run, deps)  # with the intent of a write that failed
        if note := _last_word(run, spec, conclusion, run.failure, deps):
            with contextlib.suppress(ForgeError):
                run = put(run, note, deps)
    return run


def owes_word(run: Run) -> bool:
    """Whether the run is over and what people see of it does not say so."""
    written = {receipt.key for receipt in run.receipts}
    if run.status != "completed" or not isinstance(run.decision, Go) or not run.intents:
        return False
    spec = run.decision.spec
    silent = spec.subject is not None and "comment" in spec.task.outputs and WORD not in written
    return silent or (BEGUN in run.intents and CHECKED not in written and "check" in spec.task.outputs)


def unheard(run: Run) -> bool:
    """Whether the run ended for nothing but a forge that did not answer, and can go on without being paid for again."""
    if run.status != "completed" or run.failure is None or run.failure.code not in UNHEARD:
        return False
    return run.decision is None or _answered_badly(run) or _published_badly(run)


def unfinished(run: Run) -> bool:
    """Whether the same event, handled once more, may bring a run further that is over on the record."""
    return unheard(run) or owes_word(run)


def begun_again(run: Run, event: Event) -> Run:
    """A run that ended badly and that is started again: from its beginning, or, where only a provider failed
    while the result was published, from there. What was paid for is not paid twice, and what was written stays.
    """
    # Opened now: a stop that was said to the first attempt is over.
    anew = Run(run_id=run.run_id, event=event, receipts=left_by(made_of(run.receipts)))
    if not (_answered_badly(run) or _published_badly(run)):
        return anew
    return anew.changed(
        status="in_progress",
        decision=run.decision,
        result=run.result,
        # That we were about to take the label off stays known: else it would count as taken off by a person.
        intents=tuple(key for key in run.intents if key not in ENDINGS - {TAKEN_OFF}),
        receipts=tuple(receipt for receipt in run.receipts if receipt.key not in ENDINGS),
    )


def _answered_badly(run: Run) -> bool:
    """Whether an answer was lost on its way, steps of an `undo` among them."""
    return isinstance(run.decision, Answer | Refuse) and bool(run.failure and run.failure.code in UNHEARD)


def _published_badly(run: Run) -> bool:
    """Whether there is a good result, and only a provider stood in the way of its publication."""
    failure, result = run.failure, run.result
    good = result is not None and not result.failure and not result.held
    return bool(good and failure and failure.blame == "provider" and failure.code not in MOVED)


def complete(run: Run, conclusion: Conclusion, failure: Failure | None, deps: Deps) -> Run:
    """The run's end, on the record."""
    run = deps.store.save(run.changed(status="completed", conclusion=conclusion, failure=failure))
    tell(deps, "done", f"run {run.run_id}: {conclusion}" + (f" ({failure.code})" if failure else ""))
    return run


def put(run: Run, output: Output, deps: Deps) -> Run:
    """Publish one output: journal the intent, write, keep the receipt. One that has a receipt is left alone."""
    if any(receipt.key == output.key for receipt in run.receipts):
        return run
    doubt = output.key in run.intents
    if not doubt:
        run = deps.store.save(run.changed(intents=(*run.intents, output.key)))
    if not isinstance(output, Commit):  # whose paths must stay what they are; a secret among them was held
        output = type(output).model_validate(redact_data(output.model_dump(), deps.secrets))
    receipt = deps.writer.apply(output, blobs=deps.store.folder(run.run_id) / "blobs", doubt=doubt)
    if receipt.url:
        tell(deps, "publish", f"{output.kind}: {receipt.url}")
    return deps.store.save(run.changed(receipts=(*run.receipts, receipt)))


# --- how it is written ------------------------------------------------------------------------------------------


def _put_or_leave(run: Run, output: Output, deps: Deps) -> Run:
    """Publish it, or go on without it where the forge refuses what the run can do without."""
    try:
        return put(run, output, deps)
    except ForgeError as error:
        if error.code not in OPTIONAL:
            raise
        tell(deps, "publish", f"{output.kind}: left out: {error.message}")
        return run


def _put_on_what_moved(run: Run, output: Output, spec: RunSpec, result: RunResult, deps: Deps) -> Run:
    """Publish it; a commit that does not fit on the branch any more becomes a draft pull request into the branch."""
    instead = stacked(spec, result, settings=deps.settings) if isinstance(output, Commit) and not output.create else []
    if not any(each.key in run.intents for each in instead):  # begun before a crash, it is gone on with
        try:
            return _put_or_leave(run, output, deps)
        except Conflict as error:
            if error.code != "head_moved" or not instead:
                raise
            tell(deps, "publish", f"{error.message}: a pull request into the branch instead")
            run = _reloaded(run, deps)
    for each in instead:
        run = put(run, each, deps)
    return run


def _reloaded(run: Run, deps: Deps) -> Run:
    """The record with the intent that the failed write left behind."""
    return deps.store.load(run.run_id) or run


def _close(run: Run, spec: RunSpec, conclusion: Conclusion, failure: Failure | None, deps: Deps) -> Run:
    for output in closing(run.event, spec, run.result, conclusion, failure, settings=deps.settings):
        run = _put_or_leave(run, output, deps)
    return run


def _last_word(run: Run, spec: RunSpec, conclusion: Conclusion, failure: Failure | None, deps: Deps) -> Note | None:
    """The status comment in its last form."""
    return status_note(
        spec,
        run.result,
        run.receipts,
        status="completed",
        conclusion=conclusion,
        failure=failure,
        settings=deps.settings,
        artifacts_url=deps.artifacts_url,
        attempt=run.event.attempt,
    )


def _diff(spec: RunSpec, result: RunResult, deps: Deps) -> str:
    if "review" not in spec.task.outputs or not result.findings or spec.subject is None:
        return ""
    return deps.reader.diff(spec.subject.number)


# --- what moved since the gate ----------------------------------------------------------------------------------


def _begun(run: Run) -> bool:
    """Whether a proposal was begun before: then the world was looked at, and what differs now may be our own doing."""
    return any(not key.startswith(("reaction", "note", BEGUN, TAKEN_OFF)) for key in run.intents)


def _held_back(run: Run, spec: RunSpec, result: RunResult, deps: Deps) -> RunResult:
    """The result, held where the world moved since the gate. Raises NotFound `subject_gone`."""
    nothing_but_words = not proposals(spec, result, settings=deps.settings)
    reasons = () if nothing_but_words else _moved(run, spec, result, deps)
    if not reasons:
        return result
    for reason in reasons:
        tell(deps, "publish", f"held: {reason}")
    done_well = result.conclusion in ("success", "neutral")
    return result.changed(
        held=(*result.held, *reasons), conclusion="action_required" if done_well else result.conclusion
    )


def _moved(run: Run, spec: RunSpec, result: RunResult, deps: Deps) -> tuple[str, ...]:
    """What the gate pinned and what is different now, in sentences. Raises NotFound `subject_gone`."""
    reader, subject = deps.reader, spec.subject
    asks = spec.trust == "writer" and not isinstance(run.event.trigger, Scheduled)  # a clock has no account to ask for
    now, level, policy = together(
        lambda: reader.subject(subject.number, kind=subject.kind) if subject else None,
        lambda: reader.permission(spec.requester) if asks else None,
        lambda: reader.file(deps.settings.policy, spec.repository.default_branch),
    )
    reasons: list[str] = []
    if subject is not None:
        if now is None:
            raise NotFound("subject_gone", f"#{subject.number} is gone: deleted, or transferred", hint="ask there")
        reasons += _changed(run, subject, now, code=bool(result.changes.files))
    if level is not None and PERMISSIONS.index(level) < PERMISSIONS.index(spec.task.permission):
        reasons.append(f"{spec.requester.login} no longer has the permission {spec.task.permission!r}")
    if digest_of(policy) != spec.policy_digest:
        reasons.append("the policy was changed while it ran")
    return tuple(reasons)


def _changed(run: Run, then: Subject, now: Subject, *, code: bool) -> Iterator[str]:
    if now.locked and not then.locked:
        yield "the conversation was locked while it ran"
    if now.state == "closed" and then.state == "open" and code:
        yield f"#{now.number} was closed while it ran"
    trigger = run.event.trigger
    # A run that is started again took the label off itself, when it ended the first time.
    if not isinstance(trigger, Labeled) or run.event.attempt > 1 or TAKEN_OFF in run.intents:
        return
    if trigger.label.casefold() not in {each.casefold() for each in now.labels}:
        yield f"the label {trigger.label!r} was taken off while it ran"

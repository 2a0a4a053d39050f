"""An event -> a completed run: decide, execute, publish. The whole story, one function for each part.

Every stage leaves its value on the run in the store, so calling `handle` again after a crash goes on after the last
finished stage, and calling it again after the end does nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bot.answering import answer
from bot.deps import Deps, tell
from bot.errors import Cancelled as CancelledError
from bot.errors import SandboxExpired, SandpiperError
from bot.execution import execute
from bot.forge.reading.ahead import reading_ahead
from bot.forge.render.story import refusal
from bot.marks import has_marker, left_by, read_mark, run_marker
from bot.publishing import (
    begun_again,
    complete,
    finalise,
    owes_word,
    publish,
    put,
    say_ended,
    say_started,
    unfinished,
    unheard,
)
from bot.redaction import redact
from bot.triage.decide import decide
from bot.triage.policy_shape import RESERVED, Policy
from bot.types.decision import Answer, Decision, Go, Ignore, Refuse
from bot.types.event import Comment, Event, Failed
from bot.types.result import Failure
from bot.types.run import SPENT, Run, run_id_of
from bot.types.task import RunSpec
from bot.types.value import Conclusion

EXIT_CODES = {"task": 1, "caller": 2, "provider": 3, "person": 130}
"""By whose doing a run failed -> the process's exit code."""


LOOKED_BACK = 200
"""Runs among which an earlier refusal is looked for."""


def handle(event: Event, deps: Deps) -> Run:
    """The whole story. A run that is completed already is returned as it is; errors become its true ending.

    One that is completed for nothing but a forge that did not answer goes on; one whose end nobody heard says it.
    """
    with _claimed(event, deps) as (run, mine):
        if not mine:
            return run
        if run.status == "completed":
            if _is_over(run, event) and owes_word(run) and not unheard(run):
                return say_ended(run, deps)
            run = _reopen(run, event, deps)
        return _with_true_ending(run, deps, _story)


def _story(run: Run, deps: Deps) -> Run:
    with _reading_ahead(run, deps) as ahead:
        run, decision = _decided(run, ahead)
        told = _told_elsewhere(run, decision.spec, ahead) if isinstance(decision, Go) else None
    if not isinstance(decision, Go):
        return _answered(run, decision, deps)
    if told and (finished := _finished_elsewhere(run, decision.spec, told, deps)):
        return finished
    if told and (mark := read_mark(told.body)) and not run.receipts:
        run = run.changed(receipts=left_by(mark.made))
    if run.result is None or not run.intents:  # a result that another job made was not announced yet
        run = say_started(run, decision.spec, deps, new=told is None and not run.intents)
    return publish(_executed(run, decision.spec, deps), deps)


def propose(event: Event, deps: Deps) -> Run:
    """Decide and execute without a write to the forge: the first job of two, holding no write token."""
    with _claimed(event, deps) as (run, mine):
        if mine and run.status == "completed":
            run = _reopen(run, event, deps)
        return _with_true_ending(run, deps, _proposal, speak=False) if mine else run


def _proposal(run: Run, deps: Deps) -> Run:
    # Answers are not handed over, since who publishes decides anew: none is worth a model's price here.
    with _reading_ahead(run, replace(deps, model=None)) as ahead:
        run, decision = _decided(run, ahead)
    return _executed(run, decision.spec, deps) if isinstance(decision, Go) else run


def exit_code(run: Run) -> int:
    """0 success, 1 the task failed, 2 the caller's mistake, 3 a provider failed, 130 cancelled."""
    if run.conclusion == "cancelled":
        return EXIT_CODES["person"]
    if run.conclusion in ("failure", "timed_out"):
        return EXIT_CODES[run.failure.blame if run.failure else "task"]
    return 0


# --- decide -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _claimed(event: Event, deps: Deps) -> Iterator[tuple[Run, bool]]:
    """The event's run, and whether it is ours to work on: not when it is settled or another process has it."""
    with deps.store.claim(run_id_of(event)) as mine:
        if not mine:
            tell(deps, "done", f"run {run_id_of(event)} is under way in another process: nothing to do")
        run = deps.store.open(event)  # as whoever had it before left it
        yield run, mine and not _is_settled(run, event)


def _is_settled(run: Run, event: Event) -> bool:
    """A second delivery does nothing; a person who starts a failed event again (a higher attempt) is served.

    All that fails on a commit is one happening: what was ignored, for want of a pull request, is looked at again when
    the next check fails.
    """
    if isinstance(event.trigger, Failed) and isinstance(run.decision, Ignore):
        return False
    return _is_over(run, event) and not unfinished(run)


def _is_over(run: Run, event: Event) -> bool:
    """Whether the run ended, and nobody started it again since."""
    return run.status == "completed" and (event.attempt <= run.event.attempt or run.conclusion == "success")


def _reopen(run: Run, event: Event, deps: Deps) -> Run:
    again = begun_again(run, event)
    if again.result is None:
        (deps.store.folder(run.run_id) / SPENT).unlink(missing_ok=True)  # who starts it again gives it its budget anew
    return deps.store.save(again)


@contextlib.contextmanager
def _reading_ahead(run: Run, deps: Deps) -> Iterator[Deps]:
    """For the time of a decision: the gate's questions are on their way before it asks them, each once."""
    words = {"conventions": Policy().conventions, "answered": RESERVED}
    with reading_ahead(deps.reader, run.event, deps.settings, **words) as reader:
        yield replace(deps, reader=reader)


def _decided(run: Run, deps: Deps) -> tuple[Run, Decision]:
    if run.decision is not None:
        return run, run.decision
    tell(deps, "event", f"{run.event.name} {run.event.action}".strip() + f" by {run.event.actor.login}")
    decision = decide(run.event, reader=deps.reader, settings=deps.settings, model=deps.model, knowledge=deps.knowledge)
    tell(deps, "decide", f"{decision.kind}: {decision.reason}")
    status = "in_progress" if isinstance(decision, Go) else "queued"
    return deps.store.save(run.changed(decision=decision, status=status)), decision


def _answered(run: Run, decision: Decision, deps: Deps) -> Run:
    """Publish what needs no sandbox: an answer, or a polite refusal; nothing where the event is ignored."""
    if isinstance(decision, Answer):
        return complete(answer(run, decision, deps), decision.conclusion, None, deps)
    failure = None
    if isinstance(decision, Refuse):
        run = _refused(run, decision, deps)
        failure = Failure(code=decision.code, message=decision.reason, blame="caller")
    defect = isinstance(decision, Refuse) and decision.defect
    return complete(run, "failure" if defect else "skipped", failure, deps)


def _refused(run: Run, decision: Refuse, deps: Deps) -> Run:
    """Say so, where nobody did today or is about to: the journal comes first, so that others see it."""
    for output in refusal(run.event, decision, day=datetime.now(UTC).date().isoformat()):
        if output.key not in run.intents:
            run = deps.store.save(run.changed(intents=(*run.intents, output.key)))
        if decision.always or not _told_today(run, deps):
            run = put(run, output, deps)
    return run


def _told_today(run: Run, deps: Deps) -> bool:
    """Whether this account heard a refusal in this repository today, as far as this machine's history goes.

    Where there is none, the comment's own marker keeps it to one for each subject.
    """
    today = datetime.now(UTC).date()
    return any(
        isinstance(each.decision, Refuse)
        and each.event.actor.id == run.event.actor.id
        and each.event.repository.full_name == run.event.repository.full_name
        and each.created_at.date() == today
        and each.run_id != run.run_id
        and (each.receipts or (each.intents and each.status != "completed"))
        for each in deps.store.list(limit=LOOKED_BACK)
    )


def _told_elsewhere(run: Run, spec: RunSpec, deps: Deps) -> Comment | None:
    """On a machine without this run's history: its status comment, which an earlier delivery has written."""
    if spec.subject is None or run.intents:
        return None
    viewer, marker = deps.reader.viewer().id, run_marker(spec.run_id)
    found = reversed(deps.reader.comments(spec.subject.number))
    return next((each for each in found if each.author.id == viewer and has_marker(each.body, marker)), None)


def _finished_elsewhere(run: Run, spec: RunSpec, told: Comment, deps: Deps) -> Run | None:
    """The run, ended, where its comment says that it is served or under way."""
    mark, touched_at = read_mark(told.body), told.updated_at
    if mark is None:
        return None
    served = mark.status == "completed" and (mark.attempt >= run.event.attempt or mark.conclusion == "success")
    recently = datetime.now(UTC) - timedelta(minutes=spec.task.limits.minutes + 5)
    under_way = mark.status != "completed" and mark.attempt >= run.event.attempt
    if not served and not (under_way and touched_at and datetime.fromisoformat(touched_at) > recently):
        return None
    tell(deps, "done", f"run {run.run_id} is {mark.status} already: nothing to do")
    return complete(run, "skipped", None, deps)


def _executed(run: Run, spec: RunSpec, deps: Deps) -> Run:
    if run.result is not None:
        return run
    return deps.store.save(run.changed(result=execute(run, spec, deps)))


# --- endings ----------------------------------------------------------------------------------------------------


def _with_true_ending(run: Run, deps: Deps, story: Callable[[Run, Deps], Run], *, speak: bool = True) -> Run:
    """Tell the story. An error becomes the run's ending; a defect of ours is recorded so, and raised again."""
    try:
        return story(run, deps)
    except CancelledError as error:
        return _end(run.run_id, deps, error.failure(), "cancelled", speak)
    except SandpiperError as error:
        late = isinstance(error, SandboxExpired)  # the wall clock ended the sandbox under the work
        failure = error.failure().changed(blame="task") if late else error.failure()
        return _end(run.run_id, deps, failure, "timed_out" if late else "failure", speak)
    except KeyboardInterrupt:
        _end(run.run_id, deps, Failure(code="interrupted", message="interrupted", blame="person"), "cancelled", speak)
        raise
    except Exception as error:
        # A defect must not leave "in progress" behind for ever; it is raised again for whoever can mend it.
        message = f"a defect in the bot: {type(error).__name__}"
        _end(run.run_id, deps, Failure(code="internal_error", message=message, blame="provider"), "failure", speak)
        raise


def _end(run_id: str, deps: Deps, failure: Failure, conclusion: Conclusion, speak: bool) -> Run:
    run = _reload(run_id, deps)
    clean = failure.changed(message=redact(failure.message, deps.secrets))
    if speak:
        return finalise(run, deps, clean, conclusion)
    return run if run.status == "completed" else complete(run, conclusion, clean, deps)


def _reload(run_id: str, deps: Deps) -> Run:
    run = deps.store.load(run_id)
    if run is None:
        raise SandpiperError("run_lost", f"the record of run {run_id} is gone", hint="look at the state folder")
    return run

"""The runtime without a model: a task's own commands, verified before and after."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from bot.agent.detect import Purpose, detect
from bot.agent.limits import Clock, Deadline, Ended, time_limit
from bot.agent.reports import annotated, reports_before
from bot.agent.verify import compare, ended_by, run_commands
from bot.protocols import Cancelled, Observer, Sandbox
from bot.types.result import CommandReport, Failure, Outcome
from bot.types.task import RunSpec, Task
from bot.types.value import Argv

PURPOSES: dict[str, Purpose] = {"test": "test", "lint": "lint"}
"""Tasks that find their commands by looking at the checkout."""
NO_COMMANDS_HINT = "Put `commands` for the task into `.github/bot.yml`, each a list of program and arguments."


class CommandRuntime:
    """Runs setup, verify, commands, verify; needs no model. Implements AgentRuntime."""

    def __init__(self, *, clock: Clock = time.monotonic) -> None:
        self._clock = clock

    def run(self, spec: RunSpec, sandbox: Sandbox, *, watch: Observer, cancelled: Cancelled) -> Outcome:
        """Do the task. Raises SandboxError, Cancelled."""
        before = reports_before(spec.task, sandbox)
        outcome = self._done(spec.task, sandbox, watch, cancelled)
        return annotated(outcome, spec.task, sandbox, before)

    def _done(self, task: Task, sandbox: Sandbox, watch: Observer, cancelled: Cancelled) -> Outcome:
        deadline = Deadline.after(task.limits.minutes, self._clock)
        commands = commands_of(task, sandbox)
        if not commands:
            return _no_commands(task)
        run = partial(run_commands, sandbox, limits=task.limits, deadline=deadline, watch=watch, cancelled=cancelled)
        reports = run("setup", task.setup)
        if not _went_well(reports, task.setup):
            return _failed(task, reports, ended_by(reports, deadline, task.limits))
        before = run("before", task.verify)
        done = run("task", commands)
        reports += before + done
        if not _went_well(done, commands):
            return _failed(task, reports, ended_by(done, deadline, task.limits))
        after = run("after", task.verify)
        reports += after
        if len(after) < len(task.verify):
            return _failed(task, reports, time_limit(task.limits.minutes))
        return _finished(task, reports, before, after)


def _went_well(reports: Sequence[CommandReport], commands: Sequence[Argv]) -> bool:
    return len(reports) == len(commands) and all(report.ok for report in reports)


def commands_of(task: Task, sandbox: Sandbox) -> tuple[Argv, ...]:
    """The task's commands; for `test` and `lint` without any those that fit the checkout."""
    purpose = PURPOSES.get(task.name)
    return task.commands or (detect(sandbox, purpose) if purpose else ())


def _finished(
    task: Task, reports: Sequence[CommandReport], before: Sequence[CommandReport], after: Sequence[CommandReport]
) -> Outcome:
    conclusion, sentence = compare(before, after)
    failure = None
    if conclusion == "failure":
        hint = "The output of the commands is in the report."
        failure = Failure(code="verification_failed", message=sentence, hint=hint)
    return Outcome(
        conclusion=conclusion,
        title=_title(task),
        summary=sentence,  # what ran and how it ended is in the reports, which every reader is shown
        reports=tuple(reports),
        failure=failure,
    )


def _failed(task: Task, reports: Sequence[CommandReport], ended: Ended) -> Outcome:
    return Outcome(
        conclusion=ended.conclusion,
        title=_title(task),
        reports=tuple(reports),
        failure=ended.failure,
    )


def _no_commands(task: Task) -> Outcome:
    looked = " and nothing in the checkout tells which ones fit" if task.name in PURPOSES else ""
    failure = Failure(
        code="no_commands",
        message=f"The task `{task.name}` has no commands{looked}.",
        hint=NO_COMMANDS_HINT,
        blame="caller",
    )
    return Outcome(conclusion="failure", title=_title(task), summary=failure.message, failure=failure)


def _title(task: Task) -> str:
    return task.description.strip() or f"Commands of the task {task.name}"

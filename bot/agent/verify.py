"""Commands of a task -> reports of how they went, and what the difference between before and after means."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import NamedTuple

from bot.agent.limits import Deadline, Ended, stop_if, time_limit
from bot.agent.text import output_tail
from bot.errors import Cancelled
from bot.protocols import Cancelled as IsCancelled
from bot.protocols import Observer, Sandbox
from bot.types.result import CommandReport, Failure
from bot.types.run import Progress
from bot.types.sandbox import ExecRequest
from bot.types.task import Limits
from bot.types.value import Argv, Conclusion, Ending, Phase

STOPPING_PHASES: frozenset[Phase] = frozenset({"setup", "task"})
"""Phases in which one failed command makes the later ones pointless; verification always runs whole."""

ENDINGS: dict[Ending, tuple[str, str, str]] = {
    "timed_out": ("command_timed_out", "took too long", "Raise `limits.command_seconds` or `limits.minutes`."),
    "oom": ("out_of_memory", "ran out of memory", "Raise `limits.memory_mb` of the task."),
    "pids": ("too_many_processes", "started too many processes", "Raise `limits.pids` of the task."),
    "disk": ("disk_full", "filled the sandbox's disk", "Let the command write less."),
    "killed": ("command_killed", "was killed", "See its output for the reason."),
    "lost": ("sandbox_lost", "was lost together with its sandbox", "Try again with `/bot retry`."),
}
"""Ending -> code, what happened, how to mend it."""


class Comparison(NamedTuple):
    """What verification says about the work."""

    conclusion: Conclusion
    sentence: str


def run_commands(
    sandbox: Sandbox,
    phase: Phase,
    commands: Sequence[Argv],
    *,
    limits: Limits,
    deadline: Deadline,
    watch: Observer,
    cancelled: IsCancelled,
) -> tuple[CommandReport, ...]:
    """Run commands in order until the deadline; setup and task stop at the first failure. Raises Cancelled."""
    reports: list[CommandReport] = []
    for argv in commands:
        if deadline.passed():
            break
        reports.append(_run(sandbox, phase, argv, limits, deadline, watch, cancelled))
        if phase in STOPPING_PHASES and not reports[-1].ok:
            break
    return tuple(reports)


def _run(
    sandbox: Sandbox,
    phase: Phase,
    argv: Argv,
    limits: Limits,
    deadline: Deadline,
    watch: Observer,
    cancelled: IsCancelled,
) -> CommandReport:
    stop_if(cancelled)
    watch.notify(Progress(stage="work", text=f"{phase}: running a command", detail=f"$ {shlex.join(argv)}"))
    request = ExecRequest(argv=argv, seconds=deadline.seconds(limits.command_seconds), output_bytes=limits.output_bytes)
    result = sandbox.exec(request, cancelled=cancelled)
    if result.ending == "cancelled":
        raise Cancelled("cancelled", "The run was stopped by a person.")
    report = CommandReport(
        phase=phase,
        argv=argv,
        ending=result.ending,
        exit_code=result.exit_code,
        seconds=round(result.seconds, 3),
        output=output_tail(result),
    )
    watch.notify(
        Progress(stage="work", text=f"{phase}: {describe_ending(report)}, {report.seconds:.1f} s", detail=report.output)
    )
    return report


def describe_ending(report: CommandReport) -> str:
    """How a command ended, in a few words."""
    if report.ok:
        return "passed"
    return f"exit code {report.exit_code}" if report.ending == "exited" else ENDINGS[report.ending][1]


def failure_of(report: CommandReport) -> Failure:
    """Why a command failed, as a value: its argv, its exit code, and what to do."""
    command = shlex.join(report.argv)
    when = " while preparing the checkout" if report.phase == "setup" else ""
    if report.ending == "exited":
        code, what = "command_failed", f"ended with exit code {report.exit_code}"
        hint = "Its output is in the report; run the same command on your machine."
        if report.exit_code in (126, 127):
            code, hint = "command_not_found", "Is the program in the sandbox's image? See `image` in the policy."
    else:
        code, what, hint = ENDINGS[report.ending]
    if report.phase == "setup":
        code = f"setup_{code.removeprefix('command_')}"
    return Failure(code=code, message=f"`{command}` {what}{when}.", hint=hint)


def ended_by(reports: Sequence[CommandReport], deadline: Deadline, limits: Limits) -> Ended:
    """The ending of a run whose last command failed, or was not begun because the time is over."""
    if deadline.passed() or not reports:
        return time_limit(limits.minutes)
    last = reports[-1]
    return Ended("timed_out" if last.ending == "timed_out" else "failure", failure_of(last))


def compare(before: Sequence[CommandReport], after: Sequence[CommandReport]) -> Comparison:
    """What verification says: something broke, something was mended, nothing changed for the worse."""
    was_ok = {report.argv: report.ok for report in before}
    broke = [report for report in after if not report.ok and was_ok.get(report.argv, True)]
    still = [report for report in after if not report.ok and not was_ok.get(report.argv, True)]
    fixed = [report for report in after if report.ok and not was_ok.get(report.argv, True)]
    if broke:
        if all(report.argv in was_ok for report in broke):
            return Comparison("failure", f"{_names(broke)} passed before the change and fails after it.")
        return Comparison("failure", f"{_names(broke)} fails after the change.")
    if still:
        return Comparison("neutral", f"{_names(still)} failed before the change and still fails after it.")
    if fixed:
        return Comparison("success", f"{_names(fixed)} failed before the change and passes after it.")
    if after:
        return Comparison("success", f"{_names(after)} passes after the change.")
    return Comparison("success", "")


def _names(reports: Sequence[CommandReport]) -> str:
    return ", ".join(f"`{shlex.join(report.argv)}`" for report in reports)

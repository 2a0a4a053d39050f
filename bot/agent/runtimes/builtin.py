"""The runtime with a model: prepare, verify, let the agent work, verify again, and say what became of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from bot.agent.compose import opening
from bot.agent.detect import detect
from bot.agent.limits import Clock, Deadline, Ended
from bot.agent.loop import Conversation
from bot.agent.reports import annotated, reports_before
from bot.agent.tools import Finish, Hands, Report
from bot.agent.verify import Comparison, compare, ended_by, run_commands
from bot.protocols import LLM, Cancelled, Observer, Sandbox
from bot.types.result import CommandReport, Failure, Finding, Outcome
from bot.types.task import RunSpec, Task
from bot.types.value import Argv
from bot.visible import visible

TITLE_CHARS = 120
SUMMARY_CHARS = 30_000
SECOND_TRIES = 2
"""How often the agent hears that its work breaks the verification before the run ends so."""
SEVERITIES = ("high", "medium", "low")
NOT_VERIFIED = "No tests were found in the repository, so nothing was verified."


class BuiltinRuntime:
    """Our own agent: any model, tools that run in the sandbox. Implements AgentRuntime."""

    needs_model: ClassVar[bool] = True

    def __init__(self, llm: LLM, *, clock: Clock = time.monotonic) -> None:
        self._llm = llm
        self._clock = clock

    def run(self, spec: RunSpec, sandbox: Sandbox, *, watch: Observer, cancelled: Cancelled) -> Outcome:
        """Do the task. Raises SandboxError, Cancelled."""
        before = reports_before(spec.task, sandbox)
        outcome = self._done(spec, sandbox, watch, cancelled)
        return annotated(outcome, spec.task, sandbox, before)

    def _done(self, spec: RunSpec, sandbox: Sandbox, watch: Observer, cancelled: Cancelled) -> Outcome:
        task = spec.task
        deadline = Deadline.after(task.limits.minutes, self._clock)
        commands = partial(
            run_commands, sandbox, limits=task.limits, deadline=deadline, watch=watch, cancelled=cancelled
        )
        reports = commands("setup", task.setup)
        if len(reports) < len(task.setup) or any(not report.ok for report in reports):
            ended = ended_by(reports, deadline, task.limits)
            return Outcome(conclusion=ended.conclusion, reports=reports, failure=ended.failure)
        verify = task.verify or (() if answers_only(task) else detect(sandbox, "test"))
        before = commands("before", verify)
        reports += before
        hands = Hands(sandbox, task.limits, deadline, cancelled, reviews="review" in task.outputs)
        talk = Conversation(self._llm, opening(spec, verify), hands, watch=watch, answers_only=answers_only(task))
        try:
            for _ in range(SECOND_TRIES + 1):
                said = talk.run()
                after = commands("after", verify) if said.success else ()
                comparison = compare(before, after)
                if comparison.conclusion != "failure":
                    break
                talk.answer_finish(_objection(comparison, after))
            if said.success and len(after) < len(verify):
                raise ended_by(after, deadline, task.limits)
        except Ended as ended:
            return _outcome(talk, reports, ended=ended)
        return _finished(task, talk, said, comparison, (*reports, *after), verify)


def answers_only(task: Task) -> bool:
    """Whether words are all that the task may publish."""
    return set(task.outputs) <= {"comment", "labels", "check", "review"}


def _objection(comparison: Comparison, after: Sequence[CommandReport]) -> str:
    outputs = "\n\n".join(f"$ {' '.join(each.argv)}\n{each.output}" for each in after if not each.ok)
    return f"not finished: {comparison.sentence} Mend it, then call `finish` again.\n\n{outputs}"


def _finished(
    task: Task,
    talk: Conversation,
    said: Finish,
    comparison: Comparison,
    reports: Sequence[CommandReport],
    verify: Sequence[Argv],
) -> Outcome:
    note = comparison.sentence if said.success else ""
    if not verify and not answers_only(task):
        note = NOT_VERIFIED
    summary = "\n\n".join(part for part in (said.summary[:SUMMARY_CHARS], note) if part)
    if not said.success:
        failure = Failure(
            code="task_failed",
            message=f"The agent could not do the task: {_title(said.title)}",
            hint="Its report says why; add what is missing and start the task again.",
        )
        ended = Ended("failure", failure)
    elif comparison.conclusion == "failure":
        hint = "The output of the commands is in the report; the changes are in its patch."
        ended = Ended("failure", Failure(code="verification_failed", message=comparison.sentence, hint=hint))
    else:
        return _outcome(talk, reports, said=said).changed(conclusion=comparison.conclusion, summary=summary)
    return _outcome(talk, reports, ended=ended, said=said).changed(summary=summary)


def _outcome(
    talk: Conversation, reports: Sequence[CommandReport], *, ended: Ended | None = None, said: Finish | None = None
) -> Outcome:
    return Outcome(
        conclusion=ended.conclusion if ended else "success",
        title=_title(said.title) if said else "",
        summary=(said.summary if said else talk.last_words)[:SUMMARY_CHARS],
        reports=tuple(reports),
        usage=talk.usage,
        failure=ended.failure if ended else None,
        findings=findings_of(said) if said else (),
        structured_output=(said.structured_output or None) if said else None,
        trajectory=tuple(talk.trajectory),
    )


def findings_of(said: Finish) -> tuple[Finding, ...]:
    """What a review found, worst first; among equals in the order in which it was told."""
    found = said.findings if isinstance(said, Report) else []
    return tuple(sorted(found, key=lambda each: SEVERITIES.index(each.severity)))


def _title(text: str) -> str:
    """One visible line."""
    flat = " ".join(visible(text).split())
    return flat if len(flat) <= TITLE_CHARS else flat[: TITLE_CHARS - 3] + "..."

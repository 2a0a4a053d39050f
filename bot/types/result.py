"""What came out of a run, before anything is published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from bot.types.sandbox import Changes, SandboxRecord
from bot.types.value import Argv, Conclusion, Digest, Ending, Phase, Value


class CommandReport(Value):
    """One command that the run executed on the task's behalf, for people to read."""

    phase: Phase
    """When in the run."""
    argv: Argv
    """What."""
    ending: Ending
    """How it ended."""
    exit_code: int
    """Its exit code."""
    seconds: float
    """How long it took."""
    output: str = ""
    """The end of its output as text."""

    @property
    def ok(self) -> bool:
        return self.ending == "exited" and self.exit_code == 0


class Annotation(Value):
    """A remark on a line, for the check run."""

    path: str
    """File."""
    line: int = Field(ge=1)
    """Line."""
    level: Literal["notice", "warning", "failure"] = "failure"
    """GitHub's level."""
    message: str
    """What to say."""
    title: str = ""
    """A heading."""


class Finding(Value):
    """What a reviewer says about lines of a pull request; a model's text."""

    path: str
    """File, as the head names it."""
    line: int = Field(ge=1)
    """The line, or the last of several, in the head."""
    first: int | None = Field(default=None, ge=1)
    """The first of several lines; None for one."""
    severity: Literal["high", "medium", "low"] = "medium"
    """How bad it is."""
    text: str
    """What goes wrong and when, Markdown."""
    suggestion: str | None = None
    """What to put in the lines' place, without a fence; empty text removes them; None where there is none."""


class CheckFailure(Value):
    """A check run that failed on a commit, as its creator describes it; a stranger's text."""

    name: str
    """Its name."""
    summary: str = ""
    """Title and summary, cut."""
    annotations: tuple[Annotation, ...] = ()
    """Remarks on lines."""


class Usage(Value):
    """What a run cost."""

    steps: int = 0
    """Calls of the model."""
    input_tokens: int = 0
    """Tokens sent."""
    output_tokens: int = 0
    """Tokens received."""
    usd: float = 0.0
    """US dollars, by the provider's price list."""

    def plus(self, other: Usage) -> Usage:
        """The sum of both."""
        return Usage(
            steps=self.steps + other.steps,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            usd=self.usd + other.usd,
        )


class Failure(Value):
    """Why something did not work, for a person."""

    code: str
    """Stable word."""
    message: str
    """What is wrong."""
    hint: str = ""
    """How to mend it."""
    blame: Literal["task", "caller", "provider", "person"] = "task"
    """By whose doing: the work itself, who asked or configured, a service, somebody who stopped it."""


class Outcome(Value):
    """What a runtime says when it is done; the changes are read from the sandbox, not from it."""

    conclusion: Conclusion
    """How it went."""
    title: str = ""
    """One line, a model's text or ours: the pull request's title."""
    summary: str = ""
    """Markdown, a model's text or ours."""
    reports: tuple[CommandReport, ...] = ()
    """Commands that ran on the task's behalf."""
    annotations: tuple[Annotation, ...] = ()
    """Remarks on lines."""
    findings: tuple[Finding, ...] = ()
    """What a review found, worst first."""
    usage: Usage = Usage()
    """What it cost."""
    failure: Failure | None = None
    """Why it failed."""
    structured_output: Mapping[str, Any] | None = None
    """Data that the task was asked for."""
    trajectory: tuple[Mapping[str, Any], ...] = ()
    """The conversation with the model, message by message."""


class RunResult(Value):
    """What a run produced, before anything is published."""

    conclusion: Conclusion
    """How it went."""
    title: str = ""
    """One line."""
    summary: str = ""
    """Markdown, untrusted."""
    changes: Changes = Changes()
    """What it would change."""
    reports: tuple[CommandReport, ...] = ()
    """Commands that ran."""
    annotations: tuple[Annotation, ...] = ()
    """Remarks on lines."""
    findings: tuple[Finding, ...] = ()
    """What a review found, worst first."""
    usage: Usage = Usage()
    """What it cost."""
    sandbox: SandboxRecord | None = None
    """How the sandbox was made, and what could not be enforced in it."""
    seconds: float = 0.0
    """Wall clock."""
    failure: Failure | None = None
    """Why it failed."""
    held: tuple[str, ...] = ()
    """Reasons why the proposal waits for a human instead of being published."""
    structured_output: Mapping[str, Any] | None = None
    """Data that the task was asked for."""
    artifacts: tuple[Artifact, ...] = ()
    """Files in the run's folder."""


class Artifact(Value):
    """A file in the run's folder."""

    name: str
    """Its name there, for instance `changes.patch`."""
    size: int
    """Bytes."""
    digest: Digest
    """SHA-256."""

"""The error tree: what went wrong, by whose doing, with a stable code and a way to mend it.

SandpiperError
|- CallerError            the caller's mistake                                                    exit 2
|  |- ConfigurationError  a setting is missing or wrong
|  |- PolicyError         `.github/bot.yml` is wrong; carries file, line and field of every mistake
|  |- EventError          a payload is not what GitHub describes
|  `- PluginError         a name has no adapter, or its extra is not installed
|- TaskError              the task could not be done                                              exit 1
|- ProviderError          somebody else's service failed                                          exit 3
|  |- ForgeError          GitHub answered with an error or not at all
|  |  |- NotFound         the object is not there, or not visible to the token
|  |  `- Conflict         the object changed under us: a moved head, a taken name
|  |- ModelError          the model's provider failed, or kept answering nonsense
|  `- SandboxError        no sandbox could be had, or it was lost
|     `- SandboxExpired   its wall clock ran out
`- Cancelled              a person stopped the run                                                exit 130
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Literal

from bot.types.result import Failure
from bot.types.value import Value

BLAME: Mapping[int, Literal["task", "caller", "provider", "person"]] = MappingProxyType(
    {1: "task", 2: "caller", 3: "provider", 130: "person"}
)
"""Exit code -> by whose doing."""


class SandpiperError(Exception):
    """Any error of ours."""

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]" + (f"\n  hint: {self.hint}" if self.hint else "")

    def failure(self) -> Failure:
        """The error as a value."""
        return Failure(code=self.code, message=self.message, hint=self.hint, blame=BLAME[self.exit_code])


class CallerError(SandpiperError):
    """The caller's mistake."""

    exit_code = 2


class ConfigurationError(CallerError):
    """A setting is missing or wrong."""


class EventError(CallerError):
    """A payload is not what GitHub describes."""


class PluginError(CallerError):
    """A name has no adapter, or its extra is not installed."""


class Mistake(Value):
    """One mistake in a file that a person wrote."""

    file: str
    """Path of the file."""
    line: int
    """Line, from 1."""
    field: str
    """Dotted path of the field."""
    message: str
    """What is wrong and what would be right."""


class PolicyError(CallerError):
    """The repository's policy is wrong; every mistake is listed, not just the first."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        text = "\n".join(f"{each.file}:{each.line}: {each.field}: {each.message}" for each in self.mistakes)
        super().__init__("policy_invalid", text, hint="run `sandpiper config check`")


class TaskError(SandpiperError):
    """The task could not be done."""


class ProviderError(SandpiperError):
    """Somebody else's service failed."""

    exit_code = 3


class ForgeError(ProviderError):
    """GitHub answered with an error or not at all."""


class NotFound(ForgeError):
    """The object is not there, or not visible to the token."""


class Conflict(ForgeError):
    """The object changed under us."""


class ModelError(ProviderError):
    """The model's provider failed, or kept answering nonsense."""


class SandboxError(ProviderError):
    """No sandbox could be had, or it was lost."""


class SandboxExpired(SandboxError):
    """Its wall clock ran out."""

    def __init__(self, message: str = "the sandbox's time is over", *, hint: str = "") -> None:
        hint = hint or "raise the task's `limits.minutes`, or do less"
        super().__init__("sandbox_expired", message, hint=hint)


class Cancelled(SandpiperError):
    """A person stopped the run."""

    exit_code = 130

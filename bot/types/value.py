"""The words that all values share, and what makes them frozen."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Status = Literal["queued", "in_progress", "completed"]
Conclusion = Literal["success", "failure", "neutral", "cancelled", "timed_out", "skipped", "action_required"]
Permission = Literal["none", "read", "triage", "write", "maintain", "admin"]
Trust = Literal["anyone", "fork", "writer"]
OutputKind = Literal["comment", "labels", "patch", "branch", "pull_request", "check", "review"]
SubjectKind = Literal["issue", "pull_request"]
CommentKind = Literal["issue", "review", "verdict"]
"""Where words stand: in the conversation, on a line of the diff, or above a whole review."""
Ending = Literal["exited", "timed_out", "oom", "pids", "disk", "killed", "lost", "cancelled"]
Phase = Literal["setup", "before", "task", "after"]

PERMISSIONS: tuple[Permission, ...] = ("none", "read", "triage", "write", "maintain", "admin")
"""Weakest first, so that a level is compared by its index."""

Sha = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FullName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*/[A-Za-z0-9._-]+$")]
RunId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Argv = Annotated[tuple[str, ...], Field(min_length=1)]


class Value(BaseModel):
    """A frozen value: unknown fields are errors, field docstrings are the schema's descriptions."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        ser_json_bytes="base64",
        val_json_bytes="base64",
    )

    def changed(self, **update: Any) -> Self:
        """Return a copy with `update` applied and validated (`model_copy` would not validate)."""
        return type(self).model_validate({**dict(self), **update})

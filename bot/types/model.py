"""A conversation with a language model: messages, tools, answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from bot.types.result import Usage
from bot.types.value import Value


class ToolCall(Value):
    """A model asks for a tool."""

    id: str
    """The provider's id of the call."""
    name: str
    """The tool."""
    arguments: str
    """JSON text, not yet parsed: it may be malformed."""


class Message(Value):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    """Who speaks."""
    content: str = ""
    """What is said."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Tools that the assistant asks for."""
    tool_call_id: str | None = None
    """The call that a tool's message answers."""


class ToolSpec(Value):
    """A tool as a model sees it."""

    name: str
    """Its name."""
    description: str
    """What it does."""
    parameters: Mapping[str, Any]
    """JSON schema of its arguments."""


class Completion(Value):
    """A model's answer."""

    message: Message
    """What it said."""
    usage: Usage
    """What the call cost."""
    finish_reason: str = "stop"
    """Why it ended: stop, tool_calls, length, content_filter."""

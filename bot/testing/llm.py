"""A script -> an LLM that speaks it: a fake for tests, without network and without price list."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bot.errors import ModelError
from bot.types.model import Completion, Message, ToolCall, ToolSpec
from bot.types.result import Usage

Line = str | Message | Exception | Callable[[Sequence[Message]], Message]
"""What the model does at one call: says a text or a message, raises, or decides by what it was told."""


def call(name: str, arguments: Mapping[str, Any] | str = "{}", *, call_id: str = "call_1", says: str = "") -> Message:
    """An assistant's message that asks for one tool; text as arguments is passed on as it is, valid JSON or not."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return Message(role="assistant", content=says, tool_calls=(ToolCall(id=call_id, name=name, arguments=text),))


class ScriptedLLM:
    """Implements LLM: line by line; a call behind the last line is an error, so a loop cannot run on unnoticed."""

    def __init__(
        self,
        script: Sequence[Line],
        *,
        window: int = 100_000,
        price: float = 0.0,
        model: str = "scripted/model",
    ) -> None:
        self._script = list(script)
        self.window = window
        self.model = model
        self.price = price
        """US dollars of every call."""
        self.heard: list[tuple[Message, ...]] = []
        """The messages of every call, for assertions."""
        self.tools: list[tuple[ToolSpec, ...]] = []
        """The tools offered at every call."""

    def complete(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[ToolSpec] = (),
        schema: dict[str, Any] | None = None,
        seconds: float = 120,
        max_tokens: int = 4096,
    ) -> Completion:
        """The next line. Raises the line if it is an error, ModelError `script_over` behind the last."""
        self.heard.append(tuple(messages))
        self.tools.append(tuple(tools))
        if len(self.heard) > len(self._script):
            raise ModelError("script_over", f"The script has only {len(self._script)} lines.")
        line = self._script[len(self.heard) - 1]
        if isinstance(line, Exception):
            raise line
        message = Message(role="assistant", content=line) if isinstance(line, str) else line
        if not isinstance(message, Message):
            message = message(messages)
        usage = Usage(steps=1, input_tokens=self.count(messages), output_tokens=10, usd=self.price)
        return Completion(message=message, usage=usage, finish_reason="tool_calls" if message.tool_calls else "stop")

    def estimate(self, messages: Sequence[Message], *, max_tokens: int = 4096) -> float:
        """The price of a call."""
        return self.price

    def count(self, messages: Sequence[Message]) -> int:
        """A token for every three characters."""
        return sum(
            len(each.content) // 3 + sum(len(call.arguments) // 3 for call in each.tool_calls) + 4 for each in messages
        )

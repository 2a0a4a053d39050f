"""Our messages <-> those of OpenAI's chat completions, which litellm translates for every provider."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from bot.types.model import Message, ToolCall, ToolSpec

NOTHING = "(nothing)"
TOOL_NAME_CHARS = 64
"""Longest name of a tool that providers take back."""


def encode_messages(messages: Sequence[Message], *, cached: bool = False) -> list[dict[str, Any]]:
    """Messages as the protocol has them. `cached` marks the parts that Anthropic's models should remember."""
    encoded = [_encode(message) for message in messages]
    if cached and encoded:
        # The system prompt stays; the end of this call is the beginning of the next one.
        for place in {0, len(encoded) - 1}:
            encoded[place]["cache_control"] = {"type": "ephemeral"}
    return encoded


def _encode(message: Message) -> dict[str, Any]:
    encoded: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        encoded["content"] = message.content or None
        encoded["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": _tool_name(call.name), "arguments": _arguments(call.arguments)},
            }
            for call in message.tool_calls
        ]
    elif message.role == "assistant" and not message.content:
        encoded["content"] = NOTHING  # some providers refuse a history with an empty answer
    if message.tool_call_id is not None:
        encoded["tool_call_id"] = message.tool_call_id
    return encoded


def encode_tools(tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    """Tools as the protocol has them."""
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
        }
        for tool in tools
    ]


def encode_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """`response_format`; not strict, because strict providers refuse optional fields."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": False}}


def ask_for_json(schema: dict[str, Any]) -> Message:
    """The same wish in words, for providers that know no `response_format`."""
    return Message(
        role="user",
        content="Answer with one JSON object and nothing else, no code fence. It must match this JSON schema:\n"
        + json.dumps(schema, ensure_ascii=False, separators=(",", ":")),
    )


def without_fence(text: str) -> str:
    """JSON out of the code fence that some models put around it."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        return text[text.index("\n") + 1 : -3].strip()
    return text


def decode_message(answer: Any) -> Message:
    """The assistant's message out of litellm's object; missing parts become empty ones."""
    calls = []
    for position, call in enumerate(getattr(answer, "tool_calls", None) or ()):
        function = call.function
        identity = call.id or f"call_{position}"
        calls.append(ToolCall(id=_text(identity), name=_text(function.name), arguments=_text(function.arguments)))
    return Message(role="assistant", content=_text(answer.content), tool_calls=tuple(calls))


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    # Lone surrogates (a JSON escape can make them) could not be written to any file later.
    return str(content or "").encode("utf-8", "replace").decode()


def _tool_name(name: str) -> str:
    """A name that the provider takes back, even one that the model made up."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:TOOL_NAME_CHARS] or "unknown"


def _arguments(text: str) -> str:
    """Arguments that providers can parse: they refuse a history that holds their own model's malformed JSON."""
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = None
    return text if isinstance(parsed, dict) else json.dumps({"malformed": text[:2000]})

"""Settings -> an LLM over litellm: one call, retried when that helps, priced, with errors of ours."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bot.errors import ModelError
from bot.llm.faults import BAD_REQUEST, UNAVAILABLE, classify, model_error, retry_after
from bot.llm.library import litellm
from bot.llm.models import Access, access
from bot.llm.wire import (
    ask_for_json,
    decode_message,
    encode_messages,
    encode_schema,
    encode_tools,
    without_fence,
)
from bot.protocols import LLM
from bot.settings import Settings
from bot.types.model import Completion, Message, ToolSpec
from bot.types.result import Usage

ATTEMPTS = 4
FIRST_PAUSE = 2.0
"""Seconds before the second attempt; doubled before each further one."""
UNKNOWN_WINDOW = 32_000
"""Tokens that a model without an entry in the price list is trusted with."""
BYTES_PER_TOKEN = 3
"""Fewer than any common tokenizer packs into a token of prose or code; real ones would have to be downloaded."""
DEAR_PROMPT = 200_000
"""Tokens above which some providers charge another rate."""
MESSAGE_TOKENS = 12
"""Roles and separators around each message."""


def open_model(
    settings: Settings,
    name: str | None,
    environ: Mapping[str, str],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> LLM:
    """The model `name`, or the operator's default if None. Nothing is imported or called yet.

    Raises ConfigurationError `model_missing`, `model_not_allowed`, `model_key_missing`.
    """
    return ChatModel(access(settings, name, environ), sleep=sleep)


class ChatModel:
    """A model behind litellm. Implements LLM."""

    def __init__(self, reached: Access, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._reached = reached
        self._sleep = sleep
        self._in_words = False
        """Whether this provider refused `response_format` before."""

    @property
    def model(self) -> str:
        return self._reached.model

    @property
    def window(self) -> int:
        """Tokens that a conversation may have, by litellm's list."""
        return int(_entry(self.model).get("max_input_tokens") or UNKNOWN_WINDOW)

    def complete(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[ToolSpec] = (),
        schema: dict[str, Any] | None = None,
        seconds: float = 120,
        max_tokens: int = 4096,
    ) -> Completion:
        """One call within `seconds`, retries and pauses included. Raises ModelError."""
        request: dict[str, Any] = {"max_tokens": max_tokens}
        if tools:
            # Without the second, litellm imports an MCP client just to see that none of these is an MCP server's.
            request |= {"tools": encode_tools(tools), "_skip_mcp_handler": True}
        ends = time.monotonic() + seconds
        if schema is None:
            return self._retried(messages, request, ends)
        if not self._in_words:
            try:
                return self._retried(messages, request | {"response_format": encode_schema(schema)}, ends)
            except ModelError as error:
                if error.code != BAD_REQUEST.code:
                    raise
        answer = self._retried((*messages, ask_for_json(schema)), request, ends)
        self._in_words = True
        return answer.changed(message=answer.message.changed(content=without_fence(answer.message.content)))

    def estimate(self, messages: Sequence[Message], *, max_tokens: int = 4096) -> float:
        """US dollars that the call would cost at the most, 0.0 where the price is unknown."""
        sent = self.count(messages)
        return _price(self.model, sent, max_tokens, written=sent if self._cached else 0)

    def count(self, messages: Sequence[Message]) -> int:
        """Tokens of a conversation, a little too high rather than too low."""
        return sum(_bytes(message) // BYTES_PER_TOKEN + MESSAGE_TOKENS for message in messages)

    def _retried(self, messages: Sequence[Message], request: dict[str, Any], ends: float) -> Completion:
        for attempt in range(1, ATTEMPTS + 1):
            last = attempt == ATTEMPTS
            left = ends - time.monotonic()
            try:
                # Half of what is left, so that a server which hangs leaves time for another attempt.
                return self._once(messages, request, max(1.0, left if last else left / 2))
            except Exception as error:  # noqa: BLE001 - litellm lets through whatever any provider's adapter raises
                fault = classify(error)
                pause = retry_after(error) or FIRST_PAUSE * 2 ** (attempt - 1)
                if last or not fault.passing or time.monotonic() + pause >= ends:
                    # Not chained: the original holds the request, and with it the key.
                    raise model_error(fault, error, self.model, self._secret()) from None
            self._sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _once(self, messages: Sequence[Message], request: dict[str, Any], seconds: float) -> Completion:
        response = litellm().completion(
            model=self.model,
            messages=encode_messages(messages, cached=self._cached),
            api_key=self._secret(),
            base_url=self._reached.url,
            timeout=seconds,
            num_retries=0,  # one layer of retries is ours; two would multiply
            max_retries=0,
            **request,
        )
        choices = getattr(response, "choices", None)
        if not choices or getattr(choices[0], "message", None) is None:
            raise ModelError(UNAVAILABLE.code, "the answer holds no message")
        return Completion(
            message=decode_message(choices[0].message),
            usage=_usage(self.model, response),
            finish_reason=choices[0].finish_reason or "stop",
        )

    @property
    def _cached(self) -> bool:
        """Whether the provider wants to be told what to cache; the others do it by themselves."""
        return self.model.startswith(("anthropic/", "claude"))

    def _secret(self) -> str | None:
        return self._reached.key.get_secret_value() if self._reached.key else None


def _bytes(message: Message) -> int:
    calls = sum(len(call.name) + len(call.arguments.encode("utf-8", "replace")) for call in message.tool_calls)
    return len(message.content.encode("utf-8", "replace")) + calls


def _usage(model: str, response: Any) -> Usage:
    usage = getattr(response, "usage", None)
    details = getattr(usage, "prompt_tokens_details", None)
    sent, received = _number(usage, "prompt_tokens"), _number(usage, "completion_tokens")
    read, written = _number(details, "cached_tokens"), _number(details, "cache_creation_tokens")
    return Usage(
        steps=1,
        input_tokens=sent,
        output_tokens=received,
        usd=_price(model, sent, received, read=min(read, sent), written=min(written, sent)),
    )


def _number(value: Any, name: str) -> int:
    return max(0, int(getattr(value, name, 0) or 0))


def _price(model: str, sent: int, received: int, *, read: int = 0, written: int = 0) -> float:
    """US dollars by litellm's list; tokens read from and written to the provider's cache are part of those sent."""
    entry = _entry(model)

    def rate(name: str, otherwise: float = 0.0) -> float:
        tier = entry.get(f"{name}_above_200k_tokens") if sent > DEAR_PROMPT else None
        return float(tier or entry.get(name) or otherwise)

    fresh = rate("input_cost_per_token")
    return (
        max(0, sent - read - written) * fresh
        + read * rate("cache_read_input_token_cost", fresh)
        + written * rate("cache_creation_input_token_cost", fresh)
        + received * rate("output_cost_per_token")
    )


def _entry(model: str) -> Mapping[str, Any]:
    """litellm's entry for a model: under its whole name, without the provider, or as a reseller's upstream model."""
    costs: Mapping[str, Mapping[str, Any]] = litellm().model_cost
    bare = model.partition("/")[2]
    upstream = bare.rpartition("/")[2]
    names = (model, bare, upstream, upstream.replace(".", "-"))
    return next((costs[name] for name in names if name and name in costs), {})

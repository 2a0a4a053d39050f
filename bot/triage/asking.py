"""A question to a model -> what its answer means, by one call without tools and one repair, within a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from bot.errors import Cancelled, SandpiperError
from bot.protocols import LLM
from bot.types.model import Completion, Message
from bot.types.result import Usage
from bot.types.task import Limits

CALLS = 2
SECONDS = 60.0
"""Seconds for one call."""
ROOM = 5
"""How many times more tokens the second answer may have where the first was cut off: some models think aloud."""
QUOTED = 2_000
"""Characters of a useless answer that the model is shown again."""
Meaning = TypeVar("Meaning")


class Unusable(Exception):
    """A model's answer that is not what was asked for; the message goes back to it."""


@dataclass(frozen=True)
class Heard(Generic[Meaning]):
    """What came of asking."""

    meaning: Meaning | None
    """What the answer says, None where there was none to be had."""
    usage: Usage = field(default_factory=Usage)
    """What it cost."""
    trouble: str = ""
    """Why there is none: an error's code."""


def ask(
    open_llm: Callable[[], LLM],
    messages: Sequence[Message],
    schema: dict[str, Any],
    read: Callable[[str], Meaning],
    *,
    limits: Limits,
    most: int,
    seconds: float = SECONDS,
) -> Heard[Meaning]:
    """Ask, and where `read` raises Unusable once more. `most` is the answer's length in tokens, `seconds` a call's.

    Raises nothing but Cancelled and the defects of `read`: whatever else fails is the trouble.
    """
    usage = Usage()
    try:
        llm = open_llm()
        for _ in range(min(CALLS, limits.steps)):
            if usage.usd + llm.estimate(messages, max_tokens=most) > limits.usd:
                return Heard(None, usage, "over_budget")
            answer = llm.complete(messages, schema=schema, seconds=seconds, max_tokens=most)
            usage = usage.plus(answer.usage)
            try:
                return Heard(read(answer.message.content), usage)
            except Unusable as error:
                messages, most = _again(messages, answer, str(error)), most * (ROOM if _was_cut(answer) else 1)
    except Cancelled:
        raise
    except SandpiperError as error:
        return Heard(None, usage, error.code)
    return Heard(None, usage, "model_answer")


def _again(messages: Sequence[Message], answer: Completion, fault: str) -> list[Message]:
    said = Message(role="assistant", content=answer.message.content[:QUOTED])
    wish = f"That answer can't be used: {fault}. Answer again with the JSON object alone."
    return [*messages, said, Message(role="user", content=wish)]


def _was_cut(answer: Completion) -> bool:
    return answer.finish_reason == "length"


def closed_object(properties: Mapping[str, Any]) -> dict[str, Any]:
    """JSON schema of an object that has all of these fields and no other, as strict providers want it."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": dict(properties),
    }

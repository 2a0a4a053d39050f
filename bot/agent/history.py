"""A conversation that must fit a window: what is old is condensed, what was asked and what is recent stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bot.agent.text import shorten
from bot.types.model import Message

Count = Callable[[Sequence[Message]], int]
"""Tokens of messages."""

RECENT_TURNS = 4
"""The last turns, whose observations are left whole as long as possible."""
EXTRACT_CHARS = 400
"""What stays of an old observation."""
DIGEST_CHARS = 12_000
"""What stays of all turns that were condensed."""
DIGEST_HEADING = "# What you did so far\n\nEarlier steps, condensed. Read a file again if you need its contents.\n\n"


class History:
    """System prompt, task, a digest of early turns, and the turns: an assistant's message with all that answers it.

    A turn is kept or condensed as a whole, so that no tool's answer is ever without its call.
    """

    def __init__(self, system: Message, task: Message) -> None:
        self._system = system
        self._task = task
        self._digest: list[str] = []
        self._turns: list[list[Message]] = []

    def messages(self) -> tuple[Message, ...]:
        """The conversation as a model should see it."""
        return (self._system, self._opening(), *(message for turn in self._turns for message in turn))

    def add(self, message: Message) -> None:
        """Append a message; an assistant's opens a turn."""
        if message.role == "assistant" or not self._turns:
            self._turns.append([])
        self._turns[-1].append(message)

    def fit(self, count: Count, tokens: int) -> None:
        """Condense until `tokens` are enough: old observations first, then old turns, then recent observations."""
        if count(self.messages()) <= tokens:
            return
        self._shorten(self._turns[:-RECENT_TURNS], EXTRACT_CHARS)
        while count(self.messages()) > tokens and len(self._turns) > 1:
            self._digest.extend(_digest(self._turns.pop(0)))
        limit = 16_000
        while count(self.messages()) > tokens and limit > EXTRACT_CHARS:
            limit //= 2
            self._shorten(self._turns, limit)

    def _opening(self) -> Message:
        if not self._digest:
            return self._task
        digest = shorten("\n".join(self._digest), DIGEST_CHARS)
        return self._task.changed(content=f"{self._task.content}\n\n{DIGEST_HEADING}{digest}")

    @staticmethod
    def _shorten(turns: Sequence[list[Message]], limit: int) -> None:
        for turn in turns:
            turn[:] = [
                each.changed(content=shorten(each.content, limit)) if each.role == "tool" else each for each in turn
            ]


def _digest(turn: Sequence[Message]) -> list[str]:
    """A line for what was said, and one for each tool with the beginning of its answer."""
    answers = {each.tool_call_id: _line(each.content, 160) for each in turn if each.role == "tool"}
    lines: list[str] = []
    for message in turn:
        if message.role != "tool" and message.content.strip():
            lines.append(f"- {message.role}: {_line(message.content, 300)}")
        lines.extend(
            f"- {call.name} {_line(call.arguments, 200)} -> {answers.get(call.id, '')}" for call in message.tool_calls
        )
    return lines


def _line(text: str, limit: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 3] + "..."

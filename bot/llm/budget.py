"""An LLM -> the same LLM with a budget: a call that could exceed it is refused before it is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bot.errors import TaskError
from bot.protocols import LLM
from bot.types.model import Completion, Message, ToolSpec


class BudgetExceeded(TaskError):
    """The next call could cost more than what is left."""

    def __init__(self, spent: float, usd: float) -> None:
        super().__init__(
            "budget_exceeded",
            f"The budget of {usd:.2f} US dollars would be exceeded; {spent:.4f} are spent.",
            hint="Raise `limits.usd` of the task in the policy, or SANDPIPER_MAX_USD.",
        )


class Budget:
    """Lets calls through while their price fits. Implements LLM. Models without a known price cost nothing here."""

    def __init__(self, llm: LLM, usd: float) -> None:
        self._llm = llm
        self._usd = usd
        self.spent = 0.0
        """US dollars so far."""

    @property
    def model(self) -> str:
        return self._llm.model

    @property
    def window(self) -> int:
        return self._llm.window

    def complete(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[ToolSpec] = (),
        schema: dict[str, Any] | None = None,
        seconds: float = 120,
        max_tokens: int = 4096,
    ) -> Completion:
        """As the LLM does. Raises BudgetExceeded before the call, ModelError."""
        if self.spent + self._llm.estimate(messages, max_tokens=max_tokens) > self._usd:
            raise BudgetExceeded(self.spent, self._usd)
        answer = self._llm.complete(messages, tools=tools, schema=schema, seconds=seconds, max_tokens=max_tokens)
        self.spent += answer.usage.usd
        return answer

    def estimate(self, messages: Sequence[Message], *, max_tokens: int = 4096) -> float:
        return self._llm.estimate(messages, max_tokens=max_tokens)

    def count(self, messages: Sequence[Message]) -> int:
        return self._llm.count(messages)

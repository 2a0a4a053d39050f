"""An LLM -> the same LLM with a budget: a call that could exceed it is refused before it is made.

What was spent is kept in a file, so that a run that is gone on with after a crash does not begin with its whole budget.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path
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
    """Lets calls through while their price fits. Implements LLM. Models without a known price cost nothing here.

    `journal` is a file with an amount in each line, whose sum was spent by the same run before.
    """

    def __init__(self, llm: LLM, usd: float, journal: Path | None = None) -> None:
        self._llm = llm
        self._usd = usd
        self._journal = journal
        self.spent = spent_by(journal) if journal else 0.0
        """US dollars so far."""
        self.over = False
        """Whether a call was refused."""

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
        price = self._llm.estimate(messages, max_tokens=max_tokens)
        if self.spent + price > self._usd:
            self.over = True
            raise BudgetExceeded(self.spent, self._usd)
        self._note(price)  # who is killed while the model answers has paid for it
        try:
            answer = self._llm.complete(messages, tools=tools, schema=schema, seconds=seconds, max_tokens=max_tokens)
        except Exception:  # no answer, no price
            self._note(-price)
            raise
        self._note(answer.usage.usd - price)
        return answer

    def _note(self, usd: float) -> None:
        self.spent += usd
        if self._journal and usd:
            with self._journal.open("a", encoding="ascii") as file:
                file.write(f"{usd!r}\n")

    def estimate(self, messages: Sequence[Message], *, max_tokens: int = 4096) -> float:
        return self._llm.estimate(messages, max_tokens=max_tokens)

    def count(self, messages: Sequence[Message]) -> int:
        return self._llm.count(messages)


def spent_by(journal: Path) -> float:
    """The sum of a journal's lines; a last line that was cut short counts as nothing."""
    if not journal.exists():
        return 0.0
    total = 0.0
    for line in journal.read_text(encoding="ascii", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            usd = float(line)
            total += usd if math.isfinite(usd) else 0.0
    return total

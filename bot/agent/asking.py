"""A conversation so far -> a model's next answer, asked for only while steps, time and money last."""

from __future__ import annotations

from bot.agent.history import History
from bot.agent.limits import Ended, stop_if, time_limit
from bot.agent.tools import Hands, tool_specs
from bot.errors import ModelError, TaskError
from bot.protocols import LLM
from bot.types.model import Completion
from bot.types.result import Failure, Usage

ANSWER_TOKENS = 8_192
"""Longest answer asked for; a quarter of the window where that is less."""
TOOL_TOKENS = 1_500
"""Room for the description of the tools."""
MODEL_SECONDS = 600.0
"""Longest wait for one answer, retries included."""
CONTEXT_EXCEEDED = "model_context_exceeded"


class Asking:
    """A model and what it cost so far."""

    def __init__(self, llm: LLM, hands: Hands) -> None:
        self.usage = Usage()
        self._llm = llm
        self._hands = hands
        self._specs = tool_specs(reviews=hands.reviews)

    def check(self) -> int:
        """How many steps are left. Raises Ended when none are or the time is over, Cancelled."""
        stop_if(self._hands.cancelled)
        limits = self._hands.limits
        if self._hands.deadline.passed():
            raise time_limit(limits.minutes)
        left = limits.steps - self.usage.steps
        if left <= 0:
            raise _limit("step_limit", f"The limit of {limits.steps} steps was reached.", "steps")
        return left

    def ask(self, history: History) -> Completion:
        """The next answer; the history is condensed where the window demands it. Raises Ended."""
        tokens = min(ANSWER_TOKENS, self._llm.window // 4)
        room = max(self._llm.window - tokens - TOOL_TOKENS, 1_000)
        if self._llm.count(history.messages()) > room * 0.9:
            # Well below the limit, so that not every step condenses and spoils the provider's cache.
            history.fit(self._llm.count, room // 2)
        try:
            return self._call(history, tokens)
        except ModelError as error:
            if error.code != CONTEXT_EXCEEDED:
                raise self._given_up(error) from None
        history.fit(self._llm.count, min(room // 2, self._llm.count(history.messages()) // 2))
        try:
            return self._call(history, tokens)
        except ModelError as error:
            raise self._given_up(error) from None

    def _call(self, history: History, tokens: int) -> Completion:
        messages = history.messages()
        price = self._llm.estimate(messages, max_tokens=tokens)
        limit = self._hands.limits.usd
        if self.usage.usd + price > limit:
            raise _limit("budget_exceeded", f"The next step could exceed the budget of {limit:g} US dollars.", "usd")
        try:
            answer = self._llm.complete(
                messages, tools=self._specs, seconds=self._hands.deadline.seconds(MODEL_SECONDS), max_tokens=tokens
            )
        except TaskError as error:  # a budget around the model
            raise Ended("failure", error.failure()) from None
        self.usage = self.usage.plus(answer.usage)
        return answer

    def _given_up(self, error: ModelError) -> Ended:
        if self._hands.deadline.passed():
            return time_limit(self._hands.limits.minutes)
        return Ended("failure", error.failure())


def _limit(code: str, message: str, field: str) -> Ended:
    hint = f"Raise `limits.{field}` of the task in the policy, or ask for a smaller piece of work."
    return Ended("failure", Failure(code=code, message=message, hint=hint))

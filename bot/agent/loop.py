"""A task, a model and a sandbox -> what the model reports: ask, act, observe, until it finishes or a limit ends it."""

from __future__ import annotations

from typing import Any

from bot.agent.asking import Asking
from bot.agent.history import History
from bot.agent.limits import Ended, stop_if, time_limit
from bot.agent.text import shorten
from bot.agent.tools import Finish, Finished, Hands, Malformed, gist, use
from bot.errors import ModelError
from bot.protocols import LLM, Observer
from bot.types.model import Completion, Message, ToolCall
from bot.types.result import Usage
from bot.types.run import Progress
from bot.visible import visible

REPAIRS = 3
"""Answers in a row that may hold a malformed call before the run ends."""
NUDGES = 2
"""Answers in a row that may hold no call at all."""
WARNINGS = (5, 1)
"""Steps before the limit at which the model is told to come to an end."""

NO_CALL = "Your answer called no tool. Go on with a tool, or report with `finish` if you are done."
CUT_OFF = " Your answer was cut off because it was too long: do it in smaller pieces."


class Conversation:
    """One model at work on one task. Keeps what was said and spent, however it ends."""

    def __init__(
        self, llm: LLM, opening: tuple[Message, Message], hands: Hands, *, watch: Observer, answers_only: bool = False
    ) -> None:
        self.trajectory: list[dict[str, Any]] = []
        """Every message in full, as mini-swe-agent 1.1 writes them."""
        self.last_words = ""
        """The longest text without a call since the last call."""
        self._asking = Asking(llm, hands)
        self._hands = hands
        self._watch = watch
        self._answers_only = answers_only
        self._history = History(*opening)
        self._repairs = 0
        self._nudges = 0
        self._pending: list[ToolCall] = []
        for message in opening:
            self.trajectory.append(as_record(message))

    @property
    def usage(self) -> Usage:
        """What it cost so far."""
        return self._asking.usage

    def run(self) -> Finish:
        """Until the model finishes; again after `answer_finish`. Raises Ended, Cancelled, SandboxError."""
        while True:
            left = self._asking.check()
            if left in WARNINGS and left < self._hands.limits.steps // 2:
                self.tell(f"{left} of {self._hands.limits.steps} steps left. Come to an end and call `finish`.")
            answer = self._asking.ask(self._history)
            self._add(answer.message, extra={"usage": answer.usage.model_dump()})
            try:
                self._act(answer)
            except Finished as finished:
                return finished.said

    def tell(self, text: str) -> None:
        """Say something to the model."""
        self._add(Message(role="user", content=text))

    def answer_finish(self, text: str) -> None:
        """Refuse the `finish` that `run` returned last, with the reason; every call needs an answer."""
        if self._pending:
            self._answer_rest(text)
        else:
            self.tell(text)

    def _act(self, answer: Completion) -> None:
        if answer.finish_reason == "content_filter":
            raise Ended("failure", ModelError("model_filtered", "The provider's content filter stopped it.").failure())
        cut = CUT_OFF if answer.finish_reason == "length" else ""
        self._pending = list(answer.message.tool_calls)
        if not self._pending:
            self._nudge(answer.message.content, cut)
            return
        self._nudges, self.last_words = 0, ""
        faults: list[str] = []
        while self._pending:
            self._observe(self._pending[0], cut, faults)
        self._repairs = self._repairs + 1 if faults else 0
        if self._repairs > REPAIRS:
            raise _nonsense(f"{self._repairs} answers in a row held calls that cannot be made, lastly: {faults[-1]}")

    def _observe(self, call: ToolCall, cut: str, faults: list[str]) -> None:
        if self._hands.deadline.passed():
            self._answer_rest("not done: the time is over")
            raise time_limit(self._hands.limits.minutes)
        stop_if(self._hands.cancelled)
        step = f"step {self.usage.steps}: {visible(call.name)[:60]}"
        self._watch.notify(Progress(stage="work", text=step, detail=shorten(visible(gist(call)), 600)))
        try:
            said = use(call, self._hands)
        except Malformed as error:
            faults.append(str(error))
            said = f"error: {error}.{cut}"
        self._pending.pop(0)
        self._add(Message(role="tool", content=said, tool_call_id=call.id))

    def _answer_rest(self, text: str) -> None:
        for call in self._pending:
            self._add(Message(role="tool", content=text, tool_call_id=call.id))
        self._pending = []

    def _nudge(self, said: str, cut: str) -> None:
        self._nudges += 1
        self.last_words = max(self.last_words, said.strip(), key=len)
        if self._nudges <= NUDGES:
            self.tell(NO_CALL + cut)
        elif self._answers_only and self.last_words:
            title = self.last_words.lstrip("# \n").split("\n")[0][:70] or "Answer"
            raise Finished(Finish(title=title, summary=self.last_words))
        else:
            raise _nonsense(f"{self._nudges} answers in a row called no tool")

    def _add(self, message: Message, **more: Any) -> None:
        self._history.add(message)
        self.trajectory.append(as_record(message) | more)


def as_record(message: Message) -> dict[str, Any]:
    """A message as trajectories hold it: OpenAI's shape."""
    record: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        record["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        record["tool_call_id"] = message.tool_call_id
    return record


def _nonsense(what: str) -> Ended:
    error = ModelError("model_malformed", f"The model could not be worked with: {what}.", hint="Try another model.")
    return Ended("failure", error.failure())

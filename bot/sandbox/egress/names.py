"""Names -> their addresses, asked in threads, since the system's resolver blocks."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue

Resolver = Callable[[str, int], Sequence[str]]
"""Name and port -> addresses; may block; raises OSError."""

_THREADS = 32
"""At most that many names at once; a sandbox that asks for names whose servers hang waits for itself."""


def resolve(host: str, port: int) -> tuple[str, ...]:
    """Return the addresses of `host`, as this machine resolves names."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(each[4][0]) for each in found))


@dataclass(frozen=True, slots=True)
class _Question:
    host: str
    port: int
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Sequence[str]]
    deliver: Callable[[asyncio.Future[Sequence[str]], Sequence[str], Exception | None], None]


class Names:
    """Threads that resolve, begun as they are needed, until `close`. To be used by one event loop at a time.

    Nobody waits for them at the end: a resolver that hangs can't be interrupted, and ends by itself some time.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._questions: SimpleQueue[_Question | None] = SimpleQueue()
        self._open = 0
        self._threads = 0

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Return what the resolver returns, or raise what it raises."""
        loop = asyncio.get_running_loop()
        question = _Question(host, port, loop, loop.create_future(), self._deliver)
        if self._open >= self._threads and self._threads < _THREADS:
            self._begin()
        self._open += 1
        self._questions.put(question)
        return await question.answer

    def _begin(self) -> None:
        work = threading.Thread(target=_work, args=(self._resolver, self._questions), name="egress-names", daemon=True)
        try:
            work.start()
        except RuntimeError as error:
            # The system has no more threads for us: those that there are must do.
            if not self._threads:
                raise OSError(str(error)) from error
        else:
            self._threads += 1

    def close(self) -> None:
        """Let the threads end. New ones are begun if it is used again."""
        for _ in range(self._threads):
            self._questions.put(None)
        # A thread that hangs takes its `None` from the old queue, never a question from the new one.
        self._questions, self._open, self._threads = SimpleQueue(), 0, 0

    def _deliver(
        self, answer: asyncio.Future[Sequence[str]], addresses: Sequence[str], error: Exception | None
    ) -> None:
        self._open -= 1
        if answer.done():
            return
        if error is None:
            answer.set_result(addresses)
        else:
            answer.set_exception(error)


def _work(resolver: Resolver, questions: SimpleQueue[_Question | None]) -> None:
    while (question := questions.get()) is not None:
        addresses: Sequence[str] = ()
        failure: Exception | None = None
        try:
            # Whoever asked may have given up while the question stood in the queue.
            if not question.answer.done():
                addresses = resolver(question.host, question.port)
        except Exception as error:  # noqa: BLE001 - whatever it raises belongs to the request that waits for it
            failure = error
        with suppress(RuntimeError):  # The loop has ended: nobody waits any more.
            question.loop.call_soon_threadsafe(question.deliver, question.answer, addresses, failure)

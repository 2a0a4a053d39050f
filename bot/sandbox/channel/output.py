"""A stream of any length -> its head and its tail, in bounded memory."""

from collections import deque

_PIECES = 1024


class HeadTail:
    """The first and the last bytes of a stream, in bounded memory."""

    def __init__(self, limit: int) -> None:
        self.dropped = 0
        self._head_room, self._tail_room = limit - limit // 2, limit // 2
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0

    def add(self, data: bytes) -> None:
        room = self._head_room - len(self._head)
        self._head += data[:room]
        rest = data[room:] if room > 0 else data
        if not rest:
            return
        self._tail.append(rest)
        self._tail_size += len(rest)
        if len(self._tail) > _PIECES:  # many small writes would take many times their size
            self._tail = deque((b"".join(self._tail),))
        while self._tail_size > self._tail_room:
            first, excess = self._tail.popleft(), self._tail_size - self._tail_room
            self.dropped += min(excess, len(first))
            self._tail_size -= min(excess, len(first))
            if excess < len(first):
                self._tail.appendleft(first[excess:])

    def value(self) -> bytes:
        return bytes(self._head) + b"".join(self._tail)

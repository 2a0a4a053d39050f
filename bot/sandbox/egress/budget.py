"""A run's network -> how many requests and bytes it has left, and how long the next bytes must wait."""

from __future__ import annotations

from dataclasses import dataclass

from bot.types.network import Network

CHUNK = 131_072
"""Most bytes that are read at once."""
_SLICES = 8
"""A limited bandwidth is given out in pieces of this part of a second, so that connections share it."""


@dataclass(slots=True)
class Budget:
    """What all connections of a run have used together. Belongs to one thread."""

    max_requests: int
    max_bytes: int
    bytes_per_second: int | None = None
    requests: int = 0
    """Judged so far, denied ones too: they also cost a line of the audit."""
    spent: int = 0
    """Bytes so far, both ways."""
    free_at: float = 0.0
    """When the bandwidth that was given out will have been used."""

    def request(self) -> bool:
        """Count one request; whether it may be made."""
        self.requests += 1
        return self.requests <= self.max_requests

    def spend(self, count: int) -> int:
        """Count bytes that are to pass; return how many of them may."""
        granted = min(count, self.max_bytes - self.spent)
        self.spent += granted
        return granted

    def delay(self, count: int, now: float) -> float:
        """Return how many seconds `count` bytes wait at the time `now`; one slice of a second is given at once."""
        if self.bytes_per_second is None:
            return 0.0
        self.free_at = max(self.free_at, now) + count / self.bytes_per_second
        return max(0.0, self.free_at - now - 1 / _SLICES)

    @property
    def chunk(self) -> int:
        """Most bytes to read at once."""
        return CHUNK if self.bytes_per_second is None else min(CHUNK, max(128, self.bytes_per_second // _SLICES))


def budget_of(network: Network) -> Budget:
    """Return the untouched budget of a run."""
    return Budget(network.max_requests, network.max_bytes, network.bytes_per_second)

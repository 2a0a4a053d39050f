"""A machine's memory and processors -> how many sandboxes it bears at once."""

from bot.types.task import Limits

_RESERVED_MB = 1024
"""Memory for the machine itself and for us."""
_EACH_MB = 100
"""Memory that a sandbox takes beside its limit: the engine's share of it."""
_PER_CPU = 1.875
"""Sandboxes of one processor each that one processor bears: they wait a good part of their time."""


def capacity(memory_mb: int, cpus: float, limits: Limits, cap: int | None = None) -> int:
    """The least of what memory, processors and the operator's cap allow; at least 1. Source: row B-157."""
    by_memory = (memory_mb - _RESERVED_MB) // (limits.memory_mb + _EACH_MB)
    by_cpus = int(cpus * _PER_CPU / limits.cpus)
    return max(1, min(by_memory, by_cpus, by_memory if cap is None else cap))

"""Used sandboxes -> sandboxes for the same people again, each made new and looked through before anybody gets it.

Off unless somebody builds it into his program: one sandbox a task is the rule. What is reused serves one repository,
one actor and one trust class, is of the same shape and image, and was reset. The proof: after a first reset nothing is
found in it, then canaries are laid out and the look has to find each of them, and after a second reset it has to find
none. A sandbox that does not pass is closed.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from bot.errors import SandboxError, SandpiperError
from bot.protocols import Cancelled, OnOutput, Sandbox, SandboxProvider
from bot.sandbox.pool import adopted, shape_of
from bot.sandbox.stock import Spare
from bot.types.sandbox import Changes, ExecRequest, ExecResult, SandboxInfo, SandboxRecord, SandboxStats, Template
from bot.types.task import Limits
from bot.types.value import Trust

_LOG = logging.getLogger(__name__)
_SECONDS = 20
_PLANT = """
set -e
echo x >"./$1"
mkdir "/tmp/$1"
echo "export CANARY=$1" >"$HOME/.profile"
echo x >"/dev/shm/$1"
sh -c 'while :; do sleep 600; done' sandpiper-canary </dev/null >/dev/null 2>&1 &
"""
_LOOK = """
[ -e "./$1" ] && echo workspace
for folder in /tmp "$HOME" /dev/shm; do
    found=$(find "$folder" -mindepth 1 2>/dev/null | head -n 1)
    [ -z "$found" ] || echo "$folder"
done
cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -q '[s]andpiper-canary' && echo process
exit 0
"""
"""A line for every place where something is: the script's own arguments don't match its pattern."""
_PLACES = 5
"""In which canaries are laid out."""


@dataclass(frozen=True)
class BurstClass:
    """Who may get the same container again: all three have to be the same."""

    repository: str
    """Its full name, or better its number."""
    actor: int
    """Number of the account."""
    trust: Trust


class Probed(Spare, Protocol):
    """A Spare that can be looked into before anybody takes it."""

    @property
    def sandbox(self) -> Sandbox:
        """It answers like any sandbox, and its clock stands still."""


@runtime_checkable
class Reusable(Protocol):
    """A provider whose used sandboxes can be reset, if they were prepared."""

    def prepare(self, template: Template) -> Spare | None:
        """See bot.sandbox.pool.Poolable."""

    def fingerprint(self, template: Template) -> str | None:
        """What such a sandbox is made from now, such as its image's digest; None where it can't serve again."""

    def recycle(self, sandbox: Sandbox) -> Probed | None:
        """The same one, reset; `sandbox` is closed. None, and nothing is left of it, where that can't be."""


@dataclass(frozen=True)
class _Kept:
    spare: Spare
    until: float


class BurstPool:
    """What was used and reset, for at most `age` seconds and never more than `maximum`. Closed by its owner.

    Raises SandboxError `burst_unsupported` for a provider that is not Reusable.
    """

    def __init__(self, provider: SandboxProvider, *, maximum: int = 4, age: float = 600) -> None:
        if not isinstance(provider, Reusable):
            raise SandboxError("burst_unsupported", "this provider can't reset a sandbox", hint="use Docker")
        self.provider: SandboxProvider = provider
        self._reusable: Reusable = provider
        self._maximum, self._age = maximum, age
        self._lock, self._kept, self._closed = threading.Lock(), dict[Hashable, deque[_Kept]](), False

    def serving(self, who: BurstClass) -> BurstProvider:
        """A provider for these people alone."""
        return BurstProvider(self, who)

    def create(self, who: BurstClass, template: Template) -> Sandbox:
        """One that these people used before, theirs again, else a new one. Raises SandboxError."""
        made_from = self._reusable.fingerprint(template)
        if made_from is None:
            return self.provider.create(template)
        key = (who, shape_of(template), made_from)
        while (spare := self._take(key)) is not None:
            if (made := _taken(spare, template)) is not None:
                return _Burst(made, self, key)
        prepared = self._reusable.prepare(template)
        fresh = _taken(prepared, template) if prepared is not None else None
        return _Burst(fresh or self.provider.create(template), self, key)

    def _take(self, key: Hashable) -> Spare | None:
        """The oldest that is kept for it; those that are too old go."""
        while True:
            with self._lock:
                kept = self._kept.get(key)
                item = kept.popleft() if kept else None
            if item is None or item.until > time.monotonic():
                return item.spare if item is not None else None
            item.spare.close()

    def give_back(self, key: Hashable, sandbox: Sandbox) -> None:
        """Reset it and keep it if that is proven, else close it. Never raises for what a provider says."""
        with self._lock:
            room = not self._closed and sum(map(len, self._kept.values())) < self._maximum
        spare = None
        try:
            if room:
                spare = _proven(self._reusable, sandbox)
            else:
                sandbox.close()
        except SandpiperError as error:
            _LOG.warning("sandbox %s: not reset: %s", sandbox.id, error)
        if spare is None:
            return
        with self._lock:
            room = not self._closed and sum(map(len, self._kept.values())) < self._maximum
            if room:
                self._kept.setdefault(key, deque()).append(_Kept(spare, time.monotonic() + self._age))
        if not room:
            spare.close()

    def close(self) -> None:
        """Close what is kept; the provider is its owner's."""
        with self._lock:
            self._closed, kept = True, [item for items in self._kept.values() for item in items]
            self._kept.clear()
        for item in kept:
            with contextlib.suppress(SandpiperError):
                item.spare.close()


def _taken(spare: Spare, template: Template) -> Sandbox | None:
    """The sandbox of that run; None, and nothing is left of it, when it is dead."""
    made = adopted(spare, template)
    if made is None:
        with contextlib.suppress(SandpiperError):
            spare.close()
    return made


def _proven(reusable: Reusable, sandbox: Sandbox) -> Spare | None:
    """It, reset, with the proof that a reset leaves nothing and the look would find it. None: it is gone."""
    name = f"canary-{secrets.token_hex(8)}"
    first = reusable.recycle(sandbox)
    if first is None or not _passes(first, lambda inside: _seen_when_planted(inside, name), "no canary was to be seen"):
        return None
    second = reusable.recycle(first.sandbox)
    if second is None or not _passes(second, lambda inside: not _look(inside, name), "a reset left something"):
        return None
    return second


def _passes(spare: Probed, test: Callable[[Sandbox], bool], problem: str) -> bool:
    """Whether it passed; if not, nothing is left of it."""
    passed = False
    try:
        passed = test(spare.sandbox)
    finally:
        if not passed:
            _LOG.warning("sandbox %s is not used again: %s", spare.sandbox.id, problem)
            spare.close()
    return passed


def _seen_when_planted(inside: Sandbox, name: str) -> bool:
    """Whether nothing is found, and then a canary in each place."""
    if _look(inside, name):
        return False
    planted = inside.exec(ExecRequest(argv=("sh", "-c", _PLANT, "sh", name), seconds=_SECONDS))
    return planted.ok and len(_look(inside, name)) == _PLACES


def _look(sandbox: Sandbox, name: str) -> list[str]:
    """Places where something is. Raises SandboxError when nobody can tell."""
    result = sandbox.exec(ExecRequest(argv=("sh", "-c", _LOOK, "sh", name), seconds=_SECONDS))
    if not result.ok:
        raise SandboxError("reset_unproven", f"{sandbox.id} can't be looked through: {result.ending}")
    return result.stdout.decode("utf-8", "replace").split()


class BurstProvider:
    """A SandboxProvider for one repository, actor and trust class. Made by BurstPool.serving."""

    def __init__(self, pool: BurstPool, who: BurstClass) -> None:
        self._pool, self._who = pool, who

    def create(self, template: Template) -> Sandbox:
        """See the Protocol: one that these people had before, else a new one."""
        return self._pool.create(self._who, template)

    def warm(self, template: Template, count: int = 1) -> None:
        """See the Protocol."""
        self._pool.provider.warm(template, count)

    def healthy(self) -> str | None:
        """See the Protocol."""
        return self._pool.provider.healthy()

    def sweep(self, run_id: str | None = None) -> int:
        """See the Protocol; what is kept is no leftover."""
        return self._pool.provider.sweep(run_id)

    def list(self) -> tuple[SandboxInfo, ...]:
        """See the Protocol; what is kept is not shown."""
        return self._pool.provider.list()

    def get(self, sandbox_id: str) -> Sandbox | None:
        """See the Protocol."""
        return self._pool.provider.get(sandbox_id)

    def capacity(self, limits: Limits) -> int:
        """See the Protocol."""
        return self._pool.provider.capacity(limits)

    def close(self) -> None:
        """See the Protocol; what is kept is the pool's."""


class _Files:
    """The sandbox's own, passed on."""

    _sandbox: Sandbox

    def read_file(self, path: str, *, max_bytes: int = 10_000_000) -> bytes:
        return self._sandbox.read_file(path, max_bytes=max_bytes)

    def write_file(self, path: str, data: bytes, *, executable: bool | None = None) -> None:
        self._sandbox.write_file(path, data, executable=executable)

    def list_files(self, path: str = ".", *, limit: int = 10_000) -> tuple[str, ...]:
        return self._sandbox.list_files(path, limit=limit)

    def delete_file(self, path: str) -> None:
        self._sandbox.delete_file(path)

    @property
    def record(self) -> SandboxRecord:
        return self._sandbox.record

    def stats(self) -> SandboxStats:
        return self._sandbox.stats()

    def health(self) -> str | None:
        return self._sandbox.health()

    def pause(self) -> None:
        self._sandbox.pause()

    def resume(self) -> None:
        self._sandbox.resume()


class _Burst(_Files):
    """A Sandbox that is reset instead of removed when it is closed."""

    def __init__(self, sandbox: Sandbox, pool: BurstPool, key: Hashable) -> None:
        self._sandbox, self._pool, self._key, self._closed = sandbox, pool, key, False

    @property
    def id(self) -> str:
        return self._sandbox.id

    def exec(
        self, request: ExecRequest, *, on_output: OnOutput | None = None, cancelled: Cancelled | None = None
    ) -> ExecResult:
        return self._sandbox.exec(request, on_output=on_output, cancelled=cancelled)

    def collect(self, blobs: Path) -> Changes:
        return self._sandbox.collect(blobs)

    def close(self) -> None:
        """See the Protocol; on return it is reset, or gone."""
        if not self._closed:
            self._closed = True
            self._pool.give_back(self._key, self._sandbox)

"""A SandboxProvider -> a table of every way out of its sandboxes that was tried on this very machine, from inside.

It says nothing about what nobody thought of, and nothing about the kernel's own mistakes.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from bot.errors import SandboxError, SandpiperError
from bot.protocols import Sandbox, SandboxProvider
from bot.sandbox.bait import Bait, laid
from bot.sandbox.bounds import BOUNDS
from bot.sandbox.escapes import LIMITS, WAYS, Inside, State, Way
from bot.types.sandbox import ExecRequest, SandboxRecord, Template
from bot.types.value import Value

SECONDS = 20.0
"""For everything together; on an idle machine it takes a third of that."""
UNISOLATED = "local"


class Attempt(Value):
    """One way out, and what became of it."""

    group: str
    """What it is about: secrets, files, machine, rights, network, limits, endings, leftovers."""
    name: str
    """What was tried."""
    expected: str
    """What has to come of it."""
    seen: str
    """What came of it."""
    state: State
    """`not enforced`: the sandbox's record says that it can't be had here; `skipped`: it could not be tried."""


class Proof(Value):
    """What is proven, and what is not."""

    provider: str
    """Whose sandbox it was."""
    image: str
    """What it was made from."""
    attempts: tuple[Attempt, ...]
    """In the order in which they were made."""
    record: SandboxRecord
    """How the sandbox was made."""
    seconds: float
    """How long it took."""

    @property
    def ok(self) -> bool:
        """Whether everything that could be tried held; what is not enforced does not."""
        return all(each.state in ("ok", "skipped") for each in self.attempts)


def prove(
    provider: SandboxProvider,
    *,
    work: Path,
    image: str = "host",
    runtime: str | None = None,
    seconds: float = SECONDS,
    on_attempt: Callable[[Attempt], None] = lambda attempt: None,
) -> Proof:
    """Make a sandbox among bait, try everything, remove it. `work` is where its folder is.

    Never for a provider without isolation: what is tried are bombs. Raises SandboxError when no sandbox can be had, and
    `proof_late` when this machine is too busy.
    """
    began, attempts = time.monotonic(), list[Attempt]()
    run_id = secrets.token_hex(8)

    def note(attempt: Attempt) -> None:
        attempts.append(attempt)
        on_attempt(attempt)

    with laid() as bait:
        template = Template(
            run_id=run_id, checkout=str(bait.checkout), limits=LIMITS, image=image, runtime=runtime, trusted=False
        )
        with contextlib.closing(provider.create(template)) as sandbox:
            record = sandbox.record
            if record.provider == UNISOLATED:
                raise SandboxError("no_isolation", "the provider `local` has none to prove", hint="use another one")
            inside = Inside(sandbox, bait, began + seconds, _python(sandbox), seconds / 2, runtime is not None)
            for way in (*WAYS, *BOUNDS):
                note(_tried(way, inside))
        note(_left(provider, sandbox.id, work, bait))
    return Proof(
        provider=record.provider,
        image=image,
        attempts=tuple(attempts),
        record=record,
        seconds=round(time.monotonic() - began, 3),
    )


def _python(sandbox: Sandbox) -> str:
    """The program inside, empty where there is none that works."""
    argv = ("python3", "-I", "-S", "-c", "import ctypes, socket")
    return argv[0] if sandbox.exec(ExecRequest(argv=argv, seconds=10)).ok else ""


def _tried(way: Way, inside: Inside) -> Attempt:
    """A sandbox that is lost on the way has failed, and the rest is tried all the same: it says how far it got."""
    try:
        state, seen = way.attempt(inside)
    except SandpiperError as error:
        if error.code == "proof_late":
            raise
        state, seen = "FAILED", f"{error.message} [{error.code}]"
    return Attempt(group=way.group, name=way.name, expected=way.expected, seen=seen, state=state)


def _left(provider: SandboxProvider, sandbox_id: str, work: Path, bait: Bait) -> Attempt:
    """Containers, processes and folders, as far as the provider knows them and as this machine shows them."""
    left = ["in the list"] if any(each.id == sandbox_id for each in provider.list()) else []
    left += ["its folder"] if (work / sandbox_id).exists() else []
    for file in Path("/proc").glob("[0-9]*/mountinfo"):
        with contextlib.suppress(OSError):
            if sandbox_id.encode() in file.read_bytes():
                left.append(f"process {file.parent.name}")
                break
    heard = [f"{each} was reached" for each in bait.ears.heard()]
    return Attempt(
        group="leftovers",
        name="containers, processes, mounts, folder",
        expected="nothing",
        seen=", ".join([*left, *heard]) or "nothing",
        state="FAILED" if left or heard else "ok",
    )

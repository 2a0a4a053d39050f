"""Templates -> places where commands run without any isolation, as this user, on this machine.

For a trusted user who says so on the command line, and for nobody else. The checkout is protected by being copied;
time-outs end what a command started as long as it does not hide on purpose.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from bot.errors import SandboxError
from bot.sandbox import processes
from bot.sandbox.bubblewrap import cgroup
from bot.sandbox.capacity import capacity
from bot.sandbox.channel.command import Command, Raw
from bot.sandbox.channel.pipes import Pipes, driver_argv, make_channel
from bot.sandbox.counters import Groups as Meter
from bot.sandbox.folder import PREFIX, Note, describe, info_of, note_for, notes, now, process_identity, restore
from bot.sandbox.folder import write_note as write
from bot.sandbox.keeper import Keeper
from bot.sandbox.living import Facts, LivingSandbox
from bot.sandbox.removal import remove_folder
from bot.sandbox.toolchain import host_toolchain
from bot.sandbox.workspace.disk import disk_watch
from bot.sandbox.workspace.overlay import Workspace, prepare
from bot.types.sandbox import SandboxInfo, SandboxRecord, SandboxState, Template
from bot.types.task import Limits

PROVIDER = "local"
_MARKER = "SANDPIPER_LOCAL"
"""Variable that everything in one sandbox inherits, by which it is found again."""
_START_SECONDS = 30.0
_END_SECONDS = 10.0
_GRACE = 5
"""Seconds between the wall clock of the run and the kill, which is the last resort."""
_LIMITED = """\
umask 022
ulimit -c 0
ulimit -f 8388608
[ -z "$1" ] || ulimit -u "$1" 2>/dev/null || ulimit -p "$1" 2>/dev/null
shift
while [ "$1" != -- ]; do
	echo $$ >"$1" || exit 96
	shift
done
shift
exec "$@"
"""
"""No core dumps, 4 GiB a file (in blocks of 512 bytes).

Its arguments: processes that this user may have or nothing, control groups to join, `--`, a command.
"""
_NOTES = (
    "no isolation: commands run as this user on this machine, and can read and write whatever this user can",
    "the network is the machine's own",
)


@dataclass(frozen=True)
class Mark:
    """By what the processes of one sandbox are known: a variable that they inherit, and control groups if there are."""

    text: str
    groups: cgroup.Groups

    def processes(self) -> Iterator[int]:
        """All of them, as far as this user may look."""
        yield from cgroup.members(self.groups)
        line = f"{_MARKER}={self.text}".encode()
        for entry in os.listdir("/proc") if self.text else ():  # noqa: PTH208 - thousands of names
            if entry.isdigit():
                with contextlib.suppress(OSError):
                    if line in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                        yield int(entry)

    def end(self, *, spared: str = "") -> bool:
        """Kill every one of them but one, by its identity; True when none is left."""
        with contextlib.suppress(OSError):
            cgroup.freeze(self.groups, False)  # what is frozen does not die in version 1
        until = time.monotonic() + _END_SECONDS
        while found := {each for pid in self.processes() if (each := process_identity(pid))} - {spared}:
            if time.monotonic() > until:
                return False
            for number in (signal.SIGSTOP, signal.SIGKILL):  # no shell shall go on because its child died first
                for identity in found:
                    processes.kill(identity, seconds=0, number=number)
        return True


class LocalProvider:
    """A SandboxProvider without isolation. `allowed`: a trusted user asked for it, knowing that."""

    def __init__(self, *, work: Path, allowed: bool = False, cap: int | None = None) -> None:
        self._work, self._allowed, self._cap, self._keeper = work.absolute(), allowed, cap, Keeper()

    def create(self, template: Template) -> LivingSandbox:
        """See the Protocol. Codes: `isolation_refused`, `image_unsupported`, `network_unsupported`, and others."""
        _refuse(template, allowed=self._allowed)
        name = f"{PREFIX}{template.run_id}-{secrets.token_hex(4)}"
        folder, mark = self._work / name, Mark(secrets.token_hex(16), cgroup.plan(name, self._parents))
        try:
            self._work.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700)
            note = note_for(template, PROVIDER, process_identity(os.getpid()) or "")
            note = note.changed(extra={"marker": mark.text, "groups": mark.groups.written()})
            write(folder, note)
            cgroup.make(mark.groups, template.limits)
            workspace = _workspace(folder, template)
            make_channel(folder / "channel", str(folder / "channel"), kill=False)
            record = _record(template, workspace, mark)
            note = note.changed(record=record, workspace=describe(workspace))
            write(folder, note)
            body = _Body(self._keeper, folder, note, workspace, record)
            body.start()
            return LivingSandbox(body)
        except BaseException:  # also an interrupt must leave nothing behind
            _remove(folder, mark)
            raise

    def warm(self, template: Template, count: int = 1) -> None:
        """See the Protocol: there is nothing that could be made ahead."""

    def healthy(self) -> str | None:
        """See the Protocol."""
        return None if self._allowed else str(_refusal())

    def sweep(self, run_id: str | None = None) -> int:
        """See the Protocol."""
        count = 0
        for folder, note in notes(self._work, PROVIDER):
            if note.run_id == run_id if run_id is not None else note.orphan:
                count += _remove(folder, _mark(note))
        return count

    def list(self) -> tuple[SandboxInfo, ...]:
        """See the Protocol."""
        found = notes(self._work, PROVIDER)
        return tuple(info_of(folder.name, note, _state(note)) for folder, note in found)

    def get(self, sandbox_id: str) -> LivingSandbox | None:
        """See the Protocol."""
        known = [each for each in notes(self._work, PROVIDER) if each[0].name.startswith(sandbox_id)]
        if len(known) != 1:
            return None
        folder, note = known[0]
        if note.workspace is None or note.record is None or not _driver(note):
            return None
        body = _Body(self._keeper, folder, note, restore(note.workspace), note.record)
        return LivingSandbox(body, paused=_state(note) == "paused")

    def capacity(self, limits: Limits) -> int:
        """See the Protocol."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return capacity(memory >> 20, len(os.sched_getaffinity(0)), limits, self._cap)

    def close(self) -> None:
        """See the Protocol: nothing was made ahead."""

    @cached_property
    def _parents(self) -> cgroup.Groups:
        return cgroup.own_parents()


class _LocalChannel:
    """A Channel that ends commands by their mark: a shell of this user's could only kill all that this user runs."""

    def __init__(self, pipes: Pipes, mark: Mark, driver: Callable[[], str]) -> None:
        self._pipes, self._mark, self._driver = pipes, mark, driver

    def run(self, command: Command) -> Raw:
        """See the Protocol."""
        return self._pipes.run(command)

    def ping(self, seconds: float) -> bool:
        """See the Protocol."""
        return self._pipes.ping(seconds)

    def end_commands(self) -> None:
        """See the Protocol."""
        if not self._mark.end(spared=self._driver()):
            raise SandboxError("sandbox_undead", "what a command started does not die", hint="see `ps`")
        self._pipes.renew()

    def close(self) -> None:
        """See the Protocol."""
        self._pipes.close()


@dataclass
class _Body:
    """A Body of processes with the same mark."""

    keeper: Keeper
    folder: Path
    note: Note
    workspace: Workspace
    record: SandboxRecord
    started: subprocess.Popen[bytes] | None = None

    @cached_property
    def facts(self) -> Facts:
        """See the Protocol."""
        if self.note.template is None:
            raise ValueError("a note without a template describes no sandbox")
        return Facts(
            name=self.folder.name,
            template=self.note.template,
            workspace=self.workspace,
            record=self.record,
            channel=_LocalChannel(self._pipes, self._mark, lambda: self.note.extra.get("driver", "")),
            meter=Meter(self._mark.groups.folders),
            ends=self.note.ends,
            env=_environment(self.folder),
            full=disk_watch(self.workspace, self.note.template.limits.disk_mb),
        )

    def start(self) -> None:
        """Start its shell. Raises SandboxError, OSError."""
        channel = str(self.folder / "channel")
        pids = "" if "pids" in self._mark.groups.folders else str(_own_processes() + self.facts.template.limits.pids)
        words = ("/bin/sh", "-c", _LIMITED, "sh", pids, *self._mark.groups.joining, "--", *driver_argv(channel))
        if not self.facts.template.detached:
            words = ("setpriv", "--pdeathsig", "KILL", "--", *words)
        self.started = self.keeper.start(words, env={**_environment(self.folder), _MARKER: self._mark.text})
        driver = process_identity(self.started.pid) or ""
        self.note = self.note.changed(extra={**self.note.extra, "driver": driver})
        write(self.folder, self.note)
        if not self._pipes.ping(_START_SECONDS):
            raise SandboxError("sandbox_failed", "no shell answers", hint="see whether /bin/sh and setpriv work")
        if self.started.stderr is not None:
            self.started.stderr.close()
        self.keeper.at(self.folder.name, self.note.ends + _GRACE, self._mark.end)

    def running(self) -> bool:
        """See the Protocol."""
        if self.started is not None:
            self.started.poll()
        return bool(_driver(self.note))

    def freeze(self, frozen: bool) -> None:
        """See the Protocol."""
        if not self.running():
            raise SandboxError("sandbox_lost", f"{self.folder.name} has ended", hint="make a new one")
        try:
            if not cgroup.freeze(self._mark.groups, frozen):
                processes.halt_each(lambda: set(self._mark.processes()), frozen)
        except OSError as error:
            raise SandboxError(
                "sandbox_failed", f"{self.folder.name} can't be paused: {error}", hint="retry"
            ) from error

    def revive(self) -> None:
        """See the Protocol."""
        self._mark.end()
        self._pipes.renew()
        try:
            self.start()
        except (SandboxError, OSError) as error:
            text = f"{self.folder.name} does not start again: {error}"
            raise SandboxError("sandbox_lost", text, hint="make a new one") from error

    def end(self) -> None:
        """See the Protocol."""
        if not self._mark.end():
            raise SandboxError("sandbox_undead", f"{self.folder.name} could not be killed", hint="see `ps`")
        if self.started is not None:
            self.started.wait()

    def dispose(self) -> None:
        """See the Protocol."""
        self.keeper.forget(self.folder.name)
        with contextlib.suppress(SandboxError):
            self.end()
            _remove(self.folder, self._mark)

    @cached_property
    def _pipes(self) -> Pipes:
        return Pipes(self.folder / "channel")

    @property
    def _mark(self) -> Mark:
        return _mark(self.note)


def _mark(note: Note) -> Mark:
    return Mark(note.extra.get("marker", ""), cgroup.read_groups(note.extra.get("groups", "{}")))


def _remove(folder: Path, mark: Mark) -> bool:
    return mark.end() and cgroup.remove(mark.groups) and remove_folder(folder)


def _own_processes() -> int:
    """Processes and threads of this user, as its limit counts them."""
    count, user = 0, os.getuid()
    for entry in os.listdir("/proc"):  # noqa: PTH208 - thousands of names
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{entry}").stat().st_uid == user:
                    count += len(os.listdir(f"/proc/{entry}/task"))  # noqa: PTH208
    return count


def _driver(note: Note) -> str:
    """Identity of a sandbox's living shell, nothing if it is dead."""
    identity = note.extra.get("driver", "")
    return identity if processes.alive(identity) and now() < note.ends else ""


def _state(note: Note) -> SandboxState:
    driver = _driver(note)
    if not driver:
        return "stopped"
    return "paused" if cgroup.frozen(_mark(note).groups) or processes.halted(driver) else "running"


def _workspace(folder: Path, template: Template) -> Workspace:
    checkout = Path(template.checkout).absolute() if template.checkout is not None else None
    if checkout is not None and not checkout.is_dir():
        raise SandboxError("workspace_failed", f"there is no checkout at {checkout}", hint="check out first")
    workspace = prepare(folder, checkout, "copy", pristine=template.pristine, root=str(folder / "tree"))
    for name in ("home", "tmp"):
        (folder / name).mkdir(mode=0o700)
    if (user := os.geteuid()) != workspace.uid:  # root works on it as root
        owner = f"{user}:{os.getegid()}"
        subprocess.run(["chown", "-R", "-h", owner, "--", str(workspace.changed)], check=True, capture_output=True)
        workspace = replace(workspace, uid=user, gid=os.getegid())
    return workspace


def _environment(folder: Path) -> dict[str, str]:
    base = {"HOME": str(folder / "home"), "USER": "bot", "LOGNAME": "bot", "LANG": "C.UTF-8", "TERM": "dumb"}
    # The tools themselves before what stands for them: pyenv's and its like are scripts, and change variables.
    path = f"{host_toolchain(os.environ).path}:{os.environ.get('PATH', os.defpath)}"
    return {**base, "TMPDIR": str(folder / "tmp"), "PATH": ":".join(dict.fromkeys(path.split(":")))}


def _record(template: Template, workspace: Workspace, mark: Mark) -> SandboxRecord:
    return SandboxRecord(
        provider=PROVIDER,
        image=template.image,
        workspace="copy",
        disk="watched",
        network=template.network.mode,
        notes=(*_NOTES, *mark.groups.notes, *workspace.notes),
    )


def _refuse(template: Template, *, allowed: bool) -> None:
    if not allowed:
        raise _refusal()
    asked = (
        ("image_unsupported", template.image != "host", f"the image {template.image!r}"),
        ("gpu_unsupported", template.gpu, "a GPU of its own"),
        ("runtime_unsupported", template.runtime is not None, f"the runtime {template.runtime}"),
        ("network_unsupported", template.network.mode in ("restricted", "isolated"), "a network of its own"),
    )
    for code, wanted, what in asked:
        if wanted:
            raise SandboxError(code, f"without isolation there can't be {what}", hint="use the provider `docker`")


def _refusal() -> SandboxError:
    return SandboxError(
        "isolation_refused",
        "the provider `local` runs a stranger's code as this user, without any isolation",
        hint="use `docker` or `bubblewrap`; only a flag on the command line allows it",
    )

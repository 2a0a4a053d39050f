"""A template -> a running sandbox with its workspace, its control groups and its channel; and finding it again."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shlex
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

from bot.errors import SandboxError
from bot.sandbox import processes
from bot.sandbox.bubblewrap import cgroup
from bot.sandbox.bubblewrap.arguments import base_environment
from bot.sandbox.bubblewrap.body import BubblewrapBody, Parts, await_shell, parts_of, remove
from bot.sandbox.bubblewrap.downloads import shared_caches
from bot.sandbox.bubblewrap.egress import open_proxy, start_forwarder
from bot.sandbox.bubblewrap.launch import GroupRefused, Processes, launch
from bot.sandbox.bubblewrap.stage import OverlayRefused
from bot.sandbox.bubblewrap.tree import HOME, Shape, Shared, etc_places
from bot.sandbox.caches import open_caches
from bot.sandbox.channel.pipes import INSIDE, Pipes, driver_argv, make_channel
from bot.sandbox.counters import Groups as Meter
from bot.sandbox.egress.inside import PROXY_ENVIRONMENT, OnEgress
from bot.sandbox.folder import PREFIX, Note, describe, note_for, now, process_identity, restore, write_note
from bot.sandbox.keeper import Keeper
from bot.sandbox.living import Facts
from bot.sandbox.toolchain import Toolchain, Toolchains
from bot.sandbox.workspace.disk import disk_watch, exhausted
from bot.sandbox.workspace.overlay import Workspace, identity, prepare
from bot.types.network import EgressRecord
from bot.types.sandbox import SandboxRecord, Template

_LOG = logging.getLogger(__name__)
PROVIDER = "bubblewrap"
_BOUND = "bounded"
"""File of the channel with what comes first of all."""
_GRACE = 5
"""Seconds between the wall clock of the run and the kill, which is the last resort."""
_OURS = 3
"""Processes in the control groups when no command runs: bubblewrap, the first process inside, and the shell.

One that outlives its maker has `timeout` too."""


class Workshop:
    """What this process needs to make sandboxes."""

    def __init__(self, work: Path, on_egress: OnEgress | None, path: str) -> None:
        self.work, self._on_egress = work.absolute(), on_egress
        self._keeper, self._toolchains = Keeper(path), Toolchains()
        self._kind: Literal["overlay", "copy"] = "overlay"
        self._grouped = True

    def make(self, template: Template) -> BubblewrapBody:
        """Raises SandboxError, and then leaves nothing behind."""
        _refuse(template)
        for _ in range(2):  # each of the two can be refused once
            try:
                return self._make(template)
            except OverlayRefused as refused:
                _LOG.warning("sandbox: no overlay can be mounted here, checkouts are copied instead: %s", refused)
                self._kind = "copy"
            except GroupRefused as refused:
                _LOG.warning("sandbox: control groups can't be joined here: %s", refused)
                self._grouped = False
        return self._make(template)

    def found(self, folder: Path, note: Note) -> BubblewrapBody | None:
        """One that another process made, or this one before; None when it was never whole."""
        if note.template is None or note.record is None or note.workspace is None:
            return None
        parts, workspace = parts_of(note), restore(note.workspace)
        pipes = Pipes(folder / "channel")
        facts = _facts(folder, note, workspace, note.record, pipes, parts, json.loads(note.extra["env"]))
        shared = tuple(Shared(**each) for each in json.loads(note.extra.get("caches", "[]")))
        toolchain = self._toolchains.of(os.environ)
        again = partial(self._start, _shape(folder, note.template, workspace, toolchain, shared), note)
        return BubblewrapBody(facts, folder, pipes, Processes(parts.outer, parts.init), again)

    def _make(self, template: Template) -> BubblewrapBody:
        name = f"{PREFIX}{template.run_id}-{secrets.token_hex(4)}"
        folder, parts = self.work / name, Parts()
        with ExitStack() as undo:
            self.work.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700)
            if self._grouped:
                parts = Parts(groups=cgroup.plan(name, self._parents))
            undo.callback(lambda: (parts.end(), remove(folder, parts)))
            note = note_for(template, PROVIDER, self._owner).changed(extra=parts.written())
            write_note(folder, note)
            toolchain = self._toolchains.of(os.environ)
            workspace = self._workspace(folder, template, toolchain)
            cgroup.make(parts.groups, template.limits)
            make_channel(folder / "channel", INSIDE)
            _put(folder / "channel" / _BOUND, bounded(template, parts.groups, driver_argv()).encode())
            pipes = Pipes(folder / "channel")
            undo.callback(pipes.close)
            pipes.reserve()
            caches = open_caches(self.work.parent / "caches", template, uid=workspace.uid, gid=workspace.gid)
            undo.callback(caches.close)
            shared = shared_caches(caches, workspace)
            farewell = ExitStack()
            farewell.callback(caches.close)
            env = {**base_environment(toolchain.path), **caches.env}
            if template.network.mode == "restricted":
                proxy = open_proxy(folder, template.network, partial(self._note_egress, name, template.run_id))
                undo.callback(proxy.close)
                farewell.callback(proxy.close)
                env |= PROXY_ENVIRONMENT
            record = _record(template, workspace, parts)
            noted = json.dumps([asdict(each) for each in shared])
            extra = {**note.extra, "env": json.dumps(env), "caches": noted}
            note = note.changed(record=record, workspace=describe(workspace), extra=extra)
            again = partial(self._start, _shape(folder, template, workspace, toolchain, shared), note)
            started = again()
            undo.callback(started.last_words)
            await_shell(pipes, started)
            facts = _facts(folder, note, workspace, record, pipes, parts, env)
            body = BubblewrapBody(facts, folder, pipes, started, again)
            body.farewell = partial(_forget, self._keeper, name, farewell.close)
            undo.pop_all()
            return body

    def _start(self, shape: Shape, note: Note) -> Processes:
        """Start its processes, and note them. Raises OverlayRefused, GroupRefused, SandboxError."""
        left = note.ends - now() + _GRACE
        detached = max(1, int(left)) if shape.template.detached else None
        found, forwarder = launch(self._keeper, shape, parts_of(note).groups, seconds=detached), ""
        try:
            if shape.template.network.mode == "restricted":
                forwarder, process = start_forwarder(self._keeper, found, shape.folder)
                self._keeper.adopt(process)
            parts = Parts(found.outer, found.init, parts_of(note).groups, forwarder)
            write_note(shape.folder, note.changed(extra={**note.extra, **parts.written()}))
        except BaseException:
            found.last_words()
            raise
        if detached is None:
            self._keeper.at(shape.folder.name, note.ends + _GRACE, partial(_strike, parts))
        return found

    def _workspace(self, folder: Path, template: Template, toolchain: Toolchain) -> Workspace:
        checkout = Path(template.checkout).absolute() if template.checkout is not None else None
        if checkout is not None and not checkout.is_dir():
            raise SandboxError("workspace_failed", f"there is no checkout at {checkout}", hint="check out first")
        disk = template.limits.disk_mb
        workspace = prepare(
            folder, checkout, self._kind, pristine=template.pristine, disk_mb=disk, mounts=os.geteuid() == 0
        )
        if os.geteuid() != 0:
            (folder / "merged").mkdir()
            _fill_etc(folder / "etc", _etc(workspace, template), toolchain)
        _put(folder / "nothing", b"")
        return workspace

    @cached_property
    def _owner(self) -> str:
        return process_identity(os.getpid()) or ""

    @cached_property
    def _parents(self) -> cgroup.Groups:
        return cgroup.own_parents()

    def _note_egress(self, name: str, run_id: str, record: EgressRecord) -> None:
        if self._on_egress is not None:
            self._on_egress(name, run_id, record)


def bounded(template: Template, groups: cgroup.Groups, command: tuple[str, ...]) -> str:
    """What becomes the command, a shell's script, in the shell that reads it.

    No core dumps, 4 GiB a file (in blocks of 512 bytes), 4096 open files if one may have so many. Where no control
    group counts the processes, the user's are: that is `-u` in bash and `-p` in dash.
    """
    pids = template.limits.pids
    counted = "" if "pids" in groups.folders else f"ulimit -u {pids} 2>/dev/null || ulimit -p {pids} 2>/dev/null\n"
    return f"ulimit -c 0\nulimit -f 8388608\nulimit -n 4096 2>/dev/null\n{counted}. {shlex.quote(command[-1])}\n"


def _shape(
    folder: Path, template: Template, workspace: Workspace, toolchain: Toolchain, caches: tuple[Shared, ...]
) -> Shape:
    return Shape(
        template=template,
        workspace=workspace,
        toolchain=toolchain,
        folder=folder,
        command=("/bin/sh", f"{INSIDE}/{_BOUND}"),
        etc=_etc(workspace, template),
        caches=caches,
        root=os.geteuid() == 0,
    )


def _etc(workspace: Workspace, template: Template) -> dict[str, bytes]:
    """Who the task's user is."""
    files = identity(workspace, HOME)
    if template.network.mode == "bridge":
        with suppress(OSError):
            files["resolv.conf"] = Path("/etc/resolv.conf").read_bytes()
    return files


def _fill_etc(etc: Path, files: dict[str, bytes], toolchain: Toolchain) -> None:
    """With a place for each mount; readable for the task's user whatever our umask is."""
    etc.mkdir()
    etc.chmod(0o755)
    for place, is_folder in etc_places(toolchain):
        parts = Path(place).parts if is_folder else Path(place).parts[:-1]
        for depth in range(len(parts)):
            above = etc.joinpath(*parts[: depth + 1])
            above.mkdir(exist_ok=True)
            above.chmod(0o755)
        if not is_folder:
            files[place] = b""
    for name, data in files.items():
        _put(etc / name, data)


def _put(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    file.chmod(0o644)


def _forget(keeper: Keeper, name: str, farewell: Callable[[], None]) -> None:
    keeper.forget(name)
    farewell()


def _strike(parts: Parts) -> None:
    """The wall clock: nothing in it goes on."""
    with suppress(OSError):
        cgroup.freeze(parts.groups, False)
    for each in (parts.init, parts.outer, parts.forwarder):
        processes.kill(each, seconds=0)


def _refuse(template: Template) -> None:
    asked = (
        ("image_unsupported", template.image != "host", f"the image {template.image!r}"),
        ("gpu_unsupported", template.gpu, "a GPU"),
        ("runtime_unsupported", template.runtime is not None, f"the runtime {template.runtime}"),
        ("network_unsupported", template.network.mode == "isolated", "a network shared by the sandboxes of a run"),
    )
    for code, wanted, what in asked:
        if wanted:
            raise SandboxError(code, f"bubblewrap can't give a sandbox {what}", hint="use the provider `docker`")


def _record(template: Template, workspace: Workspace, parts: Parts) -> SandboxRecord:
    notes = (*workspace.notes, *parts.groups.notes)
    if template.network.mode == "bridge":
        notes = (*notes, "the network is the machine's own: what listens on its loopback can be reached")
    if template.noexec:
        notes = (*notes, "what lies in /tmp and the home can be executed: bubblewrap can't forbid that")
    return SandboxRecord(
        provider=PROVIDER,
        image=template.image,
        workspace=workspace.kind,
        disk=workspace.disk,
        network=template.network.mode,
        notes=notes,
    )


def _facts(
    folder: Path,
    note: Note,
    workspace: Workspace,
    record: SandboxRecord,
    pipes: Pipes,
    parts: Parts,
    env: dict[str, str],
) -> Facts:
    if note.template is None:
        raise ValueError("a note without a template describes no sandbox")
    return Facts(
        name=folder.name,
        template=note.template,
        workspace=workspace,
        record=record,
        channel=pipes,
        meter=Meter(parts.groups.folders),
        ends=note.ends,
        env=env,
        full=disk_watch(workspace, note.template.limits.disk_mb),
        exhausted=partial(exhausted, workspace),
        idle_pids=_OURS + note.template.detached,
    )

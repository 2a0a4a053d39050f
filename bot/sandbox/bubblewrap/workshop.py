"""A template -> a running sandbox with its workspace, its control groups and its channel; and finding it again."""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

from bot.errors import SandboxError
from bot.sandbox import processes
from bot.sandbox.bubblewrap import cgroup
from bot.sandbox.bubblewrap.arguments import HOME, Shape, base_environment, etc_places
from bot.sandbox.bubblewrap.body import BubblewrapBody, Parts, await_shell, parts_of, remove
from bot.sandbox.bubblewrap.egress import open_proxy, start_forwarder
from bot.sandbox.bubblewrap.launch import GroupRefused, OverlayRefused, Processes, launch
from bot.sandbox.channel.pipes import INSIDE, Pipes, driver_argv, make_channel
from bot.sandbox.counters import Groups as Meter
from bot.sandbox.egress.inside import PROXY_ENVIRONMENT
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
OnEgress = Callable[[str, str, EgressRecord], None]
_GRACE = 5
"""Seconds between the wall clock of the run and the kill, which is the last resort."""
_OURS = 2
"""Processes in the control groups when no command runs: the first process inside, and the shell."""


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
        again = partial(self._start, self._shape(folder, note.template, workspace, parts), note)
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
            workspace = self._workspace(folder, template)
            cgroup.make(parts.groups, template.limits)
            make_channel(folder / "channel", INSIDE)
            pipes = Pipes(folder / "channel")
            undo.callback(pipes.close)
            pipes.reserve()
            env, farewell = base_environment(self._toolchains.of(os.environ)), lambda: None
            if template.network.mode == "restricted":
                proxy = open_proxy(folder, template.network, partial(self._note_egress, name, template.run_id))
                undo.callback(proxy.close)
                env, farewell = {**env, **PROXY_ENVIRONMENT}, proxy.close
            record = _record(template, workspace, parts)
            note = note.changed(
                record=record, workspace=describe(workspace), extra={**note.extra, "env": json.dumps(env)}
            )
            again = partial(self._start, self._shape(folder, template, workspace, parts), note)
            started = again()
            undo.callback(started.last_words)
            await_shell(pipes, started)
            facts = _facts(folder, note, workspace, record, pipes, parts, env)
            body = BubblewrapBody(facts, folder, pipes, started, again)
            body.farewell = partial(_forget, self._keeper, name, farewell)
            undo.pop_all()
            return body

    def _start(self, shape: Shape, note: Note) -> Processes:
        """Start its processes, and note them. Raises OverlayRefused, GroupRefused, SandboxError."""
        left = note.ends - now() + _GRACE
        detached = max(1, int(left)) if shape.template.detached else None
        found, forwarder = launch(self._keeper, shape, parts_of(note).groups.joining, seconds=detached), ""
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

    def _shape(self, folder: Path, template: Template, workspace: Workspace, parts: Parts) -> Shape:
        return Shape(
            template=template,
            workspace=workspace,
            toolchain=self._toolchains.of(os.environ),
            folder=folder,
            command=driver_argv(),
            counted="pids" in parts.groups.folders,
            root=os.geteuid() == 0,
        )

    def _workspace(self, folder: Path, template: Template) -> Workspace:
        checkout = Path(template.checkout).absolute() if template.checkout is not None else None
        if checkout is not None and not checkout.is_dir():
            raise SandboxError("workspace_failed", f"there is no checkout at {checkout}", hint="check out first")
        disk = template.limits.disk_mb
        workspace = prepare(
            folder, checkout, self._kind, pristine=template.pristine, disk_mb=disk, mounts=os.geteuid() == 0
        )
        (folder / "merged").mkdir()
        _fill_etc(folder / "etc", workspace, self._toolchains.of(os.environ), template)
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


def _fill_etc(etc: Path, workspace: Workspace, toolchain: Toolchain, template: Template) -> None:
    """Who the task's user is, and a place for each mount; readable for that user whatever our umask is."""
    files = identity(workspace, HOME)
    if template.network.mode == "bridge":
        with suppress(OSError):
            files["resolv.conf"] = Path("/etc/resolv.conf").read_bytes()
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
        idle_pids=_OURS,
    )

"""A template -> a running container with its workspace, its namespaces and its channel; and its removal."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import docker

from bot.errors import SandboxError
from bot.sandbox.channel.command import Channel
from bot.sandbox.channel.pipes import INSIDE, Pipes, make_channel
from bot.sandbox.docker import leftovers
from bot.sandbox.docker.body import DockerBody, meter_of
from bot.sandbox.docker.container import HOME, Image, Shape, base_environment
from bot.sandbox.docker.donors import Donors, Engine
from bot.sandbox.docker.engine import ENGINE_ERRORS, EngineChannel
from bot.sandbox.docker.hardware import check_runtime, gpu_environment
from bot.sandbox.docker.hostimage import HostImages
from bot.sandbox.docker.images import ImageRules, Resolved, resolve
from bot.sandbox.docker.network import Attachment, attach, detach
from bot.sandbox.docker.starting import OverlayRefused, start, start_error, unavailable
from bot.sandbox.egress.proxy import EgressProxy
from bot.sandbox.folder import PREFIX, Note, describe, note_for, process_identity, restore, write_note
from bot.sandbox.living import Facts, LivingSandbox
from bot.sandbox.workspace.disk import disk_watch, exhausted
from bot.sandbox.workspace.overlay import Workspace, identity, prepare
from bot.types.network import EgressRecord
from bot.types.sandbox import SandboxRecord, Template

_LOG = logging.getLogger(__name__)
PROVIDER = "docker"
OnEgress = Callable[[str, str, EgressRecord], None]
CHANNEL = "channel"
"""Name of the folder with the named pipes."""
_ENGINE_SECONDS = 60
"""For one answer of the engine."""
_REMOVERS = 2


class Workshop:
    """An engine, and what this process has of it: a connection, a stock of donors, removals under way."""

    def __init__(self, work: Path, rules: ImageRules, on_egress: OnEgress | None) -> None:
        self.work, self._rules, self._on_egress = work.absolute(), rules, on_egress
        self.donors = Donors(lambda: self.engine)
        self._kind: Literal["overlay", "copy"] = "overlay"
        self._hosts = HostImages(self.work)
        self._removing: ThreadPoolExecutor | None = None

    @cached_property
    def api(self) -> docker.APIClient:
        """Raises SandboxError `docker_unavailable`."""
        try:
            return docker.from_env(version="auto", timeout=_ENGINE_SECONDS, max_pool_size=32).api
        except ENGINE_ERRORS as error:
            raise unavailable(error) from error

    @cached_property
    def engine(self) -> Engine:
        """For donors."""
        return Engine(self.api, self.work, process_identity(os.getpid()) or "", self.host)

    def host(self) -> Image:
        """The toolchain of this machine, asked each time: somebody may have pruned the engine's images meanwhile."""
        return self._hosts.image(self.api, os.environ)

    def make(self, template: Template) -> LivingSandbox:
        """Raises SandboxError, and then leaves nothing behind."""
        resolved = self._image(template)
        try:
            return self._make(template, resolved)
        except OverlayRefused as refused:
            _LOG.warning("sandbox: the engine mounts no overlay here, checkouts are copied instead: %s", refused)
            self._kind = "copy"
        return self._make(template, resolved)

    def found(self, folder: Path, note: Note) -> DockerBody:
        """One that another process made, or this one before. Raises ENGINE_ERRORS."""
        template, record = note.template, note.record
        if template is None or record is None or note.workspace is None:
            raise docker.errors.NotFound(f"{folder.name} was never whole")
        workspace = restore(note.workspace)
        user = f"{workspace.uid}:{workspace.gid}"
        channel = Pipes(folder / CHANNEL) if "pipes" in note.extra else EngineChannel(self.api, folder.name, user)
        facts = Facts(
            name=folder.name,
            template=template,
            workspace=workspace,
            record=record,
            channel=channel,
            meter=meter_of(self.api, folder.name, user),
            ends=note.ends,
            env=json.loads(note.extra["env"]),
            idle_pids=int(note.extra["idle"]),
        )
        remove = partial(self._dispose, folder, note.extra["donors"].split(), note.extra["shared"], None)
        return DockerBody(self.api, facts, user, note.extra["driven"] == "yes", remove)

    def remove(self, name: str, folder: Path | None) -> bool:
        """All of one sandbox or donor; True when nothing is left."""
        return leftovers.remove(self.api, name, folder, self.host)

    def close(self) -> None:
        """Give back the stock and wait for removals; a second call does nothing."""
        self.donors.close()
        removing, self._removing = self._removing, None
        if removing is not None:
            removing.shutdown(wait=True)

    def _image(self, template: Template) -> Resolved:
        try:
            if template.runtime is not None:
                check_runtime(template.runtime, self._info)
            told = partial(_LOG.info, "sandbox: %s")
            return resolve(
                self.api,
                template,
                os.environ,
                self._hosts,
                rules=self._rules,
                trusted=template.trusted,
                on_progress=told,
            )
        except ENGINE_ERRORS as error:
            raise unavailable(error) from error

    def _make(self, template: Template, resolved: Resolved) -> LivingSandbox:
        name = f"{PREFIX}{template.run_id}-{secrets.token_hex(4)}"
        folder = self.work / name
        note = note_for(template, PROVIDER, self.engine.owner)
        with ExitStack() as undo:  # also an interrupt must leave nothing behind
            try:
                self.work.mkdir(parents=True, exist_ok=True)
                undo.callback(self.remove, name, folder)
                folder.mkdir(mode=0o700)
                write_note(folder, note)
                workspace = _workspace(folder, template, self._kind, mounts=self._shares_mounts)
                pipes = _pipes(folder, template)
                if pipes is not None:
                    undo.callback(pipes.close)
                noted = partial(self._note_egress, name, template.run_id)
                attachment = attach(self.engine, self.donors, template, noted)
                undo.callback(attachment.undo, self.engine)
                shape = Shape(
                    name=name,
                    template=template,
                    workspace=workspace,
                    image=resolved.image,
                    owner=note.owner,
                    engine_cpus=int(self._info["NCPU"]),  # it refuses to promise more than it has
                    namespaces=attachment.namespaces,
                    channel=str(folder / CHANNEL) if pipes else "",
                )
                attachment.start_clock(shape.seconds)
                facts = self._facts(shape, resolved, start(self.api, shape, pipes), attachment, note)
            except ENGINE_ERRORS as error:
                raise start_error(error, self._info) from error
            write_note(folder, _whole(note, facts, shape, attachment))
            undo.pop_all()
        remove = partial(self._dispose, folder, attachment.names, attachment.shared, attachment.proxy)
        return LivingSandbox(DockerBody(self.api, facts, shape.user, shape.driven, remove))

    def _facts(self, shape: Shape, resolved: Resolved, channel: Channel, attachment: Attachment, note: Note) -> Facts:
        return Facts(
            name=shape.name,
            template=shape.template,
            workspace=shape.workspace,
            record=_record(shape, resolved, attachment),
            channel=channel,
            meter=meter_of(self.api, shape.name, shape.user),
            ends=note.ends,
            env={
                **base_environment(shape.image),
                **gpu_environment(shape.template.gpu),
                **resolved.env,
                **attachment.env,
            },
            full=disk_watch(shape.workspace, shape.template.limits.disk_mb),
            exhausted=partial(exhausted, shape.workspace),
            idle_pids=1 if shape.driven else 3,
        )

    def _dispose(self, folder: Path, donors: Sequence[str], shared: str, proxy: EgressProxy | None) -> None:
        """The sandbox is gone on return; what held its namespaces, and nothing of its own, goes behind."""
        if proxy is not None:
            proxy.close()
        self.remove(folder.name, folder)
        if donors or shared:
            if self._removing is None:
                self._removing = ThreadPoolExecutor(_REMOVERS, "sandpiper-remove")
            self._removing.submit(detach, self.engine, donors, shared)

    @cached_property
    def _info(self) -> Mapping[str, Any]:
        info: dict[str, Any] = self.api.info()
        return info

    @cached_property
    def _shares_mounts(self) -> bool:
        """Whether the engine sees what we mount: it runs in our mount namespace, and we may mount at all."""
        return os.geteuid() == 0 and _mount_namespace("self") in {_mount_namespace(pid) for pid in _engines()}

    def _note_egress(self, name: str, run_id: str, record: EgressRecord) -> None:
        if self._on_egress is not None:
            self._on_egress(name, run_id, record)


def _engines() -> list[str]:
    """Process numbers of engines on this machine."""
    found = []
    for file in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if file.read_text().strip() == "dockerd":
                found.append(file.parent.name)
    return found


def _mount_namespace(pid: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")  # noqa: PTH115 - not a path but a name of the kernel's
    except OSError:
        return ""


def _workspace(folder: Path, template: Template, kind: Literal["overlay", "copy"], *, mounts: bool) -> Workspace:
    checkout = None if template.checkout is None else Path(template.checkout).absolute()
    if checkout is not None and not checkout.is_dir():
        raise SandboxError("workspace_failed", f"there is no checkout at {checkout}", hint="check out first")
    disk = template.limits.disk_mb
    workspace = prepare(folder, checkout, kind, pristine=template.pristine, disk_mb=disk, mounts=mounts)
    etc = folder / "etc"
    etc.mkdir()
    for file, data in identity(workspace, HOME).items():
        (etc / file).write_bytes(data)
        (etc / file).chmod(0o644)
    return workspace


def _pipes(folder: Path, template: Template) -> Pipes | None:
    """None for a runtime that does not share the kernel, and so no named pipes: gVisor's."""
    if template.runtime is not None:
        return None
    make_channel(folder / CHANNEL, INSIDE)
    return Pipes(folder / CHANNEL)


def _record(shape: Shape, resolved: Resolved, attachment: Attachment) -> SandboxRecord:
    return SandboxRecord(
        provider=PROVIDER,
        image=shape.template.image,
        workspace=shape.workspace.kind,
        disk=shape.workspace.disk,
        network=shape.template.network.mode,
        warm=attachment.warm,
        notes=(*shape.workspace.notes, *resolved.notes),
    )


def _whole(note: Note, facts: Facts, shape: Shape, attachment: Attachment) -> Note:
    return note.changed(
        record=facts.record,
        workspace=describe(facts.workspace),
        extra={
            "env": json.dumps(dict(facts.env)),
            "idle": str(facts.idle_pids),
            "driven": "yes" if shape.driven else "no",
            "donors": " ".join(attachment.names),
            "shared": attachment.shared,
            **({"pipes": "yes"} if shape.channel else {}),
        },
    )

"""A template -> a running container with its workspace, its namespaces and its channel."""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from docker.errors import NotFound

from bot.errors import SandboxError
from bot.sandbox.caches import OpenCaches, open_caches, trim
from bot.sandbox.channel.command import Channel
from bot.sandbox.channel.pipes import INSIDE, Pipes, make_channel
from bot.sandbox.counters import Groups
from bot.sandbox.docker.body import DockerBody, meter_of
from bot.sandbox.docker.container import HOME, NOBODYS, Shape, base_environment
from bot.sandbox.docker.downloads import cache_mounts
from bot.sandbox.docker.engine import ENGINE_ERRORS, EngineChannel
from bot.sandbox.docker.hardware import check_runtime, gpu_environment
from bot.sandbox.docker.images import HOST, Resolved, resolve
from bot.sandbox.docker.network import Attachment, attach, attach_far
from bot.sandbox.docker.spare import SPARE, Spare, can_wait
from bot.sandbox.docker.starting import Elsewhere, OverlayRefused, read_back, start, start_error, unavailable
from bot.sandbox.docker.workshop import CHANNEL, PROVIDER, Workshop
from bot.sandbox.driver import Driver
from bot.sandbox.folder import PREFIX, Note, describe, note_for, process_identity, restore, write_note
from bot.sandbox.living import Facts, LivingSandbox
from bot.sandbox.workspace.disk import disk_watch, exhausted
from bot.sandbox.workspace.overlay import Workspace, identity, prepare
from bot.types.sandbox import ExecRequest, SandboxRecord, Template

_LOG = logging.getLogger(__name__)


def make(shop: Workshop, template: Template) -> LivingSandbox:
    """Raises SandboxError, and then leaves nothing behind."""
    return LivingSandbox(_made(shop, template, PROVIDER).body)


def make_spare(shop: Workshop, template: Template) -> Spare | None:
    """One that nobody has taken yet; None where its clock could not wait. Raises as `make`."""
    if not can_wait(template):
        return None
    spare = _made(shop, template.changed(run_id=NOBODYS, detached=False), SPARE)
    try:
        spare.sandbox.exec(ExecRequest(argv=("true",)))  # the shell that takes the first command is there from now on
    except BaseException:
        spare.close()
        raise
    return spare


def _made(shop: Workshop, template: Template, provider: str) -> Spare:
    resolved = _image(shop, template)
    try:
        return _make(shop, template, resolved, provider)
    except OverlayRefused as refused:
        _LOG.warning("sandbox: the engine mounts no overlay here, checkouts are copied instead: %s", refused)
        shop.kind = "copy"
    except Elsewhere as elsewhere:
        if template.image == HOST or shop.kind == "tar":
            raise
        _LOG.warning("sandbox: the workspace goes to the engine as an archive: %s", elsewhere.message)
        shop.kind = "tar"
    return _make(shop, template, resolved, provider)


def found(shop: Workshop, folder: Path, note: Note) -> LivingSandbox:
    """One that another process made, or this one before. Raises ENGINE_ERRORS."""
    template, record = note.template, note.record
    if template is None or record is None or note.workspace is None:
        raise NotFound(f"{folder.name} was never whole")
    state = shop.api.inspect_container(folder.name)["State"]
    if not state["Running"]:
        raise NotFound(f"{folder.name} has ended")
    workspace = restore(note.workspace)
    user = f"{workspace.uid}:{workspace.gid}"
    meter = meter_of(shop.api, folder.name, user)
    if note.extra.get("seen") == _place() and not (isinstance(meter, Groups) and meter.usage().pids):
        raise NotFound(f"{folder.name} has ended, and the engine will know in a moment")
    channel = Pipes(folder / CHANNEL) if "pipes" in note.extra else EngineChannel(shop.api, folder.name, user)
    facts = Facts(
        name=folder.name,
        template=template,
        workspace=workspace,
        record=record,
        channel=channel,
        meter=meter,
        ends=note.ends,
        env=json.loads(note.extra["env"]),
        idle_pids=int(note.extra["idle"]),
        **_disk(shop, folder.name, template, workspace),
    )
    remove = partial(shop.dispose, folder, note.extra["donors"].split(), note.extra["shared"])
    body = DockerBody(shop.api, facts, user, note.extra["driven"] == "yes", remove)
    return LivingSandbox(body, paused=bool(state["Paused"]))


def _image(shop: Workshop, template: Template) -> Resolved:
    told = partial(_LOG.info, "sandbox: %s")
    try:
        if template.runtime is not None:
            check_runtime(template.runtime, shop.info)
        trusted, rules = template.trusted, shop.rules
        return resolve(shop.api, template, os.environ, shop.hosts, rules=rules, trusted=trusted, on_progress=told)
    except ENGINE_ERRORS as error:
        raise unavailable(error) from error


def _make(shop: Workshop, template: Template, resolved: Resolved, provider: str) -> Spare:
    name = f"{PREFIX}{template.run_id}-{secrets.token_hex(4)}"
    folder = shop.work / name
    note = note_for(template, provider, shop.engine.owner)
    with ExitStack() as undo:  # also an interrupt must leave nothing behind
        try:
            shop.work.mkdir(parents=True, exist_ok=True)
            undo.callback(shop.remove, name, folder)
            folder.mkdir(mode=0o700)
            write_note(folder, note)
            workspace = _workspace(shop, folder, template)
            far = workspace.kind == "tar"
            pipes = None if far or template.runtime is not None else _pipes(folder)
            if pipes is not None:
                undo.callback(pipes.close)
            noted = partial(shop.on_egress, name, template.run_id)
            waits = provider == SPARE
            attachment = attach_far(template) if far else attach(shop.engine, shop.donors, template, noted, waits=waits)
            undo.callback(attachment.undo, shop.engine)
            caches = OpenCaches()
            if not far:
                caches = open_caches(shop.caches, template, uid=workspace.uid, gid=workspace.gid)
            undo.callback(caches.close)
            shape = Shape(
                name=name,
                template=template,
                workspace=workspace,
                image=resolved.image,
                owner=note.owner,
                engine_cpus=int(shop.info["NCPU"]),  # it refuses to promise more than it has
                namespaces=attachment.namespaces,
                channel=str(folder / CHANNEL) if pipes else "",
                downloads=cache_mounts(shop.api, caches, name, note.owner, template, workspace),
            )
            if not waits:
                attachment.start_clock(shape.seconds)
            extra = {**caches.env, **resolved.env, **attachment.env}
            record = _record(shape, resolved, attachment)
            facts = _facts(shop, shape, start(shop.api, shape, pipes), note.ends, extra, record)
        except ENGINE_ERRORS as error:
            raise start_error(error, shop.info) from error
        note = _whole(note, facts, shape, attachment)
        write_note(folder, note)
        undo.pop_all()
    remove = _removal(shop, folder, attachment, caches)
    return Spare(folder, note, DockerBody(shop.api, facts, shape.user, shape.driven, remove), attachment)


def _removal(shop: Workshop, folder: Path, attachment: Attachment, caches: OpenCaches) -> Callable[[], None]:
    """What disposes of it, the last one first: the way out, then the sandbox, then what others may have again."""
    leave = ExitStack()
    if caches.written:
        leave.callback(shop.later, partial(trim, shop.caches))
    leave.callback(caches.close)
    leave.callback(shop.dispose, folder, attachment.names, attachment.shared)
    leave.callback(attachment.close_proxy)
    return leave.close


def _facts(
    shop: Workshop, shape: Shape, channel: Channel, ends: float, env: Mapping[str, str], record: SandboxRecord
) -> Facts:
    workspace, template = shape.workspace, shape.template
    meter, driver = meter_of(shop.api, shape.name, shape.user), Driver()
    if not shape.driven and isinstance(meter, Groups):
        driver = Driver(meter.folders["pids"])
        driver.look()
    return Facts(
        name=shape.name,
        template=template,
        workspace=workspace,
        record=record,
        channel=channel,
        meter=meter,
        ends=ends,
        env={**base_environment(shape.image), **gpu_environment(template.gpu), **env},
        idle_pids=1 if shape.driven else 3,
        driver=driver,
        **_disk(shop, shape.name, template, workspace),
    )


def _disk(shop: Workshop, name: str, template: Template, workspace: Workspace) -> dict[str, Any]:
    """How the facts say what of the disk is used, and how it is read in the end."""
    if workspace.kind == "tar":
        return {"archive": partial(read_back, shop.api, name, workspace.root)}
    return {
        "full": disk_watch(workspace, template.limits.disk_mb),
        "exhausted": partial(exhausted, workspace),
    }


def _workspace(shop: Workshop, folder: Path, template: Template) -> Workspace:
    checkout = None if template.checkout is None else Path(template.checkout).absolute()
    if checkout is not None and not checkout.is_dir():
        raise SandboxError("workspace_failed", f"there is no checkout at {checkout}", hint="check out first")
    disk, mounts = template.limits.disk_mb, shop.shares_mounts
    workspace = prepare(folder, checkout, shop.kind, pristine=template.pristine, disk_mb=disk, mounts=mounts)
    if workspace.kind == "tar":
        return workspace
    etc = folder / "etc"
    etc.mkdir()
    for file, data in identity(workspace, HOME).items():
        (etc / file).write_bytes(data)
        (etc / file).chmod(0o644)
    return workspace


def _pipes(folder: Path) -> Pipes:
    """Not for a runtime that does not share the kernel (gVisor's), nor for an engine elsewhere: they have no pipes."""
    make_channel(folder / CHANNEL, INSIDE)
    pipes = Pipes(folder / CHANNEL)
    pipes.reserve()
    return pipes


def _record(shape: Shape, resolved: Resolved, attachment: Attachment) -> SandboxRecord:
    return SandboxRecord(
        provider=PROVIDER,
        image=shape.template.image,
        workspace=shape.workspace.kind,
        disk="volume" if shape.workspace.kind == "tar" else shape.workspace.disk,
        network=shape.template.network.mode,
        warm=attachment.warm,
        notes=(*shape.workspace.notes, *resolved.notes),
    )


def _whole(note: Note, facts: Facts, shape: Shape, attachment: Attachment) -> Note:
    """The note of a sandbox that runs: all that another process needs to find its way into it."""
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
            **({"seen": _place()} if isinstance(facts.meter, Groups) else {}),
        },
    )


def _place() -> str:
    """From where the same processes are seen by the same numbers: this start of the machine, this PID namespace."""
    return ":".join((process_identity(os.getpid()) or "").split(":")[:2])

"""A used container -> the same container as it was before anybody used it, waiting like one that was made ahead.

Nothing of what ran survives: the container is killed, the donor of its network and process numbers starts anew, and so
do its memory file systems; the folder that took its writes and the folder of its pipes are emptied in between.
"""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

from bot.errors import SandboxError
from bot.sandbox.channel.pipes import INSIDE, Pipes, make_channel
from bot.sandbox.docker.body import DockerBody, meter_of
from bot.sandbox.docker.container import NOBODYS, Namespaces
from bot.sandbox.docker.donors import Donor
from bot.sandbox.docker.engine import ENGINE_ERRORS
from bot.sandbox.docker.leftovers import remove_folder
from bot.sandbox.docker.network import Attachment
from bot.sandbox.docker.spare import SPARE, Spare, can_wait
from bot.sandbox.docker.starting import unavailable
from bot.sandbox.docker.workshop import CHANNEL, Workshop
from bot.sandbox.folder import Note, note_for, read_note, write_note
from bot.sandbox.living import LivingSandbox, taken_from
from bot.sandbox.workspace.overlay import Workspace
from bot.types.sandbox import Template

_START_SECONDS = 30.0


def image_of(shop: Workshop, template: Template) -> str | None:
    """Which image such a sandbox would have now; None where only its build tells. Raises SandboxError."""
    if template.image.startswith(("dockerfile:", "devcontainer:")):
        return None
    try:
        name = shop.host().name if template.image == "host" else template.image
        return str(shop.api.inspect_image(name)["Id"])  # type: ignore[no-untyped-call]
    except ENGINE_ERRORS as error:
        raise unavailable(error) from error


def recycle(shop: Workshop, sandbox: LivingSandbox) -> Spare | None:
    """Reset it; `sandbox` is closed. None, and nothing is left, for one that can't be reset."""
    body = taken_from(sandbox)
    folder = shop.work / body.facts.name
    note = read_note(folder)
    if note is None or not isinstance(body, DockerBody) or not _resettable(body):
        body.facts.channel.close()
        body.dispose()
        return None
    try:
        return _reset(shop, body, folder, note)
    except BaseException as error:
        body.facts.channel.close()
        body.dispose()
        if isinstance(error, (SandboxError, OSError, *ENGINE_ERRORS)):
            return None
        raise


def _resettable(body: DockerBody) -> bool:
    """Whether all that the task could write lies in memory or in a folder that is its own."""
    template = body.facts.template
    return body.facts.workspace.kind == "overlay" and body.driven and can_wait(template) and not template.caches


def _reset(shop: Workshop, body: DockerBody, folder: Path, note: Note) -> Spare:
    facts, api = body.facts, shop.api
    template = facts.template.changed(run_id=NOBODYS, detached=False)
    nobodys = note_for(template, SPARE, shop.engine.owner).changed(
        record=note.record, workspace=note.workspace, extra=note.extra
    )
    write_note(folder, nobodys)  # first: what is half done goes with the next sweep if we die
    donors = tuple(Donor(name, shop.work / name) for name in note.extra["donors"].split())
    body.end()
    facts.channel.close()
    for donor in donors:
        api.restart(donor.name, timeout=0)
    _empty_workspace(shop, facts.workspace)
    remove_folder(api, folder / CHANNEL, shop.host)
    make_channel(folder / CHANNEL, INSIDE)
    pipes = Pipes(folder / CHANNEL)
    try:
        api.start(facts.name)
        if not pipes.ping(_START_SECONDS):
            raise SandboxError("sandbox_lost", f"{facts.name} does not start again", hint="make a new one")
        meter = meter_of(api, facts.name, body.user)
    except BaseException:
        pipes.close()
        raise
    fresh = replace(body, facts=replace(facts, template=template, channel=pipes, meter=meter, ends=nobodys.ends))
    return Spare(folder, nobodys, fresh, Attachment(Namespaces(), donors))


def _empty_workspace(shop: Workshop, workspace: Workspace) -> None:
    """The upper folder and the kernel's own beside it, new ones of the same owner and mode. Raises OSError."""
    for path in (workspace.changed, workspace.changed.parent / "work"):
        before = path.stat()
        remove_folder(shop.api, path, shop.host)
        path.mkdir()
        if os.geteuid() == 0:
            os.chown(path, before.st_uid, before.st_gid)
        path.chmod(stat.S_IMODE(before.st_mode))

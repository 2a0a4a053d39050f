"""What a template says of the network -> the namespaces that its container joins, and a proxy if it asks for one."""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

from docker.errors import APIError
from docker.types import Mount

from bot.errors import SandboxError
from bot.sandbox.docker import leftovers
from bot.sandbox.docker.container import Namespaces
from bot.sandbox.docker.donors import Donor, Donors, Engine, make_donor
from bot.sandbox.egress import forwarder
from bot.sandbox.egress.inside import PORT, PROXY_ENVIRONMENT
from bot.sandbox.egress.proxy import EgressProxy
from bot.sandbox.folder import PREFIX, notes
from bot.types.network import EgressRecord
from bot.types.sandbox import Template

_EGRESS = "/run/egress"
_LISTEN_SECONDS = 15.0


@dataclass(frozen=True)
class Attachment:
    """A container's way to the network, for as long as the container lives."""

    namespaces: Namespaces
    donors: tuple[Donor, ...] = ()
    """Which go with the container."""
    shared: str = ""
    """A donor of the whole run, which goes with the last one."""
    proxy: EgressProxy | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    """For every command."""
    warm: bool = False
    """Whether the namespaces had been made ahead."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the donors that go with the container."""
        return tuple(donor.name for donor in self.donors)

    def close_proxy(self) -> None:
        """Nothing goes out any more."""
        if self.proxy is not None:
            self.proxy.close()

    def undo(self, engine: Engine) -> None:
        """The container did not come to be."""
        self.close_proxy()
        detach(engine, self.names, self.shared)

    def start_clock(self, seconds: int) -> None:
        """The container's time starts now. Raises SandboxError."""
        for donor in self.donors:
            donor.start_clock(seconds)


def attach(
    engine: Engine,
    donors: Donors,
    template: Template,
    on_record: Callable[[EgressRecord], None],
    *,
    waits: bool = False,
) -> Attachment:
    """Raises ENGINE_ERRORS, SandboxError, OSError; then nothing is left.

    `waits`: the clock starts later, so a donor keeps it: a new one, the stock is for who is in haste.
    """
    mode = template.network.mode
    if mode == "restricted":
        return _restricted(engine, template, on_record)
    if mode == "bridge":
        return Attachment(Namespaces("bridge"))
    # What was made ahead goes with us: it carries our name, whoever takes it.
    own = make_donor(engine) if waits else None if template.detached else donors.take()
    pid = own.reference if own else ""
    try:
        network = _shared(engine, template) if mode == "isolated" else None
    except BaseException:
        detach(engine, [own.name] if own else [])
        raise
    if network is not None:
        return Attachment(Namespaces(network.reference, pid), (own,) if own else (), network.name, warm=bool(own))
    return Attachment(Namespaces(own.reference if own else "none", pid), (own,) if own else (), warm=bool(own))


def attach_far(template: Template) -> Attachment:
    """For an engine elsewhere, which can hold nothing of ours but containers. Raises SandboxError."""
    if template.read_only:
        raise SandboxError(
            "read_only_unsupported",
            "a workspace that is sent to an engine on another machine can't be read-only",
            hint="leave `read_only` out, or run on the engine's machine",
        )
    if template.network.mode in ("restricted", "isolated"):
        raise SandboxError(
            "network_unsupported",
            f"an engine on another machine has no `{template.network.mode}` network",
            hint="use `none`, or run on the engine's machine",
        )
    return Attachment(Namespaces(template.network.mode))


def detach(engine: Engine, names: Sequence[str], shared: str = "") -> None:
    """Remove the donors of one container, and the run's when it was the last; never raises for what the engine says."""
    used = {note.extra.get("shared") for _, note in notes(engine.work, "docker")}
    for name in (*names, *((shared,) if shared and shared not in used else ())):
        leftovers.remove(engine.api, name, engine.work / name, engine.image)


def _shared(engine: Engine, template: Template) -> Donor:
    """The donor of a run's network; whoever comes first makes it."""
    # One engine may serve several work folders, each with a run of that id.
    name = f"{PREFIX}{template.run_id}-net-{crc32(os.fsencode(engine.work)):08x}"
    with contextlib.suppress(FileExistsError):
        donor = make_donor(engine, template, name=name)
        donor.start_clock(int(template.limits.minutes * 60) * 2 + 3600)  # others may join until late
        return donor
    donor, until = Donor(name, engine.work / name), time.monotonic() + _LISTEN_SECONDS
    while time.monotonic() < until:  # somebody else is making it
        with contextlib.suppress(APIError):
            if engine.api.inspect_container(name)["State"]["Running"]:
                return donor
        time.sleep(0.02)
    raise SandboxError("sandbox_failed", f"the network {name} did not come up", hint="retry, or see the engine's log")


def _restricted(engine: Engine, template: Template, on_record: Callable[[EgressRecord], None]) -> Attachment:
    folder = engine.work / f"{PREFIX}{template.run_id}-egress-{time.monotonic_ns():x}"
    socket = folder / "egress" / "proxy.sock"
    script = Path(forwarder.__file__)
    inside = shlex.join(("python3", "-I", "-S", "/run/forwarder.py", f"{_EGRESS}/{socket.name}", str(PORT)))
    mounts = (
        Mount(_EGRESS, str(socket.parent), type="bind", read_only=True),
        Mount("/run/forwarder.py", str(script), type="bind", read_only=True),
    )
    proxy = EgressProxy(socket, template.network, on_record)

    def prepare() -> None:
        socket.parent.mkdir(mode=0o755)
        socket.parent.chmod(0o755)
        proxy.start()

    try:
        donor = make_donor(
            engine, template, name=folder.name, start=f"{inside} >/dev/null 2>&1 &", mounts=mounts, prepare=prepare
        )
    except BaseException:
        proxy.close()
        raise
    reference = donor.reference
    return Attachment(Namespaces(reference, reference), (donor,), proxy=proxy, env=PROXY_ENVIRONMENT)

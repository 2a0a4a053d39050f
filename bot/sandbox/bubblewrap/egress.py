"""A restricted sandbox -> a proxy in this process, and a forwarder that listens on the sandbox's loopback.

The forwarder is in the sandbox's network namespace and in nothing else of it: the task can neither see nor end it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bot.errors import SandboxError
from bot.sandbox.bubblewrap.launch import Processes
from bot.sandbox.egress import forwarder
from bot.sandbox.egress.inside import PORT
from bot.sandbox.egress.proxy import EgressProxy
from bot.sandbox.folder import process_identity
from bot.sandbox.keeper import Keeper
from bot.sandbox.processes import kill, pid_of, readable
from bot.types.network import EgressRecord, Network

_SECONDS = 15.0


def open_proxy(folder: Path, network: Network, on_record: Callable[[EgressRecord], None]) -> EgressProxy:
    """The proxy of one sandbox, started. Raises SandboxError `egress_socket`."""
    path = socket_of(folder)
    path.parent.mkdir(mode=0o700)
    proxy = EgressProxy(path, network, on_record)
    proxy.start()
    return proxy


def socket_of(folder: Path) -> Path:
    """Where the proxy of a sandbox listens."""
    return folder / "egress" / "proxy.sock"


def start_forwarder(keeper: Keeper, found: Processes, folder: Path) -> tuple[str, subprocess.Popen[bytes]]:
    """Its identity and itself, when it listens. Raises SandboxError `egress_failed`."""
    joined = ("nsenter", f"--target={pid_of(found.init)}", "--user", "--net", "--preserve-credentials", "--")
    path = socket_of(folder)  # by its name alone: a socket's address holds no long path
    script = (sys.executable, "-I", "-S", str(Path(forwarder.__file__).absolute()), path.name, str(PORT))
    # What changes its namespaces forgets which signal comes when its parent dies.
    words = (*joined, "setpriv", "--pdeathsig", "KILL", "--", *script)
    started = keeper.start(words, stdout=subprocess.PIPE, cwd=str(path.parent))
    if started.stdout is None or started.stderr is None:
        raise ValueError("without pipes it can't tell when it listens")
    ready = readable(started.stdout.fileno(), _SECONDS) and started.stdout.readline() == b"ready\n"
    identity = process_identity(started.pid) or ""
    if not ready:
        kill(identity)
        started.wait()
        said = started.stderr.read().decode("utf-8", "replace").strip()
        started.stdout.close()
        started.stderr.close()
        raise SandboxError("egress_failed", f"no way out of the sandbox: {said}", hint="see `sandpiper sandbox doctor`")
    started.stdout.close()
    started.stderr.close()
    return identity, started

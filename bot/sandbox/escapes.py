"""A living sandbox over bait -> what became of every way out of it that was tried from inside.

Each attempt is a function that tries one thing and says what it saw. It needs `sh` in the image; where it has python3
as well, sockets and system calls are tried too. Nothing here harms a machine whose sandbox holds nothing back: bombs
are bounded, and files of the kernel are opened, not written.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bot.errors import SandboxError, TaskError
from bot.protocols import Sandbox
from bot.sandbox import scripts
from bot.sandbox.bait import KNOWN, VARIABLES, Bait
from bot.types.sandbox import ExecRequest, ExecResult
from bot.types.task import Limits

State = Literal["ok", "FAILED", "not enforced", "skipped"]
Seen = tuple[State, str]
LIMITS = Limits(minutes=2, memory_mb=128, pids=64, disk_mb=48, cpus=1, command_seconds=10)
"""Of the sandbox in which it is tried: small, so that they are soon reached."""
_DEVICES = (
    *("/dev/kmsg", "/dev/mem", "/dev/port", "/dev/kvm", "/dev/fuse", "/dev/loop0", "/dev/loop-control"),
    *("/dev/sda", "/dev/vda", "/dev/xvda", "/dev/nvme0n1", "/dev/dm-0", "/dev/net/tun", "/dev/tty1"),
)
_SOCKETS = (
    *("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock"),
    *("/run/crio/crio.sock", "/run/dbus/system_bus_socket", "/run/systemd/private"),
)
_KERNEL = (
    *("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger"),
    *("/sys/fs/cgroup/cgroup.procs", "/sys/kernel/uevent_helper", "/sys/power/state"),
)
_SYSTEM = (
    "/",
    "/usr",
    "/usr/bin",
    "/bin",
    "/lib",
    "/etc",
    "/sys",
    "/proc",
    "/dev",
    "/run/sandpiper",
    "/opt",
    "/var/lib",
)


@dataclass(frozen=True)
class Inside:
    """Where it is tried."""

    sandbox: Sandbox
    bait: Bait
    until: float
    """Of time.monotonic: nothing begins after it."""
    python: str = "python3"
    """Program inside; empty where there is none."""
    each: float = 10.0
    """Seconds for one attempt."""
    own_kernel: bool = False
    """Its kernel is not this machine's, so that what it says of itself need not be what holds."""

    def sh(self, script: str, *args: str) -> ExecResult:
        """A constant script with arguments. Raises SandboxError when it did not come to its end: it proves nothing."""
        return _whole(self.bomb(script, *args))

    def py(self, script: str, *args: str) -> ExecResult:
        """A constant program with arguments, likewise."""
        return _whole(self._run((self.python, "-I", "-S", "-c", script, *args), self.each))

    def bomb(self, script: str, *args: str, seconds: float = 0) -> ExecResult:
        """A constant script that may be ended."""
        return self._run(("sh", "-c", script, "sh", *args), seconds or self.each)

    def _run(self, argv: tuple[str, ...], seconds: float) -> ExecResult:
        left = self.until - time.monotonic()
        if left <= 0:
            raise SandboxError(
                "proof_late",
                "the time for the proof is over",
                hint="give it more with --seconds, or try again when this machine is idle",
            )
        return self.sandbox.exec(ExecRequest(argv=argv, seconds=min(seconds, left), output_bytes=1_000_000))


@dataclass(frozen=True)
class Way:
    """One way out."""

    group: str
    name: str
    expected: str
    attempt: Callable[[Inside], Seen]


def _whole(result: ExecResult) -> ExecResult:
    if result.ending != "exited":
        raise SandboxError("proof_broke_off", f"the attempt did not come to its end: {result.ending}")
    return result


def _text(result: ExecResult) -> str:
    return (result.stdout + result.stderr).decode("utf-8", "replace")


def _lines(result: ExecResult) -> list[str]:
    return [each for each in result.stdout.decode("utf-8", "replace").splitlines() if each]


def _none(found: list[str], words: str) -> Seen:
    """Well if nothing was found."""
    return ("FAILED", ", ".join(found)) if found else ("ok", words)


# --- secrets and files: C1, C2, C4 --------------------------------------------------------------------------------


def _variables(inside: Inside) -> Seen:
    seen = _text(inside.sh(scripts.ENVIRONMENT))
    if "PATH=" not in seen:
        return "skipped", "no environment could be read at all"
    found = [name for name in inside.bait.names if name in seen]
    return _none(found[:3], f"none of {VARIABLES} canaries") if found or inside.bait.token not in seen else _leak()


def _leak() -> Seen:
    return "FAILED", "a canary's value"


def _files(inside: Inside) -> Seen:
    bait, home = inside.bait, Path.home()
    inside_out = "/proc/1/root", "/proc/self/root", "/proc/self/cwd/../../../../../.."
    named = [f"{root}{bait.private}" for root in ("", *inside_out)]
    seen = inside.sh(scripts.READ, *named, str(bait.memory), f"/proc/{os.getpid()}/root{bait.private}")
    if bait.token in _text(seen):
        return _leak()
    keys = inside.sh(
        scripts.EXISTS, *(str(home / each) for each in (".ssh", ".docker", ".aws", ".config/gh", ".netrc"))
    )
    return _none(_lines(keys), "no file of this machine")


def _shadow(inside: Inside) -> Seen:
    seen = _lines(inside.sh(scripts.READ, "/etc/shadow", "/etc/gshadow", "/etc/sudoers"))
    return ("FAILED", f"{len(seen)} lines") if seen else ("ok", "absent or unreadable")


def _operations(inside: Inside) -> Seen:
    """The file operations are served inside, as the task's user, or refused."""
    link = inside.sh("ln -s / upward")
    paths = [str(inside.bait.private), "../../../../etc/shadow", "/proc/1/environ"]
    paths += [f"upward{inside.bait.private}"] if link.ok else []
    got = []
    for path in paths:
        try:
            inside.sandbox.read_file(path, max_bytes=100_000)
        except TaskError:
            continue
        got.append(path)
    return _none(got, f"{len(paths)} paths refused")


def _credentials(inside: Inside) -> Seen:
    seen = inside.sh(scripts.SEARCH, inside.bait.token, KNOWN)
    if KNOWN not in _text(seen):
        return "skipped", "no grep in the image"
    found = [each for each in _lines(seen) if each != KNOWN]
    hooks = _lines(inside.sh(scripts.HOOKS))
    return _none([*found[:3], *hooks[:3]], "none, and no hook")


# --- the machine: C3 ----------------------------------------------------------------------------------------------


def _engine(inside: Inside) -> Seen:
    return _none(_lines(inside.sh(scripts.EXISTS, *_SOCKETS)), "absent")


def _devices(inside: Inside) -> Seen:
    return _none(_lines(inside.sh(scripts.OPENS, *_DEVICES)), "none can be opened")


def _nodes(inside: Inside) -> Seen:
    made = _lines(inside.sh(scripts.NODES))
    if inside.python:
        made += _lines(inside.py(scripts.NODES_TOO))
    return _none(made, "refused")


def _processes(inside: Inside) -> Seen:
    own = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    seen = _lines(inside.sh(scripts.STARTS))
    if not seen:
        return "skipped", "no /proc"
    return ("FAILED", "our own process") if own in seen else ("ok", f"{len(seen)} processes, all its own")


# --- privileges ---------------------------------------------------------------------------------------------------


def _identity(inside: Inside) -> Seen:
    status = dict(each.split(":\t", 1) for each in _lines(inside.sh(scripts.STATUS)) if ":\t" in each)
    wrong = [f"{name} {status.get(name, '?')}" for name in scripts.CAPABILITIES if status.get(name) != "0" * 16]
    wrong += [f"{name} {status.get(name)}" for name in ("Uid", "Gid") if "0" in status.get(name, "0").split()]
    wrong += [f"NoNewPrivs {status.get('NoNewPrivs')}"] if status.get("NoNewPrivs") != "1" else []
    uid = status.get("Uid", "?").split()[0]
    return _none(wrong, f"uid {uid}, five empty sets, NoNewPrivs 1")


def _seccomp(inside: Inside) -> Seen:
    """Of every process of the task's user: one without a filter could be made to do what others must not."""
    modes = {tuple(each.split()) for each in _lines(inside.sh(scripts.FILTERS))}
    own = next((uid for pid, uid, mode in modes if pid == "self"), "")
    wrong = sorted(f"Seccomp {mode} in {pid}" for pid, uid, mode in modes if uid == own and mode != "2")
    if wrong and not inside.own_kernel:
        return "FAILED", ", ".join(wrong[:3])
    if not own:
        return "skipped", "no /proc"
    if not inside.python:
        return ("skipped" if wrong else "ok"), "no python3 to make calls with"
    seen = _lines(inside.py(scripts.CALLS))
    through = [each.removeprefix("done ") for each in seen if each.startswith("done ")]
    return _none(through, f"{'a kernel of its own' if wrong else 'Seccomp 2'}, {len(seen)} calls refused")


def _root(inside: Inside) -> Seen:
    seen = _lines(inside.sh(scripts.BECOME_ROOT))
    return _none([each for each in seen if each.startswith("root")], "refused")


def _namespaces(inside: Inside) -> Seen:
    seen = _lines(inside.sh(scripts.UNSHARE))
    if inside.python:
        seen += _lines(inside.py(scripts.UNSHARE_TOO))
    elif "tried" not in seen:
        return "skipped", "neither unshare nor python3 in the image"
    return _none([each for each in seen if each != "tried"], "refused")


def _trace(inside: Inside) -> Seen:
    if not inside.python:
        return "skipped", "no python3 in the image"
    seen = _lines(inside.py(scripts.TRACE))
    return _none([each for each in seen if each.startswith("traced")], seen[-1] if seen else "refused")


def _system(inside: Inside) -> Seen:
    if _lines(inside.sh(scripts.WRITES, "/tmp", ".")) != ["/tmp", "."]:  # noqa: S108 - inside
        return "FAILED", "not even its own folders can be written"
    written = _lines(inside.sh(scripts.WRITES, *_SYSTEM)) + _lines(inside.sh(scripts.WRITABLE, *_KERNEL))
    return _none(written, "read-only; /tmp and the workspace are not")


def _checkout(inside: Inside) -> Seen:
    inside.sh("echo changed >README.md; rm -rf .git; echo new >planted")
    here = inside.bait.checkout
    intact = (here / "README.md").read_text() == f"{KNOWN}\n" and (here / ".git" / "HEAD").is_file()
    return ("ok", "as it was") if intact and not (here / "planted").exists() else ("FAILED", "it was changed")


# --- network: C5 --------------------------------------------------------------------------------------------------


def _interfaces(inside: Inside) -> Seen:
    names = [each.split(":")[0].strip() for each in _lines(inside.sh(scripts.READ, "/proc/net/dev")) if ":" in each]
    routes = _lines(inside.sh(scripts.READ, "/proc/net/route"))[1:]
    if not names:
        return "skipped", "no /proc/net"
    return _none([each for each in names if each != "lo"] + [f"route {each.split()[0]}" for each in routes], "lo alone")


def _sockets(kind: str) -> Callable[[Inside], Seen]:
    def attempt(inside: Inside) -> Seen:
        if not inside.python:
            return "skipped", "no python3 in the image"
        if not inside.bait.ears.works():
            return "skipped", "this machine does not hear itself"
        bait = inside.bait
        words = (kind, str(bait.ears.port), str(bait.folder / "socket"), bait.abstract)
        seen = _lines(inside.py(scripts.NETWORK, *words))
        reached = [each.removeprefix("reached ") for each in seen if each.startswith("reached ")]
        heard = [f"heard on {each}" for each in bait.ears.heard()]
        if "tried" not in " ".join(seen[-1:]):
            return "skipped", "the attempt broke off"
        return _none([*reached, *heard], seen[-1])

    return attempt


WAYS: tuple[Way, ...] = (
    Way("secrets", "variables of this machine, own and of /proc", "no canary", _variables),
    Way("secrets", "credentials in .git, .netrc, hooks, home", "none", _credentials),
    Way("files", "a file that all may read here, ~/.ssh, /dev/shm", "absent", _files),
    Way("files", "/etc/shadow, gshadow, sudoers", "absent", _shadow),
    Way("files", "file operations: absolute, ../.., links", "refused", _operations),
    Way("files", "write to /, /usr, /etc, /proc/sys, the channel", "read-only", _system),
    Way("machine", "sockets of docker, containerd, podman, dbus", "absent", _engine),
    Way("machine", "devices: kmsg, mem, kvm, disks, tun", "absent", _devices),
    Way("machine", "make device nodes", "refused", _nodes),
    Way("machine", "processes of this machine", "invisible", _processes),
    Way("rights", "user, capabilities, NoNewPrivs", "none", _identity),
    Way("rights", "system calls: keys, bpf, perf, modules, kexec", "refused", _seccomp),
    Way("rights", "become root: setuid programs, setuid()", "refused", _root),
    Way("rights", "new namespaces, mounts, chroot", "refused", _namespaces),
    Way("rights", "trace another user's process", "refused", _trace),
    Way("network", "interfaces and routes", "lo alone", _interfaces),
    Way("network", "TCP to loopback, gateways, metadata, Internet", "nobody hears", _sockets("tcp")),
    Way("network", "UDP and DNS", "nobody hears", _sockets("udp")),
    Way("network", "IPv6, raw and packet sockets", "nobody hears", _sockets("raw")),
    Way("network", "unix sockets, by path and abstract", "nobody hears", _sockets("unix")),
    Way("files", "the checkout on this machine", "unchanged", _checkout),
)
"""Everything that is tried while the sandbox is in good health, in this order."""

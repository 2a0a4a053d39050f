"""What a sandbox keeps in, as checks: no privilege, no network, nothing of the host, few places to write."""

import os

from bot.protocols import Sandbox
from bot.testing.contracts_given import SECRET, SandboxCheck, shell
from bot.types.sandbox import ExecRequest


def _no_privilege(sandbox: Sandbox) -> None:
    """Nobody, with no capability, no way to one, and system calls filtered."""
    text = sandbox.exec(ExecRequest(argv=("cat", "/proc/self/status"))).stdout.decode()
    fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    assert {fields[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
    assert "0" not in (*fields["Uid"].split(), *fields["Gid"].split())
    assert (
        shell(sandbox, "unshare -Ur true || unshare -m true || mount -t tmpfs x /tmp || chroot / true").exit_code != 0
    )
    assert shell(sandbox, "cp /bin/sleep tool && chmod u+s tool; test -u tool && ./tool 0; rm -f tool").exit_code == 0


def _no_variables_of_the_host(sandbox: Sandbox) -> None:
    """In no process that it sees."""
    os.environ["SANDPIPER_CONTRACT_CANARY"] = "canary-of-the-host"
    try:
        seen = shell(sandbox, "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null", output_bytes=1_000_000)
    finally:
        del os.environ["SANDPIPER_CONTRACT_CANARY"]
    assert b"canary-of-the-host" not in seen.stdout


def _own_processes(sandbox: Sandbox) -> None:
    """It sees and reaches its own processes only."""
    count = int(shell(sandbox, "ls -d /proc/[0-9]* | wc -l").stdout)
    assert 0 < count < 30
    assert shell(sandbox, "kill -0 1").exit_code != 0 or shell(sandbox, "id -u").stdout != b"0\n"


def _no_devices(sandbox: Sandbox) -> None:
    """Those that everybody has, and none of the machine's."""
    devices = set(shell(sandbox, "find /dev -type b -o -type c").stdout.decode().split())
    harmless = {f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty", "console", "ptmx")}
    assert not {each for each in devices - harmless if not each.startswith("/dev/pts/")}
    assert shell(sandbox, "mknod disk b 8 0").exit_code != 0
    assert shell(sandbox, "head -c 1 /dev/kmsg /dev/mem /proc/kcore 2>/dev/null").stdout == b""


def _nothing_of_the_host(sandbox: Sandbox) -> None:
    """No socket of an engine, no home, no credential, no password file."""
    sockets = "/var/run/docker.sock /run/docker.sock /run/containerd /run/podman /run/systemd /run/dbus"
    assert shell(sandbox, f"ls -d {sockets} 2>/dev/null").stdout == b""
    private = "/etc/shadow /etc/sudoers /root/.ssh /root/.netrc /root/.gitconfig /root/.config /root/.bash_history"
    assert shell(sandbox, f"cat {private} 2>/dev/null; ls -Ad /root/.ssh/* /root/.config/* 2>/dev/null").stdout == b""
    found = shell(sandbox, 'grep -rs "$1" /tmp /etc /home; ls -A "$HOME"', SECRET)
    assert SECRET.encode() not in found.stdout
    assert shell(sandbox, "grep -c . /etc/passwd").stdout.strip() in (b"3", b"2"), "no names of people"


def _no_network(sandbox: Sandbox) -> None:
    """Nothing but a loopback of its own."""
    assert (
        shell(sandbox, "ls /sys/class/net 2>/dev/null || sed -n 's/ *\\(.*\\):.*/\\1/p' /proc/net/dev").stdout
        == b"lo\n"
    )
    assert shell(sandbox, "cat /proc/net/route | wc -l").stdout.strip() == b"1"
    script = """
import socket
for family, address in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"), (socket.AF_INET, "1.1.1.1")):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            with socket.socket(family, kind, 1 if kind == socket.SOCK_RAW else 0) as each:
                each.settimeout(0.5)
                each.connect((address, 53))
                print("reached", address, kind)
        except OSError:
            pass
for name in ("example.org", "localhost.localdomain."):
    try:
        print("resolved", socket.getaddrinfo(name, 53))
    except OSError:
        pass
for family in (socket.AF_PACKET, 40):
    try:
        socket.socket(family, socket.SOCK_STREAM if family == 40 else socket.SOCK_RAW).connect((2, 1))
        print("made", family)
    except (OSError, TypeError):
        pass
"""
    assert sandbox.exec(ExecRequest(argv=("python3", "-c", script), seconds=60)).stdout == b""


def _where_to_write(sandbox: Sandbox) -> None:
    """The workspace, the home and /tmp; nowhere else, and not as root."""
    result = shell(sandbox, 'touch "$HOME/x" /tmp/x /workspace/x && rm "$HOME/x" /tmp/x x')
    assert result.ok, result
    folders = "/ /etc /usr /usr/bin /home /root /opt /var /run /run/sandpiper /sys/fs/cgroup /proc/sys/kernel"
    assert shell(sandbox, f"for f in {folders}; do touch $f/x 2>/dev/null && echo $f; done").stdout == b""
    assert shell(sandbox, "echo 1 > /proc/sys/kernel/core_pattern || echo 1 > /proc/sysrq-trigger").exit_code != 0
    assert shell(sandbox, "id -u").stdout.strip() != b"0"


def _memory_file_systems(sandbox: Sandbox) -> None:
    """What may be written beside the workspace has a size, no setuid and no devices."""
    mounts = [
        line.split() for line in sandbox.exec(ExecRequest(argv=("cat", "/proc/mounts"))).stdout.decode().splitlines()
    ]
    options = {line[1]: set(line[3].split(",")) for line in mounts}
    home = shell(sandbox, 'printf %s "$HOME"').stdout.decode()
    for path in ("/tmp", home, "/workspace"):  # noqa: S108 - not the host's
        assert {"rw", "nosuid", "nodev"} <= options[path], path
    assert any(each.startswith("size=") for each in options["/tmp"])  # noqa: S108
    assert "ro" in options["/"]


CLOSED: tuple[SandboxCheck, ...] = (
    *(_no_privilege, _no_variables_of_the_host, _own_processes, _no_devices, _nothing_of_the_host, _no_network),
    *(_where_to_write, _memory_file_systems),
)
"""Of those that isolate."""

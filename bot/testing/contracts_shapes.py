"""What a template asks for, as checks: read-only workspaces, sized folders and disks, networks, images."""

import http.server
import secrets
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bot.protocols import Sandbox, SandboxProvider
from bot.testing.contracts_given import LIMITS, ProviderCheck, refusal, shell, template
from bot.types.network import Network, NetworkMode
from bot.types.sandbox import ExecRequest, ExecResult, Template


@contextmanager
def _one(provider: SandboxProvider, wanted: Template) -> Iterator[Sandbox]:
    sandbox = provider.create(wanted)
    try:
        yield sandbox
    finally:
        sandbox.close()


def _python(sandbox: Sandbox, script: str, *args: str) -> ExecResult:
    return sandbox.exec(ExecRequest(argv=("python3", "-c", script, *args), seconds=60))


def _smallest(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """With as little as limits may say it works."""
    limits = LIMITS.changed(memory_mb=64, pids=16, cpus=0.1, disk_mb=16)
    with _one(provider, template(checkout, limits=limits)) as sandbox:
        assert shell(sandbox, "echo fine; echo x > src/a.py").stdout == b"fine\n"
        assert sandbox.read_file("src/a.py") == b"x\n"
        assert [each.path for each in sandbox.collect(blobs).files] == ["src/a.py"]


def _read_only(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """A workspace that can't be written either; commands run, and /tmp is there."""
    with _one(provider, template(checkout).changed(read_only=True)) as sandbox:
        assert shell(sandbox, "touch new || rm README.md || echo x > src/a.py || mkdir d").exit_code != 0
        assert refusal(lambda: sandbox.write_file("new", b"x")) == "not_writable"
        assert refusal(lambda: sandbox.delete_file("README.md")) == "not_writable"
        assert shell(sandbox, "cat README.md; touch /tmp/fine && echo done").stdout == b"hello\ndone\n"
        assert sandbox.collect(blobs).files == ()


def _folders_in_memory(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """Of the size that was asked for, and without setuid and devices."""
    wanted = template(checkout).changed(tmpfs={"/scratch": 8, "/tmp": 16})  # noqa: S108 - not the host's
    with _one(provider, wanted) as sandbox:
        lines = [each.split() for each in shell(sandbox, "cat /proc/mounts").stdout.decode().splitlines()]
        for path, size in (("/scratch", 8), ("/tmp", 16)):  # noqa: S108
            options = {line[1]: set(line[3].split(",")) for line in lines}[path]
            assert {"rw", "nosuid", "nodev"} <= options
            full = shell(sandbox, f"head -c 64M /dev/zero > {path}/fill; stat -c %s {path}/fill; rm {path}/fill")
            assert (size - 1) << 20 <= int(full.stdout) <= size << 20, path


def _disk(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """What is written has a limit, the ending says so, and room that was given back can be used again."""
    with _one(provider, template(checkout, limits=LIMITS.changed(disk_mb=48))) as sandbox:
        for _ in range(2):
            result = shell(sandbox, "head -c 2G /dev/zero > fill", seconds=60)
            assert (result.ending, result.ok) == ("disk", False), result
            assert int(shell(sandbox, "stat -c %s fill").stdout) < 1 << 30
            shell(sandbox, "rm fill")
            assert shell(sandbox, "echo fine > small; cat small").stdout == b"fine\n"
        assert [each.path for each in sandbox.collect(blobs).files] == ["small"]


def _inodes(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """So has the number of files, however empty they are."""
    script = """
import os, sys
os.mkdir("many")
for number in range(60_000):
    try:
        os.close(os.open(f"many/{number}", os.O_CREAT | os.O_WRONLY))
    except OSError as error:
        print(number, flush=True); sys.exit(str(error))
import time; time.sleep(5)
"""
    with _one(provider, template(checkout, limits=LIMITS.changed(disk_mb=48))) as sandbox:
        result = _python(sandbox, script)
        assert result.ending == "disk", result
        assert shell(sandbox, "rm -r many; echo fine > small; cat small").stdout == b"fine\n"


def _bad_image(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """An error that says how to mend it, and nothing left."""
    before = {each.id for each in provider.list()}
    wanted = template(checkout).changed(image="example.invalid/no/such:image")
    assert refusal(lambda: provider.create(wanted).close()) == "image_not_found"
    odd = template(checkout).changed(image="Not A Name!")
    assert refusal(lambda: provider.create(odd).close()) in ("image_not_found", "image_name_invalid")
    assert {each.id for each in provider.list()} <= before


_SERVE = """
import socket, threading
server = socket.create_server(("127.0.0.1", 8124))
open("ready", "w").close()
while True:
    server.accept()[0].sendall(b"served")
"""
_CALL = """
import socket
try:
    with socket.create_connection(("127.0.0.1", 8124), timeout=3) as each:
        print(each.recv(100).decode())
except OSError:
    print("refused")
"""


def _isolated(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """Sandboxes of one run see each other's ports, and nothing else; those of another run don't."""
    wanted = template(checkout, run_id=secrets.token_hex(8)).changed(network=Network(mode="isolated"))
    with ExitStack() as stack:
        serving, calling = (stack.enter_context(_one(provider, wanted)) for _ in range(2))
        other = stack.enter_context(_one(provider, wanted.changed(run_id=secrets.token_hex(8))))
        start = 'python3 -c "$1" >/dev/null 2>&1 & while [ ! -e ready ]; do sleep 0.05; done'
        assert shell(serving, start, _SERVE, seconds=20).ok
        assert _python(calling, _CALL).stdout == b"served\n"
        assert _python(other, _CALL).stdout == b"refused\n"
        for each in (serving, calling, other):
            assert shell(each, "cat /proc/net/route | wc -l").stdout.strip() == b"1"
            assert each.record.network == "isolated"
        assert shell(calling, "cat /proc/[0-9]*/cmdline | grep -c '[c]reate_server'").stdout.strip() == b"0"
        assert b"ready" not in shell(calling, "ls").stdout


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"from the host")

    def log_message(self, *_: object) -> None:
        """Nothing is written about it."""


def _restricted(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """Listed hosts are reached, through the proxy only; there is no other way, and no resolver."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    allowed = f"http://localhost:{server.server_port}"
    network = Network(mode="restricted", allow=(allowed,), private=(allowed,))
    script = """
import os, socket, sys, urllib.error, urllib.request
for name in ("NO_PROXY", "no_proxy"):
    os.environ.pop(name, None)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": os.environ["HTTP_PROXY"]}))
for url in sys.argv[1:]:
    try:
        print(opener.open(url, timeout=10).read().decode())
    except urllib.error.HTTPError as error:
        print("refused", error.code)
try:
    print(socket.getaddrinfo("example.org", 80))
except OSError:
    print("no resolver")
"""
    port = server.server_port
    try:
        with _one(provider, template(checkout).changed(network=network)) as sandbox:
            urls = (f"{allowed}/", f"http://127.0.0.1:{port}/", f"http://localhost:{port + 1}/", "http://example.org/")
            said = _python(sandbox, script, *urls).stdout.decode().splitlines()
            assert said[0] == "from the host", said
            assert all(line.startswith("refused 4") for line in said[1:4]), said
            assert said[4] == "no resolver"
            assert shell(sandbox, "cat /proc/net/route | wc -l").stdout.strip() == b"1"
            assert shell(sandbox, "sleep 60", seconds=0.3).ending == "timed_out"
            assert _python(sandbox, script, urls[0]).stdout.startswith(b"from the host"), "also after a time-out"
            assert sandbox.record.network == "restricted"
    finally:
        server.shutdown()
        server.server_close()


def _bridge(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """An interface beside the loopback, because somebody asked for it."""
    with _one(provider, template(checkout).changed(network=Network(mode="bridge"))) as sandbox:
        assert len(shell(sandbox, "tail -n +3 /proc/net/dev").stdout.splitlines()) >= 2
        assert sandbox.record.network == "bridge"


SHAPES: tuple[ProviderCheck, ...] = (_smallest,)
"""Of every provider."""
SHAPES_ISOLATED: tuple[ProviderCheck, ...] = (_read_only, _folders_in_memory)
"""Of those that isolate."""
SHAPES_DISK: tuple[ProviderCheck, ...] = (_disk, _inodes)
"""Of those that bound the disk."""
SHAPES_IMAGES: tuple[ProviderCheck, ...] = (_bad_image,)
"""Of those that have images."""
SHAPES_NETWORKS: dict[NetworkMode, ProviderCheck] = {
    "isolated": _isolated,
    "restricted": _restricted,
    "bridge": _bridge,
}
"""Of those that have such a network."""

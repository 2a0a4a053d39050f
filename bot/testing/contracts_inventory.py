"""Which sandboxes there are, and that they are apart from each other, as checks that make sandboxes of their own."""

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from bot.protocols import Sandbox, SandboxProvider
from bot.testing.contracts_given import LIMITS, RUN_ID, ProviderCheck, make_checkout, refusal, shell, template
from bot.types.sandbox import ExecRequest, SandboxInfo, Template
from bot.types.task import Limits

_OTHER_RUN = "0ddba11d0ddba11d"


def _made(stack: ExitStack, provider: SandboxProvider, wanted: Template) -> Sandbox:
    sandbox = provider.create(wanted)
    stack.callback(sandbox.close)
    return sandbox


def _shown(provider: SandboxProvider, sandbox: Sandbox) -> SandboxInfo | None:
    found = [each for each in provider.list() if each.id == sandbox.id]
    assert len(found) <= 1
    return found[0] if found else None


def _listed(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """A sandbox is shown from its start to its end, with what is known of it; oldest first."""
    with ExitStack() as stack:
        first = _made(stack, provider, template(checkout))
        second = _made(stack, provider, template(checkout, run_id=_OTHER_RUN).changed(detached=True))
        info, moment = _shown(provider, first), datetime.now(UTC)
        assert info is not None
        assert (info.run_id, info.state, info.orphan, info.image) == (RUN_ID, "running", False, "host")
        assert info.provider == first.record.provider
        assert abs((moment - info.created_at).total_seconds()) < 60
        assert abs((info.ends_at - info.created_at).total_seconds() - LIMITS.minutes * 60) < 60
        ids = [each.id for each in provider.list()]
        assert ids.index(first.id) < ids.index(second.id)
        other = _shown(provider, second)
        assert other is not None
        assert (other.run_id, other.orphan) == (_OTHER_RUN, False)
        first.close()
        assert _shown(provider, first) is None
        assert _shown(provider, second) is not None


def _found(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """By its id, or a beginning that only it has; what was found is the same sandbox."""
    with ExitStack() as stack:
        first, second = (_made(stack, provider, template(checkout)) for _ in range(2))
        for name in (first.id, first.id[:-2] if first.id[:-2] != second.id[:-2] else first.id):
            found = provider.get(name)
            assert found is not None
            assert found.id == first.id
            assert found.record == first.record
            first.write_file("mine", b"first")
            assert found.read_file("mine") == b"first"
            assert shell(found, "echo $FROM_TEMPLATE; echo changed > mine").stdout == b"yes\n"
        assert first.read_file("mine") == b"changed\n"
        assert shell(first, "sleep 60", seconds=0.2).ending == "timed_out"
        again = provider.get(first.id)
        assert again is not None
        assert shell(again, "sleep 60", seconds=0.2).ending == "timed_out"
        assert shell(first, "cat mine").stdout == b"changed\n"
        assert [each.path for each in again.collect(blobs).files] == ["mine"]
        again.close()
        assert provider.get(first.id) is None
        first.close()
        assert shell(second, "echo fine").stdout == b"fine\n"


def _not_found(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """Nothing for an unknown name, for a beginning of several, for what is no name, and for one that ended."""
    with ExitStack() as stack:
        first, _ = (_made(stack, provider, template(checkout)) for _ in range(2))
        common = first.id[: len("sandpiper-")]
        for name in ("no-such-sandbox", common, "../..", "*", "\0", first.id + "x", "/"):
            assert provider.get(name) is None, name
        first.collect(blobs)
        assert provider.get(first.id) is None, "it can't take commands any more"


def _capacity(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """At least one, and never more of larger ones."""
    sizes = [64, 256, 1024, 4096, 65_536, 1_048_576]
    counts = [provider.capacity(Limits(memory_mb=size, cpus=1)) for size in sizes]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 1
    assert counts[0] >= 1
    by_cpus = [provider.capacity(Limits(memory_mb=64, cpus=cpus)) for cpus in (0.1, 0.5, 1, 4, 256)]
    assert by_cpus == sorted(by_cpus, reverse=True)
    assert by_cpus[-1] >= 1


def _sweep(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """The living stay; a run's own go when it is named, and only those."""
    with ExitStack() as stack:
        mine = _made(stack, provider, template(checkout))
        other = _made(stack, provider, template(checkout, run_id=_OTHER_RUN))
        provider.sweep()
        assert shell(mine, "echo fine").stdout == b"fine\n"
        assert provider.sweep("f" * 16) == 0
        assert provider.sweep(_OTHER_RUN) >= 1
        assert _shown(provider, other) is None
        assert shell(mine, "echo fine").stdout == b"fine\n"
        other.close()


def _nothing_after_a_failure(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """What can't be made is refused by name, and leaves nothing that anybody would have to remove."""
    before = {each.id for each in provider.list()}
    wanted = template(checkout)
    missing = wanted.changed(checkout=str(checkout / "no" / "such"))
    assert refusal(lambda: provider.create(missing).close()) == "workspace_failed"
    a_file = wanted.changed(checkout=str(checkout / "README.md"))
    assert refusal(lambda: provider.create(a_file).close()) == "workspace_failed"
    assert {each.id for each in provider.list()} <= before
    assert provider.healthy() is None


def _at_once(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """Several are made at the same time, each for itself."""
    with ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: _made(stack, provider, template(checkout)), range(4)))
        assert len({each.id for each in made}) == 4
        for number, each in enumerate(made):
            each.write_file("same/path", b"%d" % number)
        assert [each.read_file("same/path") for each in made] == [b"0", b"1", b"2", b"3"]
        assert not (checkout / "same").exists()


def _apart(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """Two see nothing of each other: no file, no temporary file, no process, and both may have the same port."""
    serve = """
import http.server, os, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(sys.argv[1].encode())
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 8123), Answer)
open("ready", "w").close()
server.serve_forever()
"""
    ask = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8123', timeout=5).read().decode())"
    with ExitStack() as stack:
        boxes = [_made(stack, provider, template(checkout)) for _ in range(2)]
        for number, box in enumerate(boxes):
            start = (
                'python3 -c "$1" mark-$2 >/dev/null 2>&1 & while [ ! -e ready ]; do sleep 0.05; done; touch /tmp/tmp-$2'
            )
            assert shell(box, start, serve, str(number), seconds=20).ok
        for number, box in enumerate(boxes):
            assert box.exec(ExecRequest(argv=("python3", "-c", ask))).stdout == f"mark-{number}\n".encode()
            seen = shell(box, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; ls /tmp").stdout
            assert f"mark-{number}".encode() in seen
            assert f"mark-{1 - number}".encode() not in seen
            assert f"tmp-{1 - number}".encode() not in seen


def _odd_checkouts(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """Whatever its path is called, the checkout is there; without one there is an empty workspace."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a b", "ünï-çødé", "co:lon,comma", "$(id)'\"\\", "-rf"):
            odd = Path(folder) / name
            odd.mkdir()
            make_checkout(odd)
            with ExitStack() as stack:
                sandbox = _made(stack, provider, template(odd))
                assert (
                    shell(sandbox, "cat README.md; git log --format=%s; echo x > src/a.py").stdout == b"hello\nfirst\n"
                )
                assert [each.path for each in sandbox.collect(blobs).files] == ["src/a.py"], name
            assert (odd / "src" / "a.py").read_text() == "A = 1\n"
            shutil.rmtree(odd)
    with ExitStack() as stack:
        sandbox = _made(stack, provider, Template(run_id=RUN_ID, limits=LIMITS))
        assert sandbox.list_files() == ()
        sandbox.write_file("new/file", b"x")
        assert shell(sandbox, "ls -A; pwd").stdout.startswith(b"new\n")
        assert [(each.path, each.kind) for each in sandbox.collect(blobs).files] == [("new/file", "added")]


INVENTORY: tuple[ProviderCheck, ...] = (
    *(_listed, _found, _not_found, _capacity, _sweep, _nothing_after_a_failure, _at_once, _odd_checkouts),
)
"""Of every provider."""
INVENTORY_ISOLATED: tuple[ProviderCheck, ...] = (_apart,)
"""Of those that isolate."""

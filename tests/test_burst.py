"""Used sandboxes serve the same people again when a reset is proven, and nobody else ever."""

# ruff: noqa: F811 - fixtures

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.errors import SandboxError
from bot.protocols import Sandbox
from bot.sandbox.burst import BurstClass, BurstPool, Probed
from bot.sandbox.docker.provider import DockerProvider
from bot.sandbox.docker.spare import Spare
from bot.testing.contracts_sandbox import LIMITS, refusal, shell, template
from bot.testing.sandbox import FakeProvider
from bot.types.sandbox import ExecRequest, Template
from tests.sandbox_fixtures import checkout, provider  # noqa: F401 - fixtures

ALICE = BurstClass("octo/demo", 1, "writer")
OTHERS = (
    BurstClass("octo/demo", 2, "writer"),
    BurstClass("octo/other", 1, "writer"),
    BurstClass("octo/demo", 1, "fork"),
)

pytestmark = pytest.mark.docker


@pytest.fixture
def pool(provider: DockerProvider) -> Iterator[BurstPool]:
    made = BurstPool(provider)
    yield made
    made.close()


def soil(sandbox: Sandbox) -> None:
    """Leave something of every kind behind."""
    script = """
    echo secret > mine; echo secret > README.md; mkdir -p deep/er; echo secret > deep/er/x; rm -r docs
    echo secret > /tmp/mine; echo 'export SECRET=secret' > "$HOME/.profile"; echo secret > /dev/shm/mine
    mkfifo "$HOME/pipe"; setsid sh -c 'while :; do sleep 97531; done' left-behind >/dev/null 2>&1 &
    """
    assert shell(sandbox, script).ok


def traces(sandbox: Sandbox) -> bytes:
    """All that anybody could find of it, and of a workspace that is not the checkout's."""
    script = """
    ls -A /tmp "$HOME" /dev/shm | grep -v ':$' | grep .; ls -d mine deep 2>/dev/null; [ -e docs/old/x.md ] || echo docs
    grep -rs secret README.md /tmp "$HOME" /dev/shm
    cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -e '9753[1]' -e 'left-behin[d]'; ls /run/sandpiper | grep stdin
    """
    return shell(sandbox, script).stdout


def test_the_same_people_get_it_again_as_good_as_new(pool: BurstPool, checkout: Path, tmp_path: Path) -> None:
    asked = template(checkout)
    first = pool.serving(ALICE).create(asked)
    soil(first)
    assert traces(first) != b""
    first.collect(tmp_path / "blobs")
    first.close()
    assert refusal(lambda: first.exec(ExecRequest(argv=("true",)))) == "sandbox_expired"
    assert pool.provider.list() == (), "what is kept is in no inventory"

    again = pool.serving(ALICE).create(asked.changed(run_id="8" * 16, limits=LIMITS.changed(minutes=3)))
    try:
        assert again.id == first.id
        assert traces(again) == b""
        assert shell(again, "cat README.md; echo new > added").stdout == b"hello\n"
        assert [each.run_id for each in pool.provider.list() if each.id == again.id] == ["8" * 16]
        assert [each.path for each in again.collect(tmp_path / "blobs").files] == ["added"]
    finally:
        again.close()


def test_nobody_else_ever_gets_it(pool: BurstPool, checkout: Path) -> None:
    asked = template(checkout)
    first = pool.serving(ALICE).create(asked)
    soil(first)
    first.close()
    seen = {first.id}
    for who in OTHERS:
        other = pool.serving(who).create(asked)
        assert other.id not in seen
        assert traces(other) == b""
        seen.add(other.id)
        shell(other, "exec sleep 1000 &")
        other._sandbox.close()  # type: ignore[attr-defined] # gone, so that the pool keeps room for what is tested
    wider = pool.serving(ALICE).create(asked.changed(limits=LIMITS.changed(memory_mb=300)))
    assert wider.id not in seen, "another shape is another container"
    wider._sandbox.close()  # type: ignore[attr-defined]


class Careless(FakeProvider):
    """Resets nothing."""

    def __init__(self, provider: DockerProvider, folder: Path) -> None:
        super().__init__(folder)
        self.provider = provider

    def prepare(self, asked: Template) -> Spare | None:
        return self.provider.prepare(asked)

    def fingerprint(self, asked: Template) -> str | None:
        return self.provider.fingerprint(asked)

    def recycle(self, sandbox: Sandbox) -> Probed | None:
        class Same:
            def __init__(self) -> None:
                self.sandbox = sandbox

            def alive(self) -> bool:
                return True

            def adopt(self, asked: Template) -> Sandbox:
                return sandbox

            def close(self) -> None:
                sandbox.close()

        return Same()


def test_without_proof_it_is_closed(provider: DockerProvider, checkout: Path, tmp_path: Path) -> None:
    pool, seen = BurstPool(Careless(provider, tmp_path)), set[str]()
    for script in ("true", "echo x > /tmp/left"):
        made = pool.serving(ALICE).create(template(checkout))
        assert made.id not in seen
        seen.add(made.id)
        shell(made, script)
        made.close()
    assert not seen & {each.id for each in provider.list()}
    pool.close()


def test_what_can_not_be_reset_is_closed(provider: DockerProvider, checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="reset"):
        BurstPool(FakeProvider(tmp_path))
    plain = provider.create(template(checkout))
    shell(plain, "true")
    spare = provider.recycle(plain)
    if spare is not None:  # a container with namespaces that were made ahead
        assert isinstance(spare, Spare)
        spare.close()
    assert plain.id not in {each.id for each in provider.list()}

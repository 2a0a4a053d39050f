"""Escapes tried from inside -> all refused by a real sandbox, all noticed in one that was made too open."""

# ruff: noqa: F811 - fixtures

from __future__ import annotations

import os
import shutil
from pathlib import Path

import docker
import pytest

from bot.errors import SandboxError
from bot.protocols import Sandbox, SandboxProvider
from bot.sandbox.bait import KNOWN, laid
from bot.sandbox.bubblewrap.provider import BubblewrapProvider
from bot.sandbox.docker.provider import DockerProvider
from bot.sandbox.local import LocalProvider
from bot.sandbox.proof import Attempt, Proof, prove
from bot.types.network import Network
from bot.types.sandbox import SandboxInfo, Template
from bot.types.task import Limits
from tests.sandbox_fixtures import api, tiny_image  # noqa: F401 - fixtures


def states(proof: Proof) -> dict[str, Attempt]:
    return {each.name: each for each in proof.attempts}


def bad(proof: Proof) -> list[Attempt]:
    return [each for each in proof.attempts if each.state != "ok"]


@pytest.mark.docker
def test_a_container_holds(docker_engine: None, api: docker.APIClient, tmp_path: Path) -> None:
    work, told = tmp_path / "work", list[Attempt]()
    provider = DockerProvider(work=work)
    proof = prove(provider, work=work, seconds=120, on_attempt=told.append)
    provider.close()
    assert bad(proof) == []
    assert proof.ok
    assert tuple(told) == proof.attempts
    assert {"secrets", "files", "machine", "rights", "network", "limits", "endings", "leftovers"} == {
        each.group for each in proof.attempts
    }
    assert [each for each in work.iterdir() if each.name.startswith("sandpiper-")] == []
    assert not [name for name in os.environ if name.startswith("SANDPIPER_PROOF_")]


class Open:
    """A provider whose sandboxes are more open than they were asked to be."""

    def __init__(self, provider: SandboxProvider, network: Network) -> None:
        self._provider, self._network = provider, network

    def create(self, template: Template) -> Sandbox:
        limits = Limits(minutes=5, memory_mb=2048, pids=512, disk_mb=1024)
        leak = {"LEAK": os.environ["SANDPIPER_PROOF_3_TOKEN"]}
        return self._provider.create(template.changed(network=self._network, limits=limits, env=leak))

    def warm(self, template: Template, count: int = 1) -> None:
        self._provider.warm(template, count)

    def healthy(self) -> str | None:
        return self._provider.healthy()

    def sweep(self, run_id: str | None = None) -> int:
        return self._provider.sweep(run_id)

    def close(self) -> None:
        self._provider.close()

    def list(self) -> tuple[SandboxInfo, ...]:
        return self._provider.list()

    def get(self, sandbox_id: str) -> Sandbox | None:
        return self._provider.get(sandbox_id)

    def capacity(self, limits: Limits) -> int:
        return self._provider.capacity(limits)


LIMITED = {"variables of this machine", "memory", "processes", "disk"}


def failed(provider: SandboxProvider, work: Path) -> dict[str, str]:
    proof = prove(provider, work=work, seconds=120)
    provider.close()
    assert not proof.ok
    return {each.name.split(":")[0].split(",")[0]: each.seen for each in proof.attempts if each.state == "FAILED"}


@pytest.mark.docker
def test_a_container_that_is_too_open_is_found_out(docker_engine: None, tmp_path: Path) -> None:
    provider = Open(DockerProvider(work=tmp_path / "work"), Network())
    assert set(failed(provider, tmp_path / "work")) == LIMITED


def test_a_network_that_is_open_is_found_out(tmp_path: Path) -> None:
    """Bubblewrap's bridge is this machine's own network, whose listeners hear it."""
    inner = BubblewrapProvider(work=tmp_path / "work")
    if wrong := inner.healthy():
        pytest.skip(wrong)
    seen = failed(Open(inner, Network(mode="bridge")), tmp_path / "work")
    assert {"variables of this machine", "interfaces and routes", "TCP to loopback"} <= set(seen)
    assert "tcp 127.0.0.1" in seen["TCP to loopback"]
    assert "heard on tcp" in seen["TCP to loopback"], "by this machine's own listener"
    assert "heard on udp" in seen["UDP and DNS"]
    assert "abstract" in seen["unix sockets"]


@pytest.mark.docker
def test_what_an_image_lacks_is_skipped_and_said(tiny_image: str, tmp_path: Path) -> None:
    provider = DockerProvider(work=tmp_path / "work")
    proof = prove(provider, work=tmp_path / "work", image=tiny_image, seconds=120)
    provider.close()
    skipped = {each.name: each.seen for each in proof.attempts if each.state == "skipped"}
    assert skipped["UDP and DNS"] == "no python3 in the image"
    assert skipped["credentials in .git, .netrc, hooks, home"] == "no grep in the image"
    assert states(proof)["interfaces and routes"].state == "ok", "told by the kernel's own table"
    assert [each for each in proof.attempts if each.state not in ("ok", "skipped")] == []


def test_nothing_is_tried_without_isolation(tmp_path: Path) -> None:
    tried: list[Attempt] = []
    with pytest.raises(SandboxError, match="no_isolation"):
        prove(LocalProvider(work=tmp_path / "work", allowed=True), work=tmp_path / "work", on_attempt=tried.append)
    assert tried == []
    assert not list((tmp_path / "work").glob("sandpiper-*"))


def test_bait_is_heard_read_and_taken_away() -> None:
    with laid() as bait:
        assert os.environ[bait.names[0]] == bait.token
        assert bait.private.read_text() == f"{bait.token}\n"
        assert (bait.checkout / "README.md").read_text() == f"{KNOWN}\n"
        assert bait.token in (bait.checkout / ".git" / "config").read_text()
        assert bait.ears.works()
        assert bait.ears.heard() == (), "our own call was on a line of its own"
    assert not bait.folder.exists()
    assert not bait.memory.exists()
    assert bait.names[0] not in os.environ


def test_without_git_nothing_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert shutil.which("git") is None
    with pytest.raises(SandboxError, match="proof_failed"), laid():
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.docker
def test_a_machine_that_is_too_slow_is_told(docker_engine: None, tmp_path: Path) -> None:
    provider = DockerProvider(work=tmp_path / "work")
    with pytest.raises(SandboxError, match="proof_late"):
        prove(provider, work=tmp_path / "work", seconds=0.01)
    provider.close()
    assert not list((tmp_path / "work").glob("sandpiper-*"))

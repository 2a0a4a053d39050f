"""Which provider makes a sandbox: the first that works and suits, never one without isolation, and never in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.errors import ConfigurationError, SandboxError
from bot.plugins import load_adapter, names_of
from bot.protocols import SandboxProvider
from bot.sandbox.select import FirstHealthy, auto, select_provider
from bot.sandboxes import open_sandboxes
from bot.settings import Settings, load_settings
from bot.testing.sandbox import FakeProvider, FakeSandbox
from bot.types.network import Network
from bot.types.run import Progress
from bot.types.sandbox import Template

PLAIN = Template(run_id="1" * 16)
DOWN = SandboxError("docker_unavailable", "no Docker engine answers", hint="start it")
FORBIDDEN = SandboxError("bubblewrap_unavailable", "user namespaces are forbidden")


def pair(tmp_path: Path, *, docker: SandboxError | None = None, bubblewrap: SandboxError | None = None) -> FirstHealthy:
    return FirstHealthy(
        {
            "docker": FakeProvider(tmp_path / "docker", error=docker),
            "bubblewrap": FakeProvider(tmp_path / "bubblewrap", error=bubblewrap),
        }
    )


@pytest.mark.parametrize(
    ("template", "names"),
    [
        (None, ("docker", "bubblewrap")),
        (PLAIN, ("docker", "bubblewrap")),
        (PLAIN.changed(network=Network(mode="restricted", allow=("pypi.org",))), ("docker", "bubblewrap")),
        (PLAIN.changed(network=Network(mode="isolated")), ("docker",)),
        (PLAIN.changed(image="python:3.12"), ("docker",)),
        (PLAIN.changed(image="dockerfile:Dockerfile"), ("docker",)),
        (PLAIN.changed(gpu=True), ("docker",)),
        (PLAIN.changed(runtime="runsc"), ("docker",)),
    ],
)
def test_the_table(template: Template | None, names: tuple[str, ...]) -> None:
    assert select_provider(template) == names


@pytest.mark.parametrize(
    ("docker", "bubblewrap", "image", "taken"),
    [
        (None, None, "host", "docker"),
        (None, FORBIDDEN, "host", "docker"),
        (DOWN, None, "host", "bubblewrap"),
        (DOWN, FORBIDDEN, "host", "no_sandbox"),
        (None, None, "python:3.12", "docker"),
        (DOWN, None, "python:3.12", "no_sandbox"),
    ],
)
def test_the_first_that_works(
    tmp_path: Path, docker: SandboxError | None, bubblewrap: SandboxError | None, image: str, taken: str
) -> None:
    provider = pair(tmp_path, docker=docker, bubblewrap=bubblewrap)
    provider.warm(PLAIN.changed(image=image))
    if taken == "no_sandbox":
        with pytest.raises(SandboxError) as caught:
            provider.create(PLAIN.changed(image=image))
        assert caught.value.code == taken
    else:
        made = provider.create(PLAIN.changed(image=image))
        assert isinstance(made, FakeSandbox)
        assert (tmp_path / taken) in made.workspace.parents


def test_a_refusal_names_what_is_wrong_with_each(tmp_path: Path) -> None:
    provider = pair(tmp_path, docker=DOWN, bubblewrap=FORBIDDEN)
    problem = provider.healthy()
    assert problem is not None
    for part in ("docker: no Docker engine answers", "start it", "bubblewrap: user namespaces are forbidden", "hint:"):
        assert part in problem
    with pytest.raises(SandboxError, match="user namespaces"):
        provider.list()


def test_the_one_that_worked_is_kept(tmp_path: Path) -> None:
    docker, bubblewrap = FakeProvider(tmp_path / "docker"), FakeProvider(tmp_path / "bubblewrap")
    provider = FirstHealthy({"docker": docker, "bubblewrap": bubblewrap})
    provider.create(PLAIN)
    docker._error = DOWN
    with pytest.raises(SandboxError, match="no Docker engine"):
        provider.create(PLAIN)
    assert not bubblewrap.made, "nothing else takes over behind a run's back"


def test_what_is_there_is_found_and_swept_wherever_it_came_from(tmp_path: Path) -> None:
    docker, bubblewrap = FakeProvider(tmp_path / "docker"), FakeProvider(tmp_path / "bubblewrap")
    provider = FirstHealthy({"docker": docker, "bubblewrap": bubblewrap})
    first, _ = bubblewrap.create(PLAIN), docker.create(PLAIN)
    docker.create(PLAIN)
    assert len(provider.list()) == 3
    assert provider.list()[0].id == first.id
    assert provider.get("fake-sandbox-1") is docker.made[1]
    assert provider.get("fake-sandbox-0") is None, "two have that name"
    provider.sweep("1" * 16)
    assert docker.swept == bubblewrap.swept == ["1" * 16]
    provider.close()
    assert (docker.closed, bubblewrap.closed) == (True, True)


def test_without_an_engine_bubblewrap_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    provider = auto(work=tmp_path / "work")
    problem = provider.healthy()
    if problem is None:
        sandbox = provider.create(PLAIN)
        assert sandbox.record.provider == "bubblewrap"
        assert [each.provider for each in provider.list()] == ["bubblewrap"]
        sandbox.close()
    else:
        assert "docker: no Docker engine answers" in problem
        assert "bubblewrap: " in problem
    with pytest.raises(SandboxError, match="no Docker engine answers"):
        provider.create(PLAIN.changed(image="python:3.12"))
    provider.close()


class Nobody:
    def notify(self, progress: Progress) -> None:
        pass


def opened(tmp_path: Path, sandbox: str, *, allowed: bool = False) -> SandboxProvider:
    return open_sandboxes(Settings(sandbox=sandbox, state=tmp_path), Nobody(), unisolated=allowed)


def test_auto_is_the_default() -> None:
    assert load_settings({}).sandbox == "auto"
    assert {"auto", "docker", "bubblewrap", "local"} <= set(names_of("sandboxes"))
    assert load_adapter("sandboxes", "auto") is auto


def test_without_isolation_only_where_the_caller_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        opened(tmp_path, "local")
    assert (caught.value.code, "auto" in caught.value.hint) == ("local_not_allowed", True)
    assert opened(tmp_path, "local", allowed=True).healthy() is None


def test_nothing_is_asked_before_a_sandbox_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    opened(tmp_path / "state", "auto").close()
    assert not (tmp_path / "state").exists()

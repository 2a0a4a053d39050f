"""A real engine and a small checkout -> what the sandbox's tests share: a provider, a living sandbox, a tiny image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from bot.sandbox.docker import DockerProvider
from bot.sandbox.running import DockerSandbox
from bot.testing.contracts_sandbox import make_checkout, template


@pytest.fixture(scope="session")
def api(docker_engine: None) -> Iterator[docker.APIClient]:
    """The engine, for looking at it from outside."""
    client = docker.from_env()
    yield client.api
    client.close()


@pytest.fixture(scope="session")
def provider(docker_engine: None, tmp_path_factory: pytest.TempPathFactory) -> DockerProvider:
    """One for a whole worker."""
    return DockerProvider(work=tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pristine checkout that no test may write."""
    return make_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="session")
def sandbox(provider: DockerProvider, checkout: Path) -> Iterator[DockerSandbox]:
    """A living sandbox for checks that leave it usable."""
    made = provider.create(template(checkout))
    yield made
    made.close()

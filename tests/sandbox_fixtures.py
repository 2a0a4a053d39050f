"""A real engine and a small checkout -> what the sandbox's tests share: a provider, a living sandbox, a tiny image."""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from bot.sandbox.docker.provider import DockerProvider
from bot.sandbox.living import LivingSandbox
from bot.testing.contracts_sandbox import make_checkout, template
from bot.types.sandbox import Template


@pytest.fixture(scope="session")
def api(docker_engine: None) -> Iterator[docker.APIClient]:
    """The engine, for looking at it from outside."""
    client = docker.from_env()
    yield client.api
    client.close()


@pytest.fixture(scope="session")
def provider(docker_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerProvider]:
    """One for a whole worker."""
    made = DockerProvider(work=tmp_path_factory.mktemp("work"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pristine checkout that no test may write."""
    return make_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="session")
def sandbox(provider: DockerProvider, checkout: Path) -> Iterator[LivingSandbox]:
    """A living sandbox for checks that leave it usable."""
    made = provider.create(template(checkout))
    yield made
    made.close()


@pytest.fixture(scope="session")
def warm_provider(docker_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerProvider]:
    """One that is asked to make namespaces ahead."""
    made = DockerProvider(work=tmp_path_factory.mktemp("warm"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def warm_sandbox(warm_provider: DockerProvider, checkout: Path) -> Iterator[LivingSandbox]:
    """A living sandbox in a donor's namespaces."""
    made = create_warm(warm_provider, template(checkout))
    yield made
    made.close()


def create_warm(provider: DockerProvider, wanted: Template) -> LivingSandbox:
    """A sandbox whose namespaces were there before: a start takes a donor only where one is ready."""
    provider.warm(wanted)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        made = provider.create(wanted)
        if made.record.warm:
            return made
        made.close()
    raise AssertionError("no namespaces were made ahead")


TOOLS = ("sh", "sleep", "cat", "head", "stat", "find", "mkdir", "chmod", "readlink", "ls", "id", "touch", "rm")


@pytest.fixture(scope="session")
def tiny_image(api: docker.APIClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image from nothing: a few programs of this machine with their libraries, no users, no /tmp, no network."""
    programs = [Path(found) for found in map(shutil.which, TOOLS) if found]
    wanted = {f"bin/{program.name}": program for program in programs}
    for program in programs:
        listing = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
        for library in re.findall(r"(/\S+) \(0x", listing):
            wanted[library.lstrip("/")] = Path(library)
    archive = tmp_path_factory.mktemp("image") / "tiny.tar"
    with tarfile.open(archive, "w", dereference=True) as tar:
        for name, source in wanted.items():
            tar.add(source.resolve(), arcname=name)
    name = f"sandpiper-test:{secrets.token_hex(6)}"
    api.import_image_from_file(str(archive), repository=name.split(":")[0], tag=name.split(":")[1])
    yield name
    api.remove_image(name, force=True)

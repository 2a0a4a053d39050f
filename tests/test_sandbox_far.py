"""An engine that does not see this machine's files: the workspace goes there as an archive, and comes back as one."""

# ruff: noqa: F811 - fixtures

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from bot.errors import SandboxError
from bot.sandbox.docker.provider import DockerProvider
from bot.testing.contracts_given import SECRET, shell, template
from bot.types.network import Network
from bot.types.sandbox import Template
from tests.sandbox_fixtures import api, checkout, tiny_image  # noqa: F401 - fixtures

pytestmark = pytest.mark.docker


@pytest.fixture
def far(docker_engine: None, tmp_path: Path) -> Iterator[DockerProvider]:
    """A provider that shares no file with its engine."""
    provider = DockerProvider(work=tmp_path / "work", elsewhere=True)
    yield provider
    provider.close()


@pytest.fixture
def wanted(checkout: Path, tiny_image: str) -> Template:
    made = template(checkout)
    return made.changed(image=tiny_image, limits=made.limits.changed(disk_mb=32))


def test_the_checkout_arrives_and_what_changed_comes_back(
    far: DockerProvider, wanted: Template, api: docker.APIClient, tmp_path: Path
) -> None:
    made = far.create(wanted)
    try:
        assert (made.record.workspace, made.record.disk) == ("tar", "volume")
        assert shell(made, "cat README.md; id -u").stdout == b"hello\n1000\n"
        binds = [each for each in api.inspect_container(made.id)["Mounts"] if each["Type"] == "bind"]
        assert not binds, "nothing of this machine's is mounted"
        script = "echo changed > README.md; rm src/a.py; touch new; chmod -x run.sh; ln -s /etc/passwd link2"
        assert shell(made, script).exit_code == 127, "an image without ln says so"
        made.write_file("deep/er/file", bytes(range(256)))
        assert made.read_file("deep/er/file") == bytes(range(256))
        changes = made.collect(tmp_path / "blobs")
    finally:
        made.close()
    assert changes.complete
    assert {each.path: each.kind for each in changes.files} == {
        "README.md": "modified",
        "src/a.py": "deleted",
        "new": "added",
        "run.sh": "modified",
        "deep/er/file": "added",
    }
    assert not [each for each in api.containers(all=True) if made.id in each["Names"][0]]


def test_no_credential_of_the_checkout_goes_there(far: DockerProvider, wanted: Template) -> None:
    made = far.create(wanted)
    try:
        found = shell(made, "find . -type f -exec cat {} +", output_bytes=1_000_000)
        assert SECRET.encode() not in found.stdout
        assert ".netrc" not in made.list_files()
    finally:
        made.close()


def test_a_time_out_clears_it_and_the_disk_has_its_size(far: DockerProvider, wanted: Template) -> None:
    made = far.create(wanted)
    try:
        assert shell(made, "sleep 99 & sleep 98", seconds=1).ending == "timed_out"
        assert shell(made, "head -c 64000000 /dev/zero > full").exit_code != 0, "32 MiB are 32 MiB"
        assert shell(made, "echo fine").stdout == b"fine\n"
        assert made.health() is None
    finally:
        made.close()


def test_what_it_can_not_have_is_refused_by_name(far: DockerProvider, wanted: Template, tmp_path: Path) -> None:
    for asked, code in (
        (wanted.changed(network=Network(mode="isolated")), "network_unsupported"),
        (wanted.changed(read_only=True), "read_only_unsupported"),
    ):
        with pytest.raises(SandboxError) as caught:
            far.create(asked)
        assert caught.value.code == code
    assert not list((tmp_path / "work").glob("sandpiper-*"))

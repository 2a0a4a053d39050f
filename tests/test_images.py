"""Images: real pulls from a registry on loopback, real builds, the host's image and the machine's toolchain."""

from __future__ import annotations

import base64
import json
import logging
import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import docker
import pytest
from docker.errors import APIError, ImageNotFound
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bot.errors import SandboxError
from bot.sandbox.docker.build import REPOSITORY as BUILT
from bot.sandbox.docker.build import Building, prune
from bot.sandbox.docker.dockerfile import base_images
from bot.sandbox.docker.hardware import check_runtime, device_requests, gpu_environment, hardware_error
from bot.sandbox.docker.hostimage import LABEL, HostImages
from bot.sandbox.docker.images import ImageRules, Resolved, have, prefetch, resolve
from bot.sandbox.docker.pull import Login, Pulling, pull
from bot.sandbox.docker.reference import parse_reference
from bot.sandbox.toolchain import Toolchains, host_toolchain
from bot.types.sandbox import Template
from tests.registry_server import Registry

RUN = "0123456789abcdef"
NOBODY = "/nonexistent/config.json"
MISSING = Pulling("missing", seconds=60, config=NOBODY, pause=0.05)
Resolve = Callable[..., Resolved]


@pytest.fixture(scope="module")
def api(docker_engine: None) -> Iterator[docker.APIClient]:
    client = docker.from_env()
    yield client.api
    client.close()


@pytest.fixture
def registry(api: docker.APIClient) -> Iterator[Registry]:
    """What was pulled from it is removed at the end."""
    with Registry() as server:
        yield server
        for image in api.images():
            for name in (*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())):
                if name.startswith(f"{server.address}/"):
                    remove(api, name)


@pytest.fixture
def resolving(api: docker.APIClient, tmp_path: Path) -> Iterator[Resolve]:
    """`resolve` for a checkout; what was built is removed at the end."""
    built: list[str] = []

    def call(image: str, checkout: Path, *, rules: ImageRules | None = None, **more: object) -> Resolved:
        template = Template(run_id=RUN, image=image, checkout=str(checkout))
        rules = rules or ImageRules(pulling=MISSING)
        found = resolve(api, template, os.environ, HostImages(tmp_path / "work"), rules=rules, **more)  # type: ignore[arg-type]
        built.extend([found.image.name] if found.image.name.startswith(BUILT) else [])
        return found

    yield call
    assert set(prune(api, only=built)) == set(built)
    assert not [each for each in api.images() if set(each["RepoTags"] or ()) & set(built)]


def remove(api: docker.APIClient, name: str) -> None:
    try:
        api.remove_image(name, force=True)
    except ImageNotFound:
        return


def unique() -> dict[str, bytes]:
    """Files that no other test's image has, so that no layer is there already."""
    return {"unique": secrets.token_bytes(100_000)}


def code_of(error: pytest.ExceptionInfo[SandboxError]) -> str:
    assert error.value.hint, error.value
    return error.value.code


# Names


@pytest.mark.parametrize(
    ("name", "registry", "full"),
    [
        ("python", "docker.io", "python:latest"),
        ("team/tool:1", "docker.io", "team/tool:1"),
        ("localhost/tool", "localhost", "localhost/tool:latest"),
        ("127.0.0.1:5000/a/b:c", "127.0.0.1:5000", "127.0.0.1:5000/a/b:c"),
        ("ghcr.io/a/b:1@sha256:" + "0" * 64, "ghcr.io", "ghcr.io/a/b@sha256:" + "0" * 64),
    ],
)
def test_names(name: str, registry: str, full: str) -> None:
    found = parse_reference(name)
    assert (found.registry, found.name) == (registry, full)
    assert found.pinned == ("@" in name)


@given(st.text(alphabet="aZ0-_.:/@ \n\0é", max_size=40))
def test_a_name_is_good_for_a_command_line_and_an_address_or_an_error(name: str) -> None:
    try:
        found = parse_reference(name)
    except SandboxError:
        return
    assert found.name.isascii()
    assert found.name.isprintable()
    assert " " not in found.name
    assert found.name[0] not in "-/.:"


# Pulls


@pytest.mark.docker
def test_a_missing_image_is_pulled_only_if_the_operator_says_so(api: docker.APIClient, registry: Registry) -> None:
    registry.add("tool:1", unique())
    name = f"{registry.address}/tool:1"
    with pytest.raises(SandboxError) as raised:
        have(api, name, Pulling(config=NOBODY))
    assert code_of(raised) == "image_not_found"
    assert name in raised.value.hint
    assert registry.requests == [], "nobody was asked"
    said: list[str] = []
    assert have(api, name, MISSING, said.append).name == name
    assert any("1 of 1 layers" in line for line in said), said
    asked = len(registry.requests)
    assert have(api, name, MISSING).name == name
    assert len(registry.requests) == asked, "what is there is not fetched again"


@pytest.mark.docker
def test_a_digest_names_its_content_whatever_the_tag_became(api: docker.APIClient, registry: Registry) -> None:
    digest = registry.add("tool:1", {"old": b"1", **unique()})
    registry.add("tool:1", {"new": b"2", **unique()})
    found = have(api, f"{registry.address}/tool:1@{digest}", MISSING)
    assert found.name == f"{registry.address}/tool@{digest}"
    assert api.inspect_image(found.name)["RepoDigests"] == [found.name]  # type: ignore[no-untyped-call]
    registry.blobs.clear()
    with pytest.raises(SandboxError) as raised:
        have(api, f"{registry.address}/tool@sha256:{'0' * 64}", MISSING)
    assert code_of(raised) == "image_not_found"


@pytest.mark.docker
def test_a_slow_registry_ends_with_a_time_out_that_names_the_way_out(api: docker.APIClient, registry: Registry) -> None:
    registry.add("tool:1", {"large": secrets.token_bytes(3_000_000)})
    registry.slow = 1.0
    began, said = time.monotonic(), list[str]()
    with pytest.raises(SandboxError) as raised:
        pull(api, f"{registry.address}/tool:1", Pulling("missing", seconds=3, config=NOBODY), said.append)
    assert code_of(raised) == "image_pull_timeout"
    assert "sandpiper sandbox pull" in raised.value.hint
    assert 2 < time.monotonic() - began < 30
    assert 1 <= len(said) <= 3, "a line a second, not one for each message"
    assert registry.broken_off.wait(20), "the engine goes on pulling"


@pytest.mark.docker
def test_a_network_that_comes_back_is_tried_again(
    api: docker.APIClient, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    registry.add("tool:1", unique())
    registry.faults = 2
    with caplog.at_level(logging.WARNING):
        pull(api, f"{registry.address}/tool:1", MISSING)
    assert caplog.text.count("try ") == 2
    registry.faults = 1_000
    with pytest.raises(SandboxError) as raised:
        pull(api, f"{registry.address}/tool:1", MISSING)
    assert code_of(raised) == "image_pull_failed"
    registry.faults = 0
    with pytest.raises(SandboxError) as raised:
        pull(api, f"{registry.address}/other:1", MISSING)
    assert code_of(raised) == "image_not_found"
    with pytest.raises(SandboxError) as raised:
        pull(api, "127.0.0.1:1/nobody:1", MISSING)
    assert code_of(raised) == "image_pull_failed"


@pytest.mark.docker
def test_a_login_is_given_or_read_from_dockers_file_and_never_shown(
    api: docker.APIClient, registry: Registry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    registry.add("tool:1", unique())
    registry.login = ("agent", "s3cr3t-password")
    name = f"{registry.address}/tool:1"
    wrong = Login(registry.address, "agent", SecretStr("wr0ng-password"))
    for pulling in (MISSING, Pulling("missing", config=NOBODY, logins=(wrong,))):
        with pytest.raises(SandboxError) as raised:
            pull(api, name, pulling)
        assert code_of(raised) == "registry_login_failed"
        assert "password" not in str(raised.value)
    pull(api, name, Pulling("missing", config=NOBODY, logins=(Login(registry.address, *map_secret(registry.login)),)))
    remove(api, name)
    file = tmp_path / "config.json"
    word = base64.b64encode(b"agent:s3cr3t-password").decode()
    file.write_text(json.dumps({"auths": {registry.address: {"auth": word}}}))
    pull(api, name, Pulling("missing", config=str(file)))
    file.write_text(json.dumps({"auths": {registry.address: {"auth": "no base64 s3cr3t-password"}}}))
    with pytest.raises(SandboxError) as raised:
        pull(api, name, Pulling("missing", config=str(file)))
    assert code_of(raised) == "registry_login_failed"
    for secret in ("s3cr3t-password", "wr0ng-password", word):
        assert secret not in caplog.text + str(raised.value) + repr(wrong)


def map_secret(login: tuple[str, str]) -> tuple[str, SecretStr]:
    return login[0], SecretStr(login[1])


@pytest.mark.docker
@pytest.mark.parametrize("listed", [True, False])
def test_an_image_for_another_machine_is_refused(api: docker.APIClient, registry: Registry, listed: bool) -> None:
    registry.add("tool:1", unique(), architecture="s390x", listed=listed)
    with pytest.raises(SandboxError) as raised:
        have(api, f"{registry.address}/tool:1", MISSING)
    assert code_of(raised) == "image_platform_mismatch"


@pytest.mark.docker
def test_several_are_fetched_ahead_and_a_bad_one_only_warns(
    api: docker.APIClient, registry: Registry, tmp_path: Path
) -> None:
    names = [f"{registry.address}/tool:{number}" for number in range(3)]
    for number in range(3):
        registry.add(f"tool:{number}", unique())
    warned: list[str] = []
    wanted = ["host", names[0], f"{registry.address}/bad:1", "Not A Name", "dockerfile:D", *names]
    found = prefetch(api, wanted, HostImages(tmp_path), pulling=Pulling(seconds=60, config=NOBODY), warn=warned.append)
    assert [each.name for each in found if each.error is None] == ["host", *names]
    assert sorted(each.error.code for each in found if each.error) == ["image_name_invalid", "image_not_found"]
    assert len(warned) == 2
    asked = len(registry.requests)
    prefetch(api, names, HostImages(tmp_path), pulling=Pulling(config=NOBODY), warn=warned.append, refresh=True)
    assert len(registry.requests) > asked


# Builds


@pytest.fixture(scope="module")
def shell(api: docker.APIClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image with a shell, a cat and nothing else."""
    folder = tmp_path_factory.mktemp("shell")
    for program in ("sh", "cat"):
        found = Path(shutil.which(program) or "").resolve()
        (folder / "bin").mkdir(exist_ok=True)
        shutil.copy(found, folder / "bin" / program)
        listing = subprocess.run(["ldd", str(found)], capture_output=True, text=True, check=True).stdout
        for word in listing.split():
            if word.startswith("/"):
                (folder / word.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(word, folder / word.lstrip("/"))
    name = f"sandpiper-test-shell:{secrets.token_hex(4)}"
    archive = shutil.make_archive(str(folder / "root"), "tar", folder)
    api.import_image_from_file(archive, repository=name.split(":")[0], tag=name.split(":")[1])
    yield name
    remove(api, name)


def make_checkout(folder: Path, dockerfile: str) -> Path:
    (folder / ".git").mkdir(parents=True)
    (folder / ".git/config").write_text("token = canary")
    (folder / ".dockerignore").write_text("# rules\n*.log\n!kept.log\nsecret/\n")
    for name in ("kept.log", "dropped.log", "secret/key", "source.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "Dockerfile").write_text(dockerfile)
    return folder


@pytest.mark.docker
def test_a_dockerfile_is_built_once_for_the_same_content(
    api: docker.APIClient, resolving: Resolve, shell: str, tmp_path: Path
) -> None:
    lines = (
        f"ARG BASE={shell}",
        "FROM ${BASE} AS first",
        "COPY . /all",
        "RUN test -f /all/kept.log && test ! -e /all/dropped.log && test ! -e /all/secret && test ! -e /all/.git",
        "RUN while read name rest; do case $name in lo:|Inter*|face) ;; *) exit 7;; esac; done < /proc/net/dev",
        "RUN if cat /all/link; then exit 8; fi",  # the image has no such file, and the host's did not come along
        "FROM first",
        f"RUN echo {secrets.token_hex(8)} > /made",
    )
    one = make_checkout(tmp_path / "one", "\n".join(lines))
    two = make_checkout(tmp_path / "two", "\n".join(lines))
    (two / ".git/config").write_text("another")
    (two / "dropped.log").write_text("another")
    os.utime(two / "source.txt", (1, 1))
    said: list[str] = []
    made = resolving("dockerfile:Dockerfile", one, trusted=True, on_progress=said.append)
    assert made.image.name.startswith(f"{BUILT}:")
    assert any("RUN" in line for line in said)
    assert api.inspect_image(made.image.name)["Config"]["Labels"]["sandpiper.built"] == made.image.name  # type: ignore[no-untyped-call]
    said.clear()
    assert resolving("dockerfile:Dockerfile", two, trusted=True, on_progress=said.append) == made
    assert said == [], "nothing was built"
    assert made.image.name not in prune(api, timedelta(hours=1))
    assert have(api, made.image.name, Pulling(config=NOBODY)) == made.image
    (two / "source.txt").write_text("another")
    with pytest.raises(SandboxError) as raised:
        resolving("dockerfile:Dockerfile", two)
    assert code_of(raised) == "image_not_allowed"


@pytest.mark.docker
def test_a_build_that_fails_or_never_ends_says_how_it_ended(
    api: docker.APIClient, resolving: Resolve, shell: str, tmp_path: Path
) -> None:
    before = {each["Id"] for each in api.images(all=True)}
    bad = make_checkout(
        tmp_path / "bad", f"FROM {shell}\nCOPY . /\nRUN echo x > /y\nRUN echo last \x1b[31mwords && exit 3\n"
    )
    with pytest.raises(SandboxError) as raised:
        resolving("dockerfile:Dockerfile", bad, trusted=True)
    assert code_of(raised) == "image_build_failed"
    assert "words" in raised.value.message
    assert "\x1b" not in raised.value.message
    mark = secrets.token_hex(8)
    endless = make_checkout(tmp_path / "endless", f"FROM {shell}\nCOPY . /\nRUN while :; do :; done # {mark}\n")
    with pytest.raises(SandboxError) as raised:
        resolving(
            "dockerfile:Dockerfile",
            endless,
            trusted=True,
            rules=ImageRules(pulling=MISSING, building=Building(seconds=4)),
        )
    assert code_of(raised) == "image_build_timeout"
    deadline = time.monotonic() + 30
    while any(mark in each["Command"] for each in api.containers()):
        assert time.monotonic() < deadline, "the build still runs"
        time.sleep(0.2)
    base = api.inspect_image(shell)["Id"]  # type: ignore[no-untyped-call]
    assert not [each for each in api.images(all=True) if each["Id"] not in before and each["ParentId"] == base]


@pytest.mark.docker
def test_a_build_that_can_not_begin_says_why(resolving: Resolve, tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path / "c", "FROM scratch\nCOPY . /\n")
    (checkout / "outside").symlink_to("..")
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    for name in ("missing", "secret", "../Dockerfile", "/etc/passwd", "link"):
        with pytest.raises(SandboxError) as raised:
            resolving(f"dockerfile:{name}", checkout, trusted=True)
        assert code_of(raised) == "dockerfile_not_found"
    (checkout / "devcontainer.json").write_text('{"build": {"dockerfile": "Dockerfile", "context": "outside"}}')
    with pytest.raises(SandboxError) as raised:
        resolving("devcontainer:devcontainer.json", checkout, trusted=True)
    assert code_of(raised) == "dockerfile_invalid"
    with (checkout / "huge").open("wb") as huge:
        huge.truncate(1 << 40)
    with pytest.raises(SandboxError) as raised:
        resolving("dockerfile:Dockerfile", checkout, trusted=True)
    assert code_of(raised) == "build_context_too_large"


@pytest.mark.docker
def test_what_a_build_starts_from_follows_the_operators_rule(
    resolving: Resolve, registry: Registry, tmp_path: Path
) -> None:
    registry.add("base:1", unique())
    checkout = make_checkout(tmp_path / "c", f"FROM {registry.address}/base:1\nCOPY source.txt /\n")
    with pytest.raises(SandboxError) as raised:
        resolving("dockerfile:Dockerfile", checkout, trusted=True, rules=ImageRules(Pulling(config=NOBODY)))
    assert code_of(raised) == "image_not_found"
    assert registry.requests == []
    assert resolving("dockerfile:Dockerfile", checkout, trusted=True).image.name.startswith(BUILT)


@pytest.mark.docker
def test_a_devcontainer_names_an_image_or_a_build(resolving: Resolve, registry: Registry, tmp_path: Path) -> None:
    registry.add("dev:1", unique())
    name = f"{registry.address}/dev:1"
    checkout = make_checkout(tmp_path / "c", f"ARG V=none\nFROM {name}\nCOPY source.txt /$V\n")
    file = checkout / ".devcontainer/devcontainer.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"image": name, "containerEnv": {"A": "1"}, "runArgs": ["--privileged"]}))
    with pytest.raises(SandboxError) as raised:
        resolving("devcontainer:", checkout)
    assert code_of(raised) == "image_not_allowed"
    for rules, trusted in (
        (ImageRules(MISSING, allowed=(name,)), False),
        (ImageRules(MISSING, allowed=("*",)), False),
        (ImageRules(MISSING), True),
    ):
        found = resolving("devcontainer:.devcontainer", checkout, rules=rules, trusted=trusted)
        assert (found.image.name, found.env) == (name, {"A": "1"})
        assert "runArgs" in found.notes[0]
    file.write_text(json.dumps({"build": {"dockerfile": "../Dockerfile", "context": "..", "args": {"V": "x"}}}))
    with pytest.raises(SandboxError, match="not built"):
        resolving("devcontainer:", checkout, rules=ImageRules(MISSING, allowed=("*",)))
    assert resolving("devcontainer:", checkout, trusted=True).image.name.startswith(BUILT)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("FROM a", ("a",)),
        ("from --platform=linux/amd64 a:1 as X\nFROM x\nFROM scratch", ("a:1",)),
        ("ARG V=1\nFROM a:$V\nFROM b:${W:-2}\nCOPY --from=0 /x /\nCOPY --from=c:3 /x /", ("a:1", "b:2", "c:3")),
        ("# escape=`\nFROM `\n a # not a comment", ("a",)),
    ],
)
def test_what_a_dockerfile_builds_on(text: str, names: tuple[str, ...]) -> None:
    assert base_images(text, {}) == names


@pytest.mark.parametrize("text", ["", "RUN true", "FROM $X", "FROM a\nADD https://example.org/x /", "FROM a\nADD $U /"])
def test_a_dockerfile_that_hides_what_it_fetches_is_refused(text: str) -> None:
    with pytest.raises(SandboxError) as raised:
        base_images(text, {})
    assert code_of(raised) == "dockerfile_invalid"


@given(st.text(alphabet="FROMARGADD copy--from=$x{}:\\\n#`a ", max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        names = base_images(text, {})
    except SandboxError:
        return
    assert not any("$" in name for name in names)


# The host's image


@pytest.mark.docker
def test_imports_at_once_leave_one_image(api: docker.APIClient, tmp_path: Path) -> None:
    repository = f"sandpiper-test-host-{secrets.token_hex(4)}"
    begin = threading.Barrier(6)

    def import_it(number: int) -> str:
        client = docker.from_env()
        begin.wait()
        try:  # as six processes would, with two work folders between them
            return HostImages(tmp_path / str(number % 2), repository=repository).name(client.api)
        finally:
            client.close()

    with ThreadPoolExecutor(6) as pool:
        names = set(pool.map(import_it, range(6)))
    (name,) = names
    try:
        assert len(api.images(filters={"label": f"{LABEL}={name}"})) == 1
        images = HostImages(tmp_path / "0", repository=repository)
        assert images.image(api, os.environ).mounts == host_toolchain(os.environ).mounts
        remove(api, name)
        assert images.name(api) == name, "somebody pruned it meanwhile"
        assert len(api.images(name)) == 1
    finally:
        remove(api, name)


# The machine's toolchain


def a_machine(tmp_path: Path) -> tuple[dict[str, str], Path]:
    cache = tmp_path / "cache"
    root = cache / "Python/3.11.7/x64"
    (root / "bin").mkdir(parents=True)
    environ = {"PATH": f"{root}/bin:/usr/bin", "HOME": "/nonexistent", "RUNNER_TOOL_CACHE": str(cache)}
    for folder in (root / "bin", root, *root.parents):
        if folder.is_relative_to(cache):
            os.utime(folder, (1_000_000_000, 1_000_000_000))
    return environ, root


def test_settings_deep_in_the_tool_cache_are_hidden(tmp_path: Path) -> None:
    environ, root = a_machine(tmp_path)
    for name in ("pip.conf", "etc/npmrc", "lib/node_modules/npm/npmrc"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("password")
    (tmp_path / "elsewhere").write_text("password")
    (root / "etc/pip.conf").symlink_to(tmp_path / "elsewhere")
    hidden = [each for each in host_toolchain(environ).hidden if each.startswith(str(tmp_path))]
    assert hidden == [str(root / name) for name in ("etc/npmrc", "lib/node_modules/npm/npmrc", "pip.conf")]


def test_what_was_found_is_kept_until_anything_changes(tmp_path: Path) -> None:
    environ, root = a_machine(tmp_path)
    toolchains = Toolchains()
    first = toolchains.of(environ)
    assert first == host_toolchain(environ)
    assert toolchains.of(environ) is first
    (root / "pip.conf").write_text("password")
    assert str(root / "pip.conf") in toolchains.of(environ).hidden
    (root / "pip.conf").unlink()
    (root / "etc").mkdir()
    assert toolchains.of(environ).hidden == first.hidden
    (root / "etc/npmrc").write_text("password")
    assert str(root / "etc/npmrc") in toolchains.of(environ).hidden
    new = root.parent.parent / "3.12.0/x64"
    new.mkdir(parents=True)
    (new / "pip.conf").write_text("password")
    assert str(new / "pip.conf") in toolchains.of(environ).hidden
    assert toolchains.of({**environ, "PATH": "/usr/bin"}).path != first.path


def test_asking_again_costs_little(tmp_path: Path) -> None:
    environ, root = a_machine(tmp_path)
    for number in range(30):
        folder = root.parent.parent / f"3.{number}.0/x64"
        folder.mkdir(parents=True)
    time.sleep(0.06)  # what changed just now is looked at again
    toolchains = Toolchains()
    toolchains.of(environ)

    def cost(call: Callable[[], object]) -> float:
        began = time.process_time()
        for _ in range(20):
            call()
        return time.process_time() - began

    again, anew = cost(lambda: toolchains.of(environ)), cost(lambda: host_toolchain(environ))
    assert again < anew / 2, (again, anew)


# What the engine has


def test_runtime_and_gpu() -> None:
    info: dict[str, object] = {"Runtimes": {"runc": {}, "io.containerd.runc.v2": {}}}
    check_runtime(None, info)
    check_runtime("runc", info)
    with pytest.raises(SandboxError) as raised:
        check_runtime("runsc", info)
    assert code_of(raised) == "runtime_unknown"
    assert "runc" in raised.value.hint
    assert hardware_error("bind source path does not exist", info) is None
    assert device_requests(False) == []
    assert gpu_environment(False) == {}


@pytest.mark.docker
def test_an_engine_without_gpus_says_so(api: docker.APIClient, shell: str) -> None:
    info = api.info()
    if "nvidia" in info["Runtimes"]:
        pytest.skip("this machine may have one")
    settings = api.create_host_config(network_mode="none", device_requests=device_requests(True))
    made = api.create_container(shell, ["/bin/sh"], host_config=settings, environment=gpu_environment(True))
    try:
        with pytest.raises(APIError) as refused:
            api.start(made["Id"])
    finally:
        api.remove_container(made["Id"], force=True)
    error = hardware_error(str(refused.value.explanation), info)
    assert error is not None
    assert error.code == "gpu_unavailable"
    assert "runc" in error.message
    with pytest.raises(APIError) as refused:
        api.create_container(shell, ["/bin/sh"], host_config=api.create_host_config(runtime="nobodys"))
    error = hardware_error(str(refused.value.explanation), info)
    assert error is not None
    assert error.code == "runtime_unknown"

"""Caches: one for each repository and lock file, written by trusted runs alone, used without a network by all."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import secrets
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker
import pytest
from docker.types import Mount

from bot.errors import SandboxError
from bot.sandbox.caches import HOME, OpenCache, cache_env, caches_of, clear, stored, trim, view_options
from bot.sandbox.docker.hostimage import HostImages
from bot.types.sandbox import Cache

USER = 1000 if os.geteuid() == 0 else os.geteuid()
GROUP = 1000 if os.geteuid() == 0 else os.getegid()
LOCKS = {
    "requirements.txt": "pip",
    "uv.lock": "uv",
    "poetry.lock": "poetry",
    "package-lock.json": "npm",
    "yarn.lock": "yarn",
    "pnpm-lock.yaml": "pnpm",
    "Cargo.lock": "cargo",
    "go.sum": "go",
    "packages.lock.json": "nuget",
    "pom.xml": "maven",
    "gradle.lockfile": "gradle",
    "Gemfile.lock": "bundler",
}


def opened(root: Path, name: str = "npm-1", *, writable: bool = True) -> OpenCache:
    return OpenCache.open(root, Cache(name=name, path="/c", writable=writable), uid=USER, gid=GROUP)


@pytest.mark.parametrize(("lock", "tool"), LOCKS.items())
def test_each_lock_file_has_a_cache_and_variables_that_lead_there(lock: str, tool: str, tmp_path: Path) -> None:
    (tmp_path / lock).write_text("a")
    (cache,) = caches_of(tmp_path, trusted=False, scope="1")
    assert cache.name.startswith(f"{tool}-")
    assert len(cache.name) == len(tool) + 17
    assert Path(cache.path).parent == Path(HOME), "a folder in between would belong to root"
    assert not cache.writable
    env = cache_env((cache,))
    assert any(cache.path in value for value in env.values())
    assert env.items() <= cache_env((cache,), offline=True).items()


def test_the_name_follows_from_lock_tool_and_repository(tmp_path: Path) -> None:
    def name(**more: str) -> str:
        (cache,) = caches_of(tmp_path, trusted=True, scope=more.get("scope", "1"))
        assert cache.writable
        return cache.name

    (tmp_path / "package-lock.json").write_text("a")
    first = name()
    assert name() == first
    assert name(scope="2") != first, "a fork has the same lock file and another owner"
    (tmp_path / "package-lock.json").write_text("b")
    assert name() != first
    both = tmp_path / "npm-shrinkwrap.json"
    both.write_text("")
    assert name() != first


def test_a_lock_file_that_is_none_is_not_read(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (tmp_path / "outside").write_text("host")
    (checkout / "uv.lock").symlink_to("../outside")
    (checkout / "poetry.lock").mkdir()
    os.mkfifo(checkout / "yarn.lock")
    (checkout / "go.sum").symlink_to("go.sum")
    with (checkout / "Cargo.lock").open("wb") as huge:
        huge.truncate(1 << 40)
    assert caches_of(checkout, trusted=True, scope="1") == ()
    assert caches_of(tmp_path / "nowhere", trusted=True, scope="1") == ()


def test_one_writes_and_others_look(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as first:
        assert first.mode == "write"
        assert (first.folder.stat().st_uid, first.folder.stat().st_gid) == (USER, GROUP)
        with closing(opened(tmp_path)) as second, closing(opened(tmp_path, writable=False)) as third:
            assert (second.mode, third.mode) == ("view", "view")
            assert second.folder == first.folder
        with closing(opened(tmp_path, "npm-2")) as other:
            assert other.mode == "write"
    with closing(opened(tmp_path)) as later:
        assert later.mode == "write"


def test_a_place_that_can_not_be_had_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file")
    with pytest.raises(SandboxError) as raised:
        opened(tmp_path / "root")
    assert raised.value.code == "cache_failed"


def test_what_nobody_used_is_cleared_and_what_is_used_stays(tmp_path: Path) -> None:
    root = tmp_path / "caches"
    assert stored(root) == ()
    outside = tmp_path / "outside"
    outside.write_text("kept")
    for number in range(3):
        with closing(opened(root, f"go-{number}")) as made:
            (made.folder / "module").mkdir()
            (made.folder / "module" / "file").write_bytes(secrets.token_bytes(100_000))
            (made.folder / "link").symlink_to(outside)
            (made.folder / "module").chmod(0o555)
        age = (datetime.now(UTC) - timedelta(days=10 - number)).timestamp()
        os.utime(root / f"go-{number}" / "used", (age, age))
    names = [each.name for each in stored(root)]
    assert names == ["go-0", "go-1", "go-2"], "oldest first"
    assert all(100_000 <= each.bytes < 200_000 for each in stored(root))
    assert clear(root, older_than=timedelta(days=9, hours=12)) == ("go-0",)
    with closing(opened(root, "go-1", writable=False)):
        assert trim(root, 50_000) == ("go-2",), "a sandbox has the other one"
        assert clear(root) == ()
    assert trim(root, 1_000_000) == ()
    assert clear(root) == ("go-1",)
    assert list(root.iterdir()) == []
    assert outside.read_text() == "kept"


def test_clearing_and_opening_at_once_loses_nobody(tmp_path: Path) -> None:
    stop = threading.Event()
    cleared: list[str] = []

    def clearing() -> None:
        while not stop.is_set():
            cleared.extend(clear(tmp_path))

    thread = threading.Thread(target=clearing)
    thread.start()
    try:
        for turn in range(5_000):
            if turn >= 100 and cleared:
                break  # on a busy machine it may take longer until the two meet
            with closing(opened(tmp_path)) as held:
                (held.folder / "file").write_text("x")
                assert (held.folder / "file").read_text() == "x"
    finally:
        stop.set()
        thread.join()
    assert cleared


def test_a_path_that_mount_options_can_not_hold(tmp_path: Path) -> None:
    assert view_options(tmp_path / "a:b", tmp_path / "private", uid=USER, gid=GROUP) is None
    assert not (tmp_path / "private").exists()


# In real containers


@pytest.fixture(scope="module")
def api(docker_engine: None) -> Iterator[docker.APIClient]:
    client = docker.from_env()
    yield client.api
    client.close()


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(api: docker.APIClient, tmp_path: Path) -> Iterator[Run]:
    """A command in a hardened container of this machine's programs, with one cache as a provider mounts it."""
    image = HostImages(tmp_path).image(api, os.environ)
    volumes: list[str] = []

    def call(
        argv: Sequence[str], cache: OpenCache, *, network: str = "none", env: dict[str, str] | None = None
    ) -> tuple[int, str]:
        mounted = Mount(cache.cache.path, str(cache.folder), type="bind")
        if cache.mode == "view":
            source = f"sandpiper-test-{secrets.token_hex(6)}"
            options = view_options(cache.folder, tmp_path / source, uid=USER, gid=GROUP)
            api.create_volume(source, "local", {"type": "overlay", "device": "overlay", "o": options})
            volumes.append(source)
            mounted = Mount(cache.cache.path, source, type="volume", no_copy=True)
        settings = api.create_host_config(
            network_mode=network,
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            tmpfs={HOME: f"rw,exec,mode=0700,uid={USER},gid={GROUP}", "/tmp": "rw,mode=1777"},
            mounts=[
                *(Mount(each, each, type="bind", read_only=True) for each in image.mounts),
                mounted,
            ],
        )
        made = api.create_container(
            image.name,
            list(argv),
            user=f"{USER}:{GROUP}",
            working_dir=HOME,
            environment={"HOME": HOME, "PATH": image.path, **(env or {})},
            host_config=settings,
        )["Id"]
        try:
            api.start(made)
            code = int(api.wait(made, timeout=120)["StatusCode"])
            return code, api.logs(made).decode()
        finally:
            api.remove_container(made, force=True, v=True)

    yield call
    for volume in volumes:
        api.remove_volume(volume)


@pytest.mark.docker
def test_a_view_is_writable_and_leaves_nothing(run: Run, tmp_path: Path) -> None:
    path = f"{HOME}/.npm-cache"
    cache = Cache(name="npm-1", path=path, writable=True)
    with closing(OpenCache.open(tmp_path / "caches", cache, uid=USER, gid=GROUP)) as trusted:
        assert run(["sh", "-c", f"echo good > {path}/package && mkdir .other"], trusted) == (0, "")
    stranger = cache.changed(writable=False)
    with closing(OpenCache.open(tmp_path / "caches", stranger, uid=USER, gid=GROUP)) as view:
        attack = f"cat {path}/package; echo evil > {path}/package; echo evil > {path}/more; cat {path}/package"
        assert run(["sh", "-c", attack], view) == (0, "good\nevil\n")
        assert run(["sh", "-c", f"cat {path}/package; ls {path}"], view) == (0, "good\npackage\n")
    assert sorted(each.name for each in trusted.folder.iterdir()) == ["package"]


@pytest.mark.docker
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not here")
def test_a_second_install_needs_no_network(run: Run, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    with NpmRegistry() as (address, asked):
        manifest = {"name": "root", "version": "1.0.0", "dependencies": {"tiny": "1.0.0"}}
        (checkout / "package-lock.json").write_text(json.dumps(lock_file(address, manifest)))
        script = (
            'mkdir work && cd work && echo "$MANIFEST" > package.json && echo "$LOCK" > package-lock.json'
            " && npm ci --no-audit --no-fund --loglevel=error && cat node_modules/tiny/index.js"
        )
        env = {
            "MANIFEST": json.dumps(manifest),
            "LOCK": (checkout / "package-lock.json").read_text(),
            "npm_config_registry": f"http://{address}/",
            "npm_config_update_notifier": "false",
        }
        (cache,) = caches_of(checkout, trusted=True, scope="1")
        with closing(OpenCache.open(tmp_path / "caches", cache, uid=USER, gid=GROUP)) as trusted:
            code, said = run(["sh", "-c", script], trusted, network="host", env=env | cache_env((cache,)))
            assert (code, "tiny!" in said) == (0, True), said
        count = len(asked)
        assert count > 0
    (cache,) = caches_of(checkout, trusted=False, scope="1")
    with closing(OpenCache.open(tmp_path / "caches", cache, uid=USER, gid=GROUP)) as view:
        assert view.mode == "view"
        code, said = run(["sh", "-c", script], view, env=env | cache_env((cache,), offline=True))
        assert (code, "tiny!" in said) == (0, True), said
    (other,) = caches_of(checkout, trusted=False, scope="2")
    with closing(OpenCache.open(tmp_path / "caches", other, uid=USER, gid=GROUP)) as empty:
        code, said = run(["sh", "-c", script], empty, env=env | cache_env((other,), offline=True))
        assert code != 0, "another repository's cache has nothing"


def package() -> bytes:
    stream = io.BytesIO()
    files = {"package.json": b'{"name": "tiny", "version": "1.0.0"}', "index.js": b"// tiny!"}
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(stream.getvalue(), mtime=0)


def lock_file(address: str, manifest: Mapping[str, object]) -> dict[str, object]:
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(package()).digest()).decode()
    tiny = {"version": "1.0.0", "resolved": f"http://{address}/tiny/-/tiny-1.0.0.tgz", "integrity": integrity}
    packages = {"": manifest, "node_modules/tiny": tiny}
    return {"name": "root", "version": "1.0.0", "lockfileVersion": 3, "requires": True, "packages": packages}


class NpmRegistry:
    """A registry on loopback with one package -> its address, and what it was asked for."""

    def __enter__(self) -> tuple[str, list[str]]:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                body = package() if self.path.endswith(".tgz") else b""
                self.send_response(200 if body else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return f"127.0.0.1:{self._server.server_port}", asked

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

"""Files in and out of a sandbox: bytes and modes arrive, links are followed nowhere, and no name leads out."""

# ruff: noqa: F811 - fixtures

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bot.errors import TaskError
from bot.sandbox.copying import Copied, copy_in, copy_out
from bot.sandbox.docker.provider import DockerProvider
from bot.sandbox.living import LivingSandbox
from bot.testing.contracts_sandbox import shell
from bot.testing.sandbox import FakeProvider, FakeSandbox, exited
from bot.types.sandbox import ExecRequest, ExecResult, Template
from tests.sandbox_fixtures import api, checkout, provider, sandbox  # noqa: F401 - fixtures


def really(request: ExecRequest, workspace: Path) -> ExecResult:
    """Run it in the workspace: `find` is all that is asked for."""
    done = subprocess.run(request.argv, cwd=workspace, capture_output=True, check=False)
    return exited(done.returncode, done.stdout, done.stderr)


def saying(*names: str) -> Callable[[ExecRequest, Path], ExecResult]:
    """A `find` that answers what an attacker likes."""
    return lambda request, workspace: exited(0, "".join(f"{name}\0" for name in names).encode())


def fake(folder: Path, script: Callable[[ExecRequest, Path], ExecResult] = really) -> FakeSandbox:
    return FakeProvider(folder / "provider", script).create(Template(run_id="1" * 16))


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(TaskError) as caught:
        call()
    return caught.value.code


def tree(folder: Path) -> dict[str, tuple[bytes, bool]]:
    found = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): (file.read_bytes(), os.access(file, os.X_OK)) for file in found}


def grow(folder: Path) -> dict[str, tuple[bytes, bool]]:
    """A tree with something of each kind; returns what of it is to be copied."""
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "plain").write_bytes(bytes(range(256)))
    (folder / "sub" / "tool").write_bytes(b"#!/bin/sh\n")
    (folder / "sub" / "tool").chmod(0o755)
    (folder / "sub" / "deep" / "-rf 'ü\n").write_bytes(b"odd")
    wanted = tree(folder)
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "sub" / "out").symlink_to("/etc")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("secret")
    os.mkfifo(folder / "pipe")
    return wanted


def test_a_tree_goes_in_and_comes_out(tmp_path: Path) -> None:
    wanted, sandbox = grow(tmp_path / "source"), fake(tmp_path)
    told: list[tuple[str, int]] = []

    assert copy_in(sandbox, tmp_path / "source", "there", on_copied=lambda name, size: told.append((name, size))) == 3
    assert tree(sandbox.workspace / "there") == wanted
    assert told == [("there/plain", 256), ("there/sub/tool", 10), ("there/sub/deep/-rf 'ü\n", 3)]

    grow(sandbox.workspace / "grown")
    copied = copy_out(sandbox, "/workspace/grown", tmp_path / "target")
    assert tree(tmp_path / "target") == wanted
    assert (copied.files, copied.size, len(copied.skipped)) == (3, 269, 3)
    assert not (tmp_path / "target" / ".git").exists()


def test_a_file_goes_where_cp_would_put_it(tmp_path: Path) -> None:
    sandbox = fake(tmp_path)
    (tmp_path / "file").write_bytes(b"one")
    assert copy_in(sandbox, tmp_path / "file", "a/b") == 1
    assert copy_out(sandbox, "a/b", tmp_path / "new" / "name") == Copied(1, 3)
    (tmp_path / "folder").mkdir()
    copy_out(sandbox, "a/b", tmp_path / "folder")
    copy_out(sandbox, "a/b", tmp_path / "folder")
    assert tree(tmp_path / "folder") == {"b": (b"one", False)}
    assert (tmp_path / "new" / "name").read_bytes() == b"one"


def test_links_lead_nowhere(tmp_path: Path) -> None:
    sandbox, outside = fake(tmp_path), tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("untouched")
    (tmp_path / "link").symlink_to(outside / "victim")
    assert code_of(lambda: copy_in(sandbox, tmp_path / "link", "x")) == "not_a_file"
    assert code_of(lambda: copy_in(sandbox, Path("/dev/zero"), "x")) == "not_a_file"
    assert code_of(lambda: copy_in(sandbox, tmp_path / "none", "x")) == "no_such_file"

    for name in ("folder/file", "victim"):
        sandbox.write_file(f"tree/{name}", b"evil")
    target = tmp_path / "target"
    target.mkdir()
    (target / "folder").symlink_to(outside)
    assert code_of(lambda: copy_out(sandbox, "tree", target)) == "target_refused"
    (target / "folder").unlink()
    (target / "victim").symlink_to(outside / "victim")
    copy_out(sandbox, "tree", target)
    assert (outside / "victim").read_text() == "untouched"
    assert (target / "victim").read_bytes() == b"evil", "the link is replaced, not followed"
    assert not list(target.rglob("*.part"))

    (sandbox.workspace / "way").symlink_to("tree")
    assert code_of(lambda: copy_out(sandbox, "way", target)) == "not_a_file"
    assert code_of(lambda: copy_out(sandbox, "nothing", target)) == "no_such_file"
    (target / "folder" / "file").unlink()
    (target / "folder" / "file").mkdir()
    assert code_of(lambda: copy_out(sandbox, "tree", target)) == "target_refused"


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "./../../x", "./tree/../../x", "./other", "./tree/.git/hooks/x", "./tree/.GIT/config", "./tre"],
)
def test_what_the_sandbox_says_is_not_believed(tmp_path: Path, name: str) -> None:
    sandbox = fake(tmp_path, saying("./tree/fine", name))
    sandbox.write_file("tree/fine", b"")
    assert code_of(lambda: copy_out(sandbox, "tree", tmp_path / "target")) == "bad_name"
    assert not (tmp_path / "target").exists()


@given(
    path=st.sampled_from(["tree", "."]),
    name=st.just("..")
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=40),
)
@hypothesis_settings(max_examples=60, deadline=None)
def test_nothing_is_ever_written_outside(path: str, name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    sandbox = fake(folder, saying(f"./{path}/{name}"))

    class Any(FakeSandbox):
        def read_file(self, path: str, *, max_bytes: int = 0) -> bytes:
            return b"evil"

    sandbox.__class__ = Any
    before = set(folder.rglob("*"))
    with contextlib.suppress(TaskError):
        copy_out(sandbox, path, folder / "target")
    assert all(folder / "target" in (each, *each.parents) for each in set(folder.rglob("*")) - before)


def test_too_much_is_refused(tmp_path: Path) -> None:
    sandbox = fake(tmp_path)
    grow(tmp_path / "source")
    assert code_of(lambda: copy_in(sandbox, tmp_path / "source", "x", max_bytes=100)) == "copy_too_large"
    assert code_of(lambda: copy_in(sandbox, tmp_path / "source", "x", max_files=1)) == "copy_too_large"
    copy_in(sandbox, tmp_path / "source", "x")
    assert code_of(lambda: copy_out(sandbox, "x", tmp_path / "t", max_files=2)) == "copy_too_large"
    assert code_of(lambda: copy_out(sandbox, "x", tmp_path / "t", max_bytes=100)) == "file_too_large"
    for path in ("..", "../x", "/etc", "a/../../b", ""):
        assert code_of(lambda path=path: copy_out(sandbox, path, tmp_path / "t")) == "path_outside"  # type: ignore[misc]


@pytest.mark.docker
def test_with_a_real_sandbox(provider: DockerProvider, sandbox: LivingSandbox, tmp_path: Path) -> None:
    wanted = grow(tmp_path / "source")
    copy_in(sandbox, tmp_path / "source", "copied")
    assert shell(sandbox, "test -x copied/sub/tool && ! test -x copied/plain").ok
    shell(sandbox, "ln -s /etc/passwd copied/evil; ln -s /etc copied/etc; mkdir copied/.git; echo x > copied/.git/x")
    copied = copy_out(sandbox, "copied", tmp_path / "target")
    assert tree(tmp_path / "target") == wanted
    assert len(copied.skipped) == 2
    assert copy_out(sandbox, "copied/plain", tmp_path / "alone").size == 256
    shell(sandbox, "rm -r copied")

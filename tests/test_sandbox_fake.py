"""The fake sandbox answers as the contract says wherever no process is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.errors import SandboxError
from bot.protocols import Sandbox, SandboxProvider
from bot.testing.contracts_sandbox import RUN_ID, make_checkout, refusal, template
from bot.testing.sandbox import FakeProvider, exited
from bot.types.sandbox import ExecRequest, ExecResult, SandboxStats, Template
from bot.types.task import Limits


def test_script_answers_by_argv_and_by_function(tmp_path: Path) -> None:
    def build(request: ExecRequest, workspace: Path) -> ExecResult:
        (workspace / "built.txt").write_text(" ".join(request.argv))
        return exited(stdout=b"done\n")

    provider = FakeProvider(tmp_path / "boxes", {("make",): build, ("false",): exited(1, stderr=b"no")})
    made = provider.create(template(make_checkout(tmp_path / "checkout")))
    seen: list[tuple[str, bytes]] = []
    assert made.exec(ExecRequest(argv=("make",)), on_output=lambda *each: seen.append(each)).ok
    assert made.exec(ExecRequest(argv=("false",))).exit_code == 1
    assert made.exec(ExecRequest(argv=("unknown",))).exit_code == 127
    assert made.exec(ExecRequest(argv=("make",)), cancelled=lambda: True).ending == "cancelled"
    assert seen == [("stdout", b"done\n")]
    changes = made.collect(tmp_path / "blobs")
    assert [(each.path, each.kind) for each in changes.files] == [("built.txt", "added")]
    assert refusal(lambda: made.exec(ExecRequest(argv=("make",)))) == "sandbox_expired"
    made.close()
    made.close()
    assert not made.workspace.exists()


def test_files_as_the_contract_says(tmp_path: Path) -> None:
    made = FakeProvider(tmp_path / "boxes").create(template(make_checkout(tmp_path / "checkout")))
    made.write_file("new/tool", b"x", executable=True)
    assert made.read_file("/workspace/new/tool") == b"x"
    assert made.list_files("src") == ("src/a.py", "src/b.py")
    (made.workspace / "out").symlink_to("/etc")
    for path in ("/etc/shadow", "../x", "src/../../x", "a\0b", "", "out/passwd"):
        assert refusal(lambda path=path: made.read_file(path)) == "path_outside", path  # type: ignore[misc]
    assert refusal(lambda: made.read_file("none")) == "no_such_file"
    assert refusal(lambda: made.read_file("src")) == "not_a_file"
    assert refusal(lambda: made.read_file("README.md", max_bytes=1)) == "file_too_large"
    assert refusal(lambda: made.write_file("README.md/x", b"")) == "not_writable"


def test_delete_as_the_contract_says(tmp_path: Path) -> None:
    made = FakeProvider(tmp_path / "boxes").create(template(make_checkout(tmp_path / "checkout")))
    outside = tmp_path / "precious"
    outside.mkdir()
    (outside / "file").touch()
    (made.workspace / "out").symlink_to(outside)
    for path in ("README.md", "/workspace/docs", "src/a.py"):
        made.delete_file(path)
    assert made.list_files("src") == ("src/b.py",)
    assert not (made.workspace / "docs").exists()
    assert refusal(lambda: made.delete_file("out/file")) == "path_outside"
    made.delete_file("out")  # the link goes, and what it led to stays
    assert (outside / "file").exists()
    for path in ("README.md", "run.sh/x", "none/x"):
        assert refusal(lambda path=path: made.delete_file(path)) == "no_such_file", path  # type: ignore[misc]
    for path in ("../x", "/etc/passwd", "a/../../b", ""):
        assert refusal(lambda path=path: made.delete_file(path)) == "path_outside", path  # type: ignore[misc]
    assert refusal(lambda: made.delete_file(".")) == "not_writable"
    assert made.workspace.exists()


def test_vitals(tmp_path: Path) -> None:
    made = FakeProvider(tmp_path / "boxes", {("make",): exited()}).create(Template(run_id=RUN_ID, image="some:image"))
    sandbox: Sandbox = made  # the whole Protocol, which mypy holds it to
    assert (sandbox.record.provider, sandbox.record.image) == ("fake", "some:image")
    assert sandbox.list_files() == ()
    made.used = SandboxStats(memory_mb=300.0)
    assert sandbox.stats().memory_mb == 300.0
    assert sandbox.health() is None
    sandbox.pause()
    sandbox.pause()
    assert sandbox.exec(ExecRequest(argv=("make",))).ending == "timed_out"
    assert sandbox.health() == "it is paused"
    sandbox.resume()
    assert sandbox.exec(ExecRequest(argv=("make",))).ok
    sandbox.write_file("a", b"x")
    assert [each.path for each in sandbox.collect(tmp_path / "blobs").files] == ["a"]
    sandbox.close()
    assert sandbox.health() == "it was closed"
    assert refusal(lambda: sandbox.stats()) == "sandbox_expired"
    assert refusal(sandbox.pause) == "sandbox_expired"


def test_inventory(tmp_path: Path) -> None:
    fake = FakeProvider(tmp_path / "boxes")
    provider: SandboxProvider = fake
    made = [provider.create(Template(run_id=RUN_ID)) for _ in range(2)]
    assert [each.id for each in provider.list()] == [each.id for each in made]
    assert provider.get(made[1].id) is made[1]
    assert provider.get("fake-sandbox") is None  # both begin so
    made[1].pause()
    assert [each.state for each in provider.list()] == ["running", "paused"]
    made[0].close()
    assert provider.get("fake-sandbox") is made[1]
    assert provider.get("other") is None
    assert provider.capacity(Limits(memory_mb=4096)) == 4
    assert provider.capacity(Limits(memory_mb=1_000_000)) == 1
    provider.warm(Template(run_id=RUN_ID), 3)
    provider.close()
    assert (len(fake.warmed), fake.closed) == (1, True)


def test_provider_that_fails(tmp_path: Path) -> None:
    error = SandboxError("docker_unavailable", "no engine", hint="start it")
    provider = FakeProvider(tmp_path, error=error)
    assert "docker_unavailable" in (provider.healthy() or "")
    with pytest.raises(SandboxError):
        provider.create(template(tmp_path))
    with pytest.raises(SandboxError):
        provider.list()

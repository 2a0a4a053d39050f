"""The fake sandbox answers as the contract says wherever no process is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.errors import SandboxError
from bot.testing.contracts_sandbox import make_checkout, refusal, template
from bot.testing.sandbox import FakeProvider, exited
from bot.types.sandbox import ExecRequest, ExecResult


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


def test_provider_that_fails(tmp_path: Path) -> None:
    error = SandboxError("docker_unavailable", "no engine", hint="start it")
    provider = FakeProvider(tmp_path, error=error)
    assert "docker_unavailable" in (provider.healthy() or "")
    with pytest.raises(SandboxError):
        provider.create(template(tmp_path))

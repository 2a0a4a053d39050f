"""The folder store keeps the contract and survives damage; artifacts are whole, bounded and without secrets."""

import hashlib
import json
import multiprocessing
import os
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from bot.errors import SandpiperError
from bot.store.artifacts import LOG_CHARS, write_artifacts
from bot.store.folder import FolderStore
from bot.testing.contracts_store import CONTRACT, Reopen, event
from bot.types.event import Actor, Repository, Revision
from bot.types.result import Artifact, CommandReport, Failure, Outcome, RunResult
from bot.types.sandbox import Blob, Changes, FileChange
from bot.types.task import RunSpec, Task

SECRET = "canary-Value/0123456789"
SPEC = RunSpec(
    run_id="0123456789abcdef",
    task=Task(name="fix"),
    repository=Repository(full_name="octo/demo", default_branch="main"),
    subject=None,
    revision=Revision(ref="main", sha="a" * 40),
    base=Revision(ref="main", sha="a" * 40),
    requester=Actor(login="octo", id=1),
    trust="writer",
)


@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
def test_the_contract(promise: Callable[[Reopen], None], tmp_path: Path) -> None:
    promise(lambda: FolderStore(tmp_path / "state"))


def _open(root: Path, times: int) -> None:
    for number in range(times):
        FolderStore(root).open(event(str(number)))


def test_processes_that_open_at_the_same_time_get_one_run_each(tmp_path: Path) -> None:
    processes = [multiprocessing.get_context("spawn").Process(target=_open, args=(tmp_path, 10)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0, 0]
    assert len(FolderStore(tmp_path).list()) == 10


def test_only_the_owner_may_look(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        run = FolderStore(tmp_path / "state").open(event())
        FolderStore(tmp_path / "state").save(run)
    finally:
        os.umask(old)

    folder = tmp_path / "state" / "runs" / run.run_id
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "run.json").stat().st_mode) == 0o600
    assert [each.name for each in folder.iterdir()] == ["run.json"]


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b'{"run_id": 1}', b"[" * 100_000])
def test_a_damaged_record_is_named_and_does_not_hide_the_others(tmp_path: Path, damage: bytes) -> None:
    store = FolderStore(tmp_path)
    bad, good = store.open(event("bad")), store.open(event("good"))
    path = store.folder(bad.run_id) / "run.json"
    path.write_bytes(damage)

    attempts: tuple[Callable[[], object], ...] = (
        lambda: store.load(bad.run_id),
        lambda: store.open(event("bad")),
    )
    for attempt in attempts:
        with pytest.raises(SandpiperError) as raised:
            attempt()
        assert raised.value.code == "store_damaged"
        assert str(path) in raised.value.message
        assert raised.value.hint
    assert store.list() == (good,)


def test_a_link_or_a_foreign_record_is_not_read(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    one, other = store.open(event("1")), store.open(event("2"))
    path = store.folder(one.run_id) / "run.json"
    path.unlink()
    path.symlink_to(store.folder(other.run_id) / "run.json")
    with pytest.raises(SandpiperError, match="store_damaged"):
        store.load(one.run_id)

    path.unlink()
    path.write_bytes((store.folder(other.run_id) / "run.json").read_bytes())
    with pytest.raises(SandpiperError, match=f"record of run {other.run_id}"):
        store.load(one.run_id)


def test_what_a_crash_leaves_behind_does_no_harm(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    run = store.open(event())
    (store.folder(run.run_id) / ".run-left.tmp").write_bytes(b"half a rec")
    store.folder("f" * 16)

    assert store.list() == (run,)
    assert store.open(event()) == run


def test_a_place_that_cannot_be_written_is_an_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(SandpiperError) as raised:
        FolderStore(tmp_path / "file").open(event())
    assert raised.value.code == "store_unusable"
    assert "SANDPIPER_STATE" in raised.value.hint
    with pytest.raises(SandpiperError, match="no_such_run"):
        FolderStore(tmp_path).folder("../../etc")


def keep(folder: Path, path: str, data: bytes) -> FileChange:
    digest = hashlib.sha256(data).hexdigest()
    (folder / "blobs").mkdir(exist_ok=True)
    (folder / "blobs" / digest).write_bytes(data)
    return FileChange(path=path, new=Blob(digest=digest, size=len(data)))


def full(folder: Path) -> tuple[Artifact, ...]:
    """Artifacts of a run that has a secret everywhere."""
    report = CommandReport(
        phase="after", argv=("echo", SECRET), ending="exited", exit_code=1, seconds=1.5, output=f"got {SECRET}\n"
    )
    files = (
        keep(folder, f"{SECRET[:6]}.txt", f"key = {SECRET}\n".encode()),
        keep(folder, "image.bin", b"\0" + SECRET.encode()),
        keep(folder, "ok.bin", b"\0fine"),
    )
    outcome = Outcome(
        conclusion="failure",
        reports=(report,),
        trajectory=({"role": "assistant", "content": f"it is {SECRET}", SECRET: [SECRET]},),
    )
    result = RunResult(
        conclusion="failure",
        title=f"title {SECRET}",
        summary=f"summary {SECRET}",
        changes=Changes(files=files, skipped=(f"{SECRET}: a FIFO",)),
        reports=(report,),
        failure=Failure(code="tests_failed", message=f"failed: {SECRET}", hint="look"),
        structured_output={"value": SECRET},
    )
    return write_artifacts(folder, SPEC, result, outcome, (SECRET,))


def test_artifacts_are_what_they_say_and_hold_no_secret(tmp_path: Path) -> None:
    artifacts = full(tmp_path)

    names = {each.name for each in artifacts}
    assert names == {"changes.patch", "report.md", "commands.log", "trajectory.json", "result.json"}
    for each in artifacts:
        data = (tmp_path / each.name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (each.size, each.digest)
        assert SECRET.encode() not in data
        assert stat.S_IMODE((tmp_path / each.name).stat().st_mode) == 0o600
    patch = (tmp_path / "changes.patch").read_text()
    assert "image.bin': left out, it holds a secret" in patch
    assert "diff --git a/ok.bin b/ok.bin" in patch
    assert "exit 1, 1.5 s" in (tmp_path / "commands.log").read_text()
    assert json.loads((tmp_path / "result.json").read_text())["failure"]["code"] == "tests_failed"
    assert "tests_failed" in (tmp_path / "report.md").read_text()


def test_artifacts_never_follow_links(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "report.md").symlink_to(victim)

    full(folder)

    assert victim.read_text() == "untouched"
    assert not (folder / "report.md").is_symlink()


def test_endless_conversations_and_outputs_are_cut(tmp_path: Path) -> None:
    report = CommandReport(
        phase="task", argv=("x",), ending="exited", exit_code=0, seconds=0, output="y" * 5_000_000 + "end"
    )
    outcome = Outcome(
        conclusion="success",
        reports=(report,),
        trajectory=({"first": 1}, *({"content": "z" * 1_000_000, "number": index} for index in range(14))),
    )
    result = RunResult(conclusion="success", reports=(report,))

    sizes = {each.name: each.size for each in write_artifacts(tmp_path, SPEC, result, outcome, ())}

    assert sizes["commands.log"] < 1_100_000
    assert sizes["result.json"] < 1_100_000
    assert sizes["trajectory.json"] < LOG_CHARS + 1_100_000
    trajectory = json.loads((tmp_path / "trajectory.json").read_text())
    assert (trajectory[0], trajectory[-1]["number"]) == ({"first": 1}, 13)
    assert "messages were cut" in trajectory[1]["note"]


def test_made_up_tokens_around_a_change_stay_so_that_the_patch_applies(tmp_path: Path) -> None:
    token = "ghp_" + "a1" * 18
    old = keep(tmp_path, "t", f"token = {token}\nx\n".encode()).new
    new = keep(tmp_path, "t", f"token = {token}\ny\n".encode()).new
    changes = Changes(files=(FileChange(path="t", old=old, new=new),))

    write_artifacts(tmp_path, SPEC, RunResult(conclusion="success", changes=changes), Outcome(conclusion="success"), ())

    assert f" token = {token}\n-x\n+y\n" in (tmp_path / "changes.patch").read_text()


def test_the_newest_are_found_without_reading_all_that_ever_were(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = FolderStore(tmp_path)
    runs = [store.open(event(str(number))) for number in range(8)]
    for at, run in enumerate(runs):
        path = store.folder(run.run_id) / "run.json"
        when = run.created_at - timedelta(hours=8 - at)
        path.write_text(run.changed(created_at=when).model_dump_json() if at else "damaged")
        # The first four were saved once more, all at one later time, the other way round.
        stamp = when.timestamp() + (3600 * 4 if 0 < at < 4 else 0)
        os.utime(path, (stamp, stamp))
    for limit in range(7):
        assert [each.run_id for each in store.list(limit=limit)] == [each.run_id for each in runs[:0:-1][:limit]]
    assert caplog.text == ""
    assert len(store.list()) == 7
    assert "can't be read" in caplog.text

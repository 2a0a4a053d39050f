"""A proposed run -> a folder -> what the publishing job believes of it: an honest one whole, a forged one not."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bot.action_handover import RECORD, RECORD_BYTES, adopt_result, agreed_spec, export_run, read_proposal
from bot.errors import CallerError, Conflict
from bot.types.decision import Go
from bot.types.event import Actor, Event, Opened, PullInfo, Repository, Revision, Subject
from bot.types.result import Artifact, Finding, RunResult
from bot.types.run import Run
from bot.types.sandbox import Blob, Changes, FileChange
from bot.types.task import Limits, RunSpec, Task

OLD, NEW, PINNED, OTHER = "a" * 40, "b" * 40, "c" * 40, "d" * 40
PERSON = Actor(login="ann", id=7)
REPOSITORY = Repository(full_name="octo/hello", default_branch="main")
ISSUE = Subject(kind="issue", number=3, title="It breaks", author=PERSON)
PULL = Subject(
    kind="pull_request",
    number=4,
    title="A change",
    author=PERSON,
    pull=PullInfo(
        head=Revision(ref="topic", sha=OLD), base=Revision(ref="main", sha=OTHER), head_repository="octo/hello"
    ),
)
TASK = Task(name="fix", outputs=("comment", "patch", "branch", "pull_request"))


def spec_of(**update: Any) -> RunSpec:
    main = Revision(ref="main", sha=OLD)
    values: dict[str, Any] = {
        "run_id": "0123456789abcdef",
        "task": TASK,
        "repository": REPOSITORY,
        "subject": ISSUE,
        "revision": main,
        "base": main,
        "requester": PERSON,
        "trust": "writer",
    }
    return RunSpec(**{**values, **update})


def keep(folder: Path, data: bytes) -> Blob:
    blobs = folder / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return Blob(digest=digest, size=len(data))


def change(folder: Path, path: str = "src/app.py", data: bytes = b"print(2)\n") -> FileChange:
    return FileChange(path=path, old=keep(folder, b"print(1)\n"), new=keep(folder, data))


def run_of(folder: Path, *files: FileChange, **update: Any) -> Run:
    (folder / "changes.patch").write_text("a patch\n")
    (folder / "checkout").mkdir(exist_ok=True)
    (folder / "checkout" / "secret.txt").write_text("not an artifact")
    digest = hashlib.sha256(b"a patch\n").hexdigest()
    values: dict[str, Any] = {
        "conclusion": "success",
        "title": "Fix it",
        "changes": Changes(files=files or (change(folder),)),
        "artifacts": (Artifact(name="changes.patch", size=8, digest=digest),),
    }
    event = Event(id="x", name="issues", repository=REPOSITORY, actor=PERSON, trigger=Opened(action="opened"))
    decision = Go(reason="because", spec=spec_of())
    return Run(run_id="0123456789abcdef", event=event, decision=decision, result=RunResult(**{**values, **update}))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def handed_over(run: Run, source: Path) -> Path:
    into = export_run(run, source, source.parent / "handover", handover=True)
    assert into is not None
    return into


def result_of(run: Run | None) -> RunResult:
    assert run is not None
    assert run.result is not None
    return run.result


def names_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_an_honest_proposal_arrives_whole(source: Path, tmp_path: Path) -> None:
    run = run_of(source)
    into = handed_over(run, source)
    digests = {blob.digest for each in result_of(run).changes.files for blob in (each.old, each.new) if blob}
    assert names_in(into) == {RECORD, "changes.patch", *(f"blobs/{digest}" for digest in digests)}
    read = read_proposal(into)
    assert read == run
    adopted = adopt_result(result_of(read), spec_of(), into, tmp_path / "target", ())
    assert adopted == result_of(run).changed(artifacts=())
    assert names_in(tmp_path / "target") == {f"blobs/{digest}" for digest in digests}


def test_one_job_keeps_artifacts_only(source: Path, tmp_path: Path) -> None:
    run = run_of(source)
    into = export_run(run, source, tmp_path / "kept", handover=False)
    assert into is not None
    assert names_in(into) == {"changes.patch"}
    assert export_run(run.changed(result=None), source, tmp_path / "none", handover=False) is None


def test_files_of_a_held_result_stay_behind(source: Path, tmp_path: Path) -> None:
    """They may be held because they hold a secret."""
    run = run_of(source, held=("the change holds what looks like a token",), conclusion="action_required")
    into = handed_over(run, source)
    assert names_in(into) == {RECORD, "changes.patch"}
    adopted = adopt_result(result_of(run), spec_of(), into, tmp_path / "target", ())
    assert adopted.held == result_of(run).held
    assert adopted.conclusion == "action_required"


def test_names_of_artifacts_are_not_believed(source: Path, tmp_path: Path) -> None:
    run = run_of(source)
    into = handed_over(run, source)
    forged = result_of(run).changed(artifacts=(Artifact(name="../../etc/passwd", size=1, digest="0" * 64),))
    adopted = run.changed(result=adopt_result(forged, spec_of(), into, tmp_path / "target", ()))
    assert export_run(adopted, tmp_path / "target", tmp_path / "kept", handover=False) is None


def test_no_folder_is_no_proposal(tmp_path: Path) -> None:
    assert read_proposal(tmp_path / "nothing") is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text("{}"),
        lambda path: path.write_text("[" * 100_000),
        lambda path: path.write_bytes(b"\xff\xfe"),
        lambda path: os.truncate(path, RECORD_BYTES + 1),
    ],
    ids=["empty", "deep", "not text", "too large"],
)
def test_a_record_of_another_shape_is_refused(source: Path, damage: Callable[[Path], object]) -> None:
    into = handed_over(run_of(source), source)
    damage(into / RECORD)
    with pytest.raises(CallerError) as caught:
        read_proposal(into)
    assert caught.value.code == "proposal_refused"


def test_a_link_in_place_of_the_record_is_not_followed(source: Path) -> None:
    into = handed_over(run_of(source), source)
    elsewhere = source.parent / "elsewhere.json"
    (into / RECORD).rename(elsewhere)
    (into / RECORD).symlink_to(elsewhere)
    assert read_proposal(into) is None


def replaced_by_a_link(path: Path) -> None:
    elsewhere = path.parent.parent / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def replaced_by_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "damage",
    [Path.unlink, lambda path: path.write_bytes(b"print(3)\n"), replaced_by_a_link, replaced_by_a_pipe],
    ids=["missing", "other bytes", "link", "pipe"],
)
def test_files_that_are_not_what_they_say_are_refused(
    source: Path, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    run = run_of(source)
    into = handed_over(run, source)
    new = result_of(run).changes.files[0].new
    assert new is not None
    damage(into / "blobs" / new.digest)
    with pytest.raises(CallerError) as caught:
        adopt_result(result_of(run), spec_of(), into, tmp_path / "target", ())
    assert caught.value.code == "proposal_refused"


@pytest.mark.parametrize(
    ("path", "data", "why"),
    [
        (".github/workflows/x.yml", b"on: push\n", ".github"),
        ("../outside", b"x", "outside"),
        ("src/config.py", b"KEY = 'hunter2-hunter2-hunter2'\n", "src/config.py"),
    ],
)
def test_the_guard_judges_again(source: Path, tmp_path: Path, path: str, data: bytes, why: str) -> None:
    """The proposing job may have been talked out of it, so its `held` being empty means nothing."""
    run = run_of(source, change(source, path, data))
    into = handed_over(run, source)
    target = tmp_path / "target"
    adopted = adopt_result(result_of(run), spec_of(), into, target, ("hunter2-hunter2-hunter2",))
    assert adopted.conclusion == "action_required"
    assert any(why in reason for reason in adopted.held), adopted.held


def test_the_policy_is_protected_wherever_it_lies(source: Path, tmp_path: Path) -> None:
    run = run_of(source, change(source, "ops/bot.yml", b"version: 1\n"))
    into = handed_over(run, source)
    held = [
        adopt_result(result_of(run), spec_of(), into, tmp_path / name, (), policy=path).held
        for name, path in (("own", "ops/bot.yml"), ("other", ".github/bot.yml"))
    ]
    assert [bool(each) for each in held] == [True, False]


def test_a_title_with_a_secret_is_held(source: Path, tmp_path: Path) -> None:
    run = run_of(source, title="use hunter2-hunter2-hunter2")
    into = handed_over(run, source)
    assert adopt_result(result_of(run), spec_of(), into, tmp_path / "t", ("hunter2-hunter2-hunter2",)).held


@pytest.mark.parametrize("field", ["path", "text", "suggestion"])
def test_a_finding_with_a_secret_is_held(source: Path, tmp_path: Path, field: str) -> None:
    said = {"path": "a.py", "line": 1, "text": "Wrong.", field: "hunter2-hunter2-hunter2"}
    run = run_of(source).changed(result=result_of(run_of(source)).changed(findings=(Finding.model_validate(said),)))
    into = handed_over(run, source)
    assert adopt_result(result_of(run), spec_of(), into, tmp_path / "t", ("hunter2-hunter2-hunter2",)).held


def test_a_suggestion_that_would_be_redacted_is_not_offered(source: Path, tmp_path: Path) -> None:
    found = tuple(
        Finding(path="a.py", line=1, text="Wrong.", suggestion=each)
        for each in ("x = 1", "u = 'http://app:made-up-word@host/'", None)
    )
    run = run_of(source).changed(result=result_of(run_of(source)).changed(findings=found))
    adopted = adopt_result(result_of(run), spec_of(), handed_over(run, source), tmp_path / "t", ())
    assert not adopted.held
    assert [each.suggestion for each in adopted.findings] == ["x = 1", None, None]


def test_more_than_the_task_may_is_refused_before_it_is_read(source: Path, tmp_path: Path) -> None:
    run = run_of(source, change(source, data=b"x" * 2000), change(source, "b.py"))
    into = handed_over(run, source)
    for limits in (Limits(changed_files=1), Limits(changed_bytes=1000)):
        spec = spec_of(task=TASK.changed(limits=limits))
        with pytest.raises(CallerError):
            adopt_result(result_of(run), spec, into, tmp_path / "target", ())
    assert names_in(tmp_path / "target") == set()


def test_the_specification_is_our_own() -> None:
    """Texts that only the agent reads may differ: they were read at another moment."""
    theirs = spec_of(conventions="theirs", subject=ISSUE.changed(title="forged"))
    assert agreed_spec(spec_of(), theirs, pinned=PINNED) == spec_of()


@pytest.mark.parametrize(
    "forged",
    [
        {"run_id": "f" * 16},
        {"task": TASK.changed(outputs=("comment", "branch"))},
        {"task": TASK.changed(protected=())},
        {"repository": REPOSITORY.changed(full_name="octo/other")},
        {"subject": ISSUE.changed(number=5)},
        {"subject": PULL},
        {"subject": None},
        {"requester": Actor(login="ann", id=8)},
        {"trust": "anyone"},
        {"instructions": "something else"},
        {"base": Revision(ref="release", sha=OLD)},
        {"revision": Revision(ref="topic", sha=OLD)},
    ],
    ids=lambda forged: next(iter(forged)),
)
def test_another_question_is_refused(forged: dict[str, Any]) -> None:
    ours = spec_of(task=TASK.changed(protected=("secret/",)))
    theirs = spec_of(**{"task": ours.task, **forged})
    with pytest.raises(CallerError) as caught:
        agreed_spec(ours, theirs, pinned=PINNED)
    assert caught.value.code == "proposal_refused"


def test_a_default_branch_that_moved_on_is_no_harm() -> None:
    """GitHub pinned one commit for both jobs; that one is as good as the newest."""
    pinned = Revision(ref="main", sha=PINNED)
    ours = spec_of(revision=Revision(ref="main", sha=NEW), base=Revision(ref="main", sha=NEW))
    agreed = agreed_spec(ours, spec_of(revision=pinned, base=pinned), pinned=PINNED)
    assert agreed == spec_of(revision=pinned, base=pinned)


def test_an_unknown_commit_is_outdated_or_forged() -> None:
    forged = Revision(ref="main", sha=OTHER)
    with pytest.raises(Conflict) as caught:
        agreed_spec(spec_of(), spec_of(revision=forged, base=forged), pinned=PINNED)
    assert caught.value.code == "proposal_outdated"


def test_a_pull_request_must_stand_where_it_stood() -> None:
    head, base = Revision(ref="topic", sha=OLD), Revision(ref="main", sha=OTHER)
    theirs = spec_of(subject=PULL, revision=head, base=base)
    moved_base = spec_of(subject=PULL, revision=head, base=Revision(ref="main", sha=NEW))
    assert agreed_spec(moved_base, theirs, pinned=PINNED) == moved_base
    moved_head = spec_of(subject=PULL, revision=Revision(ref="topic", sha=NEW), base=base)
    for pinned in (PINNED, OLD):
        with pytest.raises(Conflict):
            agreed_spec(moved_head, theirs, pinned=pinned)

"""The guard: what a person must see is held, however its name is spelt and its bytes are hidden; the rest goes."""

import base64
import hashlib
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.forge.guard import hold_reasons, text_reasons
from bot.types.event import Actor, Repository, Revision
from bot.types.sandbox import Blob, Changes, FileChange
from bot.types.task import Limits, RunSpec, Task

SECRET = "canary-Value/0123456789"


def spec(*protected: str, limits: Limits | None = None) -> RunSpec:
    return RunSpec(
        run_id="0123456789abcdef",
        task=Task(name="fix", protected=protected, limits=limits or Limits()),
        repository=Repository(full_name="octo/demo", default_branch="main"),
        subject=None,
        revision=Revision(ref="main", sha="a" * 40),
        base=Revision(ref="main", sha="a" * 40),
        requester=Actor(login="octo", id=1),
        trust="writer",
    )


def blob(folder: Path, data: bytes, mode: str = "100644") -> Blob:
    digest = hashlib.sha256(data).hexdigest()
    (folder / digest).write_bytes(data)
    return Blob.model_validate({"digest": digest, "size": len(data), "mode": mode})


def change(folder: Path, path: str, new: bytes = b"x\n", old: bytes | None = None, mode: str = "100644") -> FileChange:
    return FileChange(path=path, old=None if old is None else blob(folder, old), new=blob(folder, new, mode))


def reasons(folder: Path, *files: FileChange, task: RunSpec | None = None, complete: bool = True) -> tuple[str, ...]:
    return hold_reasons(task or spec(), Changes(files=files, complete=complete), folder, (SECRET,))


@pytest.mark.parametrize(
    "path",
    [
        ".github/workflows/ci.yml",
        ".github/actions/x/index.js",
        ".github/bot.yml",
        ".GitHub/Workflows/ci.yml",
        ".github./workflows/ci.yml",
        ".github /workflows/ci.yml",
        ".gıthub/x".replace("ı", "i"),
        "．github/workflows/ci.yml",
        "action.yml",
        "sub/dir/Action.YAML",
        "CODEOWNERS",
        "docs/codeowners",
        ".gitmodules",
        "deep/.gitattributes",
        "deep/.LFSconfig",
        ".GITATTRIBUTES",
        "AGENTS.md",
        "Claude.md",
        ".vscode/tasks.json",
        ".circleci/config.yml",
        "deploy/Jenkinsfile",
        ".git/hooks/pre-commit",
        "sub/.git/config",
        ".GIT/config",
        ".git./config",
        ".git::$INDEX_ALLOCATION/config",
        "git~1/config",
        "GIT~2/config",
        "GI7EBA~1",
        ".g\u200bit/config",
        "a\\..\\.git\\config",
        "C:/x",
        "/etc/passwd",
        "a/../b",
        "a//b",
        "new\nline",
        "right\u202eleft",
        "x" * 300,
        "/".join(["d" * 100] * 50),
    ],
)
def test_paths_that_no_task_may_touch_are_held(path: str, tmp_path: Path) -> None:
    assert reasons(tmp_path, change(tmp_path, path))
    deletion = FileChange(path=path, old=blob(tmp_path, b"x"))
    assert reasons(tmp_path, deletion)


@pytest.mark.parametrize(
    "path",
    ["src/main.py", "github/x", "docs/action.md", "gitignore", ".gitignore", "a b/ü.txt", "my.git.py", "x~1.txt"],
)
def test_ordinary_changes_go(path: str, tmp_path: Path) -> None:
    assert reasons(tmp_path, change(tmp_path, path)) == ()


@given(
    st.sampled_from([".github/workflows/é.yml", "docs/CODEOWNERS", ".git/x", "AGENTS.md", "secret/é.txt"]), st.data()
)
def test_no_spelling_slips_through(path: str, data: st.DataObject) -> None:
    chars = [data.draw(st.sampled_from([char.lower(), char.upper(), char])) for char in path]
    spelt = unicodedata.normalize(data.draw(st.sampled_from(["NFC", "NFD", "NFKD"])), "".join(chars))

    file = FileChange(path=spelt, old=Blob(digest="0" * 64, size=0))

    assert hold_reasons(spec("/secret/é.txt"), Changes(files=(file,)), Path("nowhere"), ())


def test_a_tasks_own_patterns_hold(tmp_path: Path) -> None:
    task = spec("/migrations/", "*.lock", "!keep.lock")

    assert "policy" in reasons(tmp_path, change(tmp_path, "migrations/1.sql"), task=task)[0]
    assert reasons(tmp_path, change(tmp_path, "sub/Poetry.LOCK"), task=task)
    assert not reasons(tmp_path, change(tmp_path, "keep.lock"), task=task)
    assert not reasons(tmp_path, change(tmp_path, "sub/migrations/1.sql"), task=task)


def test_a_policy_at_another_place_is_protected_too(tmp_path: Path) -> None:
    changes = Changes(files=(change(tmp_path, "Config/Bot.yml"),))

    assert hold_reasons(spec(), changes, tmp_path, (), policy="config/bot.yml")
    assert not hold_reasons(spec(), changes, tmp_path, ())


def test_colliding_names_are_held(tmp_path: Path) -> None:
    assert "same file" in reasons(tmp_path, change(tmp_path, "Readme"), change(tmp_path, "README"))[0]


def linked(folder: Path, links: dict[str, str], *others: FileChange, allowed: bool = True) -> tuple[str, ...]:
    """Reasons against links, beside other changes."""
    files = [change(folder, path, target.encode(), mode="120000") for path, target in links.items()]
    task = spec().changed(task=spec().task.changed(symlinks=allowed))
    return reasons(folder, *files, *others, task=task)


@pytest.mark.parametrize(
    ("path", "target", "fault"),
    [
        ("x", "/etc/passwd", "absolute"),
        ("x", "C:\\Windows", "absolute"),
        ("x", "../x", "out of the repository"),
        ("a/b/x", "../../../etc", "out of the repository"),
        ("a/x", "b/../../../c", "out of the repository"),
        ("x", ".git/config", "git's own"),
        ("a/x", "../.GIT/hooks", "git's own"),
        ("x", ".git./config", "git's own"),
        ("x", "git~1/config", "git's own"),
        ("x", "", "can't be read"),
        ("x", "a\0b", "can't be read"),
        ("x", "a\u202eb", "can't be read"),
        ("x", "a" * 5000, "can't be read"),
        ("x", "x", "circle"),
        ("x", "gone.txt", "nowhere"),
        ("x", "gone.txt/inside", "nowhere"),
        ("x", "file.txt/inside", "nowhere"),
    ],
)
def test_links_that_lead_where_none_may_are_held_although_links_are_allowed(
    path: str, target: str, fault: str, tmp_path: Path
) -> None:
    gone = FileChange(path="gone.txt", old=blob(tmp_path, b"x"))
    found = linked(tmp_path, {path: target}, gone, change(tmp_path, "file.txt"))
    assert any(fault in reason for reason in found)


@pytest.mark.parametrize(
    "target", ["file.txt", "./file.txt", "d/../file.txt", "unchanged/file", "d", "two", "d/up/file.txt"]
)
def test_links_inside_the_repository_go_where_they_are_allowed(target: str, tmp_path: Path) -> None:
    others = change(tmp_path, "file.txt"), change(tmp_path, "d/inner")
    links = {"one": target, "two": "d/inner", "d/up": ".."}
    assert linked(tmp_path, links, *others) == ()
    assert len(linked(tmp_path, links, *others, allowed=False)) == 3


def test_links_that_lead_out_by_way_of_each_other_are_held(tmp_path: Path) -> None:
    assert linked(tmp_path, {"a/b/up": "../..", "a/out": "b/up/../x"})
    assert linked(tmp_path, {"one": "two", "two": "three", "three": "one"})
    assert linked(tmp_path, {"a": ".", "git": "a/a/a/.git"})
    many = {f"l{at}": f"l{at + 1}/l{at + 1}" for at in range(60)}
    assert any("circle" in reason for reason in linked(tmp_path, {**many, "l60": "."}))


def test_a_link_that_was_left_out_holds_the_rest(tmp_path: Path) -> None:
    changes = Changes(files=(change(tmp_path, "fine"),), skipped=("src/a.py: symlink", "fifo: FIFO"))
    found = hold_reasons(spec(), changes, tmp_path, ())
    assert found == ("src/a.py: is a symbolic link, which this task may not make",)


def test_a_link_that_goes_away_is_an_ordinary_change(tmp_path: Path) -> None:
    old = blob(tmp_path, b"/etc/passwd", "120000")
    assert reasons(tmp_path, FileChange(path="x", old=old), change(tmp_path, "fine")) == ()
    assert reasons(tmp_path, FileChange(path="x", old=old, new=blob(tmp_path, b"a file now"))) == ()


def test_limits_and_gaps_hold(tmp_path: Path) -> None:
    small = spec(limits=Limits(changed_files=1, changed_bytes=1000))

    assert "incomplete" in reasons(tmp_path, complete=False)[0]
    assert "2 files" in reasons(tmp_path, change(tmp_path, "a"), change(tmp_path, "b"), task=small)[0]
    assert "1,001 bytes" in reasons(tmp_path, change(tmp_path, "a", b"x" * 1001), task=small)[0]
    gone = FileChange(path="a", new=Blob(digest="0" * 64, size=1))
    assert "can't be read" in reasons(tmp_path, gone)[0]


@pytest.mark.parametrize(
    "data",
    [
        SECRET.encode(),
        base64.b64encode(b"xx" + SECRET.encode()),
        SECRET.encode().hex().encode(),
        SECRET[::-1].encode(),
        SECRET.encode("utf-16"),
        "\n".join(SECRET).encode(),
        b"\0\1" + SECRET.encode(),
        b"token = ghs_12_" + b"eyJhbGciOi.".ljust(300, b"x"),
        b"-----BEGIN PRIVATE KEY-----\n" + b"MIIE" * 20,
    ],
)
def test_secrets_in_what_was_added_hold_and_are_not_repeated(data: bytes, tmp_path: Path) -> None:
    found = reasons(tmp_path, change(tmp_path, "a.txt", b"line\n" + data + b"\n", old=b"line\n"))

    assert found
    assert "a.txt" in found[0]
    assert SECRET not in "".join(found)


def test_a_secret_put_together_from_lines_that_were_there_is_found(tmp_path: Path) -> None:
    letters = "\n".join(sorted(set(SECRET))).encode()

    assert reasons(tmp_path, change(tmp_path, "a", letters + b"\n" + "\n".join(SECRET).encode(), old=letters))


def test_a_secret_in_a_name_is_found_and_not_repeated(tmp_path: Path) -> None:
    name = SECRET.replace("/", "-")

    found = reasons(tmp_path, change(tmp_path, f"{name}.txt"))

    assert found
    assert name not in "".join(found)


def test_a_renamed_file_is_looked_at_like_a_new_one(tmp_path: Path) -> None:
    data = b"key = " + SECRET.encode() + b"\n"
    deleted = FileChange(path="old.txt", old=blob(tmp_path, data))
    assert reasons(tmp_path, deleted) == ()
    assert reasons(tmp_path, deleted, change(tmp_path, "new.txt", data))


def test_a_secret_as_the_target_of_a_link_is_found(tmp_path: Path) -> None:
    assert any("looks like" in reason for reason in linked(tmp_path, {"x": SECRET}))


def test_what_was_there_before_does_not_hold(tmp_path: Path) -> None:
    token = b"fake = ghp_" + b"a1" * 18 + b"\n"

    assert reasons(tmp_path, change(tmp_path, "t.py", token + b"more\n", old=token)) == ()
    assert reasons(tmp_path, change(tmp_path, "t.py", b"clean\n", old=token)) == ()


def test_texts_are_judged_as_well() -> None:
    assert text_reasons(f"the key is {SECRET}", (SECRET,))
    assert SECRET not in "".join(text_reasons(f"the key is {SECRET}", (SECRET,)))
    assert text_reasons("all fine", (SECRET,)) == ()

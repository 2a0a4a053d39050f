"""Pinned commits -> folders, over real git and HTTP; hostile repositories run nothing, tokens stay out of files."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from bot.errors import ConfigurationError, ForgeError
from bot.forge.checkout.checkout import GitCheckouts
from bot.forge.checkout.fetch import Source, fetch
from bot.forge.checkout.head import head_of
from bot.forge.client.addresses import server_base
from bot.settings import Settings
from bot.types.event import Actor, PullInfo, Repository, Revision, Subject
from bot.types.task import RunSpec, Task
from tests.forge_fixtures import FILES, NAME, TOKEN, Desk, desk, settings_for

__all__ = ["desk"]

ACTOR = Actor(login="ann", id=1)
PATH = {"PATH": os.environ["PATH"]}


def spec_for(sha: str, *, pull: PullInfo | None = None, base: str = "", url: str = "") -> RunSpec:
    subject = Subject(kind="pull_request" if pull else "issue", number=1, title="t", author=ACTOR, pull=pull)
    return RunSpec(
        run_id="0" * 16,
        task=Task(name="fix"),
        repository=Repository(full_name=NAME, default_branch="main", url=url),
        subject=subject,
        revision=Revision(ref="main", sha=sha),
        base=Revision(ref="main", sha=base or sha),
        requester=ACTOR,
        trust="writer",
    )


def git(folder: Path, *words: str) -> str:
    """A person's own git."""
    who = {f"GIT_{role}_{what}": "x@y.z" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = {**PATH, **who, "GIT_CONFIG_GLOBAL": os.devnull, "HOME": str(folder)}
    done = subprocess.run(["git", *words], cwd=folder, env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def clone(folder: Path, files: Mapping[str, str]) -> Path:
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def tree_of(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.relative_to(folder).parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def bytes_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_private_repository_is_fetched_with_the_token_which_stays_out_of_every_file(
    desk: Desk, tmp_path: Path
) -> None:
    desk.repo.private = True
    folder = GitCheckouts(settings_for(desk.server), None).prepare(spec_for(desk.head), tmp_path / "w")
    assert folder.is_relative_to(tmp_path / "w")
    wanted = {path: text[1] if isinstance(text, tuple) else str(text).encode() for path, text in FILES.items()}
    assert tree_of(folder) == wanted
    assert os.access(folder / "bin" / "tool", os.X_OK)
    assert head_of(folder) == desk.head
    assert TOKEN.encode() not in bytes_below(folder)
    assert git(folder, "remote") == ""
    assert not (folder / ".git" / "FETCH_HEAD").exists()
    assert {each.login for each in desk.server.git_requests} == {"github-actions[bot]"}


def test_without_a_token_a_private_repository_is_an_error_that_leaves_nothing(desk: Desk, tmp_path: Path) -> None:
    desk.repo.private = True
    with pytest.raises(ForgeError) as caught:
        GitCheckouts(settings_for(desk.server, None), None).prepare(spec_for(desk.head), tmp_path / "w")
    assert caught.value.code == "checkout_failed"
    assert caught.value.hint
    assert not tree_of(tmp_path / "w")
    assert list((tmp_path / "w").iterdir()) == []


def test_a_bad_token_is_not_shown(desk: Desk, tmp_path: Path) -> None:
    desk.repo.private = True
    with pytest.raises(ForgeError) as caught:
        GitCheckouts(settings_for(desk.server, "wr0ng-t0ken"), None).prepare(spec_for(desk.head), tmp_path)
    assert "wr0ng-t0ken" not in str(caught.value)


def test_a_fork_that_moves_on_is_run_at_the_pinned_commit(desk: Desk, tmp_path: Path) -> None:
    made = desk.server.open_pull(NAME, {"new.txt": "first"}, user="forker", head="topic", from_fork=True)
    assert made.pull is not None
    first = made.pull.head_sha
    second = desk.server.commit("forker/hello", "topic", {"new.txt": "second"})
    pull = PullInfo(
        head=Revision(ref="topic", sha=first), base=Revision(ref="main", sha=desk.head), head_repository="forker/hello"
    )
    folder = GitCheckouts(settings_for(desk.server), None).prepare(spec_for(first, pull=pull), tmp_path)
    assert (folder / "new.txt").read_text() == "first"
    known = git(folder, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split()
    assert second not in known
    assert git(folder, "diff", "--name-only", "origin/main...HEAD") == "new.txt"


def test_history_is_there_but_not_all_of_it(desk: Desk, tmp_path: Path) -> None:
    for at in range(60):
        desk.server.commit(NAME, "main", {"count": str(at)})
    folder = GitCheckouts(settings_for(desk.server), None).prepare(spec_for(desk.head), tmp_path)
    assert git(folder, "rev-list", "--count", "HEAD") == "50"


def test_a_commit_that_is_gone_is_an_error(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(ForgeError) as caught:
        GitCheckouts(settings_for(desk.server), None).prepare(spec_for("1" * 40), tmp_path)
    assert caught.value.code == "checkout_failed"


def test_a_second_try_starts_afresh(desk: Desk, tmp_path: Path) -> None:
    checkouts = GitCheckouts(settings_for(desk.server), None)
    folder = checkouts.prepare(spec_for(desk.head), tmp_path)
    (folder / "left-over").write_text("x")
    assert not (checkouts.prepare(spec_for(desk.head), tmp_path) / "left-over").exists()


def test_files_are_written_byte_for_byte_whatever_the_attributes_say(desk: Desk, tmp_path: Path) -> None:
    files = {
        ".gitattributes": "* text eol=crlf ident\n*.u16 working-tree-encoding=UTF-16\n*.big filter=lfs -text\n",
        "a.txt": "one\n$Id$\ntwo\r\n",
        "b.u16": "text\n",
        "c.big": "version https://git-lfs.example/spec/v1\n",
    }
    desk.server.commit(NAME, "main", files)
    folder = GitCheckouts(settings_for(desk.server), None).prepare(spec_for(desk.head), tmp_path)
    found = tree_of(folder)
    assert {path: found[path].decode() for path in files} == files
    assert git(folder, "status", "--porcelain") == ""


def test_nothing_that_a_repository_or_a_home_folder_plants_is_run(desk: Desk, tmp_path: Path) -> None:
    trap, home = tmp_path / "sprung", tmp_path / "home"
    script = f"#!/bin/sh\ntouch {trap}\n"
    hooks = home / "hooks"
    hooks.mkdir(parents=True)
    for name in ("post-checkout", "reference-transaction", "post-index-change", "fsmonitor"):
        (hooks / name).write_text(script)
        (hooks / name).chmod(0o755)
    (home / ".gitconfig").write_text(
        f"[core]\n\thooksPath = {hooks}\n\tfsmonitor = {hooks}/fsmonitor\n\tsshCommand = touch {trap}\n"
        f'[filter "evil"]\n\tsmudge = touch {trap}; cat\n\tprocess = touch {trap}\n\trequired = true\n'
        f'[credential]\n\thelper = "!touch {trap}"\n[init]\n\ttemplateDir = {home}\n[protocol]\n\tallow = always\n'
    )
    desk.server.commit(
        NAME,
        "main",
        {
            ".gitattributes": "* filter=evil diff=evil\n",
            ".gitmodules": f'[submodule "x"]\n\tpath = sub\n\turl = ext::touch {trap}\n\tupdate = !touch {trap}\n',
            ".gitconfig": (home / ".gitconfig").read_text(),
            ".lfsconfig": f"[lfs]\n\turl = ext::touch {trap}\n",
            "hooks/post-checkout": ("100755", script.encode()),
            "link": ("120000", b"/etc/passwd"),
        },
    )
    environ = {
        **PATH,
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_TEMPLATE_DIR": str(home),
        "GIT_ASKPASS": str(hooks / "post-checkout"),
        "GIT_CONFIG_PARAMETERS": f"'core.hooksPath={hooks}'",
        "GIT_TRACE": str(tmp_path / "trace"),
        "GIT_TRACE_CURL": str(tmp_path / "trace"),
    }
    checkouts = GitCheckouts(settings_for(desk.server), None, environ=environ)
    folder = checkouts.prepare(spec_for(desk.head), tmp_path / "w")
    assert (folder / "link").is_symlink()
    assert not trap.exists()
    assert not (tmp_path / "trace").exists()
    desk.repo.private = True
    with pytest.raises(ForgeError):
        GitCheckouts(settings_for(desk.server, None), None, environ=environ).prepare(
            spec_for(desk.head), tmp_path / "w2"
        )
    assert not trap.exists(), "nobody is asked for a password"


@pytest.mark.parametrize("path", [".git/hooks/post-checkout", "a/.GIT/config", "a/git~1/x"])
def test_a_tree_that_reaches_into_dot_git_is_refused(desk: Desk, tmp_path: Path, path: str) -> None:
    desk.server.commit(NAME, "main", {path: ("100755", b"#!/bin/sh\n")})
    with pytest.raises(ForgeError) as caught:
        GitCheckouts(settings_for(desk.server), None).prepare(spec_for(desk.head), tmp_path)
    assert caught.value.code == "checkout_failed"


def test_only_http_and_folders_are_fetched_from(tmp_path: Path) -> None:
    for address in (f"ext::touch {tmp_path}/sprung", "file:///nowhere", "git://127.0.0.1/x", "-oProxyCommand=x"):
        with pytest.raises(ForgeError, match="checkout"):
            fetch(Source(address), "1" * 40, {}, tmp_path / "w", PATH)
        assert list(tmp_path.iterdir()) == []


def test_a_checkout_at_the_commit_is_used_in_place_without_running_git(tmp_path: Path) -> None:
    source = clone(tmp_path / "source", {"a.txt": "a"})
    sha = git(source, "rev-parse", "HEAD")
    # git would run this program; what only looks at files does not.
    git(source, "config", "core.fsmonitor", f"touch {tmp_path / 'sprung'}")
    assert GitCheckouts(Settings(), source, environ={"PATH": ""}).prepare(spec_for(sha), tmp_path / "w") == source
    assert not (tmp_path / "w").exists()
    assert not (tmp_path / "sprung").exists()


def test_another_commit_of_a_folder_is_fetched_from_it(tmp_path: Path) -> None:
    source = clone(tmp_path / "a source", {"a.txt": "a"})
    first = git(source, "rev-parse", "HEAD")
    git(source, "commit", "-q", "--allow-empty", "-m", "second")
    git(source, "checkout", "-q", "--orphan", "other")
    git(source, "commit", "-q", "-m", "unrelated")
    git(source, "branch", "-q", "-D", "main")
    spec = spec_for(first, url=source.as_uri())
    folder = GitCheckouts(Settings(), source).prepare(spec, tmp_path / "w")
    assert folder != source
    assert head_of(folder) == first
    assert tree_of(folder) == {"a.txt": b"a"}
    bare = tmp_path / "bare.git"
    git(tmp_path, "clone", "-q", "--bare", str(folder), str(bare))
    assert head_of(GitCheckouts(Settings(), bare).prepare(spec, tmp_path / "w3")) == first
    with pytest.raises(ForgeError):
        GitCheckouts(Settings(), source).prepare(spec_for("1" * 40, url=source.as_uri()), tmp_path / "w2")


def test_a_folder_that_lacks_the_commit_falls_back_to_the_server(desk: Desk, tmp_path: Path) -> None:
    source = clone(tmp_path / "source", {"a.txt": "a"})
    folder = GitCheckouts(settings_for(desk.server), source).prepare(spec_for(desk.head), tmp_path / "w")
    assert head_of(folder) == desk.head


def test_heads_of_every_kind(tmp_path: Path) -> None:
    source = clone(tmp_path / "source", {"a.txt": "a"})
    sha = git(source, "rev-parse", "HEAD")
    assert head_of(source) == sha
    git(source, "pack-refs", "--all")
    assert head_of(source) == sha
    git(source, "worktree", "add", "-q", "-b", "topic/x", str(tmp_path / "tree"))
    assert head_of(tmp_path / "tree") == sha
    git(source, "checkout", "-q", "--detach")
    assert head_of(source) == sha
    for text in (
        "ref: ../../../secret\n",
        "ref: refs/heads/../../x\n",
        "nonsense",
        "",
        "ref: refs/heads/none\n",
        "ref: \n",
    ):
        (source / ".git" / "HEAD").write_text(text)
        assert head_of(source) is None, text
    (source / ".git" / "HEAD").unlink()
    os.mkfifo(source / ".git" / "HEAD")
    assert head_of(source) is None
    assert head_of(tmp_path) is None


@pytest.mark.parametrize(
    ("api", "server", "wanted"),
    [
        ("https://api.host.test", None, "https://host.test"),
        ("https://ghe.host.test/api/v3/", None, "https://ghe.host.test"),
        ("http://127.0.0.1:81/api/v3", None, "http://127.0.0.1:81"),
        ("https://api.host.test", "https://git.host.test/", "https://git.host.test"),
    ],
)
def test_the_server_follows_from_the_api(api: str, server: str | None, wanted: str) -> None:
    assert server_base(Settings(api_url=api, server_url=server)) == wanted


def test_the_public_server_follows_from_the_public_api() -> None:
    assert "//api." not in server_base(Settings())


@pytest.mark.parametrize("url", ["host", "file:///x", "https://me:secret@host"])
def test_addresses_that_no_server_has_are_the_callers_mistake(url: str) -> None:
    with pytest.raises(ConfigurationError):
        server_base(Settings(server_url=url))

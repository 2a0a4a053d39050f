"""The git side of the server that plays GitHub: real objects, refs, clones and pushes; and its planted faults."""

import base64
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from github import InputGitTreeElement
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.github_server.client import Client, pygithub
from tests.github_server.exchange import Request
from tests.github_server.faults import Kind
from tests.github_server.history import ahead, merge_base
from tests.github_server.objects import GitStore
from tests.github_server.server import GitHubServer
from tests.github_server.trees import File, Identity, blob_edits, edit_tree, files_of, read_commit, walk, write_commit

NAME = "octo/hello"
REPO = f"/repos/{NAME}"
FILES: dict[str, File] = {"README.md": "hi\n", "src/a.py": "print(1)\n", "run.sh": ("100755", b"#!/bin/sh\n")}
WRITE = dict.fromkeys(("contents", "issues", "pull_requests", "checks"), "write")


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    """A server with one repository, whose own answers must all fit the description, as must the requests."""
    with GitHubServer(check_answers=True) as server:
        server.add_repo(NAME, FILES)
        server.add_token("write", permissions=WRITE)
        server.add_token("read", permissions=dict.fromkeys(WRITE, "read"))
        yield server
        assert server.answer_violations == []
        assert server.violations == []


@pytest.fixture
def call(github: GitHubServer) -> Client:
    """A client that may write."""
    return Client(github, "write")


def git(*argv: str, cwd: Path | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    """A git command of a person without any configuration."""
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
    return subprocess.run(["git", *who, *argv], cwd=cwd, env=env, capture_output=True, text=True, check=check)


def with_token(github: GitHubServer, repo: str, token: str) -> str:
    """A clone address with a token in it, as Actions uses it."""
    return github.git_url(repo).replace("http://", f"http://x-access-token:{token}@")


def test_pygithub_turns_an_issue_into_a_draft_pull_request_that_git_can_clone(
    github: GitHubServer, tmp_path: Path
) -> None:
    issue = github.open_issue(NAME, labels=["bot:fix"])
    repo = pygithub(github, "write").get_repo(NAME)
    assert repo.get_contents("src/a.py", ref="main").decoded_content == b"print(1)\n"  # type: ignore[union-attr]
    status = repo.get_issue(issue.number).create_comment("<!-- marker --> on it")
    repo.get_issue(issue.number).remove_from_labels("bot:fix")
    repo.get_issue(issue.number).create_reaction("eyes")
    repo.create_label("done", "00ff00")
    repo.get_issue(issue.number).add_to_labels("done")
    base = repo.get_branch("main").commit.sha
    blob = repo.create_git_blob(base64.b64encode(b"print(2)\n").decode(), "base64")
    tree = repo.create_git_tree(
        [InputGitTreeElement("src/a.py", "100644", "blob", sha=blob.sha)], repo.get_git_tree(base)
    )
    commit = repo.create_git_commit("Fix it", tree, [repo.get_git_commit(base)])
    repo.create_git_ref("refs/heads/bot/fix-1", commit.sha)
    pull = repo.create_pull("main", "bot/fix-1", title="Fix", body="Fixes #1", draft=True)
    repo.create_check_run("sandpiper", commit.sha, status="completed", conclusion="success")
    status.edit(f"done: {pull.html_url}")

    seen = github.repo(NAME)
    assert (seen.issues[1].label_names, [one.content for one in seen.issues[1].reactions]) == (["done"], ["eyes"])
    assert seen.comments(1) == [f"done: {github.html_url}/{NAME}/pull/2"]
    assert pull.draft
    assert [(file.filename, file.additions, file.deletions) for file in pull.get_files()] == [("src/a.py", 1, 1)]
    assert commit.verification.verified
    git("clone", "-q", "-b", "bot/fix-1", github.git_url(NAME), str(tmp_path / "clone"))
    assert (tmp_path / "clone/src/a.py").read_text() == "print(2)\n"
    assert os.access(tmp_path / "clone/run.sh", os.X_OK)
    assert git("fsck", "--strict", cwd=tmp_path / "clone").stdout == ""
    assert git("fsck", "--strict", cwd=seen.git.path).stdout == ""
    assert git("log", "--format=%an <%ae>", "-1", cwd=tmp_path / "clone").stdout == (
        "github-actions[bot] <41898282+github-actions[bot]@users.noreply.github.com>\n"
    )


def test_an_enterprise_server_has_the_api_under_a_path(tmp_path: Path) -> None:
    with GitHubServer(enterprise=True) as github:
        github.add_repo(NAME)
        github.add_token("write")
        assert github.url.endswith("/api/v3")
        repo = pygithub(github, "write").get_repo(NAME)
        assert repo.create_issue("x").number == 1
        assert repo.url.startswith(github.url)
        assert requests.get(f"{github.html_url}{REPO}").status_code == 404
        git("clone", "-q", github.git_url(NAME), str(tmp_path / "clone"))


def test_a_push_needs_a_write_token_and_moves_the_pull_request(github: GitHubServer, tmp_path: Path) -> None:
    pull = github.open_pull(NAME, {"new.txt": "x\n"})
    assert pull.pull is not None
    clone = tmp_path / "clone"
    git("clone", "-q", "-b", "feature", github.git_url(NAME), str(clone))
    for number in range(120):  # more objects than receive-pack unpacks: they stay in a pack
        (clone / f"file{number}").write_text(f"{number}\n")
    git("add", ".", cwd=clone)
    git("commit", "-qm", "more", cwd=clone)
    for address in (github.git_url(NAME), with_token(github, NAME, "read"), with_token(github, NAME, "nonsense")):
        assert git("push", "-q", address, "feature", cwd=clone, check=False).returncode != 0
    assert len(github.git_requests) > 0
    git("push", "-q", with_token(github, NAME, "write"), "feature", cwd=clone)
    head = git("rev-parse", "HEAD", cwd=clone).stdout.strip()
    assert pull.pull.head_sha == head == github.repo(NAME).git.ref(f"refs/pull/{pull.number}/head")
    shown = Client(github, "read")("GET", f"{REPO}/pulls/{pull.number}")
    assert (shown["changed_files"], shown["commits"], shown["mergeable"]) == (121, 2, True)


def test_private_clones_need_a_token(github: GitHubServer, tmp_path: Path) -> None:
    github.add_repo("octo/secret", private=True)
    assert git("clone", "-q", github.git_url("octo/secret"), str(tmp_path / "a"), check=False).returncode != 0
    git("clone", "-q", with_token(github, "octo/secret", "read"), str(tmp_path / "b"))
    assert (tmp_path / "b/README.md").exists()


def test_a_fork_shares_its_objects_and_the_base_serves_head_and_merge(
    github: GitHubServer, call: Client, tmp_path: Path
) -> None:
    issue = github.open_pull(NAME, {"src/a.py": "print(9)\n"}, user="eve", from_fork=True)
    github.commit(NAME, "main", {"README.md": "moved\n"})
    shown = call("GET", f"{REPO}/pulls/{issue.number}")
    assert (shown["head"]["label"], shown["head"]["repo"]["fork"], shown["mergeable"]) == ("eve:feature", True, True)
    assert call("GET", f"{REPO}/compare/main...eve:feature")["status"] == "diverged"
    git("init", "-q", str(tmp_path))
    git("fetch", "-q", github.git_url(NAME), f"refs/pull/{issue.number}/merge", cwd=tmp_path)
    git("checkout", "-q", "FETCH_HEAD", cwd=tmp_path)
    assert [(tmp_path / name).read_text() for name in ("src/a.py", "README.md")] == ["print(9)\n", "moved\n"]
    git("fetch", "-q", github.git_url("eve/hello"), "feature", cwd=tmp_path)
    github.commit(NAME, "main", {"src/a.py": "print(8)\n"})
    assert call("GET", f"{REPO}/pulls/{issue.number}")["mergeable"] is False


def test_refs_only_move_as_git_allows(github: GitHubServer, call: Client) -> None:
    old = github.repo(NAME).git.ref("refs/heads/main")
    new = github.commit(NAME, "main", {"x": "1"})
    refs = f"{REPO}/git/refs"
    call("POST", refs, {"ref": "refs/heads/bot/a", "sha": new}, 201)
    for name, sha, words in (
        ("refs/heads/bot/a", new, "Reference already exists"),
        ("refs/heads/bot", new, "Reference cannot be created"),
        ("refs/heads/bot/a/b", new, "Reference cannot be created"),
        ("heads/x", new, "Reference name is not valid"),
        ("refs/heads/a..b", new, "Reference name is not valid"),
        ("refs/pull/1/head", new, "Reference name is not valid"),
        ("refs/heads/x", "0" * 40, "Object does not exist"),
    ):
        assert words in call("POST", refs, {"ref": name, "sha": sha}, 422)["message"]
    assert call("PATCH", f"{refs}/heads/bot/a", {"sha": old}, 422)["message"] == "Update is not a fast forward"
    call("PATCH", f"{refs}/heads/bot/a", {"sha": old, "force": True})
    call("PATCH", f"{refs}/heads/gone", {"sha": old}, 422)
    github.repo(NAME).protected.add("main")
    call("PATCH", f"{refs}/heads/main", {"sha": old, "force": True}, 422)
    call("DELETE", f"{refs}/heads/bot/a", status=204)
    call("DELETE", f"{refs}/heads/bot/a", status=422)
    call("GET", f"{REPO}/git/ref/heads/bot/a", status=404)
    call("POST", refs, {"ref": "refs/heads/bot", "sha": new}, 201)


def test_pull_requests_are_refused_as_github_does(github: GitHubServer, call: Client) -> None:
    pulls = f"{REPO}/pulls"
    github.open_pull(NAME, {"x": "1"})
    github.repo(NAME).git.set_ref("refs/heads/same", github.repo(NAME).git.ref("refs/heads/main"))
    for head, base, words in (
        ("feature", "main", "A pull request already exists for octo:feature."),
        ("octo:feature", "main", "A pull request already exists for octo:feature."),
        ("same", "main", "No commits between main and same"),
        ("gone", "main", "'field': 'head'"),
        ("eve:feature", "main", "'field': 'head'"),
        ("feature", "gone", "'field': 'base'"),
    ):
        assert words in str(call("POST", pulls, {"title": "t", "head": head, "base": base}, 422)["errors"])
    assert [len(call("GET", f"{pulls}?head={head}")) for head in ("octo:feature", "octo:same", "same")] == [1, 0, 1]
    github.repo(NAME).actions_may_open_pulls = False
    call("POST", pulls, {"title": "t", "head": "same", "base": "main"}, 403)
    call("DELETE", f"{REPO}/git/refs/heads/feature", status=204)
    assert call("GET", f"{pulls}/1")["state"] == "closed"


def test_contents_of_every_kind(github: GitHubServer, call: Client) -> None:
    big = b"x" * (1024 * 1024 + 1)
    github.commit(NAME, "odd", {"big": big, "link": ("120000", b"src/a.py"), "out": ("120000", b"/etc/passwd")})
    at = "?ref=odd"
    shown = call("GET", f"{REPO}/contents/big{at}")
    assert (shown["encoding"], shown["content"], shown["size"]) == ("none", "", len(big))
    assert call("GET", f"{REPO}/contents/big{at}", Accept="application/vnd.github.raw+json") == big
    assert base64.b64decode(call("GET", f"{REPO}/contents/link{at}")["content"]) == b"print(1)\n"
    assert call("GET", f"{REPO}/contents/out{at}")["target"] == "/etc/passwd"
    names = {row["name"]: row["type"] for row in call("GET", f"{REPO}/contents{at}")}
    kinds = {"README.md": "file", "big": "file", "link": "symlink", "out": "symlink", "run.sh": "file", "src": "dir"}
    assert names == kinds
    for missing in ("contents/none", "contents/README.md/x", "contents/README.md?ref=none"):
        call("GET", f"{REPO}/{missing}", status=404)


@pytest.mark.parametrize(("row", "words"), [
    ({"path": "../x", "content": "x"}, "malformed path"),
    ({"path": "a/.git/config", "content": "x"}, "malformed path"),
    ({"path": "/x", "content": "x"}, "malformed path"),
    ({"path": "x", "sha": "0" * 40}, "is not a valid blob"),
    ({"path": "gone", "sha": None}, "BadObjectState"),
])  # fmt: skip
def test_trees_that_git_would_not_take_are_refused(
    github: GitHubServer, call: Client, row: dict[str, str], words: str
) -> None:
    body = {"base_tree": "main", "tree": [{"mode": "100644", "type": "blob"} | row]}
    assert words in call("POST", f"{REPO}/git/trees", body, 422)["message"]


def test_a_workflow_needs_a_permission_of_its_own(github: GitHubServer, call: Client) -> None:
    row = {"path": ".github/workflows/x.yml", "mode": "100644", "type": "blob", "content": "on: push"}
    call("POST", f"{REPO}/git/trees", {"tree": [row]}, 403)
    github.add_token("more", permissions=WRITE | {"workflows": "write"})
    Client(github, "more")("POST", f"{REPO}/git/trees", {"tree": [row]}, 201)


PARTS = st.sampled_from(["a", "b", "a.b", "a-b", "ab", "é", "z z"])
PATHS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)


def no_clash(files: dict[str, bytes]) -> bool:
    """No path is a folder of another."""
    return not any(other.startswith(f"{path}/") for path in files for other in files)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(PATHS, st.binary(max_size=8), min_size=1, max_size=6).filter(no_clash), st.data())
def test_tree_edits_give_the_trees_that_git_writes(files: dict[str, bytes], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = GitStore(Path(folder, "x.git"), "main")
        first = edit_tree(store, None, blob_edits(store, files))
        gone = data.draw(st.sets(st.sampled_from(sorted(files))))
        tree = edit_tree(store, first, dict.fromkeys(gone))
        kept = {path: entry for path, entry in walk(store, tree) if entry.kind == "blob"}
        assert set(kept) == set(files) - gone
        rows = "".join(f"{entry.mode} {entry.sha}\t{path}\0" for path, entry in kept.items())
        store.git("update-index", "--add", "-z", "--index-info", stdin=rows.encode())
        assert store.git("write-tree").decode().strip() == tree


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sets(st.integers(0, 7), max_size=2), min_size=2, max_size=8))
def test_histories_are_compared_as_git_compares_them(shape: list[set[int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = GitStore(Path(folder, "x.git"), "main")
        who, tree = Identity("Ann", "ann@example.org", datetime.fromtimestamp(1, UTC)), store.write("tree", b"")
        made: list[str] = []
        for index, parents in enumerate(shape):
            known = [made[parent] for parent in sorted(parents) if parent < index]
            made.append(write_commit(store, tree, known, who, who, f"{index}"))
        one, other = made[-1], made[-2]
        assert len(ahead(store, other, one)) == int(store.git("rev-list", "--count", one, f"^{other}"))
        store.set_ref("refs/heads/one", one)
        found = subprocess.run(
            ["git", "merge-base", "--all", one, other], cwd=store.path, capture_output=True, text=True, check=False
        ).stdout.split()
        mine = merge_base(store, one, other)
        assert mine in found if found else mine is None


@pytest.mark.parametrize(("kind", "options", "status", "header"), [
    ("status", {}, 502, None),
    ("status", {"status": 500}, 500, None),
    ("secondary_limit", {"retry_after": 7}, 403, ("Retry-After", "7")),
    ("secondary_limit", {"retry_after": 7, "status": 429}, 429, ("Retry-After", "7")),
    ("primary_limit", {"seconds": 60}, 403, ("x-ratelimit-remaining", "0")),
    ("expired", {}, 401, None),
])  # fmt: skip
def test_a_planted_status_strikes_once_and_writes_nothing(
    github: GitHubServer, call: Client, kind: Kind, options: dict[str, int], status: int, header: tuple[str, str] | None
) -> None:
    github.open_issue(NAME)
    github.faults.add("POST", r"/comments$", kind, **options)  # type: ignore[arg-type]
    path = f"{REPO}/issues/1/comments"
    first = call.session.post(github.url + path, json={"body": "x"})
    assert (first.status_code, github.repo(NAME).comments(1)) == (status, [])
    assert header is None or first.headers[header[0]] == header[1]
    assert ("html" in first.headers["Content-Type"]) == (status >= 500)
    call("POST", path, {"body": "x"}, 201)
    assert [request.fault for request in github.requests] == [kind, None]


@pytest.mark.parametrize(("kind", "kept"), [("drop_before", []), ("drop_after", ["x"])])
def test_a_dropped_connection_may_or_may_not_have_written(
    github: GitHubServer, call: Client, kind: Kind, kept: list[str]
) -> None:
    github.open_issue(NAME)
    call("GET", REPO)  # a connection that is kept alive
    github.faults.add("POST", r"/comments$", kind)
    with pytest.raises(requests.ConnectionError):
        call("POST", f"{REPO}/issues/1/comments", {"body": "x"})
    assert github.repo(NAME).comments(1) == kept
    assert [(request.status, request.fault) for request in github.requests] == [(200, None), (0, kind)]


def test_a_redirect_turns_a_careless_post_into_a_get(github: GitHubServer, call: Client) -> None:
    github.open_issue(NAME)
    github.faults.add("POST", r"/issues/1/comments$", "redirect")
    answer = call.session.post(f"{github.url}{REPO}/issues/1/comments", json={"body": "x"})
    assert (answer.status_code, answer.json(), github.repo(NAME).comments(1)) == (200, [], [])
    assert [request.method for request in github.requests] == ["POST", "GET"]
    github.rename(NAME, "hallo")
    assert call.session.get(f"{github.url}{REPO}").json()["full_name"] == "octo/hallo"
    answer = call.session.post(f"{github.url}{REPO}/issues/1/comments", json={"body": "x"})
    assert (answer.status_code, answer.history[0].status_code) == (201, 307)


def test_a_delay_is_waited_for_outside_the_lock_and_skip_counts(github: GitHubServer, call: Client) -> None:
    github.faults.add("*", rf"^{REPO}$", "delay", seconds=0.3, skip=1)
    took = []
    for _ in range(3):
        start = time.monotonic()
        call("GET", REPO)
        took.append(time.monotonic() - start >= 0.3)
    assert took == [False, True, False]


def test_a_hook_may_move_the_branch_between_two_requests(github: GitHubServer, call: Client) -> None:
    moved: list[str] = []

    def push(request: Request) -> None:
        if request.method == "PATCH" and not moved:
            moved.append(github.commit(NAME, "main", {"README.md": "theirs\n"}, user="ann"))

    github.on_request(push)
    store = github.repo(NAME).git
    base = store.ref("refs/heads/main") or ""
    tree = read_commit(store, base).tree
    mine = call("POST", f"{REPO}/git/commits", {"message": "m", "tree": tree, "parents": [base]}, 201)["sha"]
    call("PATCH", f"{REPO}/git/refs/heads/main", {"sha": mine}, 422)
    assert store.ref("refs/heads/main") == moved[0]
    assert files_of(store, moved[0])["README.md"] == b"theirs\n"

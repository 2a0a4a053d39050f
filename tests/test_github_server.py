"""The server that plays GitHub: its answers against GitHub's description, its rules, its faults."""

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.github_server import contract, webhooks
from tests.github_server.client import Client, pygithub
from tests.github_server.dispatch import EVERY
from tests.github_server.server import GitHubServer

NAME = "octo/hello"
REPO = f"/repos/{NAME}"
FILES = {
    "README.md": "hi\n",
    "src/a.py": "print(1)\n",
    "src/b.py": "one\ntwo\n",
    ".github/workflows/ci.yml": "on: push\n",
}
WRITE = dict.fromkeys(("contents", "issues", "pull_requests", "checks", "statuses", "actions"), "write")
READ = dict.fromkeys(WRITE, "read")


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    """A server with one repository, whose own answers must all fit the description."""
    with GitHubServer(check_answers=True) as server:
        server.add_repo(NAME, FILES)
        server.add_token("write", permissions=WRITE)
        server.add_token("read", permissions=READ)
        server.add_token("person", "octo", "pat")
        yield server
        assert server.answer_violations == []


@pytest.fixture
def call(github: GitHubServer) -> Client:
    """A client that may write."""
    return Client(github, "write")


def app_key(github: GitHubServer) -> tuple[rsa.RSAPrivateKey, Client]:
    """An app installed on the repository, and a client that signs in as it."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    github.add_app(77, "sandpiper", [NAME], WRITE, pem.decode())
    claims = {"iss": "77", "iat": int(time.time()) - 60, "exp": int(time.time()) + 540}
    return key, Client(github, jwt.encode(claims, key, "RS256"))


def tour_of_talk(github: GitHubServer, call: Client) -> None:
    """Every route of issues, comments, labels and reactions."""
    call("POST", f"{REPO}/issues", {"title": "broken", "labels": ["bot:fix"]}, 201)
    issue = f"{REPO}/issues/1"
    comment = call("POST", f"{issue}/comments", {"body": "/bot fix"}, 201)
    note = f"{REPO}/issues/comments/{comment['id']}"
    for path in (f"{REPO}/issues?labels=bot:fix", issue, f"{issue}/comments", f"{REPO}/issues/comments", note):
        call("GET", path)
    call("PATCH", note, {"body": "edited"})
    call("POST", f"{REPO}/labels", {"name": "Help me", "color": "ff0000", "description": "x"}, 201)
    call("PATCH", f"{REPO}/labels/help%20me", {"new_name": "help"})
    call("POST", f"{issue}/labels", {"labels": ["help"]})
    call("POST", f"{issue}/labels", ["bare"])
    for path in (f"{REPO}/labels", f"{REPO}/labels/help", f"{issue}/labels"):
        call("GET", path)
    call("DELETE", f"{issue}/labels/HELP")
    call("DELETE", f"{issue}/labels/help", status=404)
    call("DELETE", f"{REPO}/labels/help", status=204)
    call("PUT", f"{issue}/labels", {"labels": ["one", "two"]})
    assert github.repo(NAME).issues[1].label_names == ["one", "two"]
    call("DELETE", f"{issue}/labels", status=204)
    call("PATCH", issue, {"state": "closed", "state_reason": "not_planned"})
    tour_of_reactions(call, issue)
    tour_of_reactions(call, note)
    call("GET", f"/search/issues?q=repo:{NAME}+is:closed+edited")
    call("DELETE", note, status=204)
    assert github.repo(NAME).issues[1].comments == []


def tour_of_reactions(call: Client, subject: str) -> None:
    """Put, again, list, take off."""
    made = call("POST", f"{subject}/reactions", {"content": "eyes"}, 201)
    assert call("POST", f"{subject}/reactions", {"content": "eyes"})["id"] == made["id"]
    assert len(call("GET", f"{subject}/reactions?content=eyes")) == 1
    call("DELETE", f"{subject}/reactions/{made['id']}", status=204)
    assert call("GET", f"{subject}/reactions") == []


def tour_of_pulls(github: GitHubServer, call: Client) -> None:
    """Every route of pull requests and their reviews."""
    head = github.commit(NAME, "feature", {"src/a.py": "print(2)\n", "new.txt": "x\n"})
    made = call("POST", f"{REPO}/pulls", {"title": "t", "head": "feature", "base": "main", "draft": True}, 201)
    pull = f"{REPO}/pulls/{made['number']}"
    assert (made["draft"], made["changed_files"], made["head"]["sha"]) == (True, 2, head)
    call("PATCH", pull, {"title": "better", "body": "text"})
    spot = {"path": "src/a.py", "line": 1, "side": "RIGHT", "body": "why?"}
    said = call("POST", f"{pull}/comments", spot | {"commit_id": head}, 201)
    note = f"{REPO}/pulls/comments/{said['id']}"
    call("POST", f"{pull}/comments", spot | {"commit_id": head, "line": 9}, 422)
    call("POST", f"{pull}/comments/{said['id']}/replies", {"body": "so"}, 201)
    call("POST", f"{pull}/reviews", {"event": "COMMENT", "body": "ok", "comments": [spot]})
    for path in ("", "/files", "/commits", "/comments", "/reviews"):
        call("GET", pull + path)
    call("GET", f"{REPO}/pulls?head=octo:feature")
    call("GET", note)
    call("PATCH", note, {"body": "edited"})
    tour_of_reactions(call, note)
    call("DELETE", note, status=204)
    assert b"+print(2)" in call("GET", pull, Accept="application/vnd.github.v3.diff")


def tour_of_git(github: GitHubServer, call: Client) -> None:
    """Every route of git data, contents, commits, checks and statuses."""
    git = f"{REPO}/git"
    main = call("GET", f"{git}/ref/heads/main")["object"]["sha"]
    blob = call("POST", f"{git}/blobs", {"content": base64.b64encode(b"\0\xff").decode(), "encoding": "base64"}, 201)
    rows = [
        {"path": "deep/er/x.bin", "mode": "100755", "type": "blob", "sha": blob["sha"]},
        {"path": "src/a.py", "mode": "100644", "type": "blob", "sha": None},
        {"path": "text", "mode": "100644", "type": "blob", "content": "héllo"},
    ]
    tree = call("POST", f"{git}/trees", {"base_tree": main, "tree": rows}, 201)
    commit = call("POST", f"{git}/commits", {"message": "m", "tree": tree["sha"], "parents": [main]}, 201)
    call("POST", f"{git}/refs", {"ref": "refs/heads/bot/fix-1", "sha": main}, 201)
    call("PATCH", f"{git}/refs/heads/bot/fix-1", {"sha": commit["sha"]})
    assert commit["verification"]["verified"]
    assert commit["author"]["name"] == "github-actions[bot]"
    whole = call("GET", f"{git}/trees/{tree['sha']}?recursive=1")
    assert [row["path"] for row in whole["tree"] if row["path"].startswith("deep")] == [
        "deep",
        "deep/er",
        "deep/er/x.bin",
    ]
    for path in (f"blobs/{blob['sha']}", f"commits/{commit['sha']}", "matching-refs/heads/bot/"):
        call("GET", f"{git}/{path}")
    sha = call("GET", f"{REPO}/commits/bot/fix-1")["sha"]
    for path in (
        "commits",
        "branches/bot/fix-1",
        "compare/main...bot/fix-1",
        "contents/",
        "contents/text?ref=bot/fix-1",
    ):
        call("GET", f"{REPO}/{path}")
    call("POST", f"{REPO}/statuses/{sha}", {"state": "success", "context": "ci"}, 201)
    run = call("POST", f"{REPO}/check-runs", {"name": "fix", "head_sha": sha, "status": "in_progress"}, 201)
    note = {"path": "text", "start_line": 1, "end_line": 1, "annotation_level": "notice", "message": "m"}
    output = {"title": "t", "summary": "s", "annotations": [note] * 50}
    for count in (50, 100):
        done = {"conclusion": "success", "output": output}
        assert call("PATCH", f"{REPO}/check-runs/{run['id']}", done)["output"]["annotations_count"] == count
    for path in (f"check-runs/{run['id']}", f"check-runs/{run['id']}/annotations"):
        call("GET", f"{REPO}/{path}")
    for path in ("check-runs", "status", "statuses"):
        call("GET", f"{REPO}/commits/bot/fix-1/{path}")
    call("DELETE", f"{git}/refs/heads/bot/fix-1", status=204)


def tour_of_the_rest(github: GitHubServer, call: Client) -> None:
    """Accounts, apps, dispatches and runs."""
    for path in (
        REPO,
        f"{REPO}/collaborators/octo/permission",
        "/users/octo",
        "/rate_limit",
        "/installation/repositories",
    ):
        call("GET", path)
    call("POST", f"{REPO}/dispatches", {"event_type": "x", "client_payload": {"a": 1}}, 204)
    call("POST", f"{REPO}/actions/workflows/ci.yml/dispatches", {"ref": "main", "inputs": {"task": "fix"}}, 204)
    assert github.repo(NAME).dispatches[1] == {"workflow": "ci.yml", "ref": "main", "inputs": {"task": "fix"}}
    run = github.add_run(NAME)
    call("GET", f"{REPO}/actions/runs/{run.id}")
    call("POST", f"{REPO}/actions/runs/{run.id}/cancel", status=202)
    call("POST", f"{REPO}/actions/runs/{run.id}/cancel", status=409)
    assert Client(github, "person")("GET", "/user")["login"] == "octo"
    _, app = app_key(github)
    assert app("GET", "/app")["slug"] == "sandpiper"
    home = app("GET", f"{REPO}/installation")["id"]
    app("GET", f"/app/installations/{home}")
    made = app("POST", f"/app/installations/{home}/access_tokens", {"permissions": {"issues": "write"}}, 201)
    Client(github, made["token"])("DELETE", "/installation/token", status=204)
    github.world.manifests["c0de"] = {"name": "A Bot", "default_permissions": {"issues": "write"}}
    assert Client(github, None)("POST", "/app-manifests/c0de/conversions", status=201)["slug"] == "a-bot"


REST = {f"{route.method} {route.template}" for route in EVERY if route.template != "/graphql"}
"""GraphQL is described by a schema of its own, which executes it."""


def test_every_route_answers_as_github_describes_it(github: GitHubServer, call: Client) -> None:
    tour_of_talk(github, call)
    tour_of_pulls(github, call)
    tour_of_git(github, call)
    tour_of_the_rest(github, call)
    good = {request.operation for request in github.requests if 200 <= request.status < 300}
    assert good == REST
    assert github.violations == []
    assert github.unknown == []


def test_described_operations_are_all_served() -> None:
    described = {
        f"{method.upper()} {path}" for path, item in contract.description()["paths"].items() for method in item
    }
    assert described == REST


WRITES = [
    ("POST", "/issues/1/comments", {"body": "x"}),
    ("POST", "/issues/1/labels", ["x"]),
    ("DELETE", "/issues/1/labels/bot:fix", None),
    ("POST", "/issues/1/reactions", {"content": "eyes"}),
    ("PATCH", "/issues/1", {"state": "closed"}),
    ("POST", "/labels", {"name": "x"}),
    ("POST", "/git/blobs", {"content": "x"}),
    ("POST", "/git/refs", {"ref": "refs/heads/x", "sha": "0" * 40}),
    ("PATCH", "/git/refs/heads/main", {"sha": "0" * 40}),
    ("DELETE", "/git/refs/heads/main", None),
    ("POST", "/pulls", {"title": "x", "head": "x", "base": "main"}),
    ("POST", "/check-runs", {"name": "x", "head_sha": "0" * 40}),
    ("POST", "/dispatches", {"event_type": "x"}),
]


@pytest.mark.parametrize(("token", "status", "message"), [
    ("read", 403, "Resource not accessible by integration"),
    ("elsewhere", 403, "Resource not accessible by integration"),
    ("nonsense", 401, "Bad credentials"),
    (None, 401, "Requires authentication"),
])  # fmt: skip
def test_a_token_without_the_permission_changes_nothing(
    github: GitHubServer, token: str | None, status: int, message: str
) -> None:
    repo = github.repo(NAME)
    issue = github.open_issue(NAME, labels=["bot:fix"])
    github.add_token("elsewhere", permissions=WRITE, repos=["octo/other"])
    before = repr(issue), repo.git.refs(), dict(repo.labels)
    for method, path, body in WRITES:
        assert Client(github, token)(method, REPO + path, body, status)["message"] == message
    assert (repr(issue), repo.git.refs(), dict(repo.labels)) == before
    assert (repo.check_runs, repo.dispatches, list(repo.issues)) == ([], [], [1])


def test_people_are_held_to_their_role(github: GitHubServer) -> None:
    github.open_issue(NAME)
    github.add_token("reader", "ann", "pat")
    reader = Client(github, "reader")
    reader("POST", f"{REPO}/issues/1/comments", {"body": "hello"}, 201)
    reader("POST", f"{REPO}/issues/1/labels", ["x"], 403)
    github.set_permission(NAME, "ann", "triage")
    reader("POST", f"{REPO}/issues/1/labels", ["x"])
    reader("POST", f"{REPO}/git/blobs", {"content": "x"}, 403)
    github.set_permission(NAME, "ann", "maintain")
    reader("POST", f"{REPO}/git/blobs", {"content": "x"}, 201)
    reader("POST", f"{REPO}/check-runs", {"name": "x", "head_sha": "0" * 40}, 403)
    shown = reader("GET", f"{REPO}/collaborators/ann/permission")
    assert (shown["permission"], shown["role_name"]) == ("write", "maintain")
    assert reader("GET", f"{REPO}/collaborators/stranger/permission", status=404)["message"] == "stranger is not a user"
    reader("GET", f"{REPO}/collaborators/github-actions%5Bbot%5D/permission", status=404)


def test_private_repositories_are_hidden(github: GitHubServer) -> None:
    github.add_repo("octo/secret", private=True)
    github.add_token("ann", "ann", "pat")
    github.add_token("here", permissions=WRITE, repos=[NAME])
    for token in (None, "ann", "here"):
        Client(github, token)("GET", "/repos/octo/secret", status=404)
        assert Client(github, token)("GET", "/search/issues?q=repo:octo/secret+Sample")["total_count"] == 0
    assert Client(github, "write")("GET", "/repos/octo/secret")["private"]


def test_the_app_signs_in_and_its_tokens_are_narrow_and_long(github: GitHubServer) -> None:
    key, app = app_key(github)
    github.add_repo("octo/other")
    github.open_issue(NAME)
    home = f"/app/installations/{app('GET', f'{REPO}/installation')['id']}/access_tokens"
    app("GET", "/repos/octo/other/installation", status=404)
    app("POST", home, {"permissions": {"administration": "write"}}, 422)
    app("POST", home, {"repositories": ["other"]}, 422)
    made = app("POST", home, {"repositories": ["hello"], "permissions": {"issues": "write"}}, 201)
    assert len(made["token"]) > 500
    token = Client(github, made["token"])
    assert token("POST", f"{REPO}/issues/1/comments", {"body": "x"}, 201)["user"]["login"] == "sandpiper[bot]"
    token("POST", f"{REPO}/git/blobs", {"content": "x"}, 403)
    token("GET", "/app", status=401)
    token("DELETE", "/installation/token", status=204)
    token("GET", REPO, status=401)
    for claims in ({"iss": "77", "exp": int(time.time()) + 3600}, {"iss": "77", "exp": 1}, {"iss": "78", "exp": 2**33}):
        Client(github, jwt.encode(claims, key, "RS256"))("GET", "/app", status=401)
    other = rsa.generate_private_key(65537, 2048)
    forged = jwt.encode({"iss": "77", "exp": int(time.time()) + 60}, other, "RS256")
    Client(github, forged)("GET", "/app", status=401)


@pytest.mark.parametrize(("method", "path", "body", "status", "words"), [
    ("POST", "/issues/1/comments", {"text": "x"}, 422, ["'body' is a required property", "text is not described"]),
    ("POST", "/issues/1/comments", {"body": "x", "extra": 1}, 201, ["body property extra is not described"]),
    ("POST", "/issues/1/comments", None, 422, ["body is missing"]),
    ("POST", "/issues/1/reactions", {"content": "party"}, 422, ["'party' is not one of"]),
    ("GET", "/issues?colour=red", None, 200, ["query parameter colour is not described"]),
    ("GET", "/issues?per_page=many", None, 200, ["query parameter per_page: 'many' is not of type 'integer'"]),
    ("DELETE", "/issues/1/labels/x", {"a": 1}, 422, ["body where none is described"]),
    ("GET", "/issues/one", None, 404, ["path parameter issue_number"]),
])  # fmt: skip
def test_what_departs_from_the_description_is_told(
    github: GitHubServer, call: Client, method: str, path: str, body: Any, status: int, words: list[str]
) -> None:
    github.open_issue(NAME, labels=["x"])
    call(method, REPO + path, body, status)
    assert len(github.violations) == len(words), github.violations
    assert all(any(word in one for one in github.violations) for word in words), github.violations


def test_a_bare_array_of_labels_is_no_violation_but_one_of_numbers_is(github: GitHubServer, call: Client) -> None:
    github.open_issue(NAME)
    call("POST", f"{REPO}/issues/1/labels", ["x"])
    assert github.violations == []
    call("POST", f"{REPO}/issues/1/labels", [1], 422)
    assert len(github.violations) == 1


def test_unknown_routes_and_broken_json_are_errors(github: GitHubServer, call: Client) -> None:
    call("PUT", f"{REPO}/pulls/1/merge", {}, 404)
    assert github.unknown == [f"PUT {REPO}/pulls/1/merge"]
    broken = requests.post(f"{github.url}{REPO}/issues", data="{", headers={"Authorization": "token write"})
    assert (broken.status_code, broken.json()["message"]) == (400, "Problems parsing JSON")


def test_lists_come_in_pages_that_link_to_each_other_by_number(github: GitHubServer) -> None:
    github.open_issue(NAME)
    for index in range(7):
        github.comment(NAME, 1, str(index))
    repo = pygithub(github, "read", per_page=3).get_repo(NAME)
    assert [comment.body for comment in repo.get_issue(1).get_comments()] == list("0123456")
    pages = [request.path for request in github.requests if request.path.startswith("/repositories/")]
    assert pages == [f"/repositories/{github.repo(NAME).id}/issues/1/comments"] * 2
    assert github.violations == []


def test_a_body_may_have_65536_characters(github: GitHubServer, call: Client) -> None:
    github.open_issue(NAME)
    call("POST", f"{REPO}/issues/1/comments", {"body": "🙂" * 65536}, 201)
    for path in ("/issues/1/comments", "/issues"):
        error = call("POST", REPO + path, {"title": "t", "body": "x" * 65537}, 422)
        assert error["errors"][0]["message"] == "body is too long (maximum is 65536 characters)"


def test_an_etag_saves_the_body_and_the_rate_limit(github: GitHubServer, call: Client) -> None:
    first = call.session.get(f"{github.url}{REPO}")
    used = int(first.headers["x-ratelimit-used"])
    again = call.session.get(f"{github.url}{REPO}", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content, int(again.headers["x-ratelimit-used"])) == (304, b"", used)
    github.open_issue(NAME)
    changed = call.session.get(f"{github.url}{REPO}", headers={"If-None-Match": first.headers["ETag"]})
    assert (changed.status_code, int(changed.headers["x-ratelimit-used"])) == (200, used + 1)


def test_comments_from_many_threads_are_all_kept(github: GitHubServer) -> None:
    github.open_issue(NAME)
    with ThreadPoolExecutor(8) as pool:
        made = list(
            pool.map(
                lambda n: Client(github, "write")("POST", f"{REPO}/issues/1/comments", {"body": str(n)}, 201), range(40)
            )
        )
    assert len({comment["id"] for comment in made}) == 40
    assert sorted(map(int, github.repo(NAME).comments(1))) == list(range(40))


def test_webhook_payloads_are_as_described(github: GitHubServer) -> None:
    app_key(github)
    github.open_issue(NAME, labels=["bot:fix"])
    said = github.comment(NAME, 1, "/bot fix", "ann")
    pull = github.open_pull(NAME, {"src/a.py": "print(3)\n"}, user="eve", from_fork=True, labels=["bot:fix"])
    noted = github.review_comment(NAME, pull.number, "/bot fix", "src/a.py")
    installed = github.world.apps[77]
    payloads = {
        "issues-opened": webhooks.issues_opened(github, NAME, 1),
        "issues-labeled": webhooks.issues_labeled(github, NAME, 1, "bot:fix", "octo", app=installed),
        "issue-comment-created": webhooks.issue_comment_created(github, NAME, said.id),
        "issue-comment-edited": webhooks.issue_comment_edited(github, NAME, said.id, "before", sender="octo"),
        "pull-request-opened": webhooks.pull_request_opened(github, NAME, pull.number),
        "pull-request-labeled": webhooks.pull_request_labeled(github, NAME, pull.number, "bot:fix", "octo"),
        "pull-request-review-comment-created": webhooks.pull_request_review_comment_created(github, NAME, noted.id),
        "workflow-dispatch": webhooks.workflow_dispatch(github, NAME, "octo", {"task": "fix"}),
    }
    assert set(payloads) == set(contract.description()["webhooks"])
    for name, payload in payloads.items():
        assert contract.webhook_faults(name, json.loads(json.dumps(payload))) == []
    assert payloads["issues-labeled"]["installation"]["id"] == installed.installation_id
    assert payloads["pull-request-labeled"]["pull_request"]["head"]["repo"]["fork"]
    assert payloads["issue-comment-edited"]["sender"]["login"] == "octo"
    del payloads["issues-labeled"]["issue"]["user"]
    assert contract.webhook_faults("issues-labeled", payloads["issues-labeled"]) != []

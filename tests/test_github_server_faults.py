"""The faults that GitHub shows, played by the test server, and the ledger in which it keeps who changed what."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.github_server.client import Client
from tests.github_server.faults import Body, Kind
from tests.github_server.ledger import Thing
from tests.github_server.server import GitHubServer

NAME = "octo/hello"
REPO = f"/repos/{NAME}"
TALK = f"{REPO}/issues/1/comments"


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    with GitHubServer() as server:
        server.add_repo(NAME)
        server.add_token("write", permissions={"issues": "write", "contents": "write"}, repos=[NAME])
        server.open_issue(NAME)
        yield server
        assert server.violations == []


@pytest.fixture
def call(github: GitHubServer) -> Client:
    return Client(github, "write")


@pytest.mark.parametrize("kind", ["drop_after", "cut_after", "mangle_after", "hang_after", "status_after"])
def test_a_write_that_is_done_though_its_answer_is_lost(github: GitHubServer, call: Client, kind: Kind) -> None:
    fault = github.faults.add("POST", "/comments$", kind, seconds=0.05, status=404 if kind == "status_after" else None)
    try:
        answer = call.session.post(github.url + TALK, json={"body": "x"})
    except requests.RequestException:
        assert kind in ("drop_after", "cut_after", "hang_after")
    else:
        assert (kind, answer.status_code) in (("status_after", 404), ("mangle_after", 201))
        if kind == "mangle_after":
            with pytest.raises(ValueError, match=r"JSON|Unterminated|Expecting"):
                answer.json()
    assert (fault.met, github.repo(NAME).comments(1)) == (1, ["x"])
    assert [(write.status, write.fault) for write in github.ledger] == [(201, kind)]
    call("POST", TALK, {"body": "y"}, 201)


@pytest.mark.parametrize(("body", "length"), [("json", None), ("html", None), ("empty", 0), ("truncated", 20)])
@pytest.mark.parametrize("status", [404, 422, 500, 503])
def test_an_error_comes_with_the_body_that_was_asked_for(
    github: GitHubServer, call: Client, status: int, body: Body, length: int | None
) -> None:
    github.faults.add("GET", "/comments$", "status", status=status, body=body)
    answer = call.session.get(github.url + TALK)
    assert answer.status_code == status
    assert length is None or len(answer.content) == length
    assert body != "json" or answer.json()["status"] == str(status)
    assert body != "html" or answer.text.startswith("<html>")


def test_a_replica_answers_with_the_state_before_the_last_write_that_mattered(
    github: GitHubServer, call: Client
) -> None:
    main = call("GET", f"{REPO}/git/ref/heads/main")["object"]["sha"]
    github.faults.add("GET", "/comments", "stale", times=2)
    github.faults.add("GET", "/git/ref/heads/new", "stale")
    call("POST", TALK, {"body": "one"}, 201)
    call("POST", TALK, {"body": "two"}, 201)
    call("POST", f"{REPO}/git/refs", {"ref": "refs/heads/new", "sha": main}, 201)
    assert [each["body"] for each in call("GET", TALK)] == ["one"]
    assert [each["body"] for each in call("GET", TALK)] == ["one"]
    assert [each["body"] for each in call("GET", TALK)] == ["one", "two"]
    call("GET", f"{REPO}/git/ref/heads/new", status=404)
    assert call("GET", f"{REPO}/git/ref/heads/new")["object"]["sha"] == main


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_may_lead_to_another_host(github: GitHubServer, call: Client, status: int) -> None:
    github.faults.add("GET", "/comments", "redirect", status=status, location="http://127.0.0.2:9/elsewhere")
    answer = call.session.get(github.url + TALK, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (status, "http://127.0.0.2:9/elsewhere")


def test_limits_come_with_and_without_a_time(github: GitHubServer, call: Client) -> None:
    github.faults.add("GET", "/comments", "secondary_limit", status=429)
    github.faults.add("GET", "/comments", "secondary_limit", retry_after=7)
    first, second = (call.session.get(github.url + TALK) for _ in range(2))
    assert (first.status_code, first.headers.get("Retry-After")) == (429, None)
    assert (second.status_code, second.headers["Retry-After"]) == (403, "7")


def test_the_ledger_says_who_changed_what(github: GitHubServer, call: Client) -> None:
    note = call("POST", TALK, {"body": "one"}, 201)["id"]
    call("PATCH", f"{REPO}/issues/comments/{note}", {"body": "two"})
    call("POST", f"{REPO}/issues/1/labels", {"labels": ["new"]})
    call("POST", f"{REPO}/pulls", {"title": "t", "head": "main", "base": "main"}, 403)
    call("GET", TALK)
    made, edited, labelled, refused = github.ledger
    spot = Thing(NAME, "comment", str(note), 1)
    assert (made.changes, edited.changes) == ({spot: (None, "one")}, {spot: ("one", "two")})
    assert {thing.kind for thing in labelled.changes} == {"label", "issue"}
    assert (refused.done, refused.changes) == (False, {})
    assert {write.who.phase for write in github.ledger} == {"write"}
    assert made.who.permissions == {"issues": "write", "contents": "write"}
    assert made.who.repos == frozenset({NAME})
    assert [write.number for write in github.ledger] == [1, 2, 3, 4]


def test_an_answer_that_the_client_has_costs_nothing(github: GitHubServer, call: Client) -> None:
    first = call.session.get(github.url + TALK)
    tag, left = first.headers["ETag"], int(first.headers["x-ratelimit-remaining"])
    again = call.session.get(github.url + TALK, headers={"If-None-Match": tag})
    assert (again.status_code, again.content, int(again.headers["x-ratelimit-remaining"])) == (304, b"", left)
    call("POST", TALK, {"body": "one"}, 201)
    assert call.session.get(github.url + TALK, headers={"If-None-Match": tag}).status_code == 200

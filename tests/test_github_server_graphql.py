"""The test server's GraphQL: names, errors and permissions as GitHub has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.github_server.records import Issue
from tests.github_server.server import GitHubServer

NAME = "octo/hello"
LINES = [f"{number}\n" for number in range(1, 11)]
THREADS = """
query($first: Int, $after: String) { repository(owner: "octo", name: "hello") { pullRequest(number: 1) {
  reviewThreads(first: $first, after: $after) {
    totalCount pageInfo { hasNextPage endCursor }
    nodes { id isResolved isOutdated path line comments(first: 1) { nodes { body author { login __typename } } } }
  }
} } }
"""
RESOLVE = "mutation($id: ID!) { resolveReviewThread(input: {threadId: $id}) { thread { isResolved } } }"


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    with GitHubServer() as server:
        server.add_repo(NAME, {"a.txt": "".join(LINES)})
        server.add_token("t0ken")
        server.open_pull(NAME, {"a.txt": "".join([*LINES[:2], "three\n", *LINES[3:]])}, user="carl")
        yield server


def asked(github: GitHubServer, document: str, token: str = "t0ken", status: int = 200, **variables: Any) -> Any:
    headers = {"Authorization": f"Bearer {token}", "User-Agent": "test"}
    answer = requests.post(
        f"{github.url}/graphql", json={"query": document, "variables": variables}, headers=headers, timeout=30
    )
    assert answer.status_code == status
    return answer.json()


def pull_of(github: GitHubServer) -> Issue:
    return github.repo(NAME).issues[1]


def test_every_token_has_a_viewer(github: GitHubServer) -> None:
    github.add_token("ann", "ann", "pat")
    github.add_app(7, "sandpiper", [NAME], {})
    github.add_token("app", "sandpiper[bot]", "app", {"issues": "read"})
    viewers = [asked(github, "{ viewer { login databaseId } }", each)["data"]["viewer"] for each in ("t0ken", "ann")]
    assert viewers[0] == {"login": "github-actions[bot]", "databaseId": 41898282}
    assert viewers[1]["login"] == "ann"
    assert asked(github, "{ viewer { login } }", "app")["data"]["viewer"]["login"] == "sandpiper[bot]"
    assert asked(github, "{ viewer { login } }", "nobody", 401)["message"] == "Bad credentials"


def test_an_enterprise_server_has_it_beside_the_rest_api() -> None:
    with GitHubServer(enterprise=True) as github:
        github.add_token("t0ken")
        headers = {"Authorization": "Bearer t0ken", "User-Agent": "test"}
        body = {"query": "{ viewer { login } }"}
        answer = requests.post(f"{github.html_url}/api/graphql", json=body, headers=headers, timeout=30)
        assert answer.json()["data"]["viewer"]["login"] == "github-actions[bot]"
        assert github.unknown == []


def test_threads_come_in_pages_and_follow_their_lines(github: GitHubServer) -> None:
    for line in (3, 8):
        github.review_comment(NAME, 1, f"line {line}", "a.txt", line, user="github-actions[bot]")
    first = asked(github, THREADS, first=1)["data"]["repository"]["pullRequest"]["reviewThreads"]
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"]) == (2, True)
    assert first["nodes"][0]["comments"]["nodes"][0]["author"] == {"login": "github-actions", "__typename": "Bot"}
    github.commit(NAME, "feature", {"a.txt": "".join(["0\n", *LINES[:2], "3!\n", *LINES[3:]])})
    page = asked(github, THREADS, first=100)["data"]["repository"]["pullRequest"]["reviewThreads"]
    assert [(each["isOutdated"], each["line"]) for each in page["nodes"]] == [(True, None), (False, 9)]
    rest = asked(github, THREADS, first=1, after=first["pageInfo"]["endCursor"])["data"]["repository"]["pullRequest"]
    assert [each["line"] for each in rest["reviewThreads"]["nodes"]] == [9]
    assert asked(github, THREADS)["errors"][0]["type"] == "MISSING_PAGINATION_BOUNDARIES"
    assert asked(github, THREADS, first=101)["errors"][0]["type"] == "EXCESSIVE_PAGINATION"


@pytest.mark.parametrize(
    ("who", "kind", "permissions", "may"),
    [
        ("github-actions[bot]", "actions", {"pull_requests": "write", "contents": "read"}, False),
        ("github-actions[bot]", "actions", {"pull_requests": "read", "contents": "write"}, False),
        ("github-actions[bot]", "actions", {"pull_requests": "write", "contents": "write"}, True),
        ("carl", "pat", None, True),
        ("maria", "pat", None, True),
        ("stranger", "pat", None, False),
    ],
)
def test_resolving_needs_what_it_needs_at_github(
    github: GitHubServer, who: str, kind: Any, permissions: Any, may: bool
) -> None:
    github.set_permission(NAME, "maria", "write")
    github.add_token("other", who, kind, permissions)
    made = github.review_comment(NAME, 1, "hm", "a.txt", 3)
    said = asked(github, RESOLVE, "other", id=f"PRRT_{made.id}")
    assert (said["data"]["resolveReviewThread"] is not None) is may
    assert [each["type"] for each in said.get("errors", [])] == ([] if may else ["FORBIDDEN"])
    pull = pull_of(github).pull
    assert pull is not None
    assert [each.login for each in pull.resolved.values()] == ([who] if may else [])
    assert [thing.kind for write in github.ledger for thing in write.changes] == (["thread"] if may else [])


REPLY = """mutation($id: ID!, $body: String!) {
  addPullRequestReviewThreadReply(input: {pullRequestReviewThreadId: $id, body: $body}) { comment { databaseId url } }
}"""
TALK = """query($id: ID!) { node(id: $id) { __typename ... on PullRequestReviewThread {
  comments(last: 2) { nodes { body author { login } } }
} } }"""


def test_a_thread_is_answered_below_its_first_comment_and_read_by_its_name(github: GitHubServer) -> None:
    made = github.review_comment(NAME, 1, "hm", "a.txt", 3)
    said = asked(github, REPLY, id=f"PRRT_{made.id}", body="why?")
    comment = said["data"]["addPullRequestReviewThreadReply"]["comment"]
    pull = pull_of(github).pull
    assert pull is not None
    assert [(each.id, each.in_reply_to, each.body) for each in pull.comments[1:]] == [
        (comment["databaseId"], made.id, "why?")
    ]
    assert comment["url"].endswith(f"#discussion_r{comment['databaseId']}")
    found = asked(github, TALK, id=f"PRRT_{made.id}")["data"]["node"]
    assert (found["__typename"], [each["body"] for each in found["comments"]["nodes"]]) == (
        "PullRequestReviewThread",
        ["hm", "why?"],
    )
    assert asked(github, TALK, id="PRRT_1")["errors"][0]["type"] == "NOT_FOUND"
    assert asked(github, REPLY, id="PRRT_1", body="why?")["errors"][0]["type"] == "NOT_FOUND"
    assert asked(github, REPLY, id=f"PRRT_{made.id}", body=" ")["errors"][0]["type"] == "UNPROCESSABLE"
    github.add_token("reads", permissions={"pull_requests": "read"})
    assert asked(github, REPLY, "reads", id=f"PRRT_{made.id}", body="why?")["errors"][0]["type"] == "FORBIDDEN"
    assert [thing.kind for write in github.ledger for thing in write.changes] == ["review_comment"]


def test_what_is_not_there_is_said_so_and_a_wrong_document_fails_the_test(github: GitHubServer) -> None:
    hidden = 'query { repository(owner: "octo", name: "hidden") { id } }'
    said = asked(github, hidden)
    assert (said["data"], said["errors"][0]["type"]) == ({"repository": None}, "NOT_FOUND")
    github.add_repo("octo/hidden", private=True)
    github.add_token("narrow", permissions={"pull_requests": "read"}, repos=[NAME])
    assert asked(github, hidden, "narrow") == said
    assert asked(github, RESOLVE, id="PRRT_1")["errors"][0]["type"] == "NOT_FOUND"
    assert github.violations == []
    asked(github, "{ viewer { shoeSize } }", status=500)
    assert "shoeSize" in github.violations[0]


def test_a_comment_is_folded_away(github: GitHubServer) -> None:
    made = github.review_comment(NAME, 1, "hm", "a.txt", 3)
    fold = "mutation($id: ID!) { minimizeComment(input: {subjectId: $id, classifier: OUTDATED}) { minimizedComment { isMinimized } } }"  # noqa: E501
    assert asked(github, fold, id=f"PRRC_{made.id}")["data"]["minimizeComment"]["minimizedComment"]["isMinimized"]
    assert made.minimized == "outdated"

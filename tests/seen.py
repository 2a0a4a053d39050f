"""A repository on the test server -> what people see of it (U3), without what differs from one telling to the next."""

from __future__ import annotations

import re
from typing import Any

from tests.github_server.server import GitHubServer
from tests.github_server.trees import files_of, read_commit

VOLATILE = re.compile(r"\d+(\.\d+)? s\b|\b[0-9a-f]{7,64}\b|127\.0\.0\.1:\d+|\b\d{8,}\b")


def steady(text: str | None) -> str:
    """A text without the hidden state, times, SHAs and ports."""
    lines = [line for line in (text or "").split("\n") if not line.startswith("<!-- sandpiper:state=")]
    return VOLATILE.sub("-", "\n".join(lines))


REFUSAL = "### 🚫 Not done"
"""How a refusal begins to speak, whichever marker it has."""


def state_of(server: GitHubServer, name: str) -> dict[str, Any]:
    """What people see of a repository, without what differs from one telling of a story to the next."""
    repo = server.repo(name)
    heads = repo.git.refs("refs/heads/")
    return {
        "files": {ref: files_of(repo.git, sha) for ref, sha in heads.items()},
        "commits": {ref: history_of(server, name, sha) for ref, sha in heads.items()},
        "talk": {
            issue.number: {
                "title": issue.title,
                "body": steady(issue.body),
                "state": (issue.state, issue.locked),
                "labels": sorted(issue.label_names),
                "comments": [steady(each) for each in repo.comments(issue.number) if REFUSAL not in each],
                "reactions": sorted((each.user.login, each.content) for each in issue.reactions),
                "on comments": [
                    [each.content for each in comment.reactions]
                    for comment in issue.comments
                    if REFUSAL not in comment.body
                ],
                "pull": issue.pull and (issue.pull.base_ref, issue.pull.head_ref, issue.pull.draft, issue.pull.merged),
                "reviews": [steady(each.body) for each in issue.pull.reviews] if issue.pull else [],
            }
            for issue in repo.issues.values()
        },
        # Of several check runs with one name people see the newest.
        "checks": {
            each.fields["name"]: (each.fields["status"], each.fields.get("conclusion")) for each in repo.check_runs
        },
    }


def history_of(server: GitHubServer, name: str, sha: str) -> list[str]:
    """Messages of a commit and of its first parents."""
    git = server.repo(name).git
    out: list[str] = []
    at: str | None = sha
    while at is not None and len(out) < 10:
        commit = read_commit(git, at)
        out.append(commit.message)
        at = commit.parents[0] if commit.parents else None
    return out

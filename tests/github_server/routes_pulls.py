"""Routes of pull requests: open, list, change, what they change, and their reviews."""

import re
from dataclasses import replace
from typing import Any

from .call import Call, Route, check_text, page, pull_of, review_comment_of
from .exchange import Answer, ApiError, invalid
from .history import ahead, diff_text
from .records import Issue, Pull, Repo, Review, ReviewComment, now
from .shapes_git import commit_json
from .shapes_issue import (
    change_json,
    full_pull_json,
    pull_changes,
    pull_json,
    pull_trees,
    review_comment_json,
    review_json,
)  # fmt: skip
from .writes import close, new_issue, new_pull, new_review_comment, trial_merge

REPO = "/repos/{owner}/{repo}"
PULL = f"{REPO}/pulls/{{pull_number}}"
COMMENT = f"{REPO}/pulls/comments/{{comment_id}}"
HUNK = re.compile(r"^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")


def get_pull(call: Call) -> Answer:
    """JSON, or the diff by media type."""
    issue, pull = pull_of(call)
    if call.accepts("diff"):
        return Answer(
            200,
            diff_text(call.repo.git, *pull_trees(call.repo, pull)),
            content_type="application/vnd.github.diff; charset=utf-8",
        )
    trial_merge(call.world, call.repo, issue, pull)
    return Answer(200, full_pull_json(call.world, call.repo, issue, pull))


def list_pulls(call: Call) -> Answer:
    """`head` filters only in the form `owner:branch`; without a colon GitHub ignores it."""
    query = call.request.query
    state, head, base = query.get("state", "open"), query.get("head", ""), query.get("base")
    found = [
        (issue, issue.pull) for issue in call.repo.pulls.values()
        if issue.pull is not None and state in ("all", issue.state)
        and (":" not in head or issue.pull.head_label.lower() == head.lower())
        and base in (None, issue.pull.base_ref)
    ]  # fmt: skip
    newest = query.get("direction", "desc" if query.get("sort", "created") == "created" else "asc") == "desc"
    found.sort(key=lambda pair: pair[0].number, reverse=newest)
    return page(call, found, lambda pair: pull_json(call.world, call.repo, *pair))


def head_of(call: Call, text: str) -> tuple[Repo, str]:
    """`branch` or `owner:branch` -> the repository of the network and the branch; 422."""
    owner, _, branch = text.rpartition(":")
    network = [call.repo, *(repo for repo in call.world.repos.values() if repo.fork_of is call.repo)]
    wanted = (owner or call.repo.owner.login).lower()
    repo = next((repo for repo in network if repo.owner.login.lower() == wanted), None)
    if repo is None or repo.git.ref(f"refs/heads/{branch}") is None:
        raise invalid("PullRequest", "invalid", "head")
    return repo, branch


def create_pull(call: Call) -> Answer:
    """422 for a missing branch, no commits between, or one that is open already for this head and base."""
    body, repo, token = call.body, call.repo, call.caller.token
    check_text("PullRequest", body, () if "issue" in body else ("title",))
    if token is not None and token.kind == "actions" and not repo.actions_may_open_pulls:
        raise ApiError(403, "GitHub Actions is not permitted to create or approve pull requests.")
    base = body["base"]
    base_sha = repo.git.ref(f"refs/heads/{base}")
    if base_sha is None:
        raise invalid("PullRequest", "invalid", "base")
    head, branch = head_of(call, body["head"])
    if body.get("draft") and not repo.drafts:
        raise ApiError(422, "Draft pull requests are not supported in this repository.")
    label = f"{head.owner.login}:{branch}"
    for issue in repo.pulls.values():
        if issue.state == "open" and issue.pull and (issue.pull.head_label, issue.pull.base_ref) == (label, base):
            raise invalid("PullRequest", "custom", None, f"A pull request already exists for {label}.")
    if not ahead(repo.git, base_sha, head.git.ref(f"refs/heads/{branch}") or base_sha):
        raise invalid("PullRequest", "custom", None, f"No commits between {base} and {branch}")
    issue = (
        repo.issues[body["issue"]]
        if body.get("issue") in repo.issues
        else new_issue(call.world, repo, call.user, body.get("title", ""), body.get("body"))
    )
    pull = new_pull(call.world, repo, issue, base, head, branch)
    pull.draft = bool(body.get("draft"))
    pull.maintainer_can_modify = head is not repo and bool(body.get("maintainer_can_modify", True))
    shown = full_pull_json(call.world, repo, issue, pull)
    return Answer(201, shown, {"Location": shown["url"]})


def update_pull(call: Call) -> Answer:
    """Title, body, state and base; `draft` cannot be changed here."""
    issue, pull = pull_of(call)
    body = call.body
    check_text("PullRequest", body, ("title",) if "title" in body else ())
    if "base" in body:
        if call.repo.git.ref(f"refs/heads/{body['base']}") is None:
            raise invalid("PullRequest", "invalid", "base")
        pull.base_ref = body["base"]
    issue.title, issue.body = body.get("title", issue.title), body.get("body", issue.body)
    if body.get("state") == "closed" and issue.state == "open":
        close(issue, call.user, None)
    elif body.get("state") == "open" and issue.state == "closed":
        if pull.merged or pull.head_repo is None or pull.head_repo.git.ref(f"refs/heads/{pull.head_ref}") is None:
            raise invalid(
                "PullRequest",
                "custom",
                "state",
                "state cannot be changed. The pull request cannot be reopened.",
            )
        issue.state, issue.closed_at, issue.closed_by = "open", None, None
    issue.updated_at = now()
    return Answer(200, full_pull_json(call.world, call.repo, issue, pull))


def list_files(call: Call) -> Answer:
    """Against the merge base."""
    _, pull = pull_of(call)
    found = pull_changes(call.repo, pull)
    return page(call, found, lambda change: change_json(call.world, call.repo, pull.head_sha, change))


def list_commits(call: Call) -> Answer:
    """Those that the base lacks, oldest first."""
    _, pull = pull_of(call)
    found = ahead(call.repo.git, pull.base_sha, pull.head_sha)
    return page(call, found, lambda sha: commit_json(call.world, call.repo, sha))


def shown(call: Call, issue: Issue, comment: ReviewComment) -> dict[str, Any]:
    """The JSON of a review comment."""
    return review_comment_json(call.world, call.repo, issue, comment)


def list_review_comments(call: Call) -> Answer:
    """Oldest first."""
    issue, pull = pull_of(call)
    return page(call, pull.comments, lambda comment: shown(call, issue, comment))


def place(call: Call, pull: Pull, item: dict[str, Any], commit: str) -> str:
    """The hunk that a comment stands on; ApiError 422 where path or lines are not part of the commit's diff."""
    shown = replace(pull, head_sha=commit)
    change = next((one for one in pull_changes(call.repo, shown) if one.path == item["path"]), None)
    if change is None:
        raise invalid("PullRequestReviewComment", "invalid", "pull_request_review_thread.path")
    if item.get("subject_type") == "file" or "position" in item:
        return ""
    side, wanted, hunk = item.get("side", "RIGHT"), item.get("line"), ""
    found, old, new = (change.patch or "").split("\n"), 0, 0
    there: set[int] = set()
    for line in found:
        start = HUNK.match(line)
        if start:
            hunk, old, new, there = line, int(start[1]), int(start[2]), set()
            continue
        hunk += f"\n{line}"
        if line[:1] == "\\":
            continue
        if line[:1] != ("-" if side == "RIGHT" else "+"):
            there.add(new if side == "RIGHT" else old)
            if wanted in there:
                if item.get("start_line", wanted) in there and item.get("start_line", 0) < wanted:
                    return hunk
                raise outside("start_line", "must precede the end line, in the same hunk")
        old, new = old + (line[:1] != "+"), new + (line[:1] != "-")
    raise outside("line", "must be part of the diff")


def outside(field: str, words: str) -> ApiError:
    """422 for a line that no comment may stand on."""
    name = f"pull_request_review_thread.{field}"
    return invalid("PullRequestReviewComment", "custom", name, f"{name} {words}")


def commit_of(call: Call, pull: Pull, commit: str) -> str:
    """A commit of the pull request; ApiError 422."""
    if commit != pull.head_sha and commit not in ahead(call.repo.git, pull.base_sha, pull.head_sha):
        raise invalid("PullRequestReviewComment", "custom", "commit_id", "commit_id is not part of the pull request")
    return commit


def add_comment(call: Call, issue: Issue, pull: Pull, item: dict[str, Any], commit: str) -> ReviewComment:
    """A review comment from the fields of a request."""
    check_text("PullRequestReviewComment", item, ("body",))
    hunk = place(call, pull, item, commit)
    made = new_review_comment(call.world, issue, pull, call.user, item["body"], item["path"], item.get("line"))
    made.diff_hunk, made.side, made.commit_id = hunk, item.get("side", "RIGHT"), commit
    made.start_line, made.start_side = item.get("start_line"), item.get("start_side")
    made.subject_type, made.app = item.get("subject_type", "line"), call.app
    return made


def create_review_comment(call: Call) -> Answer:
    """On the diff, or as an answer (`in_reply_to`)."""
    issue, pull = pull_of(call)
    if "in_reply_to" in call.body:
        return reply(call, issue, pull, call.body["in_reply_to"])
    commit = commit_of(call, pull, call.body["commit_id"])
    return Answer(201, shown(call, issue, add_comment(call, issue, pull, call.body, commit)))


def reply(call: Call, issue: Issue, pull: Pull, parent: int) -> Answer:
    """An answer in the thread of a comment."""
    first = next((comment for comment in pull.comments if comment.id == parent), None)
    if first is None:
        raise ApiError(404, "Not Found")
    check_text("PullRequestReviewComment", call.body, ("body",))
    made = new_review_comment(call.world, issue, pull, call.user, call.body["body"], first.path, first.line)
    made.in_reply_to, made.diff_hunk, made.app = first.in_reply_to or first.id, first.diff_hunk, call.app
    return Answer(201, shown(call, issue, made))


def create_reply(call: Call) -> Answer:
    """The route for answers."""
    issue, pull = pull_of(call)
    return reply(call, issue, pull, call.number("comment_id"))


def get_review_comment(call: Call) -> Answer:
    """One review comment."""
    return Answer(200, shown(call, *review_comment_of(call)))


def update_review_comment(call: Call) -> Answer:
    """A new body."""
    issue, comment = review_comment_of(call)
    check_text("PullRequestReviewComment", call.body, ("body",))
    comment.body, comment.updated_at = call.body["body"], now()
    return Answer(200, shown(call, issue, comment))


def delete_review_comment(call: Call) -> Answer:
    """Gone for good."""
    issue, comment = review_comment_of(call)
    if issue.pull is not None:
        issue.pull.comments.remove(comment)
    return Answer(204)


def list_reviews(call: Call) -> Answer:
    """Oldest first."""
    issue, pull = pull_of(call)
    return page(call, pull.reviews, lambda review: review_json(call.world, call.repo, issue, review))


def create_review(call: Call) -> Answer:
    """A verdict with comments, all or none."""
    issue, pull = pull_of(call)
    body, event = call.body, call.body.get("event")
    check_text("PullRequestReview", body, ("body",) if event in ("REQUEST_CHANGES", "COMMENT") else ())
    token = call.caller.token
    if event == "APPROVE" and token is not None and token.kind == "actions" and not call.repo.actions_may_open_pulls:
        raise ApiError(403, "GitHub Actions is not permitted to create or approve pull requests.")
    if event in ("APPROVE", "REQUEST_CHANGES") and issue.user is call.user:
        verb = "approve" if event == "APPROVE" else "request changes on"
        raise ApiError(422, "Unprocessable Entity", [f"Can not {verb} your own pull request"])
    commit = commit_of(call, pull, body.get("commit_id", pull.head_sha))
    for item in body.get("comments", []):
        check_text("PullRequestReviewComment", item, ("body",))
        place(call, pull, item, commit)
    states = {
        "APPROVE": "APPROVED",
        "REQUEST_CHANGES": "CHANGES_REQUESTED",
        "COMMENT": "COMMENTED",
        None: "PENDING",
    }
    review = Review(call.world.next_id(), call.user, body.get("body", ""), states[event], commit, now())
    pull.reviews.append(review)
    for item in body.get("comments", []):
        add_comment(call, issue, pull, item, commit).review_id = review.id
    return Answer(200, review_json(call.world, call.repo, issue, review))


ROUTES = [
    Route("GET", f"{REPO}/pulls", list_pulls, "pull_requests:read"),
    Route("POST", f"{REPO}/pulls", create_pull, "pull_requests:write"),
    Route("GET", PULL, get_pull, "pull_requests:read"),
    Route("PATCH", PULL, update_pull, "pull_requests:write", "triage"),
    Route("GET", f"{PULL}/files", list_files, "pull_requests:read"),
    Route("GET", f"{PULL}/commits", list_commits, "pull_requests:read"),
    Route("GET", f"{PULL}/comments", list_review_comments, "pull_requests:read"),
    Route("POST", f"{PULL}/comments", create_review_comment, "pull_requests:write"),
    Route("POST", f"{PULL}/comments/{{comment_id}}/replies", create_reply, "pull_requests:write"),
    Route("GET", COMMENT, get_review_comment, "pull_requests:read"),
    Route("PATCH", COMMENT, update_review_comment, "pull_requests:write"),
    Route("DELETE", COMMENT, delete_review_comment, "pull_requests:write"),
    Route("GET", f"{PULL}/reviews", list_reviews, "pull_requests:read"),
    Route("POST", f"{PULL}/reviews", create_review, "pull_requests:write"),
]

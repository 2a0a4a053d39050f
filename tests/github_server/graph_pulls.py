"""A pull request -> GraphQL's view of it: what decides whether it can be merged."""

from __future__ import annotations

from typing import Any

from .auth import allow
from .call import Call
from .exchange import ApiError
from .graph_issues import label_node
from .graph_nodes import actor_node, connection, refused, user_node
from .records import CheckRun, Issue, Pull, Repo, Review, ReviewComment, Status, at_least, role_of, stamp
from .shapes import association
from .shapes_issue import pull_changes
from .threads import Thread, threads_of
from .writes import trial_merge

RED = {"FAILURE", "ERROR", "TIMED_OUT", "CANCELLED", "ACTION_REQUIRED", "STARTUP_FAILURE", "STALE"}


def pull_request(call: Call, repo: Repo, number: int) -> dict[str, Any]:
    """`PullRequest`."""
    issue = repo.pulls.get(number)
    try:
        allow(call.caller, repo, "pull_requests:read", "read")
    except ApiError as error:
        raise refused("FORBIDDEN", error.message) from None
    if issue is None or issue.pull is None:
        raise refused("NOT_FOUND", f"Could not resolve to a PullRequest with the number of {number}.")
    pull, changes = issue.pull, pull_changes(repo, issue.pull)
    threads = [thread_node(call, thread) for thread in threads_of(repo, issue)]
    reviews = [review_node(repo, each) for each in pull.reviews]
    head = {"id": f"PRC_{issue.id}", "commit": commit_node(call, repo, pull.head_sha)}
    mergeable = mergeable_of(call, repo, issue, pull)
    home = pull.head_repo
    return {
        "id": f"PR_{issue.id}",
        "number": number,
        "title": issue.title,
        "body": issue.body or "",
        "state": "MERGED" if pull.merged else issue.state.upper(),
        "isDraft": pull.draft,
        "merged": pull.merged,
        "locked": issue.locked,
        "url": f"{call.world.html}/{repo.full_name}/pull/{number}",
        "author": actor_node(issue.user),
        "createdAt": stamp(issue.created_at),
        "updatedAt": stamp(issue.updated_at),
        "headRefOid": pull.head_sha,
        "headRefName": pull.head_ref,
        "baseRefOid": pull.base_sha,
        "baseRefName": pull.base_ref,
        "headRepository": {"nameWithOwner": home.full_name, "id": f"R_{home.id}"} if home else None,
        "additions": sum(each.additions for each in changes),
        "deletions": sum(each.deletions for each in changes),
        "changedFiles": len(changes),
        "mergeable": mergeable,
        "mergeStateStatus": merge_state(repo, pull, mergeable),
        "reviewDecision": decision(repo, pull),
        "labels": lambda info, **args: connection("labels", [label_node(each) for each in issue.labels], args),
        "reviews": lambda info, **args: connection("reviews", reviews, args),
        "commits": lambda info, **args: connection("commits", [head], args),
        "reviewThreads": lambda info, **args: connection("reviewThreads", threads, args),
    }


def mergeable_of(call: Call, repo: Repo, issue: Issue, pull: Pull) -> str:
    """Found out when it is asked for; where that is slow, the first question still gets UNKNOWN."""
    pair = (pull.base_sha, pull.head_sha)
    known = pair in repo.merges or not repo.slow_merges
    trial_merge(call.world, repo, issue, pull)
    if not known or pair not in repo.merges:
        return "UNKNOWN"
    return "MERGEABLE" if repo.merges[pair] else "CONFLICTING"


def decision(repo: Repo, pull: Pull) -> str | None:
    """What the rules make of the newest verdicts of those who may write; null where there are no rules."""
    last = {
        each.user.id: each.state
        for each in pull.reviews
        if each.state in ("APPROVED", "CHANGES_REQUESTED", "DISMISSED") and at_least(role_of(repo, each.user), "write")
    }
    if not repo.required_reviews:
        return None
    if "CHANGES_REQUESTED" in last.values():
        return "CHANGES_REQUESTED"
    enough = list(last.values()).count("APPROVED") >= repo.required_reviews
    return "APPROVED" if enough else "REVIEW_REQUIRED"


def merge_state(repo: Repo, pull: Pull, mergeable: str) -> str:
    """One word for all of it."""
    if mergeable == "UNKNOWN":
        return "UNKNOWN"
    if mergeable == "CONFLICTING":
        return "DIRTY"
    if pull.draft:
        return "DRAFT"
    words = {check_name(each): check_word(each) for each in contexts(repo, pull.head_sha)}
    missing = any(words.get(name) != "SUCCESS" for name in repo.required_checks)
    if missing or decision(repo, pull) in ("CHANGES_REQUESTED", "REVIEW_REQUIRED"):
        return "BLOCKED"
    return "CLEAN" if all(word in ("SUCCESS", "NEUTRAL", "SKIPPED") for word in words.values()) else "UNSTABLE"


def commit_node(call: Call, repo: Repo, sha: str) -> dict[str, Any]:
    """`Commit`; its checks need two permissions of their own."""

    def rollup(info: Any) -> dict[str, Any] | None:
        try:
            for need in ("checks:read", "statuses:read"):
                allow(call.caller, repo, need, "read")
        except ApiError as error:
            raise refused("FORBIDDEN", error.message) from None
        rows = contexts(repo, sha)
        if not rows:
            return None
        words = {check_word(each) for each in rows}
        state = "FAILURE" if words & RED else "SUCCESS" if words <= {"SUCCESS", "NEUTRAL", "SKIPPED"} else "PENDING"
        nodes = [check_node(call, repo, each) for each in rows]
        shown = lambda info, **args: connection("contexts", nodes, args)  # noqa: E731
        return {"id": f"SCR_{sha}", "state": state, "contexts": shown}

    return {"id": f"C_{sha}", "oid": sha, "statusCheckRollup": rollup}


def contexts(repo: Repo, sha: str) -> list[CheckRun | Status]:
    """The latest run of each check and the latest status of each context."""
    runs = {(run.app.id, run.fields["name"]): run for run in repo.check_runs if run.head_sha == sha}
    statuses = {each.context: each for each in repo.statuses if each.sha == sha}
    return [*runs.values(), *statuses.values()]


def check_name(each: CheckRun | Status) -> str:
    """Name or context."""
    return each.context if isinstance(each, Status) else str(each.fields["name"])


def check_word(each: CheckRun | Status) -> str:
    """Conclusion, else PENDING."""
    if isinstance(each, Status):
        return each.state.upper()
    return str(each.fields.get("conclusion") or "pending").upper()


def check_node(call: Call, repo: Repo, each: CheckRun | Status) -> dict[str, Any]:
    """`CheckRun` or `StatusContext`."""
    required = check_name(each) in repo.required_checks

    def is_required(info: Any, **args: Any) -> bool:
        if not args:
            raise refused("ARGUMENT_ERROR", "One of pullRequestId or pullRequestNumber is required.")
        return required

    if isinstance(each, Status):
        return {
            "__typename": "StatusContext",
            "id": f"SC_{each.id}",
            "context": each.context,
            "state": each.state.upper(),
            "targetUrl": each.target_url,
            "description": each.description,
            "createdAt": stamp(each.created_at),
            "isRequired": is_required,
        }
    fields = each.fields
    return {
        "__typename": "CheckRun",
        "id": f"CR_{each.id}",
        "databaseId": each.id,
        "name": fields["name"],
        "status": fields["status"].upper(),
        "conclusion": fields["conclusion"].upper() if fields.get("conclusion") else None,
        "detailsUrl": fields.get("details_url", f"{call.world.html}/{repo.full_name}/runs/{each.id}"),
        "externalId": fields.get("external_id", ""),
        "startedAt": fields["started_at"],
        "completedAt": fields.get("completed_at"),
        "checkSuite": {"id": f"CS_{each.app.id}_{each.head_sha}"},
        "isRequired": is_required,
    }


def review_node(repo: Repo, review: Review) -> dict[str, Any]:
    """`PullRequestReview`."""
    pending = review.state == "PENDING"
    return {
        "id": f"PRR_{review.id}",
        "databaseId": review.id,
        "body": review.body,
        "state": review.state,
        "submittedAt": None if pending else stamp(review.submitted_at),
        "author": actor_node(review.user),
        "commit": {"id": f"C_{review.commit_id}", "oid": review.commit_id},
        "authorCanPushToRepository": at_least(role_of(repo, review.user), "write"),
        "authorAssociation": association(repo, review.user),
    }


def comment_node(call: Call, thread: Thread, comment: ReviewComment) -> dict[str, Any]:
    """`PullRequestReviewComment`."""
    page = f"{call.world.html}/{thread.repo.full_name}/pull/{thread.issue.number}"
    return {
        "__typename": "PullRequestReviewComment",
        "id": f"PRRC_{comment.id}",
        "databaseId": comment.id,
        "body": comment.body,
        "author": actor_node(comment.user),
        "authorAssociation": association(thread.repo, comment.user),
        "createdAt": stamp(comment.created_at),
        "url": f"{page}#discussion_r{comment.id}",
        "outdated": thread.line is None,
        "isMinimized": comment.minimized is not None,
        "minimizedReason": comment.minimized,
        "pullRequestReview": next(
            (review_node(thread.repo, each) for each in thread.pull.reviews if each.id == comment.review_id), None
        ),
    }


def thread_node(call: Call, thread: Thread) -> dict[str, Any]:
    """`PullRequestReviewThread`."""
    comments = [comment_node(call, thread, comment) for comment in thread.comments]
    by = thread.resolved_by
    return {
        "__typename": "PullRequestReviewThread",
        "id": f"PRRT_{thread.first.id}",
        "isResolved": by is not None,
        "isOutdated": thread.line is None,
        "isCollapsed": by is not None,
        "path": thread.first.path,
        "line": thread.line,
        "startLine": thread.first.start_line,
        "resolvedBy": user_node(by) if by else None,
        "viewerCanResolve": refusal(call, thread) is None,
        "comments": lambda info, **args: connection("comments", comments, args),
    }


def refusal(call: Call, thread: Thread) -> str | None:
    """Why the caller may not resolve it: an installation needs the contents too, a person must write or own it."""
    token = call.caller.token
    try:
        allow(call.caller, thread.repo, "pull_requests:write", "read")
        if token is not None and token.kind != "pat":
            allow(call.caller, thread.repo, "contents:write", "write")
        elif call.user is not thread.issue.user and not at_least(role_of(thread.repo, call.user), "write"):
            return f"{call.user.login} does not have the correct permissions to execute `ResolveReviewThread`"
    except ApiError as error:
        return error.message
    return None

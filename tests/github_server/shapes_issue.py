"""Records -> GitHub's JSON for issues, comments, pull requests, reviews and their comments."""

from typing import Any

from .history import Change, ahead, changes, merge_base
from .records import Comment, Issue, Pull, Repo, Review, ReviewComment, User, World, stamp
from .shapes import (
    app_json,
    association,
    issue_url,
    label_json,
    reactions_json,
    repo_json,
    repo_url,
    user_json,
)
from .threads import line_now
from .trees import read_commit


def thing_json(world: World, repo: Repo, issue: Issue) -> dict[str, Any]:
    """What an issue and a pull request have in common."""
    return {
        "id": issue.id,
        "number": issue.number,
        "title": issue.title,
        "body": issue.body,
        "user": user_json(world, issue.user),
        "author_association": association(repo, issue.user),
        "state": issue.state,
        "locked": issue.locked,
        "active_lock_reason": None,
        "labels": [label_json(world, repo, label) for label in issue.labels],
        "assignee": user_json(world, issue.assignees[0]) if issue.assignees else None,
        "assignees": [user_json(world, user) for user in issue.assignees],
        "milestone": None,
        "created_at": stamp(issue.created_at),
        "updated_at": stamp(issue.updated_at),
        "closed_at": stamp(issue.closed_at),
    }


def issue_json(world: World, repo: Repo, issue: Issue) -> dict[str, Any]:
    """`issue`; a pull request carries its links."""
    url = issue_url(world, repo, issue)
    page = f"{world.html}/{repo.full_name}/{'pull' if issue.pull else 'issues'}/{issue.number}"
    out = thing_json(world, repo, issue) | {
        "node_id": f"{'PR' if issue.pull else 'I'}_{issue.id}",
        "url": url,
        "repository_url": repo_url(world, repo),
        "labels_url": f"{url}/labels{{/name}}",
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "timeline_url": f"{url}/timeline",
        "html_url": page,
        "state_reason": issue.state_reason,
        "comments": len(issue.comments),
        "closed_by": user_json(world, issue.closed_by) if issue.closed_by else None,
        "performed_via_github_app": None,
        "reactions": reactions_json(issue.reactions, url),
    }
    if issue.pull is not None:
        out["draft"] = issue.pull.draft
        out["pull_request"] = {
            "url": f"{repo_url(world, repo)}/pulls/{issue.number}",
            "html_url": page,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "merged_at": stamp(issue.closed_at) if issue.pull.merged else None,
        }
    return out


def comment_json(world: World, repo: Repo, comment: Comment) -> dict[str, Any]:
    """`issue-comment`."""
    issue = repo.issues[comment.number]
    url = f"{repo_url(world, repo)}/issues/comments/{comment.id}"
    page = f"{world.html}/{repo.full_name}/{'pull' if issue.pull else 'issues'}/{issue.number}"
    return {
        "id": comment.id,
        "node_id": f"IC_{comment.id}",
        "url": url,
        "html_url": f"{page}#issuecomment-{comment.id}",
        "issue_url": issue_url(world, repo, issue),
        "body": comment.body,
        "user": user_json(world, comment.user),
        "author_association": association(repo, comment.user),
        "created_at": stamp(comment.created_at),
        "updated_at": stamp(comment.updated_at),
        "performed_via_github_app": app_json(world, comment.app) if comment.app else None,
        "reactions": reactions_json(comment.reactions, url),
    }


def side_json(world: World, owner: User, repo: Repo | None, ref: str, sha: str) -> dict[str, Any]:
    """`head` or `base` of a pull request."""
    return {
        "label": f"{owner.login}:{ref}",
        "ref": ref,
        "sha": sha,
        "user": user_json(world, owner),
        "repo": repo_json(world, repo) if repo else None,
    }


def pull_json(world: World, repo: Repo, issue: Issue, pull: Pull) -> dict[str, Any]:
    """`pull-request-simple`, as in lists and webhooks."""
    url, page = (
        f"{repo_url(world, repo)}/pulls/{issue.number}",
        f"{world.html}/{repo.full_name}/pull/{issue.number}",
    )
    statuses = f"{repo_url(world, repo)}/statuses/{pull.head_sha}"
    links = {
        "self": url,
        "html": page,
        "issue": issue_url(world, repo, issue),
        "comments": f"{issue_url(world, repo, issue)}/comments",
        "review_comments": f"{url}/comments",
        "review_comment": f"{repo_url(world, repo)}/pulls/comments{{/number}}",
        "commits": f"{url}/commits",
        "statuses": statuses,
    }
    out = thing_json(world, repo, issue) | {
        "id": pull.id,
        "node_id": f"PR_{pull.id}",
        "url": url,
        "html_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "statuses_url": statuses,
        "head": side_json(world, pull.head_owner, pull.head_repo, pull.head_ref, pull.head_sha),
        "base": side_json(world, repo.owner, repo, pull.base_ref, pull.base_sha),
        "draft": pull.draft,
        "merged_at": stamp(issue.closed_at) if pull.merged else None,
        "merge_commit_sha": repo.merges.get((pull.base_sha, pull.head_sha)),
        "auto_merge": None,
        "requested_reviewers": [],
        "requested_teams": [],
        "_links": {name: {"href": link} for name, link in links.items()},
    }
    named = ("issue", "comments", "review_comments", "review_comment", "commits")
    return out | {f"{name}_url": links[name] for name in named}


def full_pull_json(world: World, repo: Repo, issue: Issue, pull: Pull) -> dict[str, Any]:
    """`pull-request`: also counts and whether it merges cleanly."""
    found = pull_changes(repo, pull)
    pair = (pull.base_sha, pull.head_sha)
    clean = repo.merges.get(pair) is not None if pair in repo.merges else None
    return pull_json(world, repo, issue, pull) | {
        "merged": pull.merged,
        "mergeable": clean,
        "mergeable_state": {True: "draft" if pull.draft else "clean", False: "dirty", None: "unknown"}[clean],
        "merged_by": None,
        "rebaseable": clean,
        "comments": len(issue.comments),
        "review_comments": len(pull.comments),
        "maintainer_can_modify": pull.maintainer_can_modify,
        "commits": len(ahead(repo.git, pull.base_sha, pull.head_sha)),
        "additions": sum(change.additions for change in found),
        "deletions": sum(change.deletions for change in found),
        "changed_files": len(found),
    }


def pull_trees(repo: Repo, pull: Pull) -> tuple[str, str]:
    """The two trees whose difference is the pull request: merge base and head."""
    start = merge_base(repo.git, pull.base_sha, pull.head_sha)
    old = read_commit(repo.git, start).tree if start else repo.git.write("tree", b"")
    return old, read_commit(repo.git, pull.head_sha).tree


def pull_changes(repo: Repo, pull: Pull) -> list[Change]:
    """Changed files of a pull request."""
    return changes(repo.git, *pull_trees(repo, pull))


def review_comment_json(world: World, repo: Repo, issue: Issue, comment: ReviewComment) -> dict[str, Any]:
    """`pull-request-review-comment`."""
    pull_url = f"{repo_url(world, repo)}/pulls/{issue.number}"
    url = f"{repo_url(world, repo)}/pulls/comments/{comment.id}"
    page = f"{world.html}/{repo.full_name}/pull/{issue.number}#discussion_r{comment.id}"
    line = line_now(repo, issue.pull, comment) if issue.pull else None
    out: dict[str, Any] = {
        "id": comment.id,
        "node_id": f"PRRC_{comment.id}",
        "url": url,
        "html_url": page,
        "pull_request_url": pull_url,
        "pull_request_review_id": comment.review_id,
        "diff_hunk": comment.diff_hunk,
        "path": comment.path,
        "commit_id": comment.commit_id,
        "original_commit_id": comment.commit_id,
        "user": user_json(world, comment.user),
        "author_association": association(repo, comment.user),
        "body": comment.body,
        "created_at": stamp(comment.created_at),
        "updated_at": stamp(comment.updated_at),
        "line": line,
        "original_line": comment.line,
        "side": comment.side,
        "start_line": comment.start_line,
        "original_start_line": comment.start_line,
        "start_side": comment.start_side,
        "subject_type": comment.subject_type,
        "position": 1 if line else None,
        "original_position": 1,
        "reactions": reactions_json(comment.reactions, url),
        "_links": {"self": {"href": url}, "html": {"href": page}, "pull_request": {"href": pull_url}},
    }
    return out | ({} if comment.in_reply_to is None else {"in_reply_to_id": comment.in_reply_to})


def review_json(world: World, repo: Repo, issue: Issue, review: Review) -> dict[str, Any]:
    """`pull-request-review`."""
    pull_url = f"{repo_url(world, repo)}/pulls/{issue.number}"
    page = f"{world.html}/{repo.full_name}/pull/{issue.number}#pullrequestreview-{review.id}"
    return {
        "id": review.id,
        "node_id": f"PRR_{review.id}",
        "user": user_json(world, review.user),
        "author_association": association(repo, review.user),
        "body": review.body,
        "state": review.state,
        "commit_id": review.commit_id,
        "submitted_at": stamp(review.submitted_at),
        "html_url": page,
        "pull_request_url": pull_url,
        "_links": {"html": {"href": page}, "pull_request": {"href": pull_url}},
    }


def change_json(world: World, repo: Repo, head: str, change: Change) -> dict[str, Any]:
    """`diff-entry`."""
    page = f"{world.html}/{repo.full_name}"
    out: dict[str, Any] = {
        "sha": change.sha,
        "filename": change.path,
        "status": change.status,
        "additions": change.additions,
        "deletions": change.deletions,
        "changes": change.additions + change.deletions,
        "blob_url": f"{page}/blob/{head}/{change.path}",
        "raw_url": f"{page}/raw/{head}/{change.path}",
        "contents_url": f"{repo_url(world, repo)}/contents/{change.path}?ref={head}",
    }
    if change.previous is not None:
        out["previous_filename"] = change.previous
    return out | ({} if change.patch is None else {"patch": change.patch})

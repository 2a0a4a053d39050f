"""Review comments of a pull request -> its threads: who answered, whether the lines still stand, who resolved them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from .objects import GitStore
from .records import Issue, Pull, Repo, ReviewComment, User
from .trees import files_of


@dataclass(frozen=True)
class Thread:
    """A comment on lines of the diff, and its answers."""

    repo: Repo
    issue: Issue
    pull: Pull
    comments: tuple[ReviewComment, ...]

    @property
    def first(self) -> ReviewComment:
        """The comment that opened it."""
        return self.comments[0]

    @property
    def line(self) -> int | None:
        """Where it stands in the present head; None when it is outdated."""
        return line_now(self.repo, self.pull, self.first)

    @property
    def resolved_by(self) -> User | None:
        """Who resolved it."""
        return self.pull.resolved.get(self.first.id)


def threads_of(repo: Repo, issue: Issue) -> list[Thread]:
    """The threads of a pull request, oldest first."""
    pull = issue.pull
    if pull is None:
        return []
    roots: dict[int, list[ReviewComment]] = {each.id: [each] for each in pull.comments if each.in_reply_to is None}
    for comment in pull.comments:
        if comment.in_reply_to in roots:
            roots[comment.in_reply_to].append(comment)
    return [Thread(repo, issue, pull, tuple(comments)) for comments in roots.values()]


def line_now(repo: Repo, pull: Pull, comment: ReviewComment) -> int | None:
    """The line of the present head that a comment stands on: its own lines must be there as they were."""
    if comment.line is None or comment.commit_id == pull.head_sha:
        return comment.line
    git = (pull.head_repo or repo).git
    old, new = (lines_of(git, sha, comment.path) for sha in (comment.commit_id, pull.head_sha))
    first = comment.start_line or comment.line
    for start, there, size in difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks():
        if start < first and comment.line <= start + size:
            return there + comment.line - start
    return None


def lines_of(git: GitStore, sha: str, path: str) -> list[str]:
    """Lines of a file at a commit, none where it is missing."""
    return files_of(git, sha).get(path, b"").decode("utf-8", "replace").split("\n")

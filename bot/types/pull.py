"""The state of a pull request as the forge tells it, and what triage makes of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bot.types.event import Actor, Subject
from bot.types.value import Value

ReviewVerdict = Literal["approved", "changes_requested", "commented", "dismissed", "pending"]
Mergeable = Literal["mergeable", "conflicting", "unknown"]
PullStatus = Literal["needs_work", "needs_review", "needs_ci", "ready_to_merge", "blocked", "merged", "closed"]
BlockerKind = Literal[
    "ci_failure", "review_feedback", "merge_conflict", "missing_approval", "branch_protection", "stale_branch"
]
FeedbackStatus = Literal["unaddressed", "addressed", "dismissed", "wont_fix"]
Severity = Literal["critical", "high", "medium", "low", "info"]
ReplyKind = Literal["fix", "justification"]


class ReviewState(Value):
    """One review."""

    author: Actor | None
    """Who, None for an account that is gone."""
    verdict: ReviewVerdict
    """What it says."""
    body: str = ""
    """A stranger's text."""
    at: str = ""
    """ISO time."""
    commit: str = ""
    """The commit that was looked at."""
    writer: bool = False
    """Whether its author may write here, so that it counts."""


class ThreadComment(Value):
    """One remark in a thread."""

    author: Actor | None
    """Who."""
    body: str
    """A stranger's text."""
    at: str = ""
    """ISO time."""
    url: str = ""
    """Its web page."""
    writer: bool = False
    """Whether its author may write here, so that it counts."""


class ThreadState(Value):
    """A conversation on a line of the diff."""

    id: str
    """The forge's id."""
    path: str = ""
    """The file."""
    line: int | None = None
    """The line in the new file, None where it is gone."""
    resolved: bool = False
    """Whether people closed it."""
    outdated: bool = False
    """Whether its line has changed since."""
    comments: tuple[ThreadComment, ...] = ()
    """What was said, oldest first."""


class CheckState(Value):
    """The newest run of a check, or a commit status, on the head."""

    name: str
    """Its name."""
    status: Literal["queued", "in_progress", "completed"] = "completed"
    """How far it is."""
    conclusion: str = ""
    """GitHub's conclusion, empty before the end."""
    required: bool = False
    """Whether the branch can't be merged without it."""
    url: str = ""
    """Its web page."""


class PullState(Value):
    """A pull request with all that decides whether it can be merged."""

    subject: Subject
    """The pull request."""
    mergeable: Mergeable = "unknown"
    """Whether it merges without a conflict."""
    merge_state: str = "unknown"
    """GitHub's mergeStateStatus in lower case: behind, blocked, clean, dirty, draft, has_hooks, unstable, unknown."""
    review_decision: Literal["", "approved", "changes_requested", "review_required"] = ""
    """What the branch's rules make of the reviews, empty where they want none."""
    reviews: tuple[ReviewState, ...] = ()
    """The newest review of each person that says something."""
    threads: tuple[ThreadState, ...] = ()
    """Conversations on lines."""
    checks: tuple[CheckState, ...] = ()
    """Checks and statuses of the head."""
    additions: int = 0
    """Lines added."""
    deletions: int = 0
    """Lines taken away."""
    files: int = 0
    """Files changed."""
    behind_by: int | None = None
    """Commits of the base that the head lacks, None where that was not asked."""
    updated_at: str = ""
    """ISO time of the last change."""
    complete: bool = True
    """Whether all threads, reviews and checks were read; a very large pull request has more than are."""


class Feedback(Value):
    """One thing that a reviewer wants."""

    id: str
    """Of its thread or review."""
    author: str = ""
    """Login."""
    path: str = ""
    """The file, empty for a remark on the whole."""
    line: int | None = None
    """The line."""
    text: str = ""
    """A stranger's text, cleaned and cut."""
    severity: Severity = "medium"
    """Inferred from the text."""
    auto: bool = False
    """Whether it can be mended without a person's judgement."""
    status: FeedbackStatus = "unaddressed"
    """What became of it."""
    unseen: bool = False
    """Whether that is an answer of ours alone, at which its author has not looked yet."""
    writer: bool = False
    """Whether its author may write here, so that it counts."""
    url: str = ""
    """Its web page."""


class Blocker(Value):
    """Something that keeps it from being merged."""

    kind: BlockerKind
    """What."""
    text: str
    """What exactly, in a sentence of ours."""
    auto: bool = False
    """Whether the bot could remove it."""


class NextAction(Value):
    """What to do next, most useful first."""

    who: Literal["author", "reviewer", "maintainer", "bot", "nobody"]
    """Whose turn it is."""
    text: str
    """What, in a sentence of ours."""


class PullTriage(Value):
    """Where a pull request stands."""

    number: int = Field(ge=1)
    """Its number."""
    title: str = ""
    """A stranger's text."""
    status: PullStatus
    """One word."""
    draft: bool = False
    """Whether it is a draft."""
    checks: Literal["passing", "failing", "pending", "none"] = "none"
    """All its checks together."""
    blockers: tuple[Blocker, ...] = ()
    """What stands in the way."""
    feedback: tuple[Feedback, ...] = ()
    """What reviewers want."""
    next_actions: tuple[NextAction, ...] = ()
    """Whose turn it is."""
    size: str = ""
    """`+added -removed, n files`."""
    writable: bool = True
    """Whether the bot can write to its branch; to a fork's it can't."""

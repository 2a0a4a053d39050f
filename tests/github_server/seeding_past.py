"""Tests -> what happened to issues and pull requests: labels by whom and when, closings, reviews, checks, statuses."""

from datetime import datetime
from typing import Any, Literal

from .records import App, CheckRun, Issue, Review, Status, World, now, stamp
from .writes import close, drop_labels, put_labels


class PastSeeds:
    """Things that somebody did, at some time."""

    world: World
    actions: App

    def label(
        self,
        repo: str,
        number: int,
        *names: str,
        user: str = "maintainer",
        at: datetime | None = None,
        added: bool = True,
    ) -> Issue:
        """Labels that somebody put on, or took off with `added=False`."""
        with self.world.lock:
            found = self.world.repo(repo)
            issue, who = found.issues[number], self.world.user(user)
            before = len(issue.label_events)
            if added:
                put_labels(self.world, found, issue, names, who)
            else:
                drop_labels(self.world, issue, names, who)
            if at is not None:
                issue.updated_at = at
                for event in issue.label_events[before:]:
                    event.created_at = at
            return issue

    def close_issue(self, repo: str, number: int, reason: str = "completed", user: str = "maintainer") -> Issue:
        """Closed for a reason."""
        with self.world.lock:
            issue = self.world.repo(repo).issues[number]
            close(issue, self.world.user(user), reason)
            issue.updated_at = now()
            return issue

    def review(
        self,
        repo: str,
        number: int,
        state: Literal["APPROVED", "CHANGES_REQUESTED", "COMMENTED", "DISMISSED", "PENDING"],
        body: str = "",
        user: str = "maintainer",
        at: datetime | None = None,
    ) -> Review:
        """A verdict on the present head."""
        with self.world.lock:
            pull = self.world.repo(repo).issues[number].pull
            assert pull is not None, f"#{number} is no pull request"
            made = Review(self.world.next_id(), self.world.user(user), body, state, pull.head_sha, at or now())
            pull.reviews.append(made)
            return made

    def check(
        self, repo: str, sha: str, name: str, conclusion: str | None = "success", external_id: str = ""
    ) -> CheckRun:
        """A check run of GitHub Actions; one without a conclusion is under way."""
        with self.world.lock:
            fields: dict[str, Any] = {
                "name": name,
                "status": "completed" if conclusion else "in_progress",
                "conclusion": conclusion,
                "started_at": stamp(now()),
                "external_id": external_id,
            }
            made = CheckRun(self.world.next_id(), sha, self.actions, fields)
            self.world.repo(repo).check_runs.append(made)
            return made

    def status(self, repo: str, sha: str, context: str, state: str = "success") -> Status:
        """A commit status: success, failure, error or pending."""
        with self.world.lock:
            creator = self.world.user("ci-service")
            made = Status(self.world.next_id(), sha, state, context, None, None, creator, now())
            self.world.repo(repo).statuses.append(made)
            return made

"""The GitHub of the tests: start it, seed it, point a client at `.url`, read `.requests` and the repositories back.

with GitHubServer() as github:
    repo = github.add_repo("octo/hello", {"a.py": "print(1)\\n"})
    github.add_token("t0ken", permissions={"issues": "write"})
    issue = github.open_issue("octo/hello")
    ...                                    # the code under test talks to github.url
    assert repo.comments(issue.number) == ["done"] and github.violations == []
"""

import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from .door import Listener
from .records import Repo, WorkflowRun, World, now
from .seeding import Seeds
from .traffic import Traffic
from .trees import File
from .writes import commit_files

ENTERPRISE = "/api/v3"


class GitHubServer(Seeds, Traffic):
    """Owns a listener, its thread and a folder of bare repositories; ends with the `with` block.

    `enterprise`: mount the API under /api/v3, as GitHub Enterprise Server does. `check_answers`: also hold the answers
    of this server against the description (slower; for the tests of the server itself).
    """

    def __init__(self, *, enterprise: bool = False, check_answers: bool = False) -> None:
        self.listener = Listener(self.handle)
        self.scratch = tempfile.TemporaryDirectory(prefix="github-server-")
        base = ENTERPRISE if enterprise else ""
        world = World(self.listener.url + base, self.listener.url, Path(self.scratch.name))
        Traffic.__init__(self, world, base, check_answers)
        Seeds.__init__(self, world)

    def __enter__(self) -> Self:
        threading.Thread(target=self.listener.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.listener.shutdown()
        self.listener.server_close()
        self.scratch.cleanup()

    @property
    def url(self) -> str:
        """Base of the REST API, without a slash at the end: what GITHUB_API_URL holds."""
        return self.world.api

    @property
    def html_url(self) -> str:
        """What GITHUB_SERVER_URL holds."""
        return self.world.html

    def git_url(self, repo: str) -> str:
        """Where to clone from; a token goes in as the password of user `x-access-token`."""
        return f"{self.world.html}/{repo}.git"

    def repo(self, full_name: str) -> Repo:
        """A repository, to read its issues, labels, pulls, check runs, refs (`repo.git.refs()`) back."""
        return self.world.repo(full_name)

    def commit(self, repo: str, branch: str, files: Mapping[str, File], message: str = "Change", user: str = "") -> str:
        """Move a branch, as somebody's push would; returns the new SHA. `user`: by default the owner."""
        with self.world.lock:
            found = self.world.repo(repo)
            author = self.world.user(user) if user else found.owner
            return commit_files(self.world, found, branch, files, message, author)

    def add_run(self, repo: str, path: str = ".github/workflows/ci.yml", event: str = "issues") -> WorkflowRun:
        """A workflow run in progress on the default branch, that can be cancelled."""
        found = self.world.repo(repo)
        branch = found.default_branch
        head = found.git.ref(f"refs/heads/{branch}") or ""
        run = WorkflowRun(self.world.next_id(), path, event, branch, head, now())
        found.runs[run.id] = run
        return run

    def archive(self, repo: str) -> None:
        """Make a repository read-only for everybody."""
        self.world.repo(repo).archived = True

    def delete_issue(self, repo: str, number: int) -> None:
        """What an administrator may do; the API then says that it is gone."""
        with self.world.lock:
            found = self.world.repo(repo)
            del found.issues[number]
            found.gone[number] = None

    def transfer(self, repo: str, number: int, target: str) -> int:
        """Move an issue with its comments into another repository; the old address leads there."""
        with self.world.lock:
            source, home = self.world.repo(repo), self.world.repo(target)
            issue = source.issues.pop(number)
            issue.number = max(home.issues, default=0) + 1
            for comment in issue.comments:
                comment.number = issue.number
            home.issues[issue.number] = issue
            source.gone[number] = (home, issue.number)
            return issue.number

    def rename(self, repo: str, name: str) -> None:
        """Give a repository another name; the old one redirects."""
        with self.world.lock:
            found = self.world.repos.pop(repo.lower())
            found.name = name
            self.world.repos[found.full_name.lower()] = self.world.moved[repo.lower()] = found

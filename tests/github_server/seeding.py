"""Tests -> state: users, tokens, repositories, issues, pull requests and comments made directly, without requests."""

import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

from .objects import GitStore
from .records import App, Comment, Issue, Repo, ReviewComment, Role, Token, User, World, now
from .seeding_past import PastSeeds
from .trees import File
from .writes import commit_files, new_comment, new_issue, new_pull, new_review_comment, put_labels

ACTIONS_APP = 15368
ACTIONS_BOT = 41898282
DEFAULT_FILES: Mapping[str, File] = {"README.md": "# Sample\n"}


class Seeds(PastSeeds):
    """Everything that a test may put into a server. Users are made on the way, by login."""

    def __init__(self, world: World) -> None:
        self.world = world
        bot = self.add_user("github-actions[bot]", ACTIONS_BOT, "Bot")
        self.actions = App(ACTIONS_APP, "github-actions", bot, world.user("github"), {}, world.next_id(), now())

    def add_user(self, login: str, id: int | None = None, type: str = "User") -> User:  # noqa: A002
        """A user, or a bot (`x[bot]`, type Bot)."""
        user = self.world.users[login.lower()] = User(login, id or self.world.next_id(), type)
        return user

    def add_token(
        self,
        value: str,
        login: str = "github-actions[bot]",
        kind: Literal["actions", "pat", "app"] = "actions",
        permissions: Mapping[str, str] | None = None,
        repos: Iterable[str] | None = None,
    ) -> Token:
        """A credential. `permissions` None: for `actions` and `pat` everything that the user may do."""
        app = self.actions if kind == "actions" else None
        if kind == "app":
            app = next(one for one in self.world.apps.values() if one.user.login == login)
        names = None if repos is None else {name.lower() for name in repos}
        granted = None if permissions is None else dict(permissions)
        token = self.world.tokens[value] = Token(value, self.world.user(login), kind, granted, names, app)
        return token

    def add_app(
        self,
        app_id: int,
        slug: str,
        repos: Iterable[str],
        permissions: Mapping[str, str],
        public_key: str | None = None,
    ) -> App:
        """A GitHub App installed on repositories; with a PEM public key it can sign in with a JWT."""
        names = {name.lower() for name in repos}
        owner = self.world.repo(next(iter(names))).owner
        bot = self.world.user(f"{slug}[bot]")
        app = App(app_id, slug, bot, owner, dict(permissions), self.world.next_id(), now(), public_key, names)
        self.world.apps[app_id] = app
        return app

    def add_repo(
        self,
        full_name: str,
        files: Mapping[str, File] | None = None,
        private: bool = False,
        default_branch: str = "main",
        fork_of: Repo | None = None,
    ) -> Repo:
        """A repository with one commit (with `files={}` none); a fork starts with its parent's branches."""
        owner, _, name = full_name.partition("/")
        with self.world.lock:
            # Not in sequence: two servers that send the same event in the same second may share an engine, and a run's
            # id follows from the repository's.
            number = 10**9 + secrets.randbelow(10**9)
            path = self.world.folder / f"{number}.git"
            git = GitStore(Path(path), default_branch, fork_of.git if fork_of else None)
            repo = Repo(number, self.world.user(owner), name, git, now(), private, default_branch, fork_of)
            self.world.repos[full_name.lower()] = repo
            if fork_of is not None:
                for ref, sha in fork_of.git.refs("refs/heads/").items():
                    git.set_ref(ref, sha)
            wanted = files if files is not None or fork_of is not None else DEFAULT_FILES
            if wanted:
                commit_files(self.world, repo, default_branch, wanted, "Initial commit", repo.owner)
            return repo

    def set_permission(self, repo: str, login: str, role: Role) -> None:
        """Make a collaborator, or take the role away (`none`)."""
        self.world.repo(repo).roles[self.world.user(login).login.lower()] = role

    def open_issue(
        self,
        repo: str,
        title: str = "Something is wrong",
        body: str | None = "It does not work.",
        user: str = "reporter",
        labels: Iterable[str] = (),
        at: datetime | None = None,
    ) -> Issue:
        """An issue under the next number, opened now or `at` a time; its labels are the author's, as by a form."""
        with self.world.lock:
            found = self.world.repo(repo)
            issue = new_issue(self.world, found, self.world.user(user), title, body)
            put_labels(self.world, found, issue, labels)
            if at is not None:
                issue.created_at = issue.updated_at = at
                for event in issue.label_events:
                    event.created_at = at
            return issue

    def open_pull(
        self,
        repo: str,
        files: Mapping[str, File],
        title: str = "A change",
        body: str | None = "See the diff.",
        user: str = "contributor",
        head: str = "feature",
        base: str | None = None,
        from_fork: bool = False,
        draft: bool = False,
        labels: Iterable[str] = (),
    ) -> Issue:
        """A pull request that changes `files`, from a branch of this repository or of the user's fork."""
        with self.world.lock:
            target = self.world.repo(repo)
            base = base or target.default_branch
            source = fork(self, target, user) if from_fork else target
            tip = target.git.ref(f"refs/heads/{base}")
            if tip is not None and source.git.ref(f"refs/heads/{head}") is None:
                source.git.set_ref(f"refs/heads/{head}", tip)
            commit_files(self.world, source, head, files, title, self.world.user(user))
            issue = new_issue(self.world, target, self.world.user(user), title, body)
            new_pull(self.world, target, issue, base, source, head).draft = draft
            put_labels(self.world, target, issue, labels)
            return issue

    def comment(self, repo: str, number: int, body: str, user: str = "reporter") -> Comment:
        """A comment on an issue or pull request."""
        with self.world.lock:
            return new_comment(self.world, self.world.repo(repo).issues[number], self.world.user(user), body)

    def review_comment(
        self, repo: str, number: int, body: str, path: str, line: int = 1, user: str = "reporter"
    ) -> ReviewComment:
        """A comment on a line of a pull request's head."""
        with self.world.lock:
            issue = self.world.repo(repo).issues[number]
            assert issue.pull is not None, f"#{number} is no pull request"
            return new_review_comment(self.world, issue, issue.pull, self.world.user(user), body, path, line)


def fork(seeds: Seeds, repo: Repo, login: str) -> Repo:
    """The user's fork, made when there is none."""
    name = f"{login}/{repo.name}"
    known = seeds.world.repos.get(name.lower())
    return known or seeds.add_repo(name, None, repo.private, repo.default_branch, fork_of=repo)

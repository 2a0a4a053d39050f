"""People talking to the bot on a stateful GitHub: a server, a disk, and processes that serve one event each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from bot.agent.runtimes.command import CommandRuntime
from bot.deps import Deps
from bot.forge.events.parsing import parse_event
from bot.forge.forge import open_forge
from bot.marks import Mark, read_mark
from bot.pipeline import handle
from bot.settings import Settings
from bot.store.folder import FolderStore
from bot.testing.sandbox import FakeProvider
from bot.types.event import Event
from bot.types.run import Run
from tests.github_server.records import Issue, Repo
from tests.github_server.server import GitHubServer
from tests.github_server.trees import files_of
from tests.github_server.webhooks import issue_comment_created, issues_labeled
from tests.pipeline_fixtures import POLICY, FolderCheckouts, News, make

NAME, TOKEN, BOT = "octo/hello", "t0ken-of-the-job", "github-actions[bot]"
FILES = {".github/bot.yml": POLICY, "table.txt": "old\n", "deep/kept.txt": "kept\n"}


class Killed(BaseException):
    """The process is gone; nothing in it may catch this."""


@dataclass
class Story:
    """A server, a disk, and what is said on it."""

    server: GitHubServer
    folder: Path
    number: int = 1
    """The subject."""
    machine: str = "one"
    """Whose disk is used: another one knows nothing of earlier runs."""
    mortal: bool = False
    """Whether a process dies as soon as an answer is lost."""

    @property
    def repo(self) -> Repo:
        return self.server.repo(NAME)

    @property
    def subject(self) -> Issue:
        return self.repo.issues[self.number]

    @property
    def bodies(self) -> list[str]:
        """What our account wrote on the subject."""
        return [each.body for each in self.subject.comments if each.user.login == BOT]

    @property
    def mark(self) -> Mark:
        """State of the newest run."""
        return [mark for mark in map(read_mark, self.bodies) if mark][-1]

    def head(self, branch: str) -> str:
        sha = self.repo.git.ref(f"refs/heads/{branch}")
        assert sha is not None
        return sha

    def files(self, branch: str) -> dict[str, bytes]:
        return files_of(self.repo.git, self.head(branch))

    def says(self, text: str, user: str = "maria") -> Event:
        """The event of a new comment on the subject."""
        made = self.server.comment(NAME, self.number, text, user)
        payload = issue_comment_created(self.server, NAME, made.id)
        return parse_event("issue_comment", payload, settings=Settings())

    def serve(self, event: Event) -> Run:
        """One process with new adapters."""
        server, state = self.server, self.folder / self.machine
        settings = Settings(token=SecretStr(TOKEN), api_url=server.url, server_url=server.html_url, state=state)
        reader, writer = open_forge(settings, NAME, sleep=self.sleep)
        return handle(
            event,
            Deps(
                settings=settings,
                reader=reader,
                writer=writer,
                store=FolderStore(state),
                sandboxes=FakeProvider(self.folder / "boxes", make),
                runtime=lambda spec: CommandRuntime(),
                model=None,
                checkouts=FolderCheckouts(self.folder / "checkout"),
                watch=News(),
                cancelled=lambda: False,
            ),
        )

    def sleep(self, seconds: float) -> None:
        if self.mortal:
            raise Killed

    def say(self, text: str, user: str = "maria") -> Run:
        return self.serve(self.says(text, user))

    def seen(self) -> dict[str, object]:
        """What people see; numbers that only count up left out."""
        refs = self.repo.git.refs("refs/heads/")
        steady = [re.sub(r"\b[0-9a-f]{7,40}\b|:\d+/|\d+(\.\d+)? s\b|event=\S+", "-", body) for body in self.bodies]
        return {
            "files": {ref: files_of(self.repo.git, sha) for ref, sha in refs.items()},
            "comments": [re.sub(r"<!-- .*? -->", "", body) for body in steady],
            "labels": sorted(self.subject.label_names),
            "pulls": {number: each.state for number, each in self.repo.pulls.items()},
            "undone": [mark.made.undone for mark in map(read_mark, self.bodies) if mark],
        }


@contextmanager
def on_an_issue(folder: Path) -> Iterator[Story]:
    """A run on an issue: a branch, a pull request, a label, a comment."""
    with GitHubServer() as server:
        story = begin(server, folder)
        server.open_issue(NAME, title="The table is old", labels=["bot:regenerate", "table"])
        payload = issues_labeled(server, NAME, 1, "bot:regenerate", "maria")
        assert story.serve(parse_event("issues", payload, settings=Settings())).conclusion == "success"
        assert story.subject.label_names == ["table", "regenerated"]
        yield story
        assert (server.violations, server.unknown) == ([], [])


@contextmanager
def on_a_pull(folder: Path) -> Iterator[Story]:
    """A run on somebody's pull request: a commit on their branch."""
    with GitHubServer() as server:
        story = begin(server, folder)
        server.open_pull(NAME, {"new.txt": "new\n"}, head="feature", user="maria")
        assert story.say("/bot regenerate").conclusion == "success"
        assert story.files("feature")["table.txt"] == b"new\n"
        yield story
        assert (server.violations, server.unknown) == ([], [])


def begin(server: GitHubServer, folder: Path, *, policy: str = POLICY) -> Story:
    folder.mkdir(exist_ok=True)
    server.add_repo(NAME, {**FILES, ".github/bot.yml": policy})
    server.add_token(TOKEN)
    for login, role in (("maria", "write"), ("paul", "triage")):
        server.add_user(login)
        server.set_permission(NAME, login, role)  # type: ignore[arg-type]  # the words are roles
    return Story(server, folder)

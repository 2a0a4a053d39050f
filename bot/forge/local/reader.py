"""A folder with a git repository, issues and comments as files -> a forge: what the demo and the tests publish to.

<folder>/repository.json         name and default branch
<folder>/people.json             login -> id, type, permission
<folder>/repository.git/         the repository, bare
<folder>/issues/<n>.json         an issue or pull request with its comments, reactions and checks
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import Field

from bot.errors import ConfigurationError, NotFound
from bot.forge.local import gitdir
from bot.types.event import Actor, Comment, PullInfo, Repository, Revision, Subject
from bot.types.output import Check
from bot.types.pull import PullState
from bot.types.result import CheckFailure
from bot.types.sandbox import Blob, FileChange
from bot.types.triage import LabelInfo, PastIssue
from bot.types.value import CommentKind, Permission, SubjectKind, Value

BODY_LIMIT = 8_000
"""Characters of an issue's text that are learned from."""
BOT = Actor(login="sandpiper[bot]", id=1, type="Bot")
"""The account that writes to a local forge."""


class Person(Value):
    """Somebody with an account on the local forge."""

    id: int
    """Numeric id."""
    permission: Permission = "read"
    """What the person may do."""


class Thread(Value):
    """An issue or pull request with all that hangs on it, one file."""

    kind: SubjectKind = "issue"
    """Issue or pull request."""
    number: int
    """Its number."""
    title: str
    """Title."""
    body: str = ""
    """Text."""
    state: str = "open"
    """Open or closed."""
    author: Actor
    """Who opened it."""
    labels: tuple[str, ...] = ()
    """Labels on it."""
    comments: tuple[Comment, ...] = ()
    """Comments, oldest first."""
    reactions: tuple[str, ...] = ()
    """`<target>:<content>` of each reaction."""
    checks: tuple[Check, ...] = ()
    """Check runs reported on its head."""
    head: str | None = None
    """Branch of a pull request."""
    base: str | None = None
    """Branch that it goes to."""
    draft: bool = False
    """Whether it is a draft."""
    updated_at: str = Field(default_factory=lambda: now())
    """ISO time."""


def now() -> str:
    """This moment as GitHub writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def create_local(folder: Path, full_name: str, files: Mapping[str, bytes], people: Mapping[str, Person]) -> None:
    """Make a new local forge whose repository has one commit with these files; a `+x` suffix marks an executable."""
    folder.mkdir(parents=True, exist_ok=False)
    (folder / "issues").mkdir()
    git_dir = folder / "repository.git"
    gitdir.git(git_dir, "init", "--quiet", "--bare", "--initial-branch=main")
    contents = []
    for path, data in files.items():
        mode = "100755" if path.endswith("+x") else "100644"
        new = Blob.model_validate({"digest": "0" * 64, "size": len(data), "mode": mode})
        contents.append((FileChange(path=path.removesuffix("+x"), new=new), data))
    author = {"name": "Maintainer", "email": "maintainer@localhost", "date": f"{now()}"}
    sha = gitdir.write_commit(git_dir, None, contents, "Start the project\n", author)
    gitdir.git(git_dir, "update-ref", "refs/heads/main", sha)
    repository = Repository(full_name=full_name, default_branch="main", url=folder.as_uri())
    write_json(folder / "repository.json", repository.model_dump(mode="json"))
    write_json(folder / "people.json", {login: each.model_dump(mode="json") for login, each in people.items()})


def open_repository(folder: Path) -> Repository:
    """The repository that a local forge holds. Raises ConfigurationError where the folder is none."""
    path = folder / "repository.json"
    if not path.is_file():
        raise ConfigurationError("not_a_local_forge", f"{folder} is not a local forge", hint="make one: sandpiper demo")
    return Repository.model_validate_json(path.read_bytes())


def write_json(path: Path, value: Any) -> None:
    """Replace a file in one step, so that a reader never sees half of it."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def read_thread(folder: Path, number: int) -> Thread | None:
    """An issue or pull request by number, None if there is none."""
    path = folder / "issues" / f"{number}.json"
    return Thread.model_validate_json(path.read_bytes()) if path.is_file() else None


def write_thread(folder: Path, thread: Thread) -> None:
    """Keep an issue or pull request."""
    fresh = thread.changed(updated_at=now())
    write_json(folder / "issues" / f"{thread.number}.json", fresh.model_dump(mode="json"))


def numbers(folder: Path) -> list[int]:
    """The numbers of all issues and pull requests."""
    return sorted(int(path.stem) for path in (folder / "issues").glob("*.json"))


def open_issue(folder: Path, author: str, title: str, body: str) -> Thread:
    """A new issue."""
    number = max(numbers(folder), default=0) + 1
    thread = Thread(number=number, title=title, body=body, author=LocalReader(folder).person(author))
    write_thread(folder, thread)
    return thread


class LocalPast:
    """ForgePast over the folder, which remembers labels, but not who put them on: it teaches nothing of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._git = folder / "repository.git"

    def past(self, *, since: str = "", most: int = 1_000, after: str = "") -> Iterator[tuple[PastIssue, ...]]:
        """All in one page: a folder has no second one to go on to."""
        found = sorted(_issues(self._folder), key=lambda each: (each.updated_at, each.number), reverse=True)
        if fresh := tuple(_past(each) for each in found if each.updated_at >= since)[:most]:
            yield fresh

    def labels(self) -> tuple[LabelInfo, ...]:
        """Those that are on something: a folder keeps no others."""
        found = {name for number in numbers(self._folder) for name in _labels(self._folder, number)}
        return tuple(LabelInfo(name=name) for name in sorted(found))

    def paths(self, ref: str) -> tuple[str, ...]:
        sha = gitdir.resolve(self._git, ref)
        listed = gitdir.git(self._git, "ls-tree", "-r", "-z", "--name-only", sha) if sha else b""
        return tuple(name.decode("utf-8", "replace") for name in listed.split(b"\0") if name)

    def pull_state(self, number: int) -> PullState | None:
        thread = read_thread(self._folder, number)
        if thread is None or thread.kind != "pull_request":
            return None
        return PullState(subject=_subject(self._folder, thread), updated_at=thread.updated_at)

    def changed_paths(self, number: int) -> tuple[str, ...]:
        state = self.pull_state(number)
        if state is None or state.subject.pull is None:
            return ()
        pull = state.subject.pull
        words = ("diff", "--no-ext-diff", "--no-textconv", "--no-renames", "--name-only", "-z")
        listed = gitdir.git(self._git, *words, f"{pull.base.sha}...{pull.head.sha}")
        return tuple(name.decode("utf-8", "replace") for name in listed.split(b"\0") if name)

    def backlog(self, *, since: str = "") -> Iterator[tuple[Subject, ...]]:
        """By number: a folder does not know when an issue was opened, so the last change stands for it."""
        found = (each for each in _issues(self._folder) if each.state == "open" and each.updated_at >= since)
        if subjects := tuple(_subject(self._folder, each) for each in found):
            yield subjects


class LocalReader(LocalPast):
    """ForgeReader over the folder."""

    def viewer(self) -> Actor:
        return BOT

    def person(self, login: str) -> Actor:
        """The account of somebody, a stranger's id is 0."""
        people = json.loads((self._folder / "people.json").read_text(encoding="utf-8"))
        return Actor(login=login, id=people.get(login, {}).get("id", 0))

    def permission(self, actor: Actor) -> Permission:
        people = json.loads((self._folder / "people.json").read_text(encoding="utf-8"))
        person = Person.model_validate(people[actor.login]) if actor.login in people else None
        return person.permission if person and person.id == actor.id else "none"

    def subject(self, where: int | str, *, kind: SubjectKind | None = None) -> Subject | None:
        if isinstance(where, str):
            branch = where.partition(":")[2]
            threads = (read_thread(self._folder, number) for number in numbers(self._folder))
            thread = next((each for each in threads if each and each.head == branch and each.state == "open"), None)
        else:
            thread = read_thread(self._folder, where)
        return _subject(self._folder, thread) if thread else None

    def comments(self, number: int, *, kind: CommentKind = "issue", since: str | None = None) -> tuple[Comment, ...]:
        thread = read_thread(self._folder, number)
        if thread is None:
            raise NotFound("no_such_subject", f"there is no issue or pull request {number}")
        moment = datetime.fromisoformat(since) if since else None
        return tuple(
            each
            for each in thread.comments
            if each.kind == kind and (moment is None or datetime.fromisoformat(each.updated_at) >= moment)
        )

    def file(self, path: str, ref: str) -> bytes | None:
        return gitdir.read_path(self._git, ref, path)

    def revision(self, ref: str) -> Revision | None:
        return _revision(self._folder, ref)

    def failures(self, sha: str) -> tuple[CheckFailure, ...]:
        """A folder has no checks but ours."""
        return ()

    def diff(self, number: int) -> str:
        subject = self.subject(number)
        if subject is None or subject.pull is None:
            raise NotFound("no_such_pull", f"there is no pull request {number}")
        pull = subject.pull
        words = ("diff", "--no-ext-diff", "--no-textconv", f"{pull.base.sha}...{pull.head.sha}")
        return gitdir.git(self._git, *words).decode("utf-8", "replace")


def _issues(folder: Path) -> Iterator[Thread]:
    """The issues, by number."""
    for number in numbers(folder):
        thread = read_thread(folder, number)
        if thread is not None and thread.kind == "issue":
            yield thread


def _labels(folder: Path, number: int) -> tuple[str, ...]:
    thread = read_thread(folder, number)
    return thread.labels if thread else ()


def _past(thread: Thread) -> PastIssue:
    return PastIssue(
        number=thread.number,
        title=thread.title,
        body=thread.body[:BODY_LIMIT],
        author=thread.author,
        created_at=thread.updated_at,
        updated_at=thread.updated_at,
        state="closed" if thread.state == "closed" else "open",
        labels=thread.labels,
    )


def _revision(folder: Path, ref: str) -> Revision | None:
    sha = gitdir.resolve(folder / "repository.git", ref)
    return Revision(ref=ref, sha=sha) if sha else None


def _subject(folder: Path, thread: Thread) -> Subject:
    fields = thread.model_dump(include={"kind", "number", "title", "body", "state", "labels", "updated_at"})
    pull = None
    if thread.head and thread.base:
        head, base = _revision(folder, thread.head), _revision(folder, thread.base)
        if head and base:
            full_name = open_repository(folder).full_name
            pull = PullInfo(head=head, base=base, head_repository=full_name, draft=thread.draft)
        elif thread.state == "open":  # the branches of a closed one may be deleted
            raise NotFound("branch_gone", f"the branch of pull request {thread.number} is gone")
    url = (folder / "issues" / f"{thread.number}.json").as_uri()
    return Subject.model_validate({**fields, "author": thread.author, "pull": pull, "url": url})

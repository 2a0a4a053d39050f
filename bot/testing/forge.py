"""A forge in memory: what a reader sees and a writer changes, the same state behind both.

A write is recorded once for what identifies it on a real forge (a comment's marker, a branch, a head, a name and SHA),
so a test compares the state after a fault with the state without one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bot.errors import Conflict
from bot.marks import has_marker
from bot.types.event import Actor, Comment, Revision, Subject
from bot.types.output import (
    Check,
    ClosePull,
    Commit,
    DeleteBranch,
    LabelChange,
    NewIssue,
    Note,
    Output,
    Pull,
    Reaction,
    Receipt,
    Reply,
    Revert,
    Review,
)
from bot.types.pull import PullState
from bot.types.result import CheckFailure
from bot.types.triage import LabelInfo, PastIssue
from bot.types.value import CommentKind, Permission, SubjectKind

Recorded = TypeVar("Recorded", Reaction, Pull, Check, Review, ClosePull, DeleteBranch, Revert, NewIssue, Reply)
PAGE = 50
"""Issues of a page."""
Hook = Callable[[Output], None]


def _nothing(output: Output) -> None: ...


@dataclass
class FakeForge:
    """The state of one repository. Tests fill it and look at it."""

    viewer: Actor = field(default_factory=lambda: Actor(login="sandpiper[bot]", id=900, type="Bot"))
    permissions: dict[str, Permission] = field(default_factory=dict)
    subjects: dict[int, Subject] = field(default_factory=dict)
    comments: dict[int, list[Comment]] = field(default_factory=dict)
    """By subject; both kinds."""
    files: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """By path and ref."""
    branches: dict[str, str] = field(default_factory=dict)
    """Name to SHA."""
    diffs: dict[int, str] = field(default_factory=dict)
    commits: list[Commit] = field(default_factory=list)
    pulls: list[Pull] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    reactions: list[Reaction] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    closed: list[ClosePull] = field(default_factory=list)
    deleted: list[DeleteBranch] = field(default_factory=list)
    reverts: list[Revert] = field(default_factory=list)
    issues: list[NewIssue] = field(default_factory=list)
    """Opened by us."""
    replies: list[Reply] = field(default_factory=list)
    failures: dict[str, tuple[CheckFailure, ...]] = field(default_factory=dict)
    """By commit."""
    past: list[PastIssue] = field(default_factory=list)
    """In any order."""
    labels: list[LabelInfo] = field(default_factory=list)
    """Labels that the repository has."""
    states: dict[int, PullState] = field(default_factory=dict)
    """By number of the pull request."""
    changed: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """Paths that a pull request changes, by its number."""
    now: str = "2030-01-01T00:00:00Z"
    """Time of every write."""
    reads: list[str] = field(default_factory=list)
    """Names of the reader's methods, in the order of their calls."""


class FakePast:
    """ForgePast over a FakeForge."""

    def __init__(self, forge: FakeForge) -> None:
        self.forge = forge

    def past(self, *, since: str = "", most: int = 1_000, after: str = "") -> Iterator[tuple[PastIssue, ...]]:
        found = [each for each in self.forge.past if (each.updated_at or each.created_at) >= since]
        found = sorted(found, key=lambda each: each.updated_at or each.created_at, reverse=True)
        found = found[int(after or 0) :][:most]
        for start in range(0, len(found), PAGE):
            self.forge.reads.append("past")
            page = found[start : start + PAGE]
            yield (*page[:-1], page[-1].changed(cursor=str(int(after or 0) + start + len(page))))

    def labels(self) -> tuple[LabelInfo, ...]:
        self.forge.reads.append("labels")
        return tuple(self.forge.labels)

    def paths(self, ref: str) -> tuple[str, ...]:
        self.forge.reads.append("paths")
        return tuple(sorted(path for path, at in self.forge.files if at == ref))

    def pull_state(self, number: int) -> PullState | None:
        self.forge.reads.append("pull_state")
        return self.forge.states.get(number)

    def changed_paths(self, number: int) -> tuple[str, ...]:
        self.forge.reads.append("changed_paths")
        return self.forge.changed.get(number, ())

    def backlog(self, *, since: str = "") -> Iterator[tuple[Subject, ...]]:
        opened = {each.number: each.created_at for each in self.forge.past}
        found = [each for _, each in sorted(self.forge.subjects.items()) if each.kind == "issue"]
        found = [each for each in found if each.state == "open" and opened.get(each.number, since) >= since]
        for start in range(0, len(found), PAGE):
            self.forge.reads.append("backlog")
            yield tuple(found[start : start + PAGE])


class FakeReader(FakePast):
    """ForgeReader over a FakeForge."""

    def viewer(self) -> Actor:
        self.forge.reads.append("viewer")
        return self.forge.viewer

    def permission(self, actor: Actor) -> Permission:
        self.forge.reads.append("permission")
        return self.forge.permissions.get(actor.login, "none")

    def subject(self, where: int | str, *, kind: SubjectKind | None = None) -> Subject | None:
        self.forge.reads.append("subject")
        if isinstance(where, int):
            return self.forge.subjects.get(where)
        owner, _, branch = where.partition(":")
        for subject in self.forge.subjects.values():
            pull = subject.pull
            if pull is None or subject.state != "open" or pull.head.ref != branch:
                continue
            if (pull.head_repository or "").partition("/")[0].lower() == owner.lower():
                return subject
        return None

    def comments(self, number: int, *, kind: CommentKind = "issue", since: str | None = None) -> tuple[Comment, ...]:
        self.forge.reads.append("comments")
        found = (each for each in self.forge.comments.get(number, []) if each.kind == kind)
        return tuple(each for each in found if since is None or max(each.created_at, each.updated_at) >= since)

    def file(self, path: str, ref: str) -> bytes | None:
        self.forge.reads.append("file")
        return self.forge.files.get((path, ref))

    def revision(self, ref: str) -> Revision | None:
        self.forge.reads.append("revision")
        if ref in self.forge.branches.values():
            return Revision(ref=ref, sha=ref)
        sha = self.forge.branches.get(ref)
        return Revision(ref=ref, sha=sha) if sha else None

    def diff(self, number: int) -> str:
        self.forge.reads.append("diff")
        return self.forge.diffs.get(number, "")

    def failures(self, sha: str) -> tuple[CheckFailure, ...]:
        self.forge.reads.append("failures")
        return self.forge.failures.get(sha, ())


class FakeWriter:
    """ForgeWriter over a FakeForge. `before` and `after` may raise: a process that dies around a write."""

    def __init__(self, forge: FakeForge, *, before: Hook = _nothing, after: Hook = _nothing) -> None:
        self.forge = forge
        self.before = before
        self.after = after
        self.writes: list[Output] = []
        """Every output that changed something, in order."""

    def apply(self, output: Output, *, blobs: Path, doubt: bool = False) -> Receipt:
        """Publish once; a second call for the same thing finds the first."""
        self.before(output)
        match output:
            case Note():
                receipt = self._note(output)
            case LabelChange():
                receipt = self._labels(output)
            case Reaction():
                receipt = self._recorded(output, self.forge.reactions)
            case Commit():
                receipt = self._commit(output)
            case Pull():
                receipt = self._recorded(output, self.forge.pulls)
            case Check():
                receipt = self._check(output)
            case Review():
                receipt = self._recorded(output, self.forge.reviews)
            case ClosePull():
                receipt = self._recorded(output, self.forge.closed)
            case DeleteBranch():
                receipt = self._delete(output)
            case Revert():
                receipt = self._recorded(output, self.forge.reverts)
            case NewIssue():
                known = any(each.marker == output.marker for each in self.forge.issues)
                receipt = self._recorded(output, self.forge.issues).changed(done=not known)
            case Reply():
                known = any((each.thread, each.marker) == (output.thread, output.marker) for each in self.forge.replies)
                receipt = self._recorded(output, self.forge.replies).changed(done=not known)
        self.after(output)
        return receipt

    def _note(self, note: Note) -> Receipt:
        self.writes.append(note)
        comments = self.forge.comments.setdefault(note.number, [])
        body = f"{note.marker}\n{note.body}"
        for index, comment in enumerate(comments):
            if comment.author.id == self.forge.viewer.id and has_marker(comment.body, note.marker):
                comments[index] = comment.changed(body=body, updated_at=self.forge.now)
                return _receipt(note, comment.id)
        number = 1 + max((each.id for several in self.forge.comments.values() for each in several), default=10_000)
        now = self.forge.now
        comments.append(Comment(id=number, author=self.forge.viewer, body=body, created_at=now, updated_at=now))
        return _receipt(note, number)

    def _labels(self, change: LabelChange) -> Receipt:
        self.writes.append(change)
        subject = self.forge.subjects.get(change.number)
        if subject is not None:
            kept = [each for each in subject.labels if each not in change.remove]
            labels = tuple(dict.fromkeys((*kept, *change.add)))
            self.forge.subjects[change.number] = subject.changed(labels=labels)
        new = [each for each in change.add if subject is None or each not in subject.labels]
        return _receipt(change, change.number).changed(name="\n".join(new))

    def _commit(self, commit: Commit) -> Receipt:
        same = (each for each in self.forge.commits if (each.branch, each.parent) == (commit.branch, commit.parent))
        if next(same, None) is None:
            stands_at = self.forge.branches.get(commit.branch)
            if stands_at != (None if commit.create else commit.parent):
                raise Conflict("head_moved", f"{commit.branch} is not where the commit needs it")
            self.writes.append(commit)
            self.forge.commits.append(commit)
            self.forge.branches[commit.branch] = f"{len(self.forge.commits):040x}"
        sha = self.forge.branches[commit.branch]
        return Receipt(key=commit.key, kind=commit.kind, sha=sha, name=commit.branch)

    def _delete(self, output: DeleteBranch) -> Receipt:
        """A branch that stands elsewhere by now is kept."""
        if self.forge.branches.get(output.branch, output.sha) != output.sha:
            return _receipt(output, 0).changed(done=False, remark="the branch was kept")
        self.forge.branches.pop(output.branch, None)
        return self._recorded(output, self.forge.deleted).changed(name=output.branch)

    def _check(self, check: Check) -> Receipt:
        """One check run for each external id, in the newest stage."""
        for index, each in enumerate(self.forge.checks):
            if (each.external, each.name, each.sha) == (check.external, check.name, check.sha):
                if each != check:
                    self.writes.append(check)
                    self.forge.checks[index] = check
                return _receipt(check, index + 1)
        return self._recorded(check, self.forge.checks)

    def _recorded(self, output: Recorded, among: list[Recorded]) -> Receipt:
        for index, each in enumerate(among, 1):
            if _identity(each) == _identity(output):
                return _receipt(output, index)
        self.writes.append(output)
        among.append(output)
        return _receipt(output, len(among))


def _identity(
    output: Reaction | Pull | Check | Review | ClosePull | DeleteBranch | Revert | NewIssue | Reply,
) -> tuple[object, ...]:
    match output:
        case Reaction():
            return output.number, output.comment, output.comment_kind, output.content
        case Pull():
            return (output.head,)
        case Check():
            return output.external, output.name, output.sha, output.status
        case Review():
            return output.number, output.marker
        case ClosePull():
            return (output.number,)
        case DeleteBranch() | Revert():
            return output.branch, output.sha
        case NewIssue():
            return (output.marker,)
        case Reply():
            return output.thread, output.marker


def _receipt(output: Output, number: int) -> Receipt:
    return Receipt(key=output.key, kind=output.kind, id=number, url=f"https://forge.example/{output.kind}/{number}")

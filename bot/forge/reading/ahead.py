"""Questions asked one after the other -> the same questions on their way at once, while a decision is made.

Only what will be asked anyway is asked ahead, in waves that each begin with a question of the gate: whoever may not
start a run costs not one request more (the misspelt command of one who may costs one), and no question is asked twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar, cast, overload

from bot.errors import ForgeError
from bot.forge.reading.reader import spare
from bot.protocols import ForgeReader
from bot.settings import Settings
from bot.types.event import Actor, Comment, Commented, Dispatched, Event, Labeled, Revision, Subject
from bot.types.pull import PullState
from bot.types.result import CheckFailure
from bot.types.triage import LabelInfo, PastIssue
from bot.types.value import CommentKind, Permission, SubjectKind

AT_ONCE = 6
SKIPPED = frozenset({"rate_limited", "rate_reserved"})
"""A guess that was not asked, to spare the limit; the question itself is then asked when it comes."""
KINDS: Mapping[SubjectKind, tuple[CommentKind, ...]] = MappingProxyType(
    {"issue": ("issue",), "pull_request": ("issue", "review")}
)
"""Which comments make up a discussion."""

Said = TypeVar("Said")
One = TypeVar("One")
Two = TypeVar("Two")
Three = TypeVar("Three")


class Plan(NamedTuple):
    """What an event's payload says about the questions that will be asked."""

    policy: str
    """Path of the policy."""
    branch: str
    """The default branch."""
    named: int | None
    """The subject that somebody named who can't be a stranger."""
    kind: SubjectKind | None
    """What the subject is, where the payload says it."""
    asks_for_run: bool
    """Whether a comment's command is the name of a task, rather than of an answer."""
    conventions: tuple[str, ...]
    """The file that is looked for first."""


class Questions:
    """What is under way and what was answered. Used by one thread; the questions run in others."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE, "ahead")
        self._asked: dict[tuple[object, ...], Future[Any]] = {}

    def start(self, key: tuple[object, ...], ask: Callable[[], object]) -> None:
        """Ask it in the background, unless it was asked."""
        if key not in self._asked:
            self._asked[key] = self._pool.submit(ask)

    def answer(self, key: tuple[object, ...], ask: Callable[[], Said]) -> Said:
        """Its answer, or its error; it is asked now if it was not before."""
        found = self._asked.get(key)
        if found is not None:
            try:
                return cast(Said, found.result())
            except ForgeError as error:
                del self._asked[key]
                if error.code not in SKIPPED:
                    raise
        done: Future[Any] = Future()
        done.set_result(ask())
        self._asked[key] = done
        return cast(Said, done.result())

    def close(self) -> None:
        """Wait for what is under way; what was not begun never is."""
        self._pool.shutdown(cancel_futures=True)


class PastAhead:
    """ForgePast that answers each question once."""

    def __init__(self, reader: ForgeReader, questions: Questions) -> None:
        self._reader, self._guess, self._questions = reader, spare(reader), questions

    def past(self, *, since: str = "", most: int = 1_000, after: str = "") -> Iterator[tuple[PastIssue, ...]]:
        """Past issues; too many to be kept for a second answer."""
        return self._reader.past(since=since, most=most, after=after)

    def labels(self) -> tuple[LabelInfo, ...]:
        """The repository's labels."""
        return self._questions.answer(("labels",), self._reader.labels)

    def paths(self, ref: str) -> tuple[str, ...]:
        """Paths of its files. Whoever judges an issue by them asks for the labels next."""
        self._questions.start(("labels",), self._guess.labels)
        return self._questions.answer(("paths", ref), lambda: self._reader.paths(ref))

    def pull_state(self, number: int) -> PullState | None:
        """Where a pull request stands."""
        return self._questions.answer(("pull_state", number), lambda: self._reader.pull_state(number))

    def changed_paths(self, number: int) -> tuple[str, ...]:
        """What a pull request changes."""
        return self._questions.answer(("changed_paths", number), lambda: self._reader.changed_paths(number))

    def backlog(self, *, since: str = "") -> Iterator[tuple[Subject, ...]]:
        """Open issues; too many to be kept for a second answer."""
        return self._reader.backlog(since=since)


class ReadingAhead(PastAhead):
    """ForgeReader that answers each question once, and has the next ones on their way when the first is asked."""

    def __init__(self, reader: ForgeReader, questions: Questions, plan: Plan) -> None:
        super().__init__(reader, questions)
        self._plan = plan
        self._subject: Subject | None = None
        self._policy: bytes | None = None

    def viewer(self) -> Actor:
        """The account that our token acts as."""
        return self._questions.answer(("viewer",), self._reader.viewer)

    def permission(self, actor: Actor) -> Permission:
        """What that account may do. The gate reads the policy next, and looks at a subject that a trusted one named."""
        path, branch = self._plan.policy, self._plan.branch
        self._questions.start(("file", path, branch), lambda: self._guess.file(path, branch))
        if (number := self._plan.named) is not None:
            self._questions.start(("subject", number), lambda: self._guess.subject(number, kind=self._plan.kind))
        return self._questions.answer(("permission", actor.id, actor.login), lambda: self._reader.permission(actor))

    def subject(self, where: int | str, *, kind: SubjectKind | None = None) -> Subject | None:
        """What the run is about, as it is now."""
        self._subject = self._questions.answer(("subject", where), lambda: self._reader.subject(where, kind=kind))
        return self._subject

    def comments(self, number: int, *, kind: CommentKind = "issue", since: str | None = None) -> tuple[Comment, ...]:
        """Comments. Those since a time are for the look at the comment that asked; the subject is looked at next.

        Where that comment may start a run, all of them will be read for it, so they are read now.
        """
        if since is not None and self._plan.asks_for_run:
            subject_kind = self._plan.kind
            self._questions.start(("subject", number), lambda: self._guess.subject(number, kind=subject_kind))
            every = self.comments(number, kind=kind)
            return tuple(each for each in every if max(each.created_at, each.updated_at) >= since)
        key = ("comments", number, kind, since)
        return self._questions.answer(key, lambda: self._reader.comments(number, kind=kind, since=since))

    def file(self, path: str, ref: str) -> bytes | None:
        """A file."""
        found = self._questions.answer(("file", path, ref), lambda: self._reader.file(path, ref))
        if path == self._plan.policy:
            self._policy = found
        return found

    def revision(self, ref: str) -> Revision | None:
        """The first thing that is pinned. The conventions and the discussion are read next."""
        for path in () if b"conventions" in (self._policy or b"") else self._plan.conventions:
            branch = self._plan.branch
            self._questions.start(("file", path, branch), partial(self._guess.file, path, branch))
        if self._subject is not None:
            number = self._subject.number
            for kind in KINDS[self._subject.kind]:
                ask = partial(self._guess.comments, number, kind=kind)
                self._questions.start(("comments", number, kind, None), ask)
        return self._questions.answer(("revision", ref), lambda: self._reader.revision(ref))

    def diff(self, number: int) -> str:
        """A pull request's diff."""
        return self._questions.answer(("diff", number), lambda: self._reader.diff(number))

    def failures(self, sha: str) -> tuple[CheckFailure, ...]:
        """Checks that failed."""
        return self._questions.answer(("failures", sha), lambda: self._reader.failures(sha))


@contextmanager
def reading_ahead(
    reader: ForgeReader,
    event: Event,
    settings: Settings,
    *,
    conventions: Sequence[str] = (),
    answered: Collection[str] = (),
) -> Iterator[ForgeReader]:
    """A reader for the time of one decision. Errors come up where their question is asked; nothing is left running.

    `conventions`: the files that are looked for, in order, where the policy names no others. `answered`: verbs that
    are answered without a run.
    """
    trigger, subject = event.trigger, event.subject
    verb = trigger.command.verb if isinstance(trigger, Commented) and trigger.command else None
    # Only who may write can dispatch or label: no stranger costs a request more.
    named = trigger.number if isinstance(trigger, Dispatched) else None
    if isinstance(trigger, Labeled) and subject is not None:
        named = subject.number
    branch = event.repository.default_branch
    asks = verb is not None and verb not in answered
    questions = Questions()
    try:
        kind = subject.kind if subject else None
        plan = Plan(settings.policy, branch, named, kind, asks, tuple(conventions[:1]))
        yield ReadingAhead(reader, questions, plan)
    finally:
        questions.close()


@overload
def together(first: Callable[[], One], second: Callable[[], Two], /) -> tuple[One, Two]: ...
@overload
def together(
    first: Callable[[], One], second: Callable[[], Two], third: Callable[[], Three], /
) -> tuple[One, Two, Three]: ...
def together(*calls: Callable[[], Any]) -> tuple[Any, ...]:
    """The answers to questions asked at once. All are waited for; the first that failed, in their order, raises."""
    with ThreadPoolExecutor(max(len(calls), 1), "together") as pool:
        asked = [pool.submit(each) for each in calls]
    return tuple(each.result() for each in asked)

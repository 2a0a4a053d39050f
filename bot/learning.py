"""A repository's past on the forge, and a folder of ours -> Knowledge, brought up to date and learned where it changed.

It never fails a run: of a forge that does not answer what was read before is used, of a folder that is damaged
nothing, and where nothing is known general experience speaks. What could not be done is told to whoever watches.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from bot.errors import ConfigurationError, ForgeError, SandpiperError
from bot.offline import archive, index, model
from bot.offline import files as relevant
from bot.offline.encoder import chosen_encoder
from bot.offline.lessons import lessons_of
from bot.offline.text import spoken
from bot.offline.vectors import VectorCache
from bot.past import News, Reading, bring_up_to_date
from bot.protocols import Cancelled as Asked
from bot.protocols import ForgeReader, Observer
from bot.settings import Settings
from bot.store.knowledge import MOST, VECTORS, Past, alone, folder_of, load_made, load_past, save_made, save_past
from bot.types.event import Repository
from bot.types.triage import (
    IssueType,
    Lesson,
    Measured,
    Neighbour,
    PastIssue,
    Posterior,
    RelevantFile,
)

FIRST = 1_000
"""Issues that are read at the most while an event waits for its triage."""
QUICK = 300
"""Lessons that are learned in a second or two; with more, what few new ones would add can wait."""
SLACK = 0.02
"""Share of the lessons that may have changed before all is learned anew while an event waits."""
Taught = TypeAdapter(dict[str, str])
"""Id -> digest of the lessons that a model was taught, the head of its file."""
TAUGHT_BYTES = 1_000_000
"""More than that head ever takes."""
FRESH = 15 * 60
"""Seconds for which what was read is new enough."""
PATIENCE = 30.0
"""Seconds that the encoder may read while an event waits; a thousand issues take it a minute or several."""
CHUNK = 32
"""Texts that are encoded at once."""
PACE = 5.0
"""Seconds between two pieces of news about the same work."""

log = logging.getLogger(__name__)


def open_knowledge(
    settings: Settings,
    repository: Repository,
    reader: ForgeReader,
    *,
    checkout: Path | None = None,
    watch: Observer | None = None,
    error: float = 0.05,
    types: Mapping[str, IssueType] | None = None,
    most: int = FIRST,
    fresh: float = FRESH,
    slack: float = SLACK,
    patience: float = PATIENCE,
    pace: float = PACE,
    cancelled: Asked = lambda: False,
) -> Learned:
    """What is known of the repository by now. Asks the forge for what changed, unless that was a moment ago.

    `checkout`: a folder with the default branch, whose files are read; without it their paths alone count.
    `error`: the share of wrong labels that is borne, `types`: label -> type, found by name if None. `most`: issues to
    read at the most. `fresh`: seconds for which what was read is new enough. `slack`: share of the lessons that may
    change before all is learned anew; a correction never waits. `patience`: seconds for the sentence encoder to read
    what it has not yet; as long as it is not through, it is done without. `pace`: seconds between two pieces of news.

    One process at a time learns; others use what is there. Raises Cancelled, and keeps what was read.
    """
    news = News(watch, pace, cancelled)
    folder = folder_of(settings.state, repository)
    with alone(folder) as mine:
        before = load_past(folder)
        reading = Reading(before.head, dict(before.issues), most=min(most, MOST), keep=partial(save_past, folder))
        if mine:
            bring_up_to_date(reading, before, reader, news, fresh)
        past = reading.past
        room = Room(folder, mine, open_vectors(settings, folder, news), news, patience)
        found = open_index(room, before.issues, past.issues)
        if found is None:
            news.tell("the sentence encoder is not through with the past yet: this time without it")
            room = replace(room, vectors=None)
            found = open_index(room, before.issues, past.issues) or index.Index(None)
        bots = {past.head.own, *settings.trusted_bots}
        lessons = lessons_of(past.issues.values(), bots=bots, prefix=settings.label_prefix)
        learned = open_model(room, lessons, error, types, slack)
    tree = partial(open_files, reader, repository.default_branch, checkout, news)
    return Learned(past, learned, found, room.vectors, tree, reading.trouble)


class Learned:
    """Knowledge of one repository, from the moment when it was opened."""

    def __init__(
        self,
        past: Past,
        learned: model.Model,
        found: index.Index,
        vectors: VectorCache | None,
        tree: Callable[[], relevant.FileIndex],
        trouble: SandpiperError | None = None,
    ) -> None:
        self.trouble = trouble
        """Why it may not be up to date."""
        self.past, self._model, self._index, self._vectors, self._open_tree = past, learned, found, vectors, tree

    def posterior(self, title: str, body: str) -> Posterior:
        """What an issue with that text is, and which labels it deserves."""
        return model.judge(self._model, title, body, vectors=self._vectors)

    def neighbours(self, title: str, body: str, *, number: int | None = None, most: int = 5) -> tuple[Neighbour, ...]:
        """Earlier issues that are like it, most alike first; numbers tell what is earlier."""
        later = [] if number is None else [str(each) for each in self.past.issues if each >= number]
        hits = self._index.search(title, body, exclude=frozenset(later), most=most)
        return tuple(neighbour(self.past.issues[int(hit.id)], hit) for hit in hits)

    def files(self, title: str, body: str, *, most: int = 5) -> tuple[RelevantFile, ...]:
        """Files that the text points to; they are looked at when they are asked for first."""
        return relevant.search(self._tree, title, body, most=most)

    def measured(self) -> Measured:
        """How well it knows the repository."""
        return self._model.measured

    @cached_property
    def _tree(self) -> relevant.FileIndex:
        return self._open_tree()


def neighbour(issue: PastIssue, hit: index.Hit) -> Neighbour:
    """An issue that was found."""
    return Neighbour(
        number=issue.number,
        title=issue.title,
        state=issue.state,
        closed_for=issue.closed_for,
        labels=issue.labels,
        score=hit.score,
        candidate=hit.candidate,
    )


@dataclass(frozen=True)
class Room:
    """Where things are made."""

    folder: Path
    mine: bool
    """Whether what is made may be kept."""
    vectors: VectorCache | None
    news: News
    patience: float

    @property
    def mark(self) -> str:
        """By which encoder."""
        return "" if self.vectors is None else self.vectors.mark


def open_vectors(settings: Settings, folder: Path, news: News) -> VectorCache | None:
    """The sentence encoder with its memory; None where it is not wanted or not to be had."""
    try:
        encoder = chosen_encoder(settings.encoder, path=settings.encoder_path, state=settings.state)
    except ConfigurationError as error:
        news.tell(f"without the sentence encoder: {error.message}")
        return None
    return None if encoder is None else VectorCache(folder / VECTORS, encoder)


def open_index(room: Room, before: Mapping[int, PastIssue], after: Mapping[int, PastIssue]) -> index.Index | None:
    """All issues, ready to be searched: what was kept, and what changed since. None where the encoder needs longer."""
    found = load_index(room, before)
    new = [
        each for number, each in after.items() if str(number) not in found or text_of(before[number]) != text_of(each)
    ]
    gone = [each for each in found.rows if int(each) not in after]
    if not (new or gone):
        return found
    if room.vectors is not None and not is_encoded(room, room.vectors, new):
        return None
    found.remove(gone)
    found.add(index.Entry(str(each.number), each.title, each.body, each.created_at) for each in new)
    if room.mine:
        save_made(room.folder, "index", index_digest(room, after), found.dump())
    return found


def is_encoded(room: Room, vectors: VectorCache, issues: Sequence[PastIssue]) -> bool:
    """Have the encoder read what it has not yet, while there is patience; what it said is kept for the next time."""
    texts = [text for each in issues for text in (spoken(each.title, each.body), spoken(each.title, ""))]
    step = room.news.steps("texts are encoded", len(texts))
    end = time.monotonic() + room.patience
    through = True
    try:
        for start in range(0, len(texts), CHUNK):
            if time.monotonic() > end:
                through = False
                break
            vectors.views(texts[start : start + CHUNK])
            step(min(CHUNK, len(texts) - start))
    finally:
        if room.mine:
            vectors.save()
    return through


def load_index(room: Room, issues: Mapping[int, PastIssue]) -> index.Index:
    """The index of these issues that was kept; an empty one where there is none."""
    data = load_made(room.folder, "index", index_digest(room, issues))
    if data is not None:
        try:
            found = index.load(data, room.vectors)
            if set(found.rows) == {str(number) for number in issues}:
                return found
        except SandpiperError as error:
            log.warning("%s", error)
    return index.Index(room.vectors)


def open_model(
    room: Room, lessons: tuple[Lesson, ...], error: float, types: Mapping[str, IssueType] | None, slack: float
) -> model.Model:
    """What the lessons teach: the model that was kept if it was taught nearly the same, else a new one."""
    named = "by name" if types is None else repr(sorted(types.items()))
    digest = digest_of(room.mark, f"{error:.6f}", named)
    keys = {each.id: digest_of(each.model_dump_json()) for each in lessons}
    kept = load_made(room.folder, "model", digest)
    if kept is not None:
        try:
            end = kept.find(b"\n", 0, TAUGHT_BYTES)  # a longer line is none of ours, and would fill the memory
            if end > 0 and is_near(Taught.validate_json(kept[:end], strict=True), keys, lessons, slack):
                return archive.load(kept[end + 1 :])
        except (SandpiperError, ValidationError) as wrong:
            log.warning("the model that was kept in %s is not used: %s", room.folder, wrong)
    if lessons:
        room.news.tell(f"learning from {len(lessons):,} issues that people labelled")
    made = model.fit(lessons, vectors=room.vectors, types=types, error=error)
    if room.mine and lessons:
        data = json.dumps(keys).encode() + b"\n" + archive.dump(made)
        save_made(room.folder, "model", digest, data, most=2)  # a report may ask for another error than the runs
    return made


def is_near(taught: Mapping[str, str], keys: Mapping[str, str], lessons: tuple[Lesson, ...], slack: float) -> bool:
    """Whether a model that was taught something else need not be taught anew: little changed, and nobody objected."""
    changed = {each for each in taught.keys() | keys.keys() if taught.get(each) != keys.get(each)}
    if not changed:
        return True
    objections = any(each.corrected or each.refused for each in lessons if each.id in changed)
    return len(lessons) > QUICK and len(changed) <= slack * len(lessons) and not objections


def open_files(reader: ForgeReader, branch: str, checkout: Path | None, news: News) -> relevant.FileIndex:
    """Files of the checkout, else their paths alone; nothing where neither is to be had."""
    if checkout is not None and checkout.is_dir():
        return relevant.build(relevant.paths_of(checkout), relevant.reader_of(checkout))
    try:
        paths = reader.paths(branch)
    except ForgeError as error:
        news.tell(f"without the repository's files: {error.message}")
        paths = ()
    return relevant.build(paths, lambda path: None)


def index_digest(room: Room, issues: Mapping[int, PastIssue]) -> str:
    """Of all that an index is made of."""
    return digest_of(room.mark, *(part for number in sorted(issues) for part in text_of(issues[number])))


def text_of(issue: PastIssue) -> tuple[str, ...]:
    """What of an issue is indexed."""
    return str(issue.number), issue.created_at, issue.title, issue.body


def digest_of(*parts: str) -> str:
    """Sixteen hexadecimal digits for a list of texts."""
    found = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        found.update(len(data).to_bytes(8, "big") + data)
    return found.hexdigest()[:16]

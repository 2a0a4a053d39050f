"""Labelled issues of several repositories -> how well the offline model tells their types, by repository and in all.

A repository without lessons is judged by a model of all others' lessons together; without any lessons the prior judges.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bot.issuetypes import type_of_label
from bot.offline.calibration import ece
from bot.offline.model import Model, judge, judge_seen, taught_by, unsure
from bot.offline.prior import Vectors, prior
from bot.offline.scores import Answers, Cost, Evaluation, RepositoryScore, joined, mean, score
from bot.offline.space import Seen, see
from bot.offline.splits import Split
from bot.offline.targets import newest, targets_of
from bot.types.triage import ISSUE_TYPES, IssueType, Lesson

Places = NDArray[np.intp]
Floats = NDArray[np.float32]
TIMED = 40
"""Issues of each repository that are judged once more, one by one, to take the time."""


@dataclass(frozen=True)
class Looked:
    """A repository's issues with what is looked at in them, so that many splits look once."""

    lessons: tuple[Lesson, ...]
    kinds: tuple[IssueType | None, ...]
    seen: Seen

    def part(self, places: Places) -> Looked:
        """Some of them."""
        return Looked(
            tuple(self.lessons[each] for each in places),
            tuple(self.kinds[each] for each in places),
            Seen(tuple(self.seen.words[each] for each in places), self.seen.signs[places], self.seen.meant[places]),
        )

    def typed(self) -> Looked:
        """Those whose type is known."""
        return self.part(np.array([n for n, kind in enumerate(self.kinds) if kind is not None], np.intp))


@dataclass(frozen=True)
class Setting:
    """How it is measured."""

    vectors: Vectors | None = None
    """The encoder's memory; None without encoder."""
    fresh: Callable[[], Vectors | None] = lambda: None
    """One that has seen nothing yet, for taking the time."""
    error: float = 0.05
    """Share of wrong ones that is wanted among those that are decided alone."""
    watch: Callable[[str], None] = lambda repository: None
    """Hears which repository begins."""


@dataclass(frozen=True)
class Row:
    """One repository."""

    score: RepositoryScore
    answers: Answers
    took: list[float]


def look(lessons: Sequence[Lesson], vectors: Vectors | None) -> Looked:
    """Look at issues."""
    kinds = targets_of(lessons, None).kinds
    return Looked(tuple(lessons), kinds, see([(each.title, each.body) for each in lessons], vectors))


def answers_of(model: Model, tested: Looked) -> Answers:
    """Judge issues whose type is known."""
    found = judge_seen(model, tested.seen)
    return Answers(
        truth=np.array([ISSUE_TYPES.index(kind) for kind in tested.kinds if kind is not None], np.intp),
        beliefs=np.array([[each.types[kind] for kind in ISSUE_TYPES] for each in found]).reshape(-1, 3),
        sure=np.array([each.is_sure for each in found], bool),
    )


def learn(learned: Looked, vectors: Vectors | None, error: float) -> Model:
    """`fit` of issues that were looked at."""
    order = {id(each): n for n, each in enumerate(learned.lessons)}
    part = learned.part(np.array([order[id(each)] for each in newest(learned.lessons)], np.intp))
    return taught_by(part.lessons, part.seen, vectors=vectors, types=None, error=error)


def evaluate(
    train: Mapping[str, Sequence[Lesson]], test: Mapping[str, Sequence[Lesson]], *, setting: Setting
) -> Evaluation:
    """Learn from the one, measure on the other. A repository without any tested type is left out."""
    pooled = [each for lessons in train.values() for each in lessons]
    rows: dict[str, Row] = {}
    shared: tuple[Model, float] | None = None
    for repository, issues in test.items():
        setting.watch(repository)
        own = train.get(repository, ())
        clock = _Clock(setting.vectors)
        tested = look(issues, clock.vectors).typed()
        if not tested.lessons:
            continue
        if own:
            model, seconds = _taught(own, clock, setting)
        else:
            # Many repositories may be new: one model serves them all, and each is charged for it. Its thresholds were
            # measured on other repositories and prove nothing here.
            shared = shared or _taught(pooled, clock, setting)
            model, seconds = unsure(shared[0]), shared[1]
        source = "own" if own else "pooled" if pooled else "prior"
        answers = answers_of(model, tested)
        cost = Cost(len(own or pooled), seconds, clock.seconds)
        rows[repository] = Row(score([answers], source, cost), answers, _timed(model, tested, setting))
    return _together(rows, setting, _others([*train.values(), *test.values()]))


def evaluate_splits(
    train: Mapping[str, Sequence[Lesson]], rounds_of: Callable[[Looked], Iterable[Sequence[Split]]], *, setting: Setting
) -> Evaluation:
    """Learn from parts of each repository and measure on its other parts: `rounds_of` gives rounds of splits."""
    rows: dict[str, Row] = {}
    for repository, issues in train.items():
        setting.watch(repository)
        clock = _Clock(setting.vectors)
        known, looking = _looked(issues, clock)
        share = looking / max(len(known.lessons), 1)
        known = known.typed()
        rounds: list[Answers] = []
        fits: list[float] = []
        sizes: list[int] = []
        took: list[float] = []
        for splits in rounds_of(known):
            parts = []
            for learned, tested in splits:
                if len(tested):
                    model, seconds = _fitted(known.part(learned), setting)
                    fits.append(seconds + share * len(learned))
                    sizes.append(len(learned))
                    parts.append(answers_of(model, known.part(tested)))
                    took = took or _timed(model, known.part(tested), setting)
            rounds += [joined(parts)] if parts else []
        if rounds:
            cost = Cost(round(float(np.mean(sizes))), float(np.mean(fits)), clock.seconds)
            source = "own" if any(sizes) else "prior"
            rows[repository] = Row(score(rounds, source, cost), joined(rounds), took)
    return _together(rows, setting, _others(train.values()))


def _taught(lessons: Sequence[Lesson], clock: _Clock, setting: Setting) -> tuple[Model, float]:
    learned, looking = _looked(newest(lessons), clock)
    model, fitting = _fitted(learned, setting)
    return model, looking + fitting


def _looked(lessons: Sequence[Lesson], clock: _Clock) -> tuple[Looked, float]:
    """And the CPU seconds that it took, encoding excluded."""
    start, before = time.process_time(), clock.seconds
    found = look(lessons, clock.vectors)
    return found, time.process_time() - start - (clock.seconds - before)


def _fitted(learned: Looked, setting: Setting) -> tuple[Model, float]:
    prior(setting.vectors)  # its examples are encoded once, and that is not part of the fit
    start = time.process_time()
    model = learn(learned, setting.vectors, setting.error)
    return model, time.process_time() - start


def _timed(model: Model, tested: Looked, setting: Setting) -> list[float]:
    """Milliseconds that single issues take, with an encoder that has not seen them; the better of two, for
    what else the machine does at that moment is none of the model's doing."""
    return [min(_once(model, each, setting), _once(model, each, setting)) for each in tested.lessons[:TIMED]]


def _once(model: Model, lesson: Lesson, setting: Setting) -> float:
    vectors = setting.fresh()
    start = time.perf_counter()
    judge(model, lesson.title, lesson.body, vectors=vectors)
    return (time.perf_counter() - start) * 1000


def _together(rows: Mapping[str, Row], setting: Setting, others: tuple[str, ...]) -> Evaluation:
    scores = {name: row.score for name, row in rows.items()}
    answers = joined([row.answers for row in rows.values()]) if rows else None
    took = [each for row in rows.values() for each in row.took]
    return Evaluation(
        mean=mean(list(scores.values())),
        repositories=scores,
        ece=ece(answers.confidence, answers.right) if answers else 0.0,
        coverage=float(answers.sure.mean()) if answers else 0.0,
        wrong=answers.wrong if answers else None,
        wanted_error=setting.error,
        fit_seconds=float(np.mean([each.fit_seconds for each in scores.values()])) if scores else 0.0,
        encode_seconds=sum(each.encode_seconds for each in scores.values()),
        p95_ms=float(np.percentile(took, 95)) if took else 0.0,
        encoder="none" if setting.vectors is None else setting.vectors.name,
        other_labels=others,
    )


def _others(sets: Iterable[Sequence[Lesson]]) -> tuple[str, ...]:
    labels = {label for lessons in sets for each in lessons for label in each.labels}
    return tuple(sorted(each for each in labels if type_of_label(each) is None))


class _Clock:
    """An encoder's memory whose CPU seconds are counted."""

    def __init__(self, vectors: Vectors | None) -> None:
        self.seconds = 0.0
        self._inner = vectors
        self.vectors: Vectors | None = None if vectors is None else self
        self.name, self.mark = ("", "") if vectors is None else (vectors.name, vectors.mark)

    def views(self, texts: Sequence[str]) -> Floats:
        if self._inner is None:
            raise ValueError("there is no encoder")
        start = time.process_time()
        found = self._inner.views(texts)
        self.seconds += time.process_time() - start
        return found

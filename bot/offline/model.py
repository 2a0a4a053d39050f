"""Lessons -> a model; a model and a text -> what the text probably is, with probabilities that mean what they say.

The general experience of `prior` is where the learned part starts from: half of what it believes is taken for granted
and the ridge learns the rest, so that it decides alone without lessons and hardly matters with a hundred of each type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bot.offline.calibration import Curve, curve_of, threshold
from bot.offline.measure import LabelSeen, measured_of
from bot.offline.prior import Prior, Vectors, prior
from bot.offline.ridge import Array, ridge
from bot.offline.space import Learned, Seen, Space, kernels_of, learned_of, scores_of, see, space_of
from bot.offline.targets import RIGHT, WRONG, Targets, newest, targets_of
from bot.offline.tfidf import Rows
from bot.types.triage import ISSUE_TYPES, Belief, IssueType, Lesson, Measured, Posterior

GRANTED = 0.5
"""Share of the prior's belief that the learned part starts from."""
LABEL_SCORE = 0.5
"""Scores of labels lie between -1 and 1; by half of that their usual scale is that of the types."""


@dataclass(frozen=True)
class Rule:
    """How a column of scores becomes a decision."""

    name: str
    curve: Curve
    threshold: float | None
    """Probability from which on it may be acted on alone."""


@dataclass(frozen=True)
class Taught:
    """What lessons add to the prior."""

    space: Space
    learned: Learned
    """Three columns for the types, if they were learned, then one for each label."""
    types: Rule | None
    """None if the lessons tell nothing of types."""
    labels: tuple[Rule, ...]


@dataclass(frozen=True)
class Model:
    """All that judging needs."""

    prior: Prior
    taught: Taught | None
    """None without lessons."""
    measured: Measured
    mark: str = ""
    """Which encoder's vectors it was taught with; judging with others, it does without them."""


def fit(
    lessons: Sequence[Lesson],
    *,
    vectors: Vectors | None = None,
    types: Mapping[str, IssueType] | None = None,
    error: float = 0.05,
) -> Model:
    """Learn. `types` says which label stands for which type; by the labels' names if None.

    `error` is the share of wrong ones among those that may be decided alone. Without lessons the prior decides.
    """
    return taught_by(newest(lessons), None, vectors=vectors, types=types, error=error)


def taught_by(
    lessons: Sequence[Lesson],
    seen: Seen | None,
    *,
    vectors: Vectors | None,
    types: Mapping[str, IssueType] | None,
    error: float,
) -> Model:
    """`fit` of lessons that may have been looked at before; they have to be as many as `newest` would leave."""
    start = prior(vectors)
    mark, encoder = (vectors.mark, vectors.name) if vectors is not None else ("", "")
    targets = targets_of(lessons, types)
    if not targets.type_trust.any() and not targets.names:
        blank = Measured(lessons=len(lessons), encoder=encoder, wanted_error=error)
        return Model(start, None, blank.changed(corrections=sum(each.corrected for each in lessons)), mark)
    seen = see([(each.title, each.body) for each in lessons], vectors) if seen is None else seen
    space, words = space_of(seen)
    granted = _granted(start.beliefs(seen.signs, seen.meant))
    weights, type_scores, label_scores = _solve(kernels_of(space, words), targets, granted)
    taught, confidence = _ruled(space, words, weights, targets, type_scores, label_scores, error)
    measured = measured_of(targets.kinds, confidence, taught.types.threshold if taught.types else None,
        _labels_seen(taught, targets, label_scores),
    )  # fmt: skip
    corrections = sum(each.corrected for each in lessons)
    return Model(start, taught, measured.changed(encoder=encoder, wanted_error=error, corrections=corrections), mark)


def judge(model: Model, title: str, body: str, *, vectors: Vectors | None = None) -> Posterior:
    """What the text probably is. Never raises for a text, whatever it holds."""
    usable = vectors if vectors is not None and vectors.mark == model.mark else None
    return judge_seen(model, see([(title, body)], usable))[0]


def judge_seen(model: Model, seen: Seen) -> tuple[Posterior, ...]:
    """The same for many texts that were looked at already."""
    beliefs = model.prior.beliefs(seen.signs, seen.meant)
    taught = model.taught
    if taught is None:
        return tuple(_posterior(row, None, (), 0) for row in beliefs)
    scores = scores_of(taught.space, taught.learned, seen)
    # Thresholds were measured with the encoder's help: without it nothing is sure.
    whole = bool(seen.meant.shape[1]) == bool(taught.space.meant.shape[1])
    sure = None
    if taught.types is not None:
        beliefs = taught.types.curve.types(scores[:, :, :3] + _granted(beliefs)[:, None])
        sure = taught.types.threshold if whole else None
    first = 3 if taught.types is not None else 0
    chances = [each.curve.chance(scores[:, :, first + n] * LABEL_SCORE) for n, each in enumerate(taught.labels)]
    return tuple(
        _posterior(row, sure, _beliefs(taught.labels, [each[n] for each in chances], whole), model.measured.lessons)
        for n, row in enumerate(beliefs)
    )


def unsure(model: Model) -> Model:
    """The same without thresholds, for a repository other than the one that taught it."""
    taught = model.taught
    if taught is None:
        return model
    types = None if taught.types is None else replace(taught.types, threshold=None)
    labels = tuple(replace(each, threshold=None) for each in taught.labels)
    return replace(model, taught=replace(taught, types=types, labels=labels))


def _granted(beliefs: Array) -> Array:
    return GRANTED * (WRONG + (RIGHT - WRONG) * beliefs)


def _solve(kernels: Sequence[Array], targets: Targets, granted: Array) -> tuple[list[Array], Array, Array]:
    """The lessons' weights in each view, and the scores of the types and of the labels with each lesson left out."""
    weights, types, labels = [], [], []
    wanted = granted + targets.evidence * (targets.types - granted)
    for kernel in kernels:
        parts = []
        if targets.type_trust.any():
            found = ridge(kernel, wanted - granted, targets.type_trust)
            parts.append(found.weights)
            types.append(found.left_out + granted)
        if targets.names:
            found = ridge(kernel, targets.labels, targets.label_trust)
            parts.append(found.weights)
            labels.append(found.left_out)
        weights.append(np.concatenate(parts, axis=1))
    blank = np.empty((len(kernels[0]), len(kernels), 0))
    return weights, np.stack(types, axis=1) if types else blank, np.stack(labels, axis=1) if labels else blank


def _ruled(
    space: Space,
    words: Rows,
    weights: Sequence[Array],
    targets: Targets,
    type_scores: Array,
    label_scores: Array,
    error: float,
) -> tuple[Taught, Array]:
    """The whole of what was taught, and the probabilities of the types with each lesson left out."""
    types, beliefs = None, np.empty((len(targets.kinds), 0))
    if type_scores.shape[2]:
        known = np.array([kind is not None for kind in targets.kinds])
        truth = np.array([[float(kind == each) for each in ISSUE_TYPES] for kind in targets.kinds])
        seen = targets.evidence > 0
        curve = _widened(curve_of(type_scores[known][:, :, seen], truth[known][:, seen]), seen)
        beliefs = curve.types(type_scores)
        types = Rule("", curve, threshold(beliefs.max(axis=1)[known], error))
    labels = []
    for number, name in enumerate(targets.names):
        column = label_scores[:, :, [number]] * LABEL_SCORE
        there = targets.labels[:, [number]] > 0
        curve = curve_of(column, there.astype(np.float64))
        chance = curve.chance(column[:, :, 0])
        labels.append(Rule(name, curve, threshold(chance, error)))
    return Taught(space, learned_of(words, weights), types, tuple(labels)), beliefs


def _widened(curve: Curve, seen: NDArray[np.bool_]) -> Curve:
    """With a shift of 0 for the types that were not seen."""
    shift = np.zeros(len(seen))
    shift[seen] = curve.shift
    return Curve(curve.scale, tuple(shift.tolist()))


def _labels_seen(taught: Taught, targets: Targets, scores: Array) -> tuple[LabelSeen, ...]:
    return tuple(
        LabelSeen(each.name, targets.labels[:, n] > 0, each.curve.chance(scores[:, :, n] * LABEL_SCORE), each.threshold)
        for n, each in enumerate(taught.labels)
    )


def _beliefs(rules: Sequence[Rule], chances: Sequence[float], whole: bool) -> tuple[Belief, ...]:
    found = [
        Belief(label=rule.name, probability=_share(chance), threshold=rule.threshold if whole else None)
        for rule, chance in zip(rules, chances, strict=True)
    ]
    return tuple(sorted(found, key=lambda each: (-each.probability, each.label)))


def _posterior(row: NDArray[np.float64], sure: float | None, labels: tuple[Belief, ...], lessons: int) -> Posterior:
    types = {kind: _share(value) for kind, value in zip(ISSUE_TYPES, row, strict=True)}
    return Posterior(types=types, type_threshold=sure, labels=labels, lessons=lessons)


def _share(value: float) -> float:
    return min(1.0, max(0.0, float(value)))

"""What was said of tested issues, and what is true -> precision, recall, F1, calibration and coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bot.offline.calibration import ece
from bot.offline.measure import f1_of
from bot.types.triage import ISSUE_TYPES, IssueType, Probability
from bot.types.value import Value


class Score(Value):
    """How well one type is told, or all on average."""

    precision: Probability
    recall: Probability
    f1: Probability


class RepositoryScore(Score):
    """One repository: means over the types that occur in its test half."""

    types: Mapping[IssueType, Score]
    """Each type that occurs."""
    tested: int
    """Issues that it was measured on."""
    lessons: int
    """Issues that were learned from."""
    source: str
    """`own` lessons, `pooled` lessons of the other repositories, or the `prior` alone."""
    ece: Probability
    """Expected calibration error; with few issues its own noise is large."""
    coverage: Probability
    """Share of issues whose type would be decided alone."""
    wrong: Probability | None
    """Share of wrong ones among those; None where there are none."""
    fit_seconds: float
    """CPU seconds of the fit, encoding excluded."""
    encode_seconds: float
    """CPU seconds of the encoder, over lessons and tested issues."""


class Evaluation(Value):
    """All repositories together."""

    mean: Score
    """Of the repositories."""
    repositories: Mapping[str, RepositoryScore]
    ece: Probability
    """Over all tested issues together."""
    coverage: Probability
    """Share of all tested issues whose type would be decided alone."""
    wrong: Probability | None
    """Share of wrong ones among those."""
    wanted_error: Probability
    fit_seconds: float
    """Mean CPU seconds of a repository's fit, encoding excluded."""
    encode_seconds: float
    """CPU seconds of encoding all texts, 0 where they were known already."""
    p95_ms: float
    """Milliseconds within which 95 of 100 issues are judged one by one, encoding included."""
    encoder: str
    """`minilm` or `none`."""
    other_labels: tuple[str, ...] = Field(default=())
    """Labels that name no type: issues with nothing else were not measured on."""


@dataclass(frozen=True)
class Answers:
    """What was said of tested issues, and what is true."""

    truth: NDArray[np.intp]
    beliefs: NDArray[np.float64]
    sure: NDArray[np.bool_]

    @property
    def right(self) -> NDArray[np.bool_]:
        return np.asarray(self.beliefs.argmax(axis=1) == self.truth)

    @property
    def wrong(self) -> float | None:
        """Share of wrong ones among those that would be decided alone."""
        return float((~self.right)[self.sure].mean()) if self.sure.any() else None

    @property
    def confidence(self) -> NDArray[np.float64]:
        return np.asarray(self.beliefs.max(axis=1))


@dataclass(frozen=True)
class Cost:
    """What a repository's fits took, in CPU seconds, on average."""

    lessons: int
    fit: float
    encode: float


def joined(parts: Sequence[Answers]) -> Answers:
    """Of issues that were judged in several parts."""
    return Answers(
        truth=np.concatenate([each.truth for each in parts]),
        beliefs=np.concatenate([each.beliefs for each in parts]),
        sure=np.concatenate([each.sure for each in parts]),
    )


def score(rounds: Sequence[Answers], source: str, cost: Cost) -> RepositoryScore:
    """One repository's figures: precision, recall and F1 are means over the rounds, the rest is of all together."""
    tables = [_types(each) for each in rounds]
    overall = mean([mean(list(each.values())) for each in tables])
    kinds = [kind for kind in ISSUE_TYPES if any(kind in each for each in tables)]
    answers = joined(rounds)
    return RepositoryScore(
        precision=overall.precision,
        recall=overall.recall,
        f1=overall.f1,
        types={kind: mean([each[kind] for each in tables if kind in each]) for kind in kinds},
        tested=len(answers.truth),
        lessons=cost.lessons,
        source=source,
        ece=ece(answers.confidence, answers.right),
        coverage=float(answers.sure.mean()),
        wrong=answers.wrong,
        fit_seconds=cost.fit,
        encode_seconds=cost.encode,
    )


def mean(scores: Sequence[Score]) -> Score:
    """Of each figure by itself; zeros where there is nothing."""
    count = max(len(scores), 1)
    return Score(
        precision=sum(each.precision for each in scores) / count,
        recall=sum(each.recall for each in scores) / count,
        f1=sum(each.f1 for each in scores) / count,
    )


def _types(answers: Answers) -> dict[IssueType, Score]:
    said = answers.beliefs.argmax(axis=1)
    found: dict[IssueType, Score] = {}
    for number, kind in enumerate(ISSUE_TYPES):
        if (answers.truth == number).any():
            precision, recall, f1 = f1_of(answers.truth == number, said == number)
            found[kind] = Score(precision=precision, recall=recall, f1=f1)
    return found

"""A text -> what it probably is, by general experience alone: rules written by hand, and examples written by hand.

Nothing here was fitted to anybody's data. A rule's three numbers are log-odds for bug, feature and question, in steps
of what a maintainer would say that the sign is worth; `examples.tsv` holds 80 short issues of each type in our own
words, over many kinds of software.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bot.offline.features import NAMES
from bot.offline.text import spoken
from bot.types.triage import ISSUE_TYPES

Floats = NDArray[np.float32]
Array = NDArray[np.float64]

RULES: Mapping[str, tuple[float, float, float]] = {
    "title_asks": (-1.0, -0.5, 1.5),
    "title_how": (-1.5, -0.5, 2.0),
    "title_wh": (-0.5, -0.5, 1.0),
    "title_whether": (-0.5, 0.0, 0.7),
    "title_tag_bug": (2.5, -1.0, -0.5),
    "title_tag_feature": (-1.5, 2.5, -1.0),
    "title_tag_question": (-1.0, -1.0, 2.5),
    "title_add": (-1.5, 2.0, -0.5),
    "title_change": (-0.5, 1.0, -0.3),
    "title_tidy": (-0.5, 1.2, -0.5),
    "title_fix": (1.0, 0.0, -1.0),
    "title_support": (-1.0, 1.3, 0.0),
    "title_should": (-0.2, 0.5, 0.0),
    "title_new": (-0.3, 0.5, 0.0),
    "title_crash": (1.5, -1.0, 0.0),
    "title_fail": (0.8, -1.0, 0.2),
    "title_error": (0.6, -1.0, 0.4),
    "title_wrong": (1.0, -0.5, -0.2),
    "title_negation": (0.6, -0.6, 0.2),
    "title_stuck": (0.8, -0.3, -0.2),
    "title_loses": (1.0, -0.5, -0.2),
    "title_when": (0.4, -0.3, 0.0),
    "title_install": (0.0, -0.4, 0.4),
    "title_help": (-0.6, -0.1, 0.8),
    "title_docs": (-0.2, 0.2, 0.2),
    "body_expected": (0.4, -0.2, -0.2),
    "body_actual": (0.3, 0.0, -0.2),
    "body_steps": (0.5, -0.5, -0.2),
    "body_form_bug": (0.5, -0.3, -0.3),
    "body_form_feature": (-1.5, 1.5, -0.7),
    "body_form_question": (-0.7, -0.3, 0.8),
    "body_wish": (-0.8, 1.2, -0.3),
    "body_like": (-0.6, 0.6, 0.1),
    "body_propose": (-0.6, 0.7, -0.2),
    "body_could_have": (-0.5, 0.8, -0.1),
    "body_add": (-0.3, 0.5, -0.1),
    "body_alternatives": (-0.1, 0.3, -0.1),
    "body_how": (-0.5, 0.0, 0.6),
    "body_way": (-0.5, 0.0, 0.7),
    "body_please": (-0.4, 0.0, 0.4),
    "body_self": (-0.2, 0.0, 0.3),
    "body_tried": (-0.2, -0.1, 0.4),
    "body_unsure": (-0.4, 0.0, 0.4),
    "body_elsewhere": (-0.3, 0.1, 0.3),
    "body_error": (0.3, -0.5, 0.1),
    "body_crash": (0.6, -0.5, 0.0),
    "body_wrong": (0.3, -0.3, 0.0),
    "body_negation": (0.1, -0.1, 0.0),
    "body_since": (0.7, -0.4, -0.2),
    "body_happens": (0.4, -0.4, -0.1),
    "body_install": (-0.1, -0.2, 0.3),
    "raw_frames": (0.4, -0.4, 0.0),
    "raw_raised": (0.3, -0.4, 0.1),
    "raw_hex": (0.2, -0.3, 0.0),
    "raw_versions": (0.2, -0.2, 0.1),
    "raw_paths": (0.1, -0.3, 0.1),
    "raw_images": (0.1, 0.0, -0.1),
    "raw_asks": (-0.3, -0.1, 0.4),
    "raw_headings": (0.1, 0.0, -0.1),
    "code_share": (0.5, -0.8, 0.2),
    "ends_asking": (-0.5, 0.0, 0.8),
    "starts_asking": (-0.3, -0.1, 0.6),
}
"""Number of `features` -> log-odds of bug, feature and question for each unit of it."""


COOLNESS = 2.0
"""By what the log-odds are divided: the signs of one text say the same thing more than once."""
MEANING = 2.0
"""Log-odds for each unit of what the examples say, which lies between -0.5 and 1."""
PENALTY = 1.0
"""Of the ridge over the examples: as strong as one example is like itself."""


class Vectors(Protocol):
    """What is needed of the sentence encoder's memory."""

    name: str
    mark: str

    def views(self, texts: Sequence[str]) -> Floats: ...


@dataclass(frozen=True)
class Prior:
    """General experience."""

    middle: Floats
    """What all examples share, by the encoder; empty without it."""
    meaning: Floats
    """A column for each type."""

    def beliefs(self, found: Floats, meant: Floats) -> Array:
        """Rows of features and of the encoder's vectors (without columns, without it) -> probability of each type."""
        odds = by_rules(found)
        if self.middle.size and meant.shape[1]:
            odds = odds + MEANING * _unit(meant - self.middle) @ self.meaning
        odds = odds / COOLNESS
        powers = np.exp(odds - odds.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def prior(vectors: Vectors | None) -> Prior:
    """What the examples teach the encoder's vectors; the rules alone without it."""
    if vectors is None:
        return Prior(np.empty(0, np.float32), np.empty((0, 3), np.float32))
    known = examples()
    meant = vectors.views([spoken(title, body) for _, title, body in known])[:, 0]
    middle = meant.mean(axis=0)
    inner = _unit(meant - middle).astype(np.float64)
    wanted = np.array([[1.0 if kind == each else -0.5 for each in ISSUE_TYPES] for kind, _, _ in known])
    solved = np.linalg.solve(inner @ inner.T + PENALTY * np.eye(len(inner)), wanted)
    return Prior(middle, (inner.T @ solved).astype(np.float32))


def examples() -> tuple[tuple[str, str, str], ...]:
    """Type, title and body of each of our own."""
    text = files("bot.offline").joinpath("examples.tsv").read_text(encoding="utf-8")
    return tuple((kind, title, body) for kind, title, body in (line.split("\t") for line in text.splitlines()))


def by_rules(found: Floats) -> Array:
    """Rows of features -> rows of log-odds of the three types."""
    weights = np.zeros((len(NAMES), len(ISSUE_TYPES)))
    for name, odds in RULES.items():
        weights[NAMES.index(name)] = odds
    return np.asarray(found @ weights, dtype=np.float64)


def _unit(x: Floats) -> Floats:
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-9))

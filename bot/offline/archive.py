"""A model <-> bytes: tensors in the safetensors format beside a page of JSON. No byte of it is trusted, none is code.

Names of labels and the figures of `Measured` are the only words in it; no lesson's text can be read out.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from bot.errors import ConfigurationError
from bot.offline.calibration import Curve
from bot.offline.features import NAMES
from bot.offline.model import Model, Rule, Taught
from bot.offline.prior import Prior
from bot.offline.space import WIDTH, Learned, Space
from bot.offline.targets import MOST_LABELS, MOST_LESSONS
from bot.offline.tensors import Tensors, read_tensors, write_tensors
from bot.offline.tfidf import MOST_TERMS, Vocabulary
from bot.types.triage import ISSUE_TYPES, Measured, Probability, Word
from bot.types.value import Value

VERSION = 2
"""Changes with the meaning of the numbers, those of the features included."""
MOST_BYTES = 16_000_000
LARGE = 1e6
"""No number of a model comes near it."""
LONGEST = 1.01
"""Length 1, rounded to half floats."""
Finite = Annotated[float, Field(ge=-LARGE, le=LARGE, allow_inf_nan=False)]


class KeptRule(Value):
    """A `Rule` as it is kept."""

    name: Word
    scale: tuple[Finite, ...] = Field(min_length=1, max_length=3)
    shift: tuple[Finite, ...] = Field(min_length=1, max_length=len(ISSUE_TYPES))
    threshold: Probability | None


class About(Value):
    """What is no tensor."""

    version: int
    features: tuple[Word, ...]
    """Their names, so that a model is not used with other signs than it learned."""
    mark: Word
    measured: Measured
    taught: bool
    types: KeptRule | None = None
    labels: tuple[KeptRule, ...] = Field(default=(), max_length=MOST_LABELS)


def dump(model: Model) -> bytes:
    """The model as bytes; the same model gives the same bytes."""
    taught = model.taught
    about = About(
        version=VERSION,
        features=NAMES,
        mark=model.mark,
        measured=model.measured,
        taught=taught is not None,
        types=_kept(taught.types) if taught is not None and taught.types is not None else None,
        labels=tuple(_kept(each) for each in taught.labels) if taught is not None else (),
    )
    page = np.frombuffer(about.model_dump_json().encode(), np.uint8)
    tensors: Tensors = {"about": page, "middle": model.prior.middle, "meaning": model.prior.meaning}
    if taught is not None:
        space = taught.space
        tensors |= {
            "terms": space.known.terms,
            "rarity": space.known.rarity,
            "usual": space.usual,
            "spread": space.spread,
            "signs": space.signs,
            "centre": space.middle,
            "meant": space.meant,
            "words": taught.learned.words,
            "level": taught.learned.level,
            "by_signs": taught.learned.signs,
            "by_meaning": taught.learned.meant,
        }
    return write_tensors(tensors)


def load(data: bytes) -> Model:
    """What `dump` wrote. Raises ConfigurationError `model_damaged`, `model_outdated` if another version wrote it."""
    if len(data) > MOST_BYTES:
        raise damaged("it is too large")
    try:
        found = read_tensors(data)
        about = About.model_validate_json(_tensor(found, "about", np.uint8, (len(found.get("about", ())),)).tobytes())
    except ConfigurationError as error:
        raise damaged(error.message) from None
    except (ValidationError, TypeError) as error:
        raise damaged(f"its page can't be read ({type(error).__name__})") from None
    if about.version != VERSION or about.features != NAMES:
        hint = "it will be learned anew: run `sandpiper triage learn`"
        raise ConfigurationError("model_outdated", "the offline model is by another version", hint=hint)
    return Model(_prior(found), _taught(found, about) if about.taught else None, about.measured, about.mark)


def damaged(what: str) -> ConfigurationError:
    """The error of any file that is no model of ours."""
    hint = "remove the file: the model is learned anew by `sandpiper triage learn`"
    return ConfigurationError("model_damaged", f"the offline model is damaged: {what}", hint=hint)


def _kept(rule: Rule) -> KeptRule:
    return KeptRule(name=rule.name, scale=rule.curve.scale, shift=rule.curve.shift, threshold=rule.threshold)


def _rule(kept: KeptRule, columns: int, views: int) -> Rule:
    if len(kept.shift) != columns or len(kept.scale) != views:
        raise damaged("a rule has another number of columns")
    return Rule(kept.name, Curve(kept.scale, kept.shift), kept.threshold)


def _prior(found: Tensors) -> Prior:
    width = _width(found, "middle", 0)
    return Prior(
        middle=_tensor(found, "middle", np.float32, (width,)),
        meaning=_tensor(found, "meaning", np.float32, (width, len(ISSUE_TYPES))),
    )


def _taught(found: Tensors, about: About) -> Taught:
    width = _width(found, "meant", 1)
    views = 3 if width else 2
    types = _rule(about.types, len(ISSUE_TYPES), views) if about.types is not None else None
    labels = tuple(_rule(each, 1, views) for each in about.labels)
    columns = len(labels) + (len(ISSUE_TYPES) if types is not None else 0)
    terms = _length(found, "terms", MOST_TERMS)
    lessons = _length(found, "signs", MOST_LESSONS)
    if not columns or not lessons:
        raise damaged("it says that it was taught, and holds nothing")
    known = Vocabulary(
        terms=_tensor(found, "terms", np.uint32, (terms,)), rarity=_tensor(found, "rarity", np.float32, (terms,))
    )
    if (known.terms[1:] <= known.terms[:-1]).any():
        raise damaged("its terms are not in order")
    space = Space(
        known=known,
        usual=_tensor(found, "usual", np.float32, (len(NAMES),)),
        spread=_tensor(found, "spread", np.float32, (len(NAMES),)),
        signs=_tensor(found, "signs", np.float32, (lessons, len(NAMES))),
        middle=_tensor(found, "centre", np.float32, (width,)),
        meant=_tensor(found, "meant", np.float16, (lessons, width)),
    )
    if (space.spread <= 0).any():
        raise damaged("a spread is not positive")
    if (np.square(space.meant.astype(np.float32)).sum(axis=1) > LONGEST**2).any():
        raise damaged("a vector is longer than 1")
    learned = Learned(
        words=_tensor(found, "words", np.float32, (terms, columns)),
        level=_tensor(found, "level", np.float32, (columns,)),
        signs=_tensor(found, "by_signs", np.float32, (lessons, columns)),
        meant=_tensor(found, "by_meaning", np.float32, (lessons if width else 0, columns)),
    )
    return Taught(space, learned, types, labels)


def _width(found: Tensors, name: str, axis: int) -> int:
    """Columns of the encoder's vectors: all or none."""
    shape = found[name].shape if name in found else ()
    width = shape[axis] if len(shape) > axis else -1
    if width not in (0, WIDTH):
        raise damaged(f"{name!r} has another shape")
    return int(width)


def _length(found: Tensors, name: str, most: int) -> int:
    shape = found[name].shape if name in found else ()
    if not shape or shape[0] > most:
        raise damaged(f"{name!r} is missing or too long")
    return int(shape[0])


def _tensor(found: Tensors, name: str, dtype: type[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    array = found.get(name)
    if array is None or array.dtype != dtype or array.shape != shape:
        raise damaged(f"{name!r} is missing or has another shape")
    # Infinite ones first: what is no number must not be converted.
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (np.abs(array.astype(np.float64)) < LARGE).all()):
        raise damaged(f"{name!r} holds what is no number")
    # A copy in memory of its own computes to the last bit what the model computed before it was kept.
    return array.copy()

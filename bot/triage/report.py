"""What the offline model measured of itself -> what people decide by: figures in words, and the policy to paste."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from decimal import ROUND_CEILING, Decimal

from pydantic import TypeAdapter, ValidationError

from bot.triage.issues.labelling import type_labels
from bot.triage.policy_shape import Label, TriagePolicy
from bot.types.triage import ISSUE_TYPES, LabelMeasure, Measured
from bot.types.value import Value
from bot.visible import visible

MOST_LABELS = 100
"""Thresholds that a policy may hold."""
NOTHING = "–"
NOT_LEARNED = (
    "Nothing was learned here yet. The offline model learns from labels that people put on issues; until there are "
    "some, it judges by general experience alone, proposes, and puts nothing on by itself."
)
_LABEL: TypeAdapter[str] = TypeAdapter(Label)


class Applied(Value):
    """What the model would have done alone, on issues whose answer is known and which it had not been shown."""

    label: str
    """The label; empty for the type, whichever it is."""
    of: int
    """Issues."""
    put: int
    """On how many of them it would have put it."""
    wrong: int
    """On how many of those wrongly."""

    @property
    def error(self) -> float | None:
        """Share of wrong ones, None where there is none at all."""
        return self.wrong / self.put if self.put else None


def applied(measured: Measured) -> tuple[Applied, ...]:
    """The type first, then each label that may be put on alone."""
    judged = sum(sum(row.values()) for row in measured.confusion.values()) or measured.lessons
    rows = (_applied("", judged, measured.coverage or 0.0, measured.error),)
    alone = (each for each in own_labels(measured) if each.threshold is not None)
    return (*rows, *(_applied(each.label, measured.lessons, each.coverage, each.error) for each in alone))


def own_labels(measured: Measured) -> tuple[LabelMeasure, ...]:
    """Labels without those that name a type: whether these are put on is decided with the type."""
    types = set(type_labels(TriagePolicy(), [each.label for each in measured.labels]).values())
    return tuple(each for each in measured.labels if each.label not in types)


def _applied(label: str, of: int, coverage: float, error: float | None) -> Applied:
    put = round(coverage * of)
    return Applied(label=label, of=of, put=put, wrong=round((error or 0.0) * put))


def words(row: Applied) -> str:
    """A sentence on what would have happened."""
    what = f"the label {row.label!r}" if row.label else "a label for the type"
    if not row.put:
        return f"Would have put {what} on none of {row.of:,}: too few issues are known, or it is wrong too often."
    return f"Would have put {what} on {row.put:,} of {row.of:,}, {row.wrong:,} wrong ({percent(row.error)})."


def percent(value: float | None, *, digits: int = 1) -> str:
    """A share for people."""
    return NOTHING if value is None else f"{100 * value:.{digits}f} %"


def figure(value: float | None) -> str:
    """A measure between 0 and 1 for people."""
    return NOTHING if value is None else f"{value:.3f}"


def measure_cells(row: LabelMeasure) -> tuple[str, ...]:
    """A row of the table, without its name: lessons, precision, recall, F1, threshold, coverage, error."""
    if not row.lessons:  # nothing was measured, which is not the same as being bad at it
        return ("0", *[NOTHING] * 6)
    return (
        f"{row.lessons:,}",
        figure(row.precision),
        figure(row.recall),
        figure(row.f1),
        figure(row.threshold),
        percent(row.coverage),
        percent(row.error),
    )


MEASURE_HEAD = ("lessons", "precision", "recall", "F1", "threshold", "coverage", "error")


def policy_snippet(measured: Measured) -> str:
    """YAML for `.github/bot.yml` that lets the model put on alone what it measured itself to be right about.

    A threshold is rounded up: no more is put on than was measured. Labels of types follow the type, whose threshold is
    measured each time; labels that a policy can't name are left out.
    """
    lines = ["triage:", "  apply:", f"    error: {min(0.5, max(0.005, measured.wanted_error)):g}"]
    rows = [f"      {json.dumps(label, ensure_ascii=False)}: {threshold}" for label, threshold in _thresholds(measured)]
    return "\n".join([*lines, *(["    thresholds:", *rows] if rows else [])]) + "\n"


def _thresholds(measured: Measured) -> Iterator[tuple[str, str]]:
    rows = [each for each in own_labels(measured) if each.threshold is not None and _can_be_named(each.label)]
    for each in sorted(rows, key=lambda row: -row.coverage)[:MOST_LABELS]:
        rounded = Decimal(str(each.threshold)).quantize(Decimal("0.001"), rounding=ROUND_CEILING)
        yield each.label, str(rounded)


def _can_be_named(label: str) -> bool:
    """Whether a policy file may hold it; hidden characters in a line that is meant to be pasted are nobody's friend."""
    try:
        _LABEL.validate_python(label)
    except ValidationError:
        return False
    return visible(label) == label and "\t" not in label


def confusion_rows(measured: Measured) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """True type and how often it was called which, in the order of the types."""
    return tuple(
        (true, tuple(measured.confusion.get(true, {}).get(said, 0) for said in ISSUE_TYPES)) for true in ISSUE_TYPES
    )


def bar(value: float | None, width: int = 20) -> str:
    """A share as a bar of eighths of a character."""
    if value is None or not math.isfinite(value):
        return ""
    eighths = round(max(0.0, min(1.0, value)) * width * 8)
    return "█" * (eighths // 8) + ("▏▎▍▌▋▊▉"[eighths % 8 - 1] if eighths % 8 else "")


def headline(measured: Measured) -> tuple[tuple[str, str, str], ...]:
    """The few figures that matter: name, value, meaning."""
    aim = percent(measured.wanted_error)
    by = f"with the encoder {measured.encoder}" if measured.encoder else "without an encoder"
    return (
        ("Lessons", f"{measured.lessons:,}", f"{measured.corrections:,} of them corrections by people; {by}"),
        ("Macro-F1 of the type", figure(measured.f1), "bug, feature, question; 1 is never wrong"),
        ("Calibration error", figure(measured.ece), "how far its confidence is from how often it is right"),
        ("Decides alone", percent(measured.coverage), f"of types{_from(measured)}, aiming at {aim} wrong"),
        ("Wrong among those", percent(measured.error), "measured on issues that it had not been shown"),
    )


def _from(measured: Measured) -> str:
    limit = next((each.threshold for each in measured.types if each.threshold is not None), None)
    return "" if limit is None else f", from a probability of {figure(limit)} on"

"""Subjects that can be timed -> interleaved series, and the table with goals that they make.

Every subject of a row is timed once a round, each round in another order, so that a busy machine slows all of them
alike. The ratio of medians to the row's floor is what carries over to other machines.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

BUDGET_SECONDS = 90.0
"""Of one subject in one row: a slow one is timed in fewer rounds, and the table says in how many."""


class LeftOut(Exception):
    """A subject can't be measured here; the text says why."""


@dataclass(frozen=True)
class Sample:
    """One measurement."""

    value: float
    """In the row's unit."""
    grown_mb: float | None = None
    """By how much the memory of the measuring process peaked above what it was, in MiB."""


Once = Callable[[], Sample]


@dataclass
class Subject:
    """One way to do the row's work."""

    name: str
    once: Once
    samples: list[Sample] = field(default_factory=list)
    warm_up: Sample | None = None
    spent: float = 0.0
    left_out: str = ""

    @property
    def values(self) -> list[float]:
        """What counts: without the first round, unless there is nothing else."""
        return [each.value for each in self.samples or ([self.warm_up] if self.warm_up else [])]

    @property
    def median(self) -> float | None:
        """None when it was left out."""
        return statistics.median(self.values) if self.values else None

    @property
    def grown_mb(self) -> float | None:
        """The worst, None where nobody looked."""
        each = [sample.grown_mb for sample in (self.warm_up, *self.samples) if sample and sample.grown_mb is not None]
        return max(each) if each else None


@dataclass(frozen=True)
class Goal:
    """What a subject's median shall not exceed."""

    subject: str
    limit: float
    against: str | None = None
    """Subject whose median is multiplied by the limit; None when the limit is in the row's unit."""
    plus: bool = False
    """The limit is added to that median instead."""


@dataclass
class Row:
    """One table: subjects that do the same."""

    key: str
    title: str
    floor: str = ""
    """Subject that the ratios are taken to."""
    goals: tuple[Goal, ...] = ()
    unit: str = "ms"
    repeat: int = 1
    """Measurements of each subject in a round, for what takes a few milliseconds."""
    digits: int = 1
    budget: float = BUDGET_SECONDS
    notes: list[str] = field(default_factory=list)
    subjects: list[Subject] = field(default_factory=list)
    load: str = ""
    stack: ExitStack = field(default_factory=ExitStack)
    """Closes what the subjects hold open."""

    def add(self, name: str, make: Callable[[ExitStack], Once]) -> None:
        """A subject; `make` opens what it needs. One that can't be opened is left out, with its reason."""
        subject = Subject(name, _never)
        self.subjects.append(subject)
        try:
            subject.once = make(self.stack)
        except Exception as error:  # noqa: BLE001 - whatever one subject suffers, the others are measured
            subject.left_out = reason(error)
            print(f"  {self.key}: left out {name}: {subject.left_out}", file=sys.stderr)

    def median(self, name: str) -> float | None:
        """Of a subject by its name."""
        return next((each.median for each in self.subjects if each.name == name), None)


def _never() -> Sample:
    raise LeftOut("it was never opened")


def measure(row: Row, rounds: int) -> None:
    """Fill the row's subjects. The first round warms caches and does not count."""
    before, seconds = load(), time.monotonic()
    for number in range(rounds + 1):
        turn = number % max(len(row.subjects), 1)
        for subject in row.subjects[turn:] + row.subjects[:turn]:
            _sample(row, subject, warm_up=number == 0)
    row.load = f"load {before} before, {load()} after, {time.monotonic() - seconds:.0f} s"


def _sample(row: Row, subject: Subject, *, warm_up: bool) -> None:
    if subject.left_out or (subject.spent > row.budget and subject.values):
        return
    started = time.monotonic()
    try:
        for _ in range(1 if warm_up else row.repeat):
            sample = subject.once()
            if warm_up:
                subject.warm_up = sample
            else:
                subject.samples.append(sample)
    except Exception as error:  # noqa: BLE001 - likewise
        subject.left_out = reason(error)
        print(f"  {row.key}: left out {subject.name}: {subject.left_out}", file=sys.stderr)
    subject.spent += time.monotonic() - started


def reason(error: Exception) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, LeftOut) else f"{type(error).__name__}: {text}"


def load() -> str:
    """Of the last minute, over all processors."""
    return f"{os.getloadavg()[0]:.1f}"


@contextmanager
def timer() -> Iterator[Callable[[], Sample]]:
    """Times from the block's begin to the call; what follows in the block is not timed."""
    started = time.perf_counter()
    yield lambda: Sample((time.perf_counter() - started) * 1000)


@contextmanager
def memory_peak() -> Iterator[Callable[[], float]]:
    """How much this process's resident memory peaked above its begin, in MiB (proc(5): clear_refs 5, VmHWM)."""
    Path("/proc/self/clear_refs").write_text("5")
    begin = status_mb("VmRSS")
    yield lambda: max(0.0, status_mb("VmHWM") - begin)


def status_mb(name: str) -> float:
    """A figure of /proc/self/status, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def table(row: Row) -> str:
    """The row as Markdown, whole: caption, figures, goals, what was left out."""
    grown = any(each.grown_mb is not None for each in row.subjects)
    head = [row.title, f"min {row.unit}", f"median {row.unit}", f"p90 {row.unit}", "ratio of medians", "rounds"]
    head += (["memory grew by, MiB"] if grown else []) + ["goal", "reached"]
    lines = [_line(head), _line(["---"] * len(head))]
    lines += [_line(_cells(row, each, grown)) for each in row.subjects if each.values]
    notes = [f"- left out: {each.name}: {each.left_out}" for each in row.subjects if each.left_out]
    notes += [f"- {each}" for each in row.notes]
    return "\n".join([*lines, "", *notes, f"- {row.load}", ""])


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(each.replace("|", "\\|") for each in cells) + " |"


def _cells(row: Row, subject: Subject, grown: bool) -> list[str]:
    values, floor, digits = sorted(subject.values), row.median(row.floor), row.digits
    p90 = values[min(len(values) - 1, int(len(values) * 0.9))]
    median = statistics.median(values)
    cells = [subject.name, *(f"{each:,.{digits}f}" for each in (values[0], median, p90))]
    cells += [f"{median / floor:.3f}" if floor else "", str(len(values))]
    if grown:
        cells.append("" if subject.grown_mb is None else f"{subject.grown_mb:.1f}")
    goals = [each for each in row.goals if each.subject == subject.name]
    return [*cells, "; ".join(limit(row, each) for each in goals), "; ".join(verdict(row, each) for each in goals)]


def limit(row: Row, goal: Goal) -> str:
    """A goal in words."""
    if goal.against is None:
        return f"<= {goal.limit:g} {row.unit}"
    if goal.plus:
        return f"<= {goal.against} + {goal.limit:g} {row.unit}"
    return f"<= {goal.limit:g} x {goal.against}"


def verdict(row: Row, goal: Goal) -> str:
    """Whether a goal is reached, with the figure."""
    median, against = row.median(goal.subject), row.median(goal.against) if goal.against else 0.0
    if median is None or against is None:
        return "not measured"
    if goal.against is None or goal.plus:
        figure, text = median - against, f"{median - against:,.{row.digits}f} {row.unit}"
    else:
        figure = median / against
        text = f"{figure:.3f} x"
    return f"{'yes' if figure <= goal.limit else 'NO'}: {text}"

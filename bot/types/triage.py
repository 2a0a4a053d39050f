"""What triage knows and finds: the repository's past, what was learned from it, and the judgement of one issue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from bot.types.event import Actor
from bot.types.result import Usage
from bot.types.value import Value

IssueType = Literal["bug", "feature", "question"]
ISSUE_TYPES: tuple[IssueType, ...] = ("bug", "feature", "question")
Priority = Literal["critical", "high", "medium", "low", "info"]
PRIORITIES: tuple[Priority, ...] = ("critical", "high", "medium", "low", "info")
"""Most urgent first."""
Size = Literal["xs", "s", "m", "l", "xl"]
SIZES: tuple[Size, ...] = ("xs", "s", "m", "l", "xl")
ClosedFor = Literal["", "completed", "not_planned", "reopened", "duplicate"]
"""GitHub's `state_reason`, empty where it gives none."""
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Word = Annotated[str, StringConstraints(max_length=200)]


# --- the repository's past --------------------------------------------------------------------------------------


class LabelInfo(Value):
    """A label that the repository has."""

    name: str
    """Its name."""
    description: str = ""
    """What its page says it means."""


class LabelEvent(Value):
    """Somebody put a label on or took it off."""

    label: str
    """The label's name at that time."""
    added: bool
    """Put on, or taken off."""
    actor: Actor | None
    """Who did it, None for an account that is gone."""
    at: str
    """ISO time."""


class PastIssue(Value):
    """An issue as the repository remembers it."""

    number: int = Field(ge=1)
    """Its number."""
    title: str
    """A stranger's text."""
    body: str = ""
    """A stranger's text, cut to what is learned from."""
    author: Actor | None = None
    """Who opened it, None for an account that is gone."""
    created_at: str
    """ISO time."""
    updated_at: str = ""
    """ISO time of the last change."""
    state: Literal["open", "closed"] = "open"
    """Open or closed."""
    closed_for: ClosedFor = ""
    """Why it was closed."""
    labels: tuple[str, ...] = ()
    """Labels that it has now."""
    label_events: tuple[LabelEvent, ...] = ()
    """Who put them on and took them off, oldest first."""
    cursor: str = ""
    """The forge's name for this place in its list, to go on behind it later; only where a page ends."""


class Lesson(Value):
    """What one past issue teaches: a text, and the labels that people (no bot) gave and took."""

    id: str
    """Number of the issue, or any name that is unique in its set."""
    title: str
    """The title."""
    body: str = ""
    """The text."""
    created_at: str = ""
    """ISO time, by which a later set is told from an earlier."""
    labels: tuple[str, ...] = ()
    """Labels that people set."""
    refused: tuple[str, ...] = ()
    """Labels that people took off again."""
    corrected: bool = False
    """Whether a person changed, within 30 days, what somebody or something else had said."""


# --- what was learned from it -----------------------------------------------------------------------------------


class Belief(Value):
    """How likely a label is, by the offline model."""

    label: str
    """The label."""
    probability: Probability
    """Calibrated: of labels believed at 0.8, four of five are right."""
    threshold: Probability | None = None
    """From which probability on its measured error is low enough to act on it alone; None if from none."""

    @property
    def is_sure(self) -> bool:
        return self.threshold is not None and self.probability >= self.threshold


class Posterior(Value):
    """What the offline model thinks of a text."""

    types: Mapping[IssueType, Probability]
    """Probability of each type; they add up to one."""
    type_threshold: Probability | None = None
    """From which probability on the most likely type may be acted on alone."""
    labels: tuple[Belief, ...] = ()
    """Labels of the repository that it has seen often enough, most likely first."""
    lessons: int = 0
    """How many past issues it learned from; 0 means that only general experience speaks."""

    @property
    def type(self) -> IssueType:
        """The most likely one."""
        return max(ISSUE_TYPES, key=lambda each: self.types.get(each, 0.0))

    @property
    def is_sure(self) -> bool:
        """Whether its most likely type is likely enough to be acted on."""
        return self.type_threshold is not None and self.types.get(self.type, 0.0) >= self.type_threshold


class Neighbour(Value):
    """An earlier issue that is like this one."""

    number: int = Field(ge=1)
    """Its number."""
    title: str
    """A stranger's text."""
    state: Literal["open", "closed"] = "open"
    """Open or closed."""
    closed_for: ClosedFor = ""
    """Why it was closed: `completed` hints that this was fixed already."""
    labels: tuple[str, ...] = ()
    """Labels that it has."""
    score: Probability
    """How alike, 1 for the same words; only comparable within one repository."""
    candidate: bool = False
    """Whether it is alike enough to be named as a possible duplicate."""


class RelevantFile(Value):
    """A file of the checkout that the text points to."""

    path: str
    """Path in the repository."""
    score: float = Field(ge=0, allow_inf_nan=False)
    """Higher is more relevant; only comparable within one answer."""


class LabelMeasure(Value):
    """How well the offline model knows one label, measured on lessons that it was not shown (leave-one-out)."""

    label: str
    """The label, or the type in the row of a type."""
    lessons: int
    """How many lessons have it."""
    precision: Probability
    """Of those that it would have been put on, how many have it."""
    recall: Probability
    """Of those that have it, on how many it would have been put."""
    f1: Probability
    """Their harmonic mean."""
    threshold: Probability | None = None
    """Probability from which on the error stays below the wanted one; None if from none."""
    coverage: Probability = 0.0
    """Share of all lessons that lie above the threshold."""
    error: Probability | None = None
    """Share of wrong ones among those; None where there are none."""


class Measured(Value):
    """How well the offline model knows its repository; all by leave-one-out, nothing seen before."""

    lessons: int = 0
    """Past issues that it learned from."""
    corrections: int = 0
    """How many of them a person had corrected."""
    types: tuple[LabelMeasure, ...] = ()
    """A row for each type."""
    labels: tuple[LabelMeasure, ...] = ()
    """A row for each label that was seen often enough."""
    confusion: Mapping[IssueType, Mapping[IssueType, Count]] = Field(default_factory=dict)
    """True type -> said type -> how often."""
    f1: Probability | None = None
    """Macro-F1 over the types, None where too little is known."""
    ece: Probability | None = None
    """Expected calibration error of the most likely type, ten bins."""
    bins: tuple[tuple[Probability, Probability, Annotated[int, Field(ge=1)]], ...] = ()
    """Mean confidence, share that is right, and count, of each filled bin."""
    coverage: Probability | None = None
    """Share of issues whose type it would decide alone."""
    error: Probability | None = None
    """Share of wrong ones among those."""
    wanted_error: Probability = 0.05
    """The error that the thresholds aim at."""
    encoder: str = ""
    """Name of the sentence encoder, empty where there is none."""


# --- the judgement ----------------------------------------------------------------------------------------------


class Chosen(Value):
    """A label that fits, and who says so."""

    label: str
    """One of the repository's labels."""
    confidence: Probability
    """1 for a rule; for a model how sure it is."""
    by: Literal["rule", "model", "offline"]
    """A rule of the policy, the language model, or the offline model."""
    apply: bool = False
    """Whether it may be put on without a person; else it is only proposed."""


class Suitability(Value):
    """Whether an agent could do the work."""

    suitable: bool = False
    """Whether."""
    reason: str = ""
    """Why, or why not, in a sentence."""


class Triage(Value):
    """The judgement of one issue. Texts in it are a model's or a stranger's, cleaned, and no Markdown."""

    type: IssueType | None = None
    """Bug, feature or question; None where nothing suffices to tell."""
    type_guessed: Probability | None = None
    """How likely it is where the offline model alone says so and is not sure; None where somebody knows."""
    lessons: int | None = None
    """How many past issues the offline model learned from; None where it was not asked."""
    labels: tuple[Chosen, ...] = ()
    """Labels that fit, surest first."""
    priority: Priority = "medium"
    """How urgent."""
    area: str = ""
    """The part of the project: one of the repository's own labels, empty where none fits."""
    duplicates: tuple[Neighbour, ...] = Field(default=(), max_length=3)
    """Earlier issues that may be the same; a hint for people, nothing is closed."""
    fixed_by: Neighbour | None = None
    """A closed one that may hold the answer already."""
    missing: tuple[Word, ...] = Field(default=(), max_length=10)
    """What the text lacks, by the names of the issue form's fields."""
    reproduction: bool = False
    """Whether it says how to reproduce it."""
    security: bool = False
    """Whether it seems to report a vulnerability: then nothing of it is repeated."""
    spam: bool = False
    """Whether it seems to be none of the project's business."""
    language: str = ""
    """ISO 639-1 code of the language that it is written in, empty where it can't be told."""
    size: Size | None = None
    """How large the work seems to be."""
    agent: Suitability = Suitability()
    """Whether an agent could do it."""
    files: tuple[Word, ...] = Field(default=(), max_length=10)
    """Files that the work seems to be about."""
    owners: tuple[Word, ...] = Field(default=(), max_length=10)
    """Who owns those files, by CODEOWNERS, without an `@`."""
    summary: str = ""
    """What it is about, in two sentences at most."""
    question: str = ""
    """The one thing to ask its author, empty where nothing is."""
    by: Literal["rules", "offline", "model"] = "rules"
    """Who judged last: the rules alone, the offline model, or the language model."""
    reason: str = ""
    """Where this comes from, in a sentence."""
    usage: Usage = Usage()
    """What the language model cost."""

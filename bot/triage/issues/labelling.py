"""What rules, the offline model and a language model say about labels -> the labels that fit, and which are put on.

Nothing leaves but labels that a rule names, or that the policy or else the repository lists. Put on without a person
is what a rule says, what the offline model says where policy opted in and it is sure enough, and what a language model
says of labels that policy lists for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.issuetypes import rank_of_label, type_of_label
from bot.triage.issues.reading import Reading
from bot.triage.issues.rules import Ruled
from bot.triage.policy_shape import TriagePolicy
from bot.types.triage import ISSUE_TYPES, Chosen, IssueType, LabelInfo, Posterior

PROPOSED = 0.5
"""Probability from which on the offline model's labels are proposed."""
TYPED = 0.7
"""Confidence of a label that a model named only as type or area."""
MOST = 20
"""Labels that are named at all."""


def listed(policy: TriagePolicy, labels: Sequence[LabelInfo]) -> tuple[LabelInfo, ...]:
    """The labels that may be named: those that policy lists, else all that the repository has."""
    if policy.labels:
        known = {each.name.casefold(): each.description for each in labels}
        return tuple(
            LabelInfo(name=name, description=words or known.get(name.casefold(), ""))
            for name, words in policy.labels.items()
        )
    return tuple(labels)


def type_labels(policy: TriagePolicy, names: Sequence[str]) -> dict[IssueType, str]:
    """The label of each type: as policy says, else by its name; types without one are left out."""
    telling = sorted(names, key=rank_of_label)
    found = {kind: next((name for name in telling if type_of_label(name) == kind), "") for kind in ISSUE_TYPES}
    for kind, label in policy.types.items():
        found[kind] = next((name for name in names if name.casefold() == label.casefold()), "")
    return {kind: label for kind, label in found.items() if label}


@dataclass(frozen=True)
class Labelling:
    """Everything that decides about an issue's labels."""

    policy: TriagePolicy
    names: Sequence[str]
    """Labels that may be named."""
    types: Mapping[IssueType, str]
    """The label of each type."""
    ruled: Ruled
    posterior: Posterior | None
    reading: Reading | None
    type: IssueType | None
    """As it was decided."""

    def chosen(self) -> tuple[Chosen, ...]:
        """Labels that fit, those of rules first, then those that are put on, surest first; each once."""
        wrong = {label for kind, label in self.types.items() if kind != self.type}
        said = [*self._offline(), *self._model(), *self._typed()]
        said = [each for each in said if each.label not in wrong]
        said.sort(key=lambda each: (not each.apply, -each.confidence))
        first: dict[str, Chosen] = {}
        for each in (*self.ruled.chosen, *said):
            first.setdefault(each.label.casefold(), each)
        return tuple(first.values())[:MOST]

    def _offline(self) -> list[Chosen]:
        if self.posterior is None:
            return []
        beliefs = [(each.label, each.probability, each.threshold) for each in self.posterior.labels]
        if kind := self.types.get(self.posterior.type):
            likely = self.posterior.types.get(self.posterior.type, 0.0)
            # The type is measured as one of three; as a label beside others it is only a second opinion.
            beliefs = [each for each in beliefs if each[0] != kind] + [(kind, likely, self.posterior.type_threshold)]
        exact = {name.casefold(): name for name in self.names}
        return [
            Chosen(label=exact[label.casefold()], confidence=likely, by="offline", apply=sure and self._may_apply)
            for label, likely, threshold in beliefs
            if label.casefold() in exact
            and ((sure := self._is_sure(label, likely, threshold)) or (likely >= PROPOSED and self.reading is None))
        ]

    def _is_sure(self, label: str, likely: float, learned: float | None) -> bool:
        given = self.policy.apply.thresholds if self.policy.apply else {}
        threshold = next((value for name, value in given.items() if name.casefold() == label.casefold()), learned)
        return threshold is not None and likely >= threshold

    @property
    def _may_apply(self) -> bool:
        return self.policy.apply is not None and "labels" in self.policy.actions

    def _model(self) -> list[Chosen]:
        if self.reading is None:
            return []
        may = "labels" in self.policy.actions
        area = self.reading.area if self.reading.area not in self.reading.refused else ""
        named = {**({area: TYPED} if area else {}), **self.reading.labels}
        return [
            Chosen(label=name, confidence=likely, by="model", apply=may and name in self.policy.labels)
            for name, likely in named.items()
            if name in self.names
        ]

    def _typed(self) -> list[Chosen]:
        """The label of the type that was decided, as if whoever decided had named it."""
        label = self.types.get(self.type) if self.type else None
        if label is None or self.type is None:
            return []
        if self.reading is not None and self.reading.type == self.type:
            if label in self.reading.refused:
                return []
            may = "labels" in self.policy.actions and label in self.policy.labels
            return [Chosen(label=label, confidence=TYPED, by="model", apply=may)]
        likely = self.posterior.types.get(self.type, 0.0) if self.posterior is not None else 0.0
        if self.posterior is not None and self.posterior.type == self.type and likely >= PROPOSED:
            return [Chosen(label=label, confidence=likely, by="offline")]
        return []

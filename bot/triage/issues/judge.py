"""An issue, the policy, the repository's facts, what was learned, and perhaps a model -> its Triage. Always.

Rules come first, then facts and the text's own signals, then the offline model, then at most one question to a
language model, which may fill only what the others leave open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from bot.errors import Cancelled, SandpiperError
from bot.protocols import LLM, Knowledge
from bot.triage.asking import Heard, ask
from bot.triage.issues.facts import RepositoryFacts
from bot.triage.issues.forms import labels_of_form, missing_fields
from bot.triage.issues.labelling import Labelling, listed, type_labels
from bot.triage.issues.owners import owners_of
from bot.triage.issues.pack import one_line
from bot.triage.issues.question import FILES, LABELS, Ids, Known, is_area, question_of
from bot.triage.issues.reading import Reading, read_answer
from bot.triage.issues.rules import Ruled, by_rules
from bot.triage.issues.signals import Signals, signals_of, suitability_of
from bot.triage.policy_shape import Policy
from bot.types.event import Subject
from bot.types.task import Task
from bot.types.triage import (
    Chosen,
    IssueType,
    LabelInfo,
    Neighbour,
    Posterior,
    Priority,
    Probability,
    Suitability,
    Triage,
)

ANSWER_TOKENS = 300
"""Tokens of a model's answer."""
NEIGHBOURS, DUPLICATES = 5, 3
ASKED_FOR = 4
"""Missing things that one question names."""
PATH = 200
Learned = TypeVar("Learned")
Model = Callable[[str | None], LLM]


@dataclass(frozen=True)
class Basis:
    """What is known before a language model speaks."""

    subject: Subject
    policy: Policy
    facts: RepositoryFacts
    ruled: Ruled
    signals: Signals
    posterior: Posterior | None
    neighbours: tuple[Neighbour, ...]
    files: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def type(self) -> IssueType | None:
        """The offline model's, else what the words themselves say."""
        if self.posterior is not None:
            return self.posterior.type
        signals = self.signals
        return "question" if signals.question else "feature" if signals.wish else "bug" if signals.bug else None


def judge_issue(
    subject: Subject,
    *,
    policy: Policy,
    task: Task,
    facts: RepositoryFacts,
    knowledge: Knowledge | None,
    model: Model | None,
    ruled: Ruled | None = None,
    asked: bool = False,
) -> Triage:
    """The judgement. Who is not given is not asked; `asked` says that the author was asked something before.

    Raises nothing but Cancelled: a model or a past that fails is left out, and `reason` says so.
    """
    basis = _basis(subject, policy, facts, knowledge, by_rules(subject, policy) if ruled is None else ruled)
    known = _known(basis)
    heard: Heard[Reading] = Heard(None)
    ids = Ids()
    if model is not None:
        question = question_of(known)
        ids = question.ids
        heard = ask(
            partial(model, task.model),
            question.messages,
            question.schema,
            partial(read_answer, ids=ids),
            limits=task.limits,
            most=ANSWER_TOKENS,
        )
    return _triage(basis, known, heard, ids, asked=asked)


# --- what is known ----------------------------------------------------------------------------------------------


def _basis(
    subject: Subject, policy: Policy, facts: RepositoryFacts, knowledge: Knowledge | None, ruled: Ruled
) -> Basis:
    title, body = subject.title, subject.body
    signals = signals_of(title, body)
    posterior = _learned(knowledge, lambda known: known.posterior(title, body))
    near = _learned(knowledge, lambda known: known.neighbours(title, body, number=subject.number, most=NEIGHBOURS))
    files = _learned(knowledge, lambda known: known.files(title, body, most=FILES)) or ()
    kind = posterior.type if posterior is not None and posterior.is_sure else None
    return Basis(
        subject=subject,
        policy=policy,
        facts=facts,
        ruled=ruled,
        signals=signals,
        posterior=posterior,
        neighbours=tuple(_clean(each) for each in near or () if each.number < subject.number),
        files=tuple(dict.fromkeys(each.path for each in files if len(each.path) <= PATH))[:FILES],
        missing=missing_fields(title, body, facts.forms, bug=None if kind is None else kind == "bug"),
    )


def _learned(knowledge: Knowledge | None, ask_it: Callable[[Knowledge], Learned]) -> Learned | None:
    """What was learned; None where there is nothing to ask, or it is damaged."""
    if knowledge is None:
        return None
    try:
        return ask_it(knowledge)
    except Cancelled:
        raise
    except SandpiperError:
        return None


def _clean(each: Neighbour) -> Neighbour:
    return each.changed(title=one_line(each.title, 200))


def _known(basis: Basis) -> Known:
    """What the model is told: candidates before other neighbours, and the labels that are likely first."""
    return Known(
        subject=basis.subject,
        labels=_ranked(listed(basis.policy.triage, basis.facts.labels), basis),
        posterior=basis.posterior,
        neighbours=sorted(basis.neighbours, key=lambda each: not each.candidate),
        files=basis.files,
        missing=basis.missing,
    )


def _ranked(labels: Sequence[LabelInfo], basis: Basis) -> tuple[LabelInfo, ...]:
    """Labels that policy lists, all of them; of the repository's, those that were used or whose words are there."""
    if basis.policy.triage.labels:
        return tuple(labels)
    likely = {each.label: each.probability for each in basis.posterior.labels} if basis.posterior else {}
    near = {label for each in basis.neighbours for label in each.labels}
    types = set(type_labels(basis.policy.triage, [each.name for each in labels]).values())
    text = f"{basis.subject.title} {basis.subject.body[:4_000]}".casefold()

    def worth(label: LabelInfo) -> float:
        words = [word for word in label.name.casefold().replace("/", " ").replace(":", " ").split() if len(word) > 2]
        said = any(word in text for word in words)
        return (label.name in types) * 3 + likely.get(label.name, 0.0) * 2 + (label.name in near) + said * 0.5

    return tuple(sorted(labels, key=lambda each: -worth(each)))[:LABELS]


# --- the judgement ----------------------------------------------------------------------------------------------


def _triage(basis: Basis, known: Known, heard: Heard[Reading], ids: Ids, *, asked: bool) -> Triage:
    reading = heard.meaning
    said = reading or Reading()
    names = [each.name for each in listed(basis.policy.triage, basis.facts.labels)]
    types = type_labels(basis.policy.triage, names)
    kind = _type(basis, said, {label: kind for kind, label in types.items()})
    labels = Labelling(basis.policy.triage, names, types, basis.ruled, basis.posterior, reading, kind).chosen()
    security = basis.signals.security or bool(said.security)
    spam = not security and (basis.signals.spam or bool(said.spam))
    missing = tuple(name for key, name in _ids(ids.missing, basis.missing) if said.missing.get(key, True))
    files = tuple(path for key, path in _ids(ids.files, basis.files) if said.files.get(key, True))
    dropped = {each.number for key, each in ids.neighbours.items() if not said.duplicates.get(key, True)}
    near = tuple(each for each in known.neighbours if each.candidate and each.number not in dropped)[:DUPLICATES]
    found = Triage(
        type=kind,
        type_guessed=_guessed(basis, said, kind, types),
        lessons=None if basis.posterior is None else basis.posterior.lessons,
        labels=labels,
        priority=_priority(said.priority, kind, security=security, spam=spam),
        area=_area(said, labels, names),
        duplicates=near,
        fixed_by=next((each for each in near if each.state == "closed" and each.closed_for == "completed"), None),
        missing=missing,
        reproduction=basis.signals.reproduction or bool(said.reproduction),
        security=security,
        spam=spam,
        language=basis.signals.language or said.language,
        size=said.size or basis.signals.size,
        agent=_agent(basis, said, kind, files, missing),
        files=files,
        owners=tuple(each for each in owners_of(basis.facts.codeowners, files) if len(each) <= PATH),
        summary=said.summary,
        question="" if asked or not missing else said.question or _question(missing),
        by="model" if reading is not None else "offline" if basis.posterior is not None else "rules",
        reason=_reason(basis, heard),
        usage=heard.usage,
    )
    return _silent(found)


def _ids(ids: Mapping[str, str], names: Sequence[str]) -> list[tuple[str, str]]:
    """Names with the ids under which the model was told of them; those that it was not told of have none."""
    keys = {name: key for key, name in ids.items()}
    return [(keys.get(name, ""), name) for name in names]


def _silent(found: Triage) -> Triage:
    """Nothing that a reporter of a vulnerability wrote, or that leads there, is repeated; of spam only that it is."""
    if found.security:
        return found.changed(
            labels=tuple(each for each in found.labels if each.apply),
            area="",
            duplicates=(),
            fixed_by=None,
            missing=(),
            files=(),
            owners=(),
            summary="",
            question="",
        )
    return found.changed(summary="", question="", missing=()) if found.spam else found


def _type(basis: Basis, said: Reading, types: dict[str, IssueType]) -> IssueType | None:
    """The one that a person put on; else a sure offline one, unless the model gives a reason; else the model's, else
    the offline one.
    """
    by_form = labels_of_form(basis.subject.body, basis.facts.forms)
    there = {label.casefold() for label in basis.subject.labels} - {label.casefold() for label in by_form}
    given = {kind for label, kind in types.items() if label.casefold() in there}
    if len(given) == 1:
        return given.pop()
    kind = said.type or next((types[label] for label in said.labels if label in types), None)
    offline = basis.posterior
    if offline is not None and offline.is_sure and not said.why:
        return offline.type
    return kind or basis.type


def _guessed(basis: Basis, said: Reading, kind: IssueType | None, types: Mapping[IssueType, str]) -> Probability | None:
    """How likely the offline model thinks the type, where nobody else says it and it is not sure."""
    offline = basis.posterior
    if offline is None or offline.is_sure or offline.type != kind or said.type is not None:
        return None
    there = {label.casefold() for label in basis.subject.labels}
    return None if types.get(kind, "").casefold() in there else offline.types.get(kind, 0.0)


def _priority(said: Priority | None, kind: IssueType | None, *, security: bool, spam: bool) -> Priority:
    if security:
        return "critical" if said == "critical" else "high"
    if spam:
        return "info"
    return said or ("low" if kind == "question" else "medium")


def _area(said: Reading, labels: Sequence[Chosen], names: Sequence[str]) -> str:
    if said.area in names:
        return said.area
    return next((each.label for each in labels if is_area(each.label)), "")


def _agent(
    basis: Basis, said: Reading, kind: IssueType | None, files: Sequence[str], missing: Sequence[str]
) -> Suitability:
    """By rule; a model decides where no rule says why not."""
    signals = basis.signals.changed(
        reproduction=basis.signals.reproduction or bool(said.reproduction),
        security=basis.signals.security or bool(said.security),
        spam=basis.signals.spam or bool(said.spam),
    )
    ruled = suitability_of(signals, kind=kind, files=files, missing=missing)
    closed = signals.security or signals.spam or signals.debate or kind == "question" or bool(missing)
    if said.agent is None or (closed and not ruled.suitable):
        return ruled
    return Suitability(
        suitable=said.agent, reason=said.agent_why or ("" if said.agent != ruled.suitable else ruled.reason)
    )


def _question(missing: Sequence[str]) -> str:
    *most, last = missing[:ASKED_FOR]
    return f"Could you add what is missing: {', '.join(most)}{' and ' if most else ''}{last}?"


def _reason(basis: Basis, heard: Heard[Reading]) -> str:
    parts = [basis.ruled.reason]
    if basis.posterior is not None:
        likely = basis.posterior.types.get(basis.posterior.type, 0.0)
        sure = ", sure" if basis.posterior.is_sure else ""
        learned = f"{basis.posterior.lessons} past issues" if basis.posterior.lessons else "general experience"
        parts.append(f"the offline model says {basis.posterior.type} at {likely:.2f}{sure}, from {learned}")
    if heard.meaning is not None:
        parts.append(f"the model answered, ${heard.usage.usd:.4f}")
    elif heard.trouble:
        parts.append(f"the model was of no help: {heard.trouble}")
    return "; ".join(parts)

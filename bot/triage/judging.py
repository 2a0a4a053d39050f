"""An issue or pull request that is to be triaged -> the Answer: who is asked, what was said before, what is written.

Nobody is asked whose word could have no effect under the policy, and a model never twice about the same text.
"""

from __future__ import annotations

from bot.errors import ForgeError
from bot.triage.answers import ruled_answer, same_answer, triage_answer
from bot.triage.case import Case, known
from bot.triage.issues.comment import Earlier, digest_of, earlier_of
from bot.triage.issues.facts import RepositoryFacts, facts_of
from bot.triage.issues.judge import judge_issue
from bot.triage.issues.rules import Ruled
from bot.triage.issues.triggers import nameable
from bot.triage.pulls.comment import pull_comment
from bot.triage.pulls.status import triage_pull
from bot.types.decision import Answer
from bot.types.event import Subject
from bot.types.task import Task
from bot.types.triage import Triage


def judged(case: Case, task: Task, subject: Subject, ruled: Ruled) -> Answer:
    """What triage answers. Raises ForgeError."""
    if subject.kind == "pull_request":
        return ruled_answer(case.event, subject, ruled, pull_words(case, subject))
    asks_model, asks_past = wants_model(case), wants_past(case)
    if not asks_model and not asks_past:
        return triage_answer(case.event, subject, _by_rules(ruled, case), ruled, case.policy)
    earlier = _earlier(case, subject)
    digest = digest_of(subject, case.policy)
    if asks_model and earlier is not None and (earlier.by, earlier.digest) == ("model", digest):
        return same_answer(case.event, subject.number)
    facts = _facts(case)
    found = judge_issue(
        subject,
        policy=case.policy,
        task=task,
        facts=facts,
        knowledge=known(case.knowledge, case.policy.triage) if asks_past else None,
        model=case.model if asks_model else None,
        ruled=ruled,
        asked=earlier is not None and earlier.asked_before(digest),
    )
    return triage_answer(
        case.event,
        subject,
        found,
        ruled,
        case.policy,
        earlier=earlier,
        looked="comment" in case.policy.triage.actions,
        security_policy=facts.security_policy,
    )


def wants_model(case: Case) -> bool:
    """Whether a model is asked: it is there, policy wants it, and something may happen on its word."""
    triage = case.policy.triage
    acts = "comment" in triage.actions or ("labels" in triage.actions and bool(triage.labels))
    return case.model is not None and triage.model and acts


def wants_past(case: Case) -> bool:
    """Whether the offline model is asked: it is there, policy wants it, and its word is used."""
    triage = case.policy.triage
    acts = "comment" in triage.actions or ("labels" in triage.actions and triage.apply is not None)
    return case.knowledge is not None and triage.offline and (acts or wants_model(case))


def pull_words(case: Case, subject: Subject) -> str:
    """How a pull request stands, in words; empty where policy wants no comment."""
    if "comment" not in case.policy.triage.actions:
        return ""
    state = case.reader.pull_state(subject.number)
    if state is None:
        return ""
    viewer = case.reader.viewer().id
    return pull_comment(triage_pull(state, full_name=case.event.repository.full_name, viewer=viewer))


def _by_rules(ruled: Ruled, case: Case) -> Triage:
    missing = "; no model is configured" if case.model is None and case.policy.triage.model else ""
    return Triage(labels=ruled.chosen, reason=f"{ruled.reason}{missing}")


def _earlier(case: Case, subject: Subject) -> Earlier | None:
    """What our comment on it remembers; none is looked for where none is written."""
    if "comment" not in case.policy.triage.actions:
        return None
    return earlier_of(case.reader.comments(subject.number), case.reader.viewer().id, subject.number)


def _facts(case: Case) -> RepositoryFacts:
    """What the repository says about its issues; a forge that does not tell is no reason not to judge."""
    try:
        facts = facts_of(case.reader, case.event.repository.default_branch)
        return nameable(facts, case.settings.label_prefix)
    except ForgeError:
        return RepositoryFacts()

"""A policy and a repository's facts -> the same without labels that start tasks: triage puts none of them on.

Whoever opens an issue decides what it says, and so what rules, models and words find in it; but only who may start a
task puts on a label that starts one. A rule that wants a task names it by `task`, which asks who opened the issue.
"""

from __future__ import annotations

from bot.triage.issues.facts import RepositoryFacts
from bot.triage.policy_shape import Policy, Rule


def is_trigger(label: str, prefix: str) -> bool:
    """Whether a label starts a task, as events are read: upper and lower case are the same."""
    return label.strip().casefold().startswith(prefix.casefold())


def harmless(policy: Policy, prefix: str) -> Policy:
    """The policy without such labels, wherever triage would put them on."""
    triage = policy.triage
    labels = {label: words for label, words in triage.labels.items() if not is_trigger(label, prefix)}
    return policy.changed(
        triage=triage.changed(
            labels=labels,
            apply=triage.apply if labels or not triage.labels else None,  # an empty list would open all others
            types={kind: label for kind, label in triage.types.items() if not is_trigger(label, prefix)},
            rules=tuple(_rule(rule, prefix) for rule in triage.rules),
        )
    )


def nameable(facts: RepositoryFacts, prefix: str) -> RepositoryFacts:
    """The facts without such labels, so that nobody proposes one either."""
    return facts.changed(labels=tuple(each for each in facts.labels if not is_trigger(each.name, prefix)))


def _rule(rule: Rule, prefix: str) -> Rule:
    kept = tuple(label for label in rule.then.labels if not is_trigger(label, prefix))
    return rule if kept == rule.then.labels else rule.changed(then=rule.then.changed(labels=kept))

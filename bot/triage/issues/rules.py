"""Rules of the policy and a subject -> what they want: labels, words, a task. No model, and no look at the forge
unless a rule asks for the paths that a pull request changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pathspec import GitIgnoreSpec

from bot.triage.globs import any_matches, found_in
from bot.triage.patterns import found
from bot.triage.policy_shape import Policy, Rule
from bot.types.event import Subject
from bot.types.triage import Chosen
from bot.types.value import Value

Changed = Callable[[], Sequence[str]]
"""Asks for the paths that a pull request changes."""


class Ruled(Value):
    """What the policy's rules say."""

    labels: tuple[str, ...] = ()
    """Labels to put on."""
    comments: tuple[str, ...] = ()
    """Texts of the rules, as they stand in the policy."""
    task: str | None = None
    """The task to start."""
    held: int = 0
    """How many rules hold."""
    of: int = 0
    """Of how many."""

    @property
    def chosen(self) -> tuple[Chosen, ...]:
        """The labels, as what is sure and put on."""
        return tuple(Chosen(label=label, confidence=1.0, by="rule", apply=True) for label in self.labels)

    @property
    def reason(self) -> str:
        return f"{self.held} of {self.of} rules hold"


def by_rules(subject: Subject, policy: Policy, changed: Changed = tuple) -> Ruled:
    """What the rules say; all that hold are applied, and the first task counts. `changed` is called once at most.

    Raises what `changed` raises.
    """
    known: list[Sequence[str]] = []

    def once() -> Sequence[str]:
        if not known:
            known.append(changed())
        return known[0]

    held = [rule for rule in policy.triage.rules if holds(rule, subject, once)]
    return Ruled(
        labels=tuple(dict.fromkeys(label for rule in held for label in rule.then.labels)),
        comments=tuple(rule.then.comment for rule in held if rule.then.comment),
        task=next((rule.then.task for rule in held if rule.then.task), None),
        held=len(held),
        of=len(policy.triage.rules),
    )


def holds(rule: Rule, subject: Subject, changed: Changed) -> bool:
    """Whether every condition of a rule holds; `changed` is asked last, and only about a pull request."""
    when = rule.when
    return (
        (when.subject is None or when.subject == subject.kind)
        and (when.title is None or found_in(when.title, subject.title))
        and (when.body is None or found_in(when.body, subject.body))
        and (when.author is None or any_matches(when.author, subject.author.login))
        and (when.labels is None or any(any_matches(when.labels, label) for label in subject.labels))
        and (when.matches is None or found(when.matches, subject.title, subject.body))
        and (when.paths is None or (subject.kind == "pull_request" and _touches(when.paths, changed())))
    )


def _touches(patterns: Sequence[str], paths: Sequence[str]) -> bool:
    return any(True for _ in GitIgnoreSpec.from_lines(patterns).match_files(paths))

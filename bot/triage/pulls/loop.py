"""A pull request, and hands that look and work -> rounds of work until it is ready, or until the bot can't go on.

The loop does nothing itself: it looks, works, waits and asks for the time by what it is given. None of that merges:
there is no hand for it, and a person decides.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from bot.protocols import Cancelled
from bot.triage.pulls.answering import MOST, Answered, Step, Worked
from bot.triage.pulls.feedback import outstanding
from bot.triage.pulls.severity import is_praise
from bot.types.pull import Feedback, PullStatus, PullTriage
from bot.types.value import Value

ROUNDS = 10
CI_SECONDS = 600.0
"""How long checks are waited for in one round."""
POLL_SECONDS = 30.0
PAUSE_SECONDS = 5.0
"""Between two rounds."""

Ending = Literal[
    "ready", "over", "blocked", "waits", "nothing_succeeded", "stopped", "checks_too_slow", "rounds_used", "one_round"
]
ENDINGS: Mapping[Ending, str] = {
    "ready": "It is ready: a person may merge it.",
    "over": "It is merged or closed.",
    "blocked": "Something stands in the way that the bot can't remove.",
    "waits": "What is left is a person's turn.",
    "nothing_succeeded": "Nothing that was tried succeeded.",
    "stopped": "A person stopped it.",
    "checks_too_slow": "The checks did not end in time.",
    "rounds_used": "It is not ready after all its rounds.",
    "one_round": "One round was made.",
}


@dataclass(frozen=True)
class Hands:
    """All that the loop can do to the world."""

    look: Callable[[], PullTriage]
    """Where the pull request stands now."""
    work: Callable[[Step], Worked]
    """Do a step, and publish what comes of it."""
    clock: Callable[[], float]
    """Seconds that only grow."""
    sleep: Callable[[float], None]
    """Wait that many seconds."""
    stopped: Cancelled
    """Whether a person wants it to stop."""
    tell: Callable[[str], None] = lambda text: None
    """News for whoever watches."""


class Round(Value):
    """One look and what was done about it."""

    number: int
    """From 1."""
    status: PullStatus
    """Where it stood before."""
    worked: tuple[Worked, ...] = ()
    """What was tried."""


class Journey(Value):
    """All rounds."""

    ending: Ending
    """Why it ended."""
    triage: PullTriage
    """Where the pull request stood at the last look."""
    rounds: tuple[Round, ...] = ()
    """What was done."""

    @property
    def answers(self) -> tuple[Answered, ...]:
        """What remarks got, in order."""
        return tuple(each for one in self.rounds for work in one.worked for each in work.answers)


def plan(found: PullTriage, *, answered: Collection[str] = ()) -> tuple[Step, ...]:
    """What would be done, in order: the bot's work first, then what is left to people.

    `answered` are remarks that got a change or a reason in this journey: they wait for their reviewers.
    """
    steps: list[Step] = []
    if found.status in ("merged", "closed"):
        return ()
    auto = {each.kind: each for each in found.blockers if each.auto}
    if blocker := auto.get("ci_failure"):
        steps.append(Step(kind="mend_checks", text=f"Try to mend the checks. {blocker.text}"))
    if found.writable and (todo := _answerable(found, answered)):
        one = len(todo) == 1
        steps.append(
            Step(
                kind="answer_feedback",
                text=f"Answer {len(todo)} remark{'' if one else 's'}, by a change or by a reason against it.",
                feedback=todo,
            )
        )
    return (*steps, *(Step(kind="for_person", text=each.text) for each in found.blockers if not each.auto))


def resolve(found: PullTriage, hands: Hands, *, number: int = 1, answered: Collection[str] = ()) -> Round:
    """One round: every step of the plan that is the bot's, in order, until a person stops it."""
    worked: list[Worked] = []
    for step in plan(found, answered=answered):
        if step.kind == "for_person" or hands.stopped() or any(each.stopped for each in worked):
            continue
        hands.tell(step.text)
        worked.append(hands.work(step))
    return Round(number=number, status=found.status, worked=tuple(worked))


def run_until_ready(hands: Hands, *, rounds: int = ROUNDS) -> Journey:
    """Look, work, look again. Never merges; ends after `rounds` rounds at the most, and says why it ended."""
    done: list[Round] = []
    answered: set[str] = set()
    checked = False
    while True:
        found, ending = _look(hands, checked=checked)
        checked = found.checks != "none"
        steps = [each for each in plan(found, answered=answered) if each.kind != "for_person"]
        if ending is None and not steps:
            ending = "waits"
        if ending is None and len(done) >= rounds:
            ending = "rounds_used"
        if ending is None:
            done.append(resolve(found, hands, number=len(done) + 1, answered=answered))
            answered |= {each.feedback for work in done[-1].worked for each in work.answers}
            ending = _after(done[-1], hands)
        if ending is not None:
            hands.tell(ENDINGS[ending])
            return Journey(ending=ending, triage=found, rounds=tuple(done))
        hands.sleep(PAUSE_SECONDS)


def _look(hands: Hands, *, checked: bool) -> tuple[PullTriage, Ending | None]:
    """Where it stands once checks have ended, and whether that is an end.

    Where there were checks before (`checked`), a commit without any has not met them yet.
    """
    begun = hands.clock()
    while True:
        found = hands.look()
        if hands.stopped():
            return found, "stopped"
        early = checked and found.checks == "none" and found.status not in ("merged", "closed")
        if not (early or only_time_helps(found)):
            break
        if hands.clock() - begun + POLL_SECONDS > CI_SECONDS:
            return found, "checks_too_slow"
        hands.tell("Wait for the checks of the new commit." if early else found.next_actions[0].text)
        hands.sleep(POLL_SECONDS)
    endings: Mapping[PullStatus, Ending] = {
        "merged": "over",
        "closed": "over",
        "ready_to_merge": "ready",
        "blocked": "blocked",
    }
    return found, endings.get(found.status)


def only_time_helps(found: PullTriage) -> bool:
    """Whether checks are under way, or GitHub still works out whether it merges."""
    return found.status == "needs_ci" or (
        found.status == "needs_review" and not found.blockers and found.next_actions[0].who == "nobody"
    )


def _after(done: Round, hands: Hands) -> Ending | None:
    if hands.stopped() or any(each.stopped for each in done.worked):
        return "stopped"
    return None if any(each.ok for each in done.worked) else "nothing_succeeded"


def _answerable(found: PullTriage, answered: Collection[str]) -> tuple[Feedback, ...]:
    """Remarks of people who count that nobody answered: what holds it up first, then what is easily done."""
    easy = [
        each
        for each in found.feedback
        if each.status == "unaddressed" and each.writer and each.auto and not is_praise(each.text)
    ]
    todo = {each.id: each for each in (*outstanding(found.feedback), *easy) if each.id not in answered}
    return tuple(todo.values())[:MOST]

"""Where a pull request stands -> what to do next and whose turn it is, most useful first. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from bot.triage.pulls.checks import Checks
from bot.triage.pulls.feedback import outstanding
from bot.triage.pulls.quoting import listed, quoted
from bot.triage.pulls.review_shape import DiffReview
from bot.types.pull import Blocker, Feedback, NextAction, PullState, PullStatus

Who = Literal["author", "reviewer", "maintainer", "bot", "nobody"]


class Situation(NamedTuple):
    """All that decides what is next."""

    state: PullState
    status: PullStatus
    walls: tuple[Blocker, ...]
    """Blockers that no work on the code removes."""
    others: tuple[Blocker, ...]
    """Blockers that do not make it blocked: work and approvals."""
    checks: Checks
    feedback: tuple[Feedback, ...]
    home: bool
    """Whether the bot may write to its branch."""
    reviewed: DiffReview | None


def next_actions(found: Situation) -> tuple[NextAction, ...]:
    """At least one."""
    if found.status == "merged":
        return (NextAction(who="nobody", text="Nothing: it is merged."),)
    if found.status == "closed":
        return (NextAction(who="nobody", text="Nothing: it is closed. Reopen it if it is still wanted."),)
    steps = [*_main(found), *_besides(found)]
    return tuple(NextAction(who=who, text=text) for who, text in steps)


def _main(found: Situation) -> Iterator[tuple[Who, str]]:
    """What the status comes from, in the order of its blockers."""
    for blocker in found.walls:
        yield _against_wall(blocker, found)
    for blocker in found.others:
        yield from _against(blocker, found)
    if found.checks.verdict == "pending":
        yield "nobody", f"Wait for checks that are under way: {listed(each.name for each in found.checks.pending)}."
    pull = found.state.subject.pull
    if pull is not None and pull.draft:
        yield "author", "Mark it as ready for review once it is: it is a draft."
    if found.status == "ready_to_merge":
        yield "maintainer", "Merge it: nothing stands in the way."
    elif found.state.mergeable == "unknown" and not (found.walls or found.others):
        yield "nobody", "Ask again in a moment: GitHub has not worked out yet whether it merges without a conflict."
    if not found.state.complete:
        yield "maintainer", "Look at it on GitHub: it has more reviews, threads or checks than were read."


def _against_wall(blocker: Blocker, found: Situation) -> tuple[Who, str]:
    pull = found.state.subject.pull
    base = quoted(pull.base.ref) if pull else "the base"
    match blocker.kind:
        case "merge_conflict":
            return "author", f"Merge {base} into the branch and resolve the conflict."
        case "stale_branch":
            return "author", f"Bring the branch up to date with {base}."
        case "branch_protection":
            return (
                "maintainer",
                f"See which rule of {base} holds it back: a required check that has not begun, perhaps.",
            )
        case _:
            return "maintainer", blocker.text


def _against(blocker: Blocker, found: Situation) -> Iterator[tuple[Who, str]]:
    match blocker.kind:
        case "missing_approval":
            yield "reviewer", f"Review it. {blocker.text}"
        case "review_feedback":
            yield from _answer(found)
        case _:
            yield "author", f"Mend it. {blocker.text}"
            if blocker.auto:
                yield "bot", "The task `fix-ci` can try to mend the checks."


def _answer(found: Situation) -> Iterator[tuple[Who, str]]:
    wanted = outstanding(found.feedback)
    worst = [each for each in wanted if each.severity in ("critical", "high")]
    heavy = f", {len(worst)} of them of high severity" if worst and len(wanted) > 1 else ""
    one = len(wanted) == 1
    yield "author", f"Answer {len(wanted)} remark{'' if one else 's'}{heavy}, by a change or by a reason against it."
    if found.home:
        yield "bot", "It can answer them: `sandpiper triage pr --resolve`."


def _besides(found: Situation) -> Iterator[tuple[Who, str]]:
    """What keeps nothing from being merged."""
    heavy = {each.id for each in outstanding(found.feedback)}
    small = [each for each in found.feedback if each.status == "unaddressed" and each.id not in heavy]
    if small:
        one = len(small) == 1
        yield (
            "author",
            f"{len(small)} remark{'' if one else 's'} that do{'es' if one else ''} not hold it up: look through.",
        )
    if found.checks.optional:
        names = listed(each.name for each in found.checks.optional)
        yield "author", f"Optional checks fail, which does not hold it up: {names}."
    if found.reviewed is not None and (bad := [each for each in found.reviewed.issues if each.is_heavy]):
        yield "author", f"The review of its diff found {len(bad)} thing{'' if len(bad) == 1 else 's'} of high severity."

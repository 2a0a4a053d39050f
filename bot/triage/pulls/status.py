"""The state of a pull request -> where it stands: one of seven words, what stands in the way, whose turn it is. Pure.

The word is the first of these that holds:

merged           it was merged
closed           it was closed without
blocked          something stands in the way that work on its code does not remove: a conflict, a rule of the branch,
                 a branch that is behind where rules forbid that, a check that waits for a person
needs_ci         checks that weigh are under way, and none of them has failed yet
needs_work       such a check failed, somebody who counts waits for a change, or it is still a draft
ready_to_merge   nothing is in the way, and GitHub says that it merges; never a draft
needs_review     all else: an approval is missing, or GitHub has not worked out yet whether it merges

A missing approval is a blocker that no bot removes, yet it has a word of its own: it waits, it is not stuck.
"""

from __future__ import annotations

from collections.abc import Iterator

from bot.triage.pulls.checks import Checks, checks_of, needs_person
from bot.triage.pulls.feedback import feedback_of, outstanding, unseen
from bot.triage.pulls.next import Situation, next_actions
from bot.triage.pulls.quoting import listed, quoted
from bot.triage.pulls.review_shape import DiffReview
from bot.types.pull import Blocker, Feedback, PullState, PullStatus, PullTriage

MERGES = ("clean", "has_hooks", "unstable")
"""GitHub's words for a pull request that could be merged now."""


def triage_pull(
    state: PullState, *, full_name: str = "", viewer: int = 0, reviewed: DiffReview | None = None
) -> PullTriage:
    """Where it stands. To a fork's branch the bot can't write: `full_name` is the repository by which one is known.

    `viewer` is the numeric id of our own account, whose answers to remarks count until their reviewers come back.
    `reviewed` is what a review of the diff said: an opinion that adds to what is to be done and changes no status.
    """
    pull = state.subject.pull
    home = not full_name or (pull is not None and (pull.head_repository or "").lower() == full_name.lower())
    checks, feedback = checks_of(state.checks), feedback_of(state, viewer=viewer)
    over = state.subject.state == "closed" or (pull is not None and pull.merged)
    walls = () if over else tuple(_walls(state, checks, feedback))
    others = () if over else (*_work(checks, feedback, home=home), *_wait(state, feedback))
    status = _status(state, walls, others, checks)
    situation = Situation(state, status, walls, others, checks, feedback, home, reviewed)
    return PullTriage(
        number=state.subject.number,
        title=state.subject.title,
        status=status,
        draft=pull is not None and pull.draft,
        checks=checks.verdict,
        blockers=(*walls, *others),
        feedback=feedback,
        next_actions=next_actions(situation),
        writable=home,
        size=f"+{state.additions} -{state.deletions}, {state.files} file{'' if state.files == 1 else 's'}",
    )


def _status(state: PullState, walls: tuple[Blocker, ...], others: tuple[Blocker, ...], checks: Checks) -> PullStatus:
    pull = state.subject.pull
    draft = pull is not None and pull.draft
    order: tuple[tuple[PullStatus, bool], ...] = (
        ("merged", pull is not None and pull.merged),
        ("closed", state.subject.state == "closed"),
        ("blocked", bool(walls)),
        ("needs_ci", checks.verdict == "pending"),
        ("needs_work", draft or any(each.kind in ("ci_failure", "review_feedback") for each in others)),
        ("ready_to_merge", not others and is_mergeable(state) and state.complete),
    )
    return next((status for status, holds in order if holds), "needs_review")


def is_mergeable(state: PullState) -> bool:
    """Whether GitHub says that it merges. It works that out when somebody asks, and says nothing until then."""
    return state.mergeable == "mergeable" or (state.mergeable == "unknown" and state.merge_state in MERGES)


# --- what stands in the way -------------------------------------------------------------------------------------


def _walls(state: PullState, checks: Checks, feedback: tuple[Feedback, ...]) -> Iterator[Blocker]:
    """What no work on the code removes, and the bot neither."""
    base = quoted(state.subject.pull.base.ref) if state.subject.pull else "its base"
    if state.mergeable == "conflicting" or state.merge_state == "dirty":
        yield Blocker(kind="merge_conflict", text=f"It conflicts with {base}.")
    if state.merge_state == "behind":
        behind = f"{state.behind_by} commits of" if state.behind_by else "commits of"
        yield Blocker(kind="stale_branch", text=f"It lacks {behind} {base}, and the branch's rules want it up to date.")
    if waiting := [each.name for each in checks.failing if needs_person(each)]:
        yield Blocker(
            kind="ci_failure",
            text=f"Checks wait for a person, who starts them again or allows them: {listed(waiting)}.",
        )
    if state.merge_state == "blocked" and not _explained(state, checks, feedback):
        unresolved = sum(not each.resolved for each in state.threads)
        more = f" Conversations that nobody resolved: {unresolved}." if unresolved else ""
        yield Blocker(kind="branch_protection", text=f"A rule of {base} keeps it from being merged.{more}")


def _explained(state: PullState, checks: Checks, feedback: tuple[Feedback, ...]) -> bool:
    """Whether something else that was found is why GitHub calls it blocked."""
    draft = state.subject.pull is not None and state.subject.pull.draft
    wanting = state.review_decision in ("review_required", "changes_requested")
    unsettled = checks.verdict in ("failing", "pending") or state.mergeable == "conflicting"
    return draft or wanting or unsettled or bool(outstanding(feedback)) or bool(_unconvinced(state))


def _work(checks: Checks, feedback: tuple[Feedback, ...], *, home: bool) -> Iterator[Blocker]:
    """What work on the code removes, which the bot can do where it may write to the branch."""
    if broken := [each.name for each in checks.failing if not needs_person(each)]:
        yield Blocker(kind="ci_failure", text=f"Checks fail: {listed(broken)}.", auto=home)
    if wanted := outstanding(feedback):
        people = listed(dict.fromkeys(each.author for each in wanted))
        one = len(wanted) == 1
        text = f"{len(wanted)} remark{'' if one else 's'} of {people} {'is' if one else 'are'} open."
        yield Blocker(kind="review_feedback", text=text, auto=home)


def _wait(state: PullState, feedback: tuple[Feedback, ...]) -> Iterator[Blocker]:
    """An approval that is missing: nobody gave one, or who asked for changes has not looked at them yet.

    An answer of the bot's ends its own work on a remark, and convinces nobody by itself.
    """
    unconvinced = _unconvinced(state)
    if unconvinced and not outstanding(feedback):
        have = "has" if len(unconvinced) == 1 else "have"
        text = f"{listed(unconvinced)} asked for changes and {have} not looked again."
        yield Blocker(kind="missing_approval", text=text)
    elif state.review_decision == "review_required":
        yield Blocker(kind="missing_approval", text="The branch's rules want an approval that it does not have.")
    elif state.review_decision == "changes_requested" and not outstanding(feedback):
        yield Blocker(kind="missing_approval", text="Somebody asked for changes and has not looked again.")
    if people := dict.fromkeys(each.author for each in unseen(feedback) if each.author not in unconvinced):
        have = "has" if len(people) == 1 else "have"
        text = f"{listed(people)} {have} not looked at the bot's answers to what they want."
        yield Blocker(kind="missing_approval", text=text)


def _unconvinced(state: PullState) -> tuple[str, ...]:
    """Writers whose last word is that something has to change."""
    return tuple(
        each.author.login if each.author else "ghost"
        for each in state.reviews
        if each.writer and each.verdict == "changes_requested"
    )

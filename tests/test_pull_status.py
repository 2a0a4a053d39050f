"""The state of a pull request -> one of seven words, blockers, next actions: a truth table over all inputs."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.triage.pulls.checks import checks_of
from bot.triage.pulls.comment import pull_comment
from bot.triage.pulls.review_shape import DiffReview, Issue
from bot.triage.pulls.status import triage_pull
from bot.types.pull import BlockerKind, PullState, PullStatus, PullTriage
from tests.pull_fixtures import NAME, OLD, check, pull, review, said, thread

CHECKS = {
    "none": (),
    "passing": (check(), check("lint", "neutral"), check("deploy", "skipped")),
    "pending": (check(), check("slow", "", status="in_progress")),
    "failing": (check("test", "failure"), check("slow", "", status="queued")),
    "person": (check("deploy", "action_required"),),
    "optional": (check("test", required=True), check("beta", "failure")),
}
REVIEWS: dict[str, dict[str, Any]] = {
    "none": {},
    "approved": {"review_decision": "approved", "reviews": (review("approved"),)},
    "required": {"review_decision": "review_required"},
    "changes": {"reviews": (review("changes_requested", "The parser drops rows."),)},
    "changed": {"reviews": (review("changes_requested", "The parser drops rows.", commit=OLD),)},
}
MERGES: dict[str, dict[str, Any]] = {
    "clean": {},
    "unstable": {"merge_state": "unstable"},
    "conflict": {"mergeable": "conflicting", "merge_state": "dirty"},
    "behind": {"merge_state": "behind", "behind_by": 3},
    "rules": {"merge_state": "blocked"},
    "unknown": {"mergeable": "unknown", "merge_state": "unknown"},
}
THREADS = {
    "none": (),
    "open": (thread("This drops rows."),),
    "small": (thread("nit: rename"),),
    "over": (thread("This drops rows.", resolved=True),),
}
LIVES: dict[str, dict[str, Any]] = {
    "open": {},
    "draft": {"draft": True},
    "merged": {"merged": True, "state": "closed"},
    "closed": {"state": "closed"},
}


def expected(life: str, checks: str, reviews: str, merge: str, threads: str) -> PullStatus:
    """The rules once more, by the names of the inputs."""
    wants_work = reviews == "changes" or threads == "open"
    waits = reviews in ("required", "changed")
    explained = wants_work or waits or life == "draft" or checks in ("pending", "failing", "person")
    walled = merge in ("conflict", "behind") or checks == "person" or (merge == "rules" and not explained)
    order: tuple[tuple[PullStatus, bool], ...] = (
        ("merged", life == "merged"),
        ("closed", life == "closed"),
        ("blocked", walled),
        ("needs_ci", checks == "pending"),
        ("needs_work", checks == "failing" or wants_work or life == "draft"),
        ("ready_to_merge", not waits and merge != "unknown"),
    )
    return next((status for status, holds in order if holds), "needs_review")


def test_every_combination_has_the_status_of_the_first_rule_that_holds() -> None:
    seen: Counter[str] = Counter()
    for names in itertools.product(LIVES, CHECKS, REVIEWS, MERGES, THREADS):
        life, checks, reviews, merge, threads = names
        state = pull(
            **LIVES[life], **{**MERGES[merge], **REVIEWS[reviews]}, checks=CHECKS[checks], threads=THREADS[threads]
        )
        found = triage_pull(state, full_name=NAME)
        assert found.status == expected(*names), names
        holds_up(found)
        seen[found.status] += 1
    assert set(seen) == set(get_args(PullStatus)), "a word that nothing leads to"
    assert sum(seen.values()) == 4 * 6 * 5 * 6 * 4


def holds_up(found: PullTriage) -> None:
    """What is true of every triage, whatever the pull request."""
    kinds = {each.kind for each in found.blockers}
    assert found.next_actions
    texts = [each.text for each in found.blockers] + [each.text for each in found.next_actions]
    assert all(each.endswith(".") for each in texts)
    if found.status in ("merged", "closed"):
        assert not kinds
        assert {each.who for each in found.next_actions} == {"nobody"}
    if found.status == "ready_to_merge":
        assert not found.blockers
        assert not found.draft
        assert found.next_actions[0].who == "maintainer"
    if found.status == "blocked":
        assert any(not each.auto and each.kind != "missing_approval" for each in found.blockers)
    if found.status == "needs_work":
        assert found.draft or kinds & {"ci_failure", "review_feedback"}
    if found.status == "needs_ci":
        assert found.checks == "pending"
    assert not any(each.auto for each in found.blockers if each.kind not in ("ci_failure", "review_feedback"))
    assert PullTriage.model_validate_json(found.model_dump_json()) == found
    assert pull_comment(found)


CONCLUSIONS = [
    "success",
    "failure",
    "neutral",
    "skipped",
    "cancelled",
    "stale",
    "timed_out",
    "action_required",
    "",
    "pending",
    "error",
]
MERGE_STATES = ["behind", "blocked", "clean", "dirty", "draft", "has_hooks", "unstable", "unknown", "new"]
BAD = ["failure", "cancelled", "stale", "timed_out", "action_required", "startup_failure", "new"]
RUNS = st.builds(check, st.text(max_size=9), st.sampled_from(CONCLUSIONS), required=st.booleans())
TALKS = st.builds(
    lambda texts, resolved: thread(*texts, resolved=resolved),
    st.lists(st.text(max_size=40), max_size=3),
    st.booleans(),
)
STATES = st.builds(
    pull,
    merged=st.booleans(),
    draft=st.booleans(),
    state=st.sampled_from(["open", "closed"]),
    home=st.booleans(),
    mergeable=st.sampled_from(["mergeable", "conflicting", "unknown"]),
    merge_state=st.sampled_from(MERGE_STATES),
    review_decision=st.sampled_from(["", "approved", "changes_requested", "review_required"]),
    complete=st.booleans(),
    checks=st.lists(RUNS, max_size=4).map(tuple),
    reviews=st.lists(
        st.builds(
            review,
            st.sampled_from(["approved", "changes_requested", "commented", "dismissed", "pending"]),
            st.text(max_size=30),
            writer=st.booleans(),
            commit=st.sampled_from(["", OLD]),
        ),
        max_size=3,
    ).map(tuple),
    threads=st.lists(TALKS, max_size=3).map(tuple),
)


@given(STATES)
def test_what_is_true_of_every_pull_request(state: PullState) -> None:
    found = triage_pull(state, full_name=NAME)
    holds_up(found)
    assert state.subject.pull is not None
    assert (found.status == "merged") == state.subject.pull.merged
    if state.mergeable != "mergeable" and state.merge_state not in ("clean", "has_hooks", "unstable"):
        assert found.status != "ready_to_merge"
    if not state.complete:
        assert found.status != "ready_to_merge", "what was not read can hold anything"
    if state.subject.pull.head_repository != NAME:
        assert not any(each.auto for each in found.blockers), "to a fork's branch the bot can't write"


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        ([], "none"),
        ([check()], "passing"),
        ([check(conclusion="neutral"), check(conclusion="skipped")], "passing"),
        *[([check(), check("x", bad)], "failing") for bad in BAD],
        ([check("x", "", status="queued")], "pending"),
        ([check("status", "pending")], "pending"),
        ([check("x", "failure"), check("y", "", status="in_progress")], "failing"),
        ([check("x", required=True), check("y", "failure")], "passing"),
        ([check("x", required=True), check("y", "", status="queued")], "passing"),
        ([check("x", "failure", required=True), check("y")], "failing"),
        ([check("x", "FAILURE")], "failing"),
    ],
)
def test_checks_together(checks: list[Any], verdict: str) -> None:
    assert checks_of(checks).verdict == verdict


def test_optional_checks_that_fail_are_told_and_hold_nothing_up() -> None:
    found = triage_pull(pull(checks=CHECKS["optional"]))
    assert (found.status, found.checks) == ("ready_to_merge", "passing")
    assert "Optional checks fail, which does not hold it up: `beta`." in [each.text for each in found.next_actions]


def test_a_draft_is_never_ready_and_says_what_its_author_does() -> None:
    found = triage_pull(pull(draft=True, merge_state="draft"))
    assert (found.status, found.draft, found.blockers) == ("needs_work", True, ())
    assert found.next_actions[0].who == "author"
    assert "draft" in found.next_actions[0].text


def test_unknown_mergeability_is_said_and_not_guessed() -> None:
    found = triage_pull(pull(mergeable="unknown", merge_state="unknown"))
    assert found.status == "needs_review"
    assert "has not worked out yet" in found.next_actions[0].text


def test_whose_changes_are_awaited_is_named_without_a_mention() -> None:
    found = triage_pull(pull(reviews=(review("changes_requested", "Drop it.", commit=OLD),)))
    assert found.status == "needs_review"
    assert found.blockers[0].text == "`maria` asked for changes and has not looked again."
    assert found.next_actions[0].who == "reviewer"


def test_what_a_stranger_asks_for_holds_nothing_up() -> None:
    loud = thread(said("This must be rewritten, it is a security hole!", author=None, writer=False))
    found = triage_pull(pull(threads=(loud,), reviews=(review("changes_requested", "No!", writer=False),)))
    assert found.status == "ready_to_merge"
    assert [each.severity for each in found.feedback] == ["critical", "medium"]


def test_a_review_of_the_diff_adds_an_action_and_changes_no_status() -> None:
    issue = Issue(path="app.py", line=1, severity="critical", text="It deletes everything.")
    found = triage_pull(pull(), reviewed=DiffReview(issues=(issue,), assessment="Bad."))
    assert found.status == "ready_to_merge"
    assert "found 1 thing of high severity" in found.next_actions[-1].text


def test_all_blockers_can_be_told() -> None:
    states = [
        pull(mergeable="conflicting"),
        pull(merge_state="behind"),
        pull(merge_state="blocked"),
        pull(checks=CHECKS["failing"], threads=THREADS["open"], review_decision="review_required"),
    ]
    kinds = {each.kind for state in states for each in triage_pull(state).blockers}
    assert kinds == set(get_args(BlockerKind))


EVIL = "[click](https://evil.example) @everyone <img src=x onerror=y> | `x` \u202e#1 \x1b[31m ![](http://evil.example/i.png)"


def test_a_comment_is_inert_short_and_complete() -> None:
    from markdown_it import MarkdownIt

    threads = tuple(thread(EVIL, name=str(number)) for number in range(40))
    state = pull(title=EVIL, checks=(check(EVIL, "failure"),), threads=threads, review_decision="review_required")
    body = pull_comment(triage_pull(state, full_name=NAME))
    assert len(body) < 3_000
    assert "**needs work**" in body
    assert "`ci_failure`" in body
    assert "40 unaddressed" in body
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    inner = [child for token in tokens for child in token.children or ()]
    assert not {"link_open", "image", "html_inline"} & {each.type for each in inner}
    assert not [token for token in tokens if token.type == "html_block"]
    words = "".join(each.content for each in inner if each.type == "text")
    assert "@" not in words
    assert "#" not in words
    assert "\u202e" not in body
    assert "\x1b" not in body

"""Rules of the policy: all conditions must hold, patterns are safe, and paths are asked for only if need be."""

import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import PolicyError
from bot.triage.issues.rules import by_rules
from bot.triage.patterns import fault_of, found
from bot.triage.policy import parse_policy
from bot.types.decision import Answer
from bot.types.event import Actor, Subject
from bot.types.output import LabelChange
from bot.types.pull import PullState
from tests.triage_fixtures import forge_for, judge, opened, pulled


def subject(kind: Any = "issue", **more: Any) -> Subject:
    shape = {"number": 7, "title": "It crashes", "body": "On start.", "author": Actor(login="stranger", id=5)}
    return Subject(kind=kind, **{**shape, **more})


def held(when: str, about: Subject, changed: Sequence[str] = ()) -> bool:
    policy = parse_policy(f"triage: {{rules: [{{when: {when}, then: {{labels: [x]}}}}]}}".encode())
    return by_rules(about, policy, lambda: changed).labels == ("x",)


def test_conditions_of_a_rule_must_all_hold() -> None:
    when = "{title: crash, author: 'str*', labels: [p?], subject: issue, matches: '(?i)on\\s+START'}"
    assert held(when, subject(labels=("p1",)))
    for other in ({}, {"title": "ok", "labels": ("p1",)}, {"labels": ("p12",)}, {"body": "x", "labels": ("p1",)}):
        assert not held(when, subject(**other))
    assert not held(when, subject(author=Actor(login="writer", id=2), labels=("p1",)))


def test_all_rules_that_hold_count_and_of_tasks_the_first() -> None:
    text = """triage: {rules: [
      {when: {title: crash}, then: {labels: [bug, p1], comment: One., task: fix}},
      {when: {title: nothing}, then: {labels: [never]}},
      {when: {matches: 'cr[a-z]sh'}, then: {labels: [p1, late], comment: Two., task: test}}]}"""
    ruled = by_rules(subject(), parse_policy(text.encode()))
    assert (ruled.labels, ruled.comments, ruled.task) == (("bug", "p1", "late"), ("One.", "Two."), "fix")
    assert ruled.reason == "2 of 3 rules hold"


@pytest.mark.parametrize(
    ("pattern", "text", "is_found"),
    [
        ("crash", "It crashes", True), ("^crash", "It crashes", False), ("CRASH", "crash", False),
        ("(?i)CRASH", "crash", True), (r"\bv?\d+\.\d+\b", "at 1.20", True), ("(?m)^end$", "a\nend\nb", True),
        ("ü+", "für", True), (r"\p{Cyrillic}", "да", True), ("x", "\ud83d", False), ("a.c", "a\nc", False),
    ],
)  # fmt: skip
def test_patterns(pattern: str, text: str, is_found: bool) -> None:
    assert found([pattern], "", text) is is_found


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("(a", "missing )"), ("(?=x)", "invalid perl operator"), (r"(a)\1", "invalid escape sequence"),
        ("a{1001}", "invalid repetition size"), (r"(\pL{300}){3}", "pattern too large"), ("[[:nope:]]", "[:nope:]"),
    ],
)  # fmt: skip
def test_what_is_no_pattern_is_named_with_its_line(pattern: str, fault: str) -> None:
    when = f"        matches: ['ok', '{pattern}']\n      then: {{labels: [x]}}\n"
    text = f"version: 1\ntriage:\n  rules:\n    - when:\n{when}"
    with pytest.raises(PolicyError) as error:
        parse_policy(text.encode())
    (mistake,) = error.value.mistakes
    assert (mistake.line, mistake.field) == (5, "triage.rules[0].when.matches[1]")
    assert fault in mistake.message


def test_a_lone_pattern_and_a_place_that_no_path_fits() -> None:
    text = "triage:\n  rules:\n    - when:\n        matches: '*x'\n        paths: '!'\n      then: {labels: [x]}\n"
    with pytest.raises(PolicyError) as error:
        parse_policy(text.encode())
    assert [(each.line, each.field) for each in error.value.mistakes] == [
        (4, "triage.rules[0].when.matches"),
        (5, "triage.rules[0].when.paths"),
    ]


def test_hostile_patterns_and_texts_take_no_time() -> None:
    started = time.process_time()
    for pattern in ("(a+)+$", "(a|aa)+$", "(.*)*x", "(a?){50}a{50}b"):
        assert not found([pattern], "a" * 60_000 + "!" if "b" not in pattern else "a" * 60_000)
    assert time.process_time() - started < 5, "linear takes milliseconds, exponential for ever"


@given(st.text(max_size=40), st.text(max_size=80))
def test_any_pattern_is_refused_or_answers(pattern: str, text: str) -> None:
    if fault_of(pattern) is None:
        assert found([pattern], text) in (True, False)


def test_paths_are_gitignore_patterns_and_never_hold_for_an_issue() -> None:
    pull = subject("pull_request")
    assert held("{paths: 'docs/'}", pull, ["docs/a.md", "src/b.py"])
    assert held("{paths: ['*.md']}", pull, ["docs/a.md"])
    assert held("{paths: ['*.md', '!docs/**']}", pull, ["docs/a.md", "b.md"])
    assert not held("{paths: ['*.md', '!docs/**']}", pull, ["docs/a.md"])
    assert not held("{paths: '/a.md'}", pull, ["docs/a.md"])
    assert not held("{paths: '**'}", subject(), ["docs/a.md"])


RULES = """
triage:
  rules:
    - {when: {title: crash, paths: 'docs/**'}, then: {labels: [docs]}}
    - {when: {paths: '*.py'}, then: {labels: [code]}}
on: {opened: triage}
"""


@pytest.mark.parametrize(("title", "wanted"), [("It crashes", {"docs", "code"}), ("Something else", {"code"})])
def test_paths_are_asked_for_once_and_only_where_a_rule_needs_them(title: str, wanted: set[str]) -> None:
    event = pulled("opened", fork=False, title=title)
    forge = forge_for(event, policy=RULES)
    forge.changed[7] = ("docs/a.md", "src/b.py")
    answer = judge(event, forge)
    assert isinstance(answer, Answer)
    assert {label for each in answer.outputs if isinstance(each, LabelChange) for label in each.add} == wanted
    assert forge.reads.count("changed_paths") == 1
    event = opened(title=title)
    forge = forge_for(event, policy=RULES)
    judge(event, forge)
    assert "changed_paths" not in forge.reads


def test_a_pull_request_is_told_how_it_stands_where_policy_wants_a_comment() -> None:
    event = pulled("opened", fork=False)
    for text, asked in ((RULES, 0), (RULES.replace("triage:\n", "triage:\n  actions: [comment]\n", 1), 1)):
        forge = forge_for(event, policy=text)
        found = forge.subjects[7]
        forge.states[7] = PullState(subject=found)
        answer = judge(event, forge)
        assert isinstance(answer, Answer)
        assert forge.reads.count("pull_state") == asked
        assert len([each for each in answer.outputs if each.kind == "note"]) == asked

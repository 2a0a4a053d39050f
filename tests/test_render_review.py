"""Rendering of a review: remarks only where a comment may stand, words made safe, suggestions as they are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bot.forge.render.review import REMARKS, fingerprints, review_of
from bot.forge.render.sanitize import clean, size
from bot.forge.render.story import proposals
from bot.marks import marker
from bot.settings import Settings
from bot.types.event import Actor, PullInfo, Repository, Revision, Subject
from bot.types.output import Review
from bot.types.result import Finding, RunResult
from bot.types.task import RunSpec, Task

RUN, HEAD, BASE = "0123456789abcdef", "a" * 40, "b" * 40
ALICE = Actor(login="alice", id=7)
DIFF = """\
diff --git a/src/a.py b/src/a.py
--- a/src/a.py
+++ b/src/a.py
@@ -1,3 +1,4 @@
 one
+two
 three
 four
@@ -20,2 +21,3 @@
 twenty
+more
 end
"""


def spec(**more: Any) -> RunSpec:
    pull = PullInfo(head=Revision(ref="f", sha=HEAD), base=Revision(ref="main", sha=BASE), head_repository="octo/demo")
    about = Subject(kind="pull_request", number=5, title="t", author=ALICE, pull=pull)
    values: dict[str, Any] = {
        "run_id": RUN,
        "task": Task(name="review", outputs=("comment", "review")),
        "repository": Repository(full_name="octo/demo", default_branch="main"),
        "subject": about,
        "revision": Revision(ref="f", sha=HEAD),
        "base": Revision(ref="main", sha=BASE),
        "requester": ALICE,
        "trust": "writer",
    }
    return RunSpec.model_validate({**values, **more})


def finding(line: int = 2, text: str = "It overflows.", **more: Any) -> Finding:
    return Finding.model_validate({"path": "src/a.py", "line": line, "text": text, **more})


def review(*findings: Finding, diff: str = DIFF, **more: Any) -> Review:
    result = RunResult(conclusion="success", summary="All is well.", findings=findings)
    made = review_of(spec(**more), result, diff, Settings())
    assert made is not None
    assert [each for each in proposals(spec(**more), result, settings=Settings(), diff=diff) if each == made]
    return made


def suggestions(markdown: str) -> list[str]:
    tokens = MarkdownIt("commonmark").parse(markdown)
    return [each.content for each in tokens if each.type == "fence" and each.info.strip() == "suggestion"]


def test_what_stands_in_the_diff_is_a_remark_and_the_rest_is_told_above() -> None:
    made = review(finding(2), finding(4, first=2, severity="high"), finding(10, "Far away."), finding(1, path="b.py"))
    assert [(each.path, each.first, each.line) for each in made.remarks] == [
        ("src/a.py", None, 2),
        ("src/a.py", 2, 4),
    ]
    assert "High" in made.remarks[1].body
    assert "It overflows." in made.remarks[1].body
    assert "`src/a.py:10`" in made.body
    assert "Far away." in made.body
    assert "`b.py:1`" in made.body
    assert "**4 findings**: 1 high, 3 medium." in made.body
    assert (made.number, made.sha, made.marker) == (5, HEAD, marker("review", RUN))


@pytest.mark.parametrize(("first", "line"), [(4, 21), (4, 5), (3, 2), (None, 5), (None, 24)])
def test_lines_that_are_not_in_one_hunk_get_no_remark_and_no_suggestion(first: int | None, line: int) -> None:
    made = review(finding(line, first=first, suggestion="x = 1"))
    assert made.remarks == ()
    assert "It overflows." in made.body
    assert "x = 1" in made.body
    assert suggestions(made.body) == []


def test_nothing_found_is_one_sentence() -> None:
    made = review()
    assert made.remarks == ()
    assert made.body.startswith("All is well.\n")


@pytest.mark.parametrize(
    ("about", "result"),
    [
        ({"trust": "anyone"}, {}),
        ({"subject": None}, {}),
        ({"task": Task(name="x", outputs=("comment",))}, {}),
        ({}, {"held": ("a secret",)}),
        ({}, {"conclusion": "failure"}),
        ({}, {"conclusion": "cancelled"}),
    ],
)
def test_no_review_where_none_may_be_written(about: dict[str, Any], result: dict[str, Any]) -> None:
    made = RunResult.model_validate({"conclusion": "success", "findings": (finding(),), **result})
    assert review_of(spec(**about), made, DIFF, Settings()) is None


def test_a_forks_pull_request_gets_its_words() -> None:
    assert len(review(finding(), trust="fork").remarks) == 1


def test_words_are_made_safe_and_code_is_not_rewritten() -> None:
    code = "x = '@everyone' # Fixes #3\n```\n<b>"
    nasty = "@everyone Fixes #99 ![x](http://evil.test/x)\n\n```suggestion\nrm()\n```\n<!-- sandpiper:finding=1 -->"
    body = review(finding(2, nasty, suggestion=code)).remarks[0].body
    assert "`@everyone`" in body
    assert "![" not in body
    assert "<!--" not in body
    assert suggestions(body) == ["x = '@everyone' # Fixes #3\n```\n<b>\n"], "the words hold none that could be applied"


def test_a_suggestion_may_remove_its_lines() -> None:
    assert suggestions(review(finding(2, suggestion="")).remarks[0].body) == [""]
    assert suggestions(review(finding(2, suggestion="a\r\nb\r\n")).remarks[0].body) == ["a\nb\n"]


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=200), st.text(max_size=200), st.sampled_from(["", "```suggestion\n", "> ~~~suggestion\n"]))
def test_a_remark_offers_exactly_its_own_suggestion(text: str, code: str, start: str) -> None:
    made = review(finding(2, f"{start}{text}", suggestion=code))
    wanted = code.replace("\r\n", "\n").removesuffix("\n")
    whole = clean(code) == code.replace("\r\n", "\n")
    assert suggestions(made.remarks[0].body) == ([f"{wanted}\n" if wanted else ""] if whole else [])


def test_a_review_fits_and_the_rest_is_not_lost() -> None:
    many = [finding(2, f"{'word ' * 700}{chr(97 + at % 26) * (at + 1)}", suggestion="y" * 9_000) for at in range(60)]
    made = review(*many)
    assert len(made.remarks) == REMARKS
    assert all(size(each.body) < 60_000 for each in made.remarks)
    assert size(made.body) + len(made.marker) < 65_536
    assert "**60 findings**" in made.body


def test_a_fingerprint_outlives_moves_and_numbers_and_tells_neighbours_apart() -> None:
    (one,) = fingerprints([finding(2, "Line 12: it *overflows*.")])
    assert fingerprints([finding(40, "line 15 - It overflows!", suggestion="x")]) == (one,)
    assert fingerprints([finding(2, "Line 12: it *underflows*.")]) != (one,)
    assert fingerprints([finding(2, "Line 12: it *overflows*.", path="b.py")]) != (one,)
    twins = fingerprints([finding(9), finding(2), finding(5, "Other.")])
    assert len(set(twins)) == 3
    assert fingerprints([finding(19), finding(12), finding(15, "Other.")]) == twins
    assert fingerprints([finding(12), finding(15, "Other."), finding(19)]) == (twins[1], twins[2], twins[0])
    assert all(len(each) == 16 and int(each, 16) >= 0 for each in twins)


@pytest.mark.parametrize("code", ["a = '\u200b'", 'say("\U0001f468\u200d\U0001f467")', "x\x0c", "\ufeffone"])
def test_a_suggestion_that_can_not_be_shown_to_the_letter_is_not_offered(code: str) -> None:
    (remark,) = review(finding(suggestion=code)).remarks
    assert "suggestion" not in remark.body
    assert f"```\n{clean(code)}\n```" in remark.body
    assert "```" not in review(finding(suggestion="\x1f")).remarks[0].body, "an empty one would remove the lines"
    assert "```suggestion\none\n```" in review(finding(suggestion="one\r\n")).remarks[0].body

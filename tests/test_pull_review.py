"""A diff -> a review: what is skipped, how it is cut, what becomes of a model's answers, what is certain without."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.diffs import files_of
from bot.errors import ModelError
from bot.forge.render.anchors import anchors
from bot.testing.llm import Line, ScriptedLLM
from bot.triage.asking import Unusable
from bot.triage.pulls.answers import read_answer
from bot.triage.pulls.pieces import LINE, pieces_of
from bot.triage.pulls.review import Allowance, review_diff
from bot.triage.pulls.review_shape import CATEGORIES, DiffReview, answer_schema
from bot.triage.pulls.skipping import why_skipped

DIFF = """\
diff --git a/app.py b/app.py
index 1111111..2222222 100644
--- a/app.py
+++ b/app.py
@@ -1,4 +1,5 @@
 import os
-x = 1
+x = 2
+y = eval(input())
 z = 3
 def main():
@@ -20,2 +21,3 @@ def main():
     a
+    b
     c
diff --git a/uv.lock b/uv.lock
--- a/uv.lock
+++ b/uv.lock
@@ -1 +1 @@
-a
+b
"""
BAD: dict[str, Any] = {
    "path": "app.py",
    "line": 3,
    "first_line": None,
    "category": "security",
    "severity": "critical",
    "text": "It runs what anybody types. Parse it instead.",
    "suggestion": "y = int(input())",
    "effort": "low",
}


def answer(*issues: dict[str, Any], **more: Any) -> str:
    said = {"issues": list(issues), "improvements": [], "assessment": "Small.", "ready_to_merge": True}
    return json.dumps({**said, "merge_blockers": [], **more})


def reviewed(*script: Line, diff: str = DIFF, price: float = 0.0, **more: Any) -> tuple[DiffReview, ScriptedLLM]:
    llm = ScriptedLLM(script, price=price)
    return review_diff(diff, model=llm, allowance=Allowance(**more)), llm


def new_file(path: str, *lines: str) -> str:
    body = "".join(f"+{line}\n" for line in lines)
    head = f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n"
    return f"{head}@@ -0,0 +1,{len(lines)} @@\n{body}"


# --- the story ----------------------------------------------------------------------------------------------------


def test_a_review_with_a_finding_on_its_line() -> None:
    found, llm = reviewed(answer(BAD, improvements=[{"path": "app.py", "text": "Name it.", "effort": "low"}]))
    (issue,) = found.issues
    assert (issue.path, issue.line, issue.category, issue.severity, issue.effort) == (
        "app.py",
        3,
        "security",
        "critical",
        "low",
    )
    assert (found.ready_to_merge, found.merge_blockers) == (False, ("app.py:3: It runs what anybody types.",))
    assert (found.files, found.usage.steps, found.assessment) == (1, 1, "Small.")
    assert [(each.path, each.reason, each.benign) for each in found.left_out] == [("uv.lock", "a lock file", True)]
    assert issue.line in anchors(DIFF)[issue.path][0], "GitHub takes a remark there"
    assert issue.suggestion == "y = int(input())"
    assert llm.tools == [()], "a review gives the model no tools"
    assert DiffReview.model_validate_json(found.model_dump_json()) == found


def test_what_the_model_is_shown() -> None:
    _, llm = reviewed(answer())
    rules, data = (each.content for each in llm.heard[0])
    assert "data written by strangers" in rules
    assert "file: app.py\n...\n     1 |import os\n       -x = 1\n     2 +x = 2\n     3 +y = eval(input())" in data
    assert "    22 +    b" in data
    assert "uv.lock" not in data


def test_no_changes() -> None:
    for diff in ("", "\n"):
        found, llm = reviewed(diff=diff)
        assert (found.assessment, found.ready_to_merge, llm.heard) == ("No changes to review", False, [])
    found, llm = reviewed(diff="this is no diff")
    assert (found.ready_to_merge, found.merge_blockers, llm.heard) == (False, ("The diff can't be read.",), [])


def test_ready_only_where_nothing_speaks_against_it() -> None:
    assert reviewed(answer())[0].ready_to_merge
    assert reviewed(answer({**BAD, "severity": "low"}))[0].ready_to_merge
    assert not reviewed(answer(ready_to_merge=False))[0].ready_to_merge
    assert not reviewed(answer(BAD))[0].ready_to_merge, "its own finding contradicts the verdict"
    assert not reviewed(answer(merge_blockers=["Add a test."]))[0].ready_to_merge
    unreadable = DIFF + "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1,9 +1,9 @@\n+x\n"
    assert not reviewed(answer(), diff=unreadable)[0].ready_to_merge, "what can't be read can hold anything"


def test_a_reason_that_an_issue_gives_is_not_given_twice() -> None:
    found, _ = reviewed(answer(BAD, merge_blockers=["It runs what anybody types, parse it instead", "No test."]))
    assert found.merge_blockers == ("app.py:3: It runs what anybody types.", "No test.")


# --- without a model ------------------------------------------------------------------------------------------------

KEY = "ghp_" + "aB3" * 12
CONFLICT = ("<<<<<<< HEAD", "a", "=======", "b", ">>>>>>> topic")


def test_without_a_model_only_what_is_certain() -> None:
    found = review_diff(new_file("a.py", "x = 1", *CONFLICT) + new_file("uv.lock", KEY), model=None)
    assert [(each.path, each.line, each.certain) for each in found.issues] == [("a.py", 2, True), ("uv.lock", 1, True)]
    assert "a review needs a model" in found.assessment
    assert not found.ready_to_merge
    assert KEY not in found.model_dump_json()
    assert len(found.merge_blockers) == 2


@pytest.mark.parametrize(
    ("lines", "kinds"),
    [
        (CONFLICT, ["bug"]),
        (("Title", "======="), []),
        (("<<<<<<< HEAD", "a"), []),
        ((">>>>>>> a", "=======", "<<<<<<< b"), []),
        (("-----BEGIN RSA PRIVATE KEY-----", "MIIEpAIBAAKCAQEA7", "-----END RSA PRIVATE KEY-----"), ["security"]),
        ((f"token = '{KEY}'",), ["security"]),
        (("token = os.environ['TOKEN']",), []),
        (("if x: # \u202e check",), ["security"]),
        (("# naïve ünïcode 😀",), []),
    ],
)
def test_what_is_certain(lines: tuple[str, ...], kinds: list[str]) -> None:
    found = review_diff(new_file("a.txt", *lines), model=None)
    assert [each.category for each in found.issues] == kinds


def test_lines_that_stay_or_go_are_nobodys_fault() -> None:
    diff = f"diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1,2 +1,2 @@\n {KEY}\n-{KEY}\n+x\n"
    assert review_diff(diff, model=None).issues == ()


# --- what is skipped, and how the rest is cut ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "lines", "reason"),
    [
        ("src/app.py", ("x",), ""),
        ("package-lock.json", ("x",), "a lock file"),
        ("web/yarn.lock", ("x",), "a lock file"),
        ("lock.py", ("x",), ""),
        ("vendor/lib/a.go", ("x",), "somebody else's code, kept here"),
        ("src/vendor.py", ("x",), ""),
        ("a/__snapshots__/b.snap", ("x",), "a snapshot of a test"),
        ("web/app.min.js", ("x",), "minified"),
        ("web/app.js", ("x" * 5_000,), "minified"),
        ("api/a_pb2.py", ("x",), "generated"),
        ("api/a.py", ("# Code generated by protoc. DO NOT EDIT.", "x"), "generated"),
        ("api/a.py", ("// @generated", "x"), "generated"),
        ("generator.py", ("x",), ""),
        ("logo.svg", ("<svg/>",), "data"),
    ],
)
def test_what_nobody_reviews(path: str, lines: tuple[str, ...], reason: str) -> None:
    (file,) = files_of(new_file(path, *lines))
    assert why_skipped(file) == reason


def test_files_without_text_are_named_with_the_reason(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        done = subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)
        return done.stdout.decode("utf-8", "replace")

    git("init", "-q", "-b", "main")
    for name, data in {"a b.bin": b"\0one", "old.py": b"x\n" * 9, "gone.py": b"x\n", "t\u00e4g.py": b"x\n"}.items():
        (tmp_path / name).write_bytes(data)
    git("add", "-A")
    git("commit", "-qm", "one")
    (tmp_path / "a b.bin").write_bytes(b"\0two")
    (tmp_path / "old.py").rename(tmp_path / "new.py")
    (tmp_path / "gone.py").unlink()
    (tmp_path / "t\u00e4g.py").chmod(0o755)
    git("add", "-A")
    git("commit", "-qm", "two")
    found = review_diff(git("diff", "HEAD~1", "HEAD"), model=ScriptedLLM([]))
    assert {each.path: each.reason for each in found.left_out} == {
        "a b.bin": "it is binary",
        "new.py": "its text does not change, or is not shown",
        "gone.py": "it is deleted",
        "t\u00e4g.py": "its text does not change, or is not shown",
    }
    assert "none of the changed files" in found.assessment
    assert not found.ready_to_merge


LINES = st.lists(st.text(alphabet="ab \t{}`x", max_size=60), min_size=1, max_size=40)
FILES = st.dictionaries(st.sampled_from(["a.py", "docs/b.md", "test_c.py", "src/d.go"]), LINES, min_size=1)


@given(FILES, st.integers(1_100, 3_000))
def test_pieces_hold_every_line_once_and_fit(files: dict[str, list[str]], size: int) -> None:
    diff = "".join(new_file(path, *lines) for path, lines in files.items())
    pieces = pieces_of(files_of(diff), size)
    shown = [line for piece in pieces for line in piece.text.split("\n") if line[6:8] == " +"]
    assert len(shown) == sum(map(len, files.values()))
    assert all(len(piece.text) <= size for piece in pieces)
    assert set().union(*(piece.paths for piece in pieces)) == set(files)


def test_long_lines_are_cut_and_secrets_and_hidden_signs_stay_here() -> None:
    key = ("-----BEGIN RSA PRIVATE KEY-----", "MIIEpAIBAAKCAQEA7", "-----END RSA PRIVATE KEY-----")
    _, llm = reviewed(
        answer(), diff=new_file("a.py", "x" * 900, f"t = '{KEY}'", "a\u202eb\u200bc\x1b[31m", *key, "end")
    )
    shown = llm.heard[0][1].content
    long, secret, hidden = shown.split("\n")[3:6]
    assert len(long) <= LINE + 8
    assert long.endswith("…")
    assert KEY not in secret
    assert hidden == "     3 +abc"
    assert "MIIEpAIBAAKCAQEA7" not in shown
    assert "     7 +end" in shown


def test_a_hostile_diff_costs_little_time() -> None:
    diff = new_file(
        "a.py", *("sk-" * 2_000 for _ in range(100)), *("-----BEGIN PRIVATE KEY-----" * 30 for _ in range(200))
    )
    start = time.process_time()
    review_diff(diff, model=ScriptedLLM([answer()] * 12))
    assert time.process_time() - start < 5


def test_a_big_diff_is_split_and_what_the_budget_does_not_reach_is_named() -> None:
    big = "".join(new_file(f"m{number}.py", *("value = 1" for _ in range(100))) for number in range(6))
    big += new_file("huge.py", *("value = 2" for _ in range(600)))
    found, llm = reviewed(*[answer()] * 4, diff=big, tokens=1_000, calls=4)
    assert len(llm.heard) == 4
    assert not found.ready_to_merge
    assert {each.reason for each in found.left_out} == {"the budget of 4 calls is used up"}
    assert not any(each.benign for each in found.left_out)
    whole, llm = reviewed(*[answer()] * 40, diff=big, tokens=1_000, calls=40)
    assert whole.ready_to_merge
    assert whole.files == 7
    assert len([heard for heard in llm.heard if "huge.py" in heard[1].content]) >= 3, "one file in several pieces"
    dear, llm = reviewed(*[answer()] * 40, diff=big, tokens=1_000, calls=40, price=0.3, usd=1.0)
    assert len(llm.heard) == 3
    assert "1.00 US dollars" in dear.left_out[0].reason


def test_code_comes_before_tests_and_prose() -> None:
    diff = "".join(new_file(path, "x") for path in ("docs/a.md", "tests/test_a.py", "src/a.py"))
    (piece,) = pieces_of(files_of(diff), 5_000)
    assert piece.paths == ("src/a.py", "tests/test_a.py", "docs/a.md")


# --- answers -------------------------------------------------------------------------------------------------------


def issue_of(**more: Any) -> Any:
    row = {key: value for key, value in {**BAD, **more}.items() if value != "absent"}
    found = read_answer(answer(row), {each.path: each for each in files_of(DIFF)})
    return found.issues[0] if found.issues else found


@pytest.mark.parametrize(
    ("given_row", "place"),
    [
        ({}, ("app.py", None, 3)),
        ({"line": "3"}, ("app.py", None, 3)),
        ({"line": 3.0}, ("app.py", None, 3)),
        ({"line": "L3-5"}, ("app.py", None, 3)),
        ({"line": 3, "first_line": 2}, ("app.py", 2, 3)),
        ({"line": 2, "first_line": 3}, ("app.py", 2, 3)),
        ({"line": 22, "first_line": 3}, ("app.py", None, 22)),
        ({"line": 10}, ("app.py", None, None)),
        ({"line": 10**30}, ("app.py", None, None)),
        ({"line": -1}, ("app.py", None, None)),
        ({"line": True}, ("app.py", None, None)),
        ({"line": None}, ("app.py", None, None)),
        ({"line": "absent", "first_line": 2}, ("app.py", None, 2)),
        ({"path": "b/app.py"}, ("app.py", None, 3)),
        ({"path": "./app.py"}, ("app.py", None, 3)),
        ({"path": "`app.py`"}, ("app.py", None, 3)),
        ({"path": "absent", "file": "app.py"}, ("app.py", None, 3)),
        ({"path": ""}, ("", None, None)),
    ],
)
def test_where_a_finding_belongs(given_row: dict[str, Any], place: tuple[str, int | None, int | None]) -> None:
    found = issue_of(**given_row)
    assert (found.path, found.first, found.line) == place
    if found.line is None:
        assert found.suggestion is None


def test_findings_on_other_files_are_dropped_and_counted() -> None:
    found, _ = reviewed(answer({**BAD, "path": "/etc/passwd"}, {**BAD, "path": "app.py", "line": 99}))
    assert [(each.path, each.line) for each in found.issues] == [("app.py", None)]
    assert found.dropped == 1


@pytest.mark.parametrize(
    ("said", "field", "meant"),
    [
        ("SECURITY", "category", "security"),
        ("Logic", "category", "bug"),
        ("error-handling", "category", "bug"),
        ("testing", "category", "test"),
        ("gibberish", "category", "bug"),
        (7, "category", "bug"),
        ("Major", "severity", "high"),
        ("blocker", "severity", "critical"),
        ("nit", "severity", "low"),
        ([], "severity", "medium"),
        ("LOW", "effort", "low"),
        ("huge", "effort", "medium"),
    ],
)
def test_other_words_for_the_same(said: Any, field: str, meant: str) -> None:
    assert getattr(issue_of(**{field: said}), field) == meant


@pytest.mark.parametrize(
    "wrap",
    ["%s", "```json\n%s\n```", "Sure! {not json} Here: %s Done.", "<think>{}</think>%s", '{"x": 1}\n%s'],
)
def test_answers_with_words_around_them(wrap: str) -> None:
    found, llm = reviewed(wrap % answer(BAD))
    assert len(found.issues) == 1
    assert len(llm.heard) == 1


def test_a_bare_list_and_a_cut_answer_count_as_far_as_they_go() -> None:
    assert len(reviewed(json.dumps([BAD, {**BAD, "line": 22, "text": "Unused."}]))[0].issues) == 2
    found, llm = reviewed(answer(BAD, assessment="It is all fine")[:-60])
    assert len(llm.heard) == 1
    assert len(found.issues) == 1
    assert not found.ready_to_merge
    cut, _ = reviewed(answer({**BAD, "severity": "low"})[: -len("[]}")])
    assert (len(cut.issues), cut.merge_blockers) == (1, ())
    assert not cut.ready_to_merge, "what was cut off may be what speaks against it"


@pytest.mark.parametrize("nonsense", ["", "I can't help with that.", "{}", "[]", '{"ok": true}', "{" * 5_000, "null"])
def test_nonsense_is_sent_back_once_and_then_said(nonsense: str) -> None:
    found, llm = reviewed(nonsense, answer(BAD))
    assert len(found.issues) == 1
    assert "can't be used" in llm.heard[1][-1].content
    failed, llm = reviewed(nonsense, nonsense)
    assert len(llm.heard) == 2
    assert failed.trouble == "model_answer"
    assert not failed.ready_to_merge
    assert failed.left_out[-1].reason == "the model failed (model_answer)"


def test_a_model_that_fails_ends_the_asking_and_keeps_what_was_said() -> None:
    two = new_file("a.py", *("a = 1" for _ in range(300))) + new_file("b.py", *("b = 1" for _ in range(300)))
    broken = ModelError("model_unavailable", "no answer")
    found, llm = reviewed(answer(), broken, diff=two, tokens=1_000)
    assert len(llm.heard) == 2
    assert (found.trouble, found.files) == ("", 1)
    assert "model_unavailable" in found.left_out[-1].reason
    nothing, _ = reviewed(broken, diff=two)
    assert (nothing.trouble, nothing.ready_to_merge) == ("model_unavailable", False)


def test_the_same_said_twice_is_said_once_with_the_worse_severity() -> None:
    again = {**BAD, "line": 2, "severity": "low", "text": "it runs WHAT anybody types; parse it instead"}
    other = {**BAD, "line": 22, "text": "Another thing entirely is wrong down here."}
    far = {**BAD, "line": 22}
    found, _ = reviewed(answer(again, BAD, other, far))
    assert [(each.line, each.severity) for each in found.issues] == [
        (2, "critical"),
        (22, "critical"),
        (22, "critical"),
    ]


def test_a_models_words_are_cleaned() -> None:
    (issue,) = reviewed(answer({**BAD, "text": "a<!-- hidden -->b\u202e\x1b[31m" + "x" * 5_000}))[0].issues
    assert issue.text.startswith("abx")
    assert len(issue.text) <= 1_500


LEAVES = (
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=10) | st.sampled_from(["app.py", "high"])
)
NAMES = st.sampled_from([*sorted(BAD), "issues"])
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_whatever_comes_back_is_an_answer_or_unusable(value: Any) -> None:
    files = {each.path: each for each in files_of(DIFF)}
    for text in (json.dumps(value), json.dumps({"issues": value, "ready_to_merge": value, "merge_blockers": value})):
        try:
            found = read_answer(text, files)
        except Unusable:
            continue
        for each in found.issues:
            assert each.category in CATEGORIES
            assert each.path in ("", "app.py", "uv.lock")
            assert each.line is None or any(each.line in hunk.head for hunk in files[each.path].hunks)


def test_the_schema_has_the_specified_words() -> None:
    properties = answer_schema()["properties"]
    issue = properties["issues"]["items"]["properties"]
    assert [len(issue[name]["enum"]) for name in ("category", "severity", "effort")] == [8, 5, 3]
    assert set(properties) == {"issues", "improvements", "assessment", "ready_to_merge", "merge_blockers"}

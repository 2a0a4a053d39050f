"""CODEOWNERS and paths -> owners, against the examples of GitHub's page and against a reading of its rules by hand."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.triage.issues.owners import matches, owners_of, owners_of_path, rules_of

FILE = r"""
# Whoever wrote nothing else
*            @all @org/everybody
*.js         @js #and a comment
*.go         go@example.com
/build/logs/ @builder
docs/*       @pages
apps/        @apps
/scripts/    @one @two
**/logs      @logger
/apps/open
with\ space/ @spacer
"""


@pytest.mark.parametrize(
    ("path", "owners"),
    [
        ("README", ("all", "org/everybody")),
        ("a/b/c.txt", ("all", "org/everybody")),
        ("a/b.js", ("js",)),
        ("B.JS", ("all", "org/everybody")),
        ("x/y.go", ("go@example.com",)),
        ("build/logs/a/b", ("logger",)),
        ("docs/a.md", ("pages",)),
        ("docs/a/b.md", ("all", "org/everybody")),
        ("x/docs/a.md", ("all", "org/everybody")),
        ("x/apps/a/b", ("apps",)),
        ("apps", ("all", "org/everybody")),
        ("scripts/a/b", ("one", "two")),
        ("x/scripts/a", ("all", "org/everybody")),
        ("deep/er/logs/a", ("logger",)),
        ("logs", ("logger",)),
        ("apps/open", ()),
        ("apps/open/a", ()),
        ("with space/a", ("spacer",)),
    ],
)
def test_the_last_pattern_that_matches_decides(path: str, owners: tuple[str, ...]) -> None:
    assert owners_of_path(rules_of(FILE), path) == owners


def test_owners_of_most_files_come_first() -> None:
    assert owners_of(FILE, ["a.js", "x/apps/a", "b.js", "apps/open", "c.js", "apps/b", "c.js"]) == ("js", "apps")
    assert owners_of("", ["a"]) == ()
    assert owners_of(FILE, []) == ()


@pytest.mark.parametrize("line", ["!a @x", "[ab].py @x", r"\#a @x", "a @x y", "a @", "a @x,@y", "/ @x", "@x"])
def test_a_line_that_github_does_not_understand_is_skipped(line: str) -> None:
    assert owners_of(f"* @all\n{line}\n", ["a", "b.py", "#a", "!a"]) == ("all",)


def test_a_file_that_is_too_large_owns_nothing() -> None:
    assert rules_of("* @all\n" * 500_000) == ()
    assert owners_of("\ufeff* @all\r\n", ["a"]) == ("all",)


PARTS = st.sampled_from(["a", "b", "ab", "a.b", "*", "*.b", "a*", "?", "**", "*b*"])
PATTERNS = st.tuples(st.booleans(), st.lists(PARTS, min_size=1, max_size=4), st.booleans()).map(
    lambda each: ("/" if each[0] else "") + "/".join(each[1]) + ("/" if each[2] else "")
)
PATHS = st.lists(st.sampled_from(["a", "b", "ab", "a.b", "ba", "bab"]), min_size=1, max_size=5).map("/".join)


def _piece(part: str) -> str:
    if part == "**":
        return "(?:[^/]+/)*"
    return re.escape(part).replace(r"\*", "[^/]*").replace(r"\?", "[^/]") + "/"


def by_hand(pattern: str, path: str) -> bool:
    """The rules as one regular expression, written down from the page."""
    anchored = "/" in pattern.rstrip("/")
    parts = [each for each in pattern.split("/") if each]
    inside = pattern.endswith("/") or parts[-1] == "**"
    while len(parts) > 1 and parts[-1] == "**":
        parts.pop()
    if parts == ["**"]:
        return True
    pieces = [_piece(each) for each in parts]
    last = parts[-1]
    start = "" if anchored else "(?:[^/]+/)*"
    end = ".+" if inside else "" if last == "*" else ".*"
    return re.fullmatch(start + "".join(pieces) + end, path + "/") is not None


@given(PATTERNS, PATHS)
def test_matching_is_what_the_rules_say(pattern: str, path: str) -> None:
    # `a/**/**` and a folder of everything need two levels below by one reading and one by the other: nobody writes it.
    if pattern.count("**") > 1 or pattern.endswith("**/"):
        return
    rules = rules_of(f"{pattern} @x")
    assert len(rules) == 1
    assert matches(rules[0].pattern, path.split("/")) == by_hand(pattern, path), (pattern, path)


@given(st.text(alphabet="ab*/?\\ @#.x\n", max_size=200), st.lists(st.text(alphabet="ab/.\\", max_size=30), max_size=5))
def test_no_text_raises_and_no_owner_has_a_sign(text: str, paths: list[str]) -> None:
    assert all(owner and not owner.startswith("@") for owner in owners_of(text, paths))


def test_a_hostile_pattern_is_matched_in_bounded_time() -> None:
    text = "\n".join(["*a" * 250 + "*b @x", "**/" * 160 + "b @x"])
    assert owners_of(text, ["a" * 4_000, "/".join("a" * 2_000)]) == ()

"""A unified diff -> the lines on which a comment may stand: held against what git itself says of real repositories."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.forge.render.anchors import anchors

CONTEXT = 3
HUNK = re.compile(rb"^@@ -[0-9,]+ \+(\d+)(?:,(\d+))? @@", re.MULTILINE)
Files = Mapping[str, bytes]

NAMES = st.sampled_from(
    ["a.py", "dir/b.txt", "with space", "ünï/cödé", 'quo"te', "tab\tname", "back\\slash", "+++ b/x", "b/b/b", "-- a"]
)
WORDS = st.sampled_from(
    [
        b"one",
        b"two",
        b"",
        b"-- a/x",
        b"++ b/y",
        b"@@ -1 +1 @@",
        b"diff --git a/x b/x",
        b"\\ No newline",
        b"a\rb",
        b"\xff",
    ]
)
ENDS = st.sampled_from([b"\n", b"\n", b"\n", b"\r\n"])
TEXTS = st.builds(
    lambda lines, end: b"".join(lines) + end,
    st.lists(st.builds(lambda word, end: word + end, WORDS, ENDS), max_size=25),
    st.sampled_from([b"", b"no newline"]),
)
CONTENTS = st.one_of(TEXTS, TEXTS, TEXTS, st.just(b"\x00binary"))
TREES = st.dictionaries(NAMES, CONTENTS, max_size=4)


class Git:
    """A bare repository in which trees are compared."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self("init", "-q", "--bare", ".")

    def __call__(self, *words: str, stdin: bytes = b"") -> bytes:
        done = subprocess.run(("git", *words), cwd=self.folder, input=stdin, capture_output=True, check=True)
        return done.stdout

    def commits(self, *trees: Files) -> None:
        """Branches t0, t1 and so on, a commit for each tree."""
        stream = b""
        for number, files in enumerate(trees):
            stream += b"reset refs/heads/t%d\n\ncommit refs/heads/t%d\n" % (number, number)
            stream += b"committer a <a@b> 0 +0000\ndata 0\ndeleteall\n"
            for path, data in files.items():
                quoted = path.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
                stream += b'M 100644 inline "%s"\ndata %d\n%s\n' % (quoted.encode(), len(data), data)
        self("fast-import", "--quiet", "--force", stdin=stream)

    def diff(self, *words: str) -> bytes:
        """Between t0 and t1."""
        return self("diff", "--full-index", *words, "t0", "t1")


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Git:
    return Git(tmp_path_factory.mktemp("repository"))


def shown_lines(git: Git, path: str, data: bytes) -> set[int]:
    """Lines of the head that git changed, and those around them, by a diff without context."""
    total = data.count(b"\n") + (not data.endswith(b"\n") and data != b"")
    out: set[int] = set()
    for found in HUNK.finditer(git("diff", "-U0", "--no-renames", "t0", "t1", "--", f":(literal){path}")):
        start, size = int(found[1]), int(found[2] if found[2] is not None else b"1")
        first, last = (start, start + size - 1) if size else (start + 1, start)
        out |= set(range(max(first - CONTEXT, 1), min(last + CONTEXT, total) + 1))
    return out


def lines_of(diff: bytes) -> dict[str, set[int]]:
    found = anchors(diff.decode("utf-8", "replace"))
    return {path: {line for hunk in hunks for line in hunk} for path, hunks in found.items()}


def fits(one: Files) -> bool:
    """Whether git can have both names: none is a folder of another."""
    return not any(f"{path}/" in f"{other}/" and path != other for path in one for other in one)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(old=TREES.filter(fits), new=TREES.filter(fits))
def test_lines_are_those_that_git_shows(git: Git, old: Files, new: Files) -> None:
    git.commits(old, new)
    wanted = {}
    for path, data in new.items():
        if old.get(path) != data and b"\x00" not in data + old.get(path, b""):
            wanted[path] = shown_lines(git, path, data)
    found = lines_of(git.diff("--no-renames"))
    assert found == {path: lines for path, lines in wanted.items() if lines}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(old=TREES.filter(fits), new=TREES.filter(fits), share=st.floats(0, 1))
def test_a_diff_that_is_cut_anywhere_shows_no_line_that_the_whole_one_does_not(
    git: Git, old: Files, new: Files, share: float
) -> None:
    git.commits(old, new)
    whole = git.diff("-M")
    there = lines_of(whole)
    for path, lines in lines_of(whole[: int(len(whole) * share)]).items():
        assert lines <= there[path]


@given(st.text(alphabet=st.sampled_from(list('diff --git a/x b\n+-@@ 0123456789,\\"\t\r\u2028\ud800')), max_size=300))
def test_no_text_is_too_strange(text: str) -> None:
    for path, hunks in anchors("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n" + text).items():
        assert path
        assert all(hunks)


def test_a_file_that_cannot_be_read_harms_no_other() -> None:
    good = "diff --git a/{0} b/{0}\n--- a/{0}\n+++ b/{0}\n@@ -4,2 +4,3 @@ def f():\n x\n+y\n z\n"
    liars = ["@@ -1 +1,99 @@\n+a\n", "@@ -1 +" + "9" * 5_000 + " @@\n-a\n+b\n", "@@ -x +y @@\n", "@@ -1 +1 @@\n?\n"]
    for liar in liars:
        bad = "diff --git a/bad b/bad\n--- a/bad\n+++ b/bad\n" + liar
        found = anchors(good.format("one") + bad + good.format("two"))
        assert found == {"one": (range(4, 7),), "two": (range(4, 7),)}, liar


def test_a_renamed_file_goes_by_its_new_name_and_a_deleted_one_has_no_lines(git: Git) -> None:
    text = b"".join(b"line %d\n" % number for number in range(20))
    git.commits({"old": text, "gone": b"x\n", "moved": b"same\n" * 9}, {"new": text + b"end\n", "there": b"same\n" * 9})
    assert anchors(git.diff("-M").decode()) == {"new": (range(18, 22),)}


def test_hunks_are_kept_apart(git: Git) -> None:
    text = [b"%d\n" % number for number in range(60)]
    git.commits({"a": b"".join(text)}, {"a": b"".join([b"0!\n", *text[1:50], *text[51:]])})
    assert anchors(git.diff().decode()) == {"a": (range(1, 5), range(48, 54))}

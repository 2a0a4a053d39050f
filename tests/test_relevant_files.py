"""Files of a checkout and a report -> the files that it is about."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.offline.filekinds import kind_of
from bot.offline.files import FILE_LIMIT, FILES, TOTAL_LIMIT, FileIndex, build, paths_of, reader_of, search
from bot.offline.filewords import parts_of, words_of_question
from bot.offline.mentions import MOST, Names

TREE = {
    "lamp/core.py": b"class Lamp:\n    def switch_on(self): ...\n    def dim(self, level): ...\n",
    "lamp/parser.py": b"def parse_config(text):\n    return load_yaml(text)\n",
    "lamp/cli/main.py": b"from lamp.core import Lamp\n\ndef main():\n    Lamp().switch_on()\n",
    "lamp/__init__.py": b"",
    "lamp/io/__init__.py": b"def write_socket(data): ...\n",
    "src/com/acme/Gson.java": b"class Gson { Object fromJson(String text) { return null; } }",
    "web/src/a.ts": b"export function paint(colour: string) {}\n",
    "web/src/b.ts": b"export function erase(colour: string) {}\n",
    "tests/test_parser.py": b"def test_parse_config(): parse_config('a: 1')\n",
    "docs/parser.md": b"The parser reads the configuration with parse_config.\n",
    "vendor/parser.py": b"def parse_config(text): parse_config(text)\n",
    "CHANGELOG.md": b"parse_config parse_config parse_config parser\n",
    "package-lock.json": b'{"parse_config": 1}',
    "logo.png": b"\x89PNG\0parse_config",
}


@pytest.fixture(scope="module")
def index() -> FileIndex:
    return build(TREE, TREE.get)


def first(index: FileIndex, title: str, body: str = "") -> str:
    found = search(index, title, body)
    return found[0].path if found else ""


@pytest.mark.parametrize(
    ("path", "title", "body"),
    [
        ("lamp/parser.py", "parse_config fails", ""),
        ("lamp/parser.py", "Parser reads the config wrong", ""),
        ("lamp/core.py", "The lamp does not dim", ""),
        ("lamp/core.py", "Lamp.dim ignores the level", ""),
        ("lamp/cli/main.py", "It fails", "see lamp/cli/main.py, please"),
        ("lamp/cli/main.py", "It fails", "see `main.py`."),
        ("lamp/cli/main.py", "It fails", "https://github.com/acme/lamp/blob/main/lamp/cli/main.py#L3"),
        ("lamp/cli/main.py", "It fails", r"in C:\users\me\lamp\cli\main.py"),
        ("lamp/core.py", "It fails", 'File "/usr/lib/python3.12/site-packages/lamp/core.py", line 3, in dim'),
        ("src/com/acme/Gson.java", "It fails", "\tat com.acme.Gson.fromJson(Gson.java:10)"),
        ("web/src/b.ts", "It fails", "    at erase (webpack:///web/src/b.ts:12:3)"),
        ("web/src/b.ts", "It fails", "src/b.ts:12:3 - error TS2322"),
        ("lamp/io/__init__.py", "It fails", "`lamp.io.write_socket` hangs"),
        ("docs/parser.md", "docs/parser.md is outdated", ""),
    ],
)
def test_what_a_report_is_about_comes_first(index: FileIndex, path: str, title: str, body: str) -> None:
    assert first(index, title, body) == path


def test_tests_pages_and_what_nobody_wrote_come_after_the_program(index: FileIndex) -> None:
    found = [each.path for each in search(index, "parse_config breaks in the parser", "", most=20)]
    assert found[0] == "lamp/parser.py"
    assert set(found[1:3]) == {"tests/test_parser.py", "docs/parser.md"}
    assert "logo.png" not in found


def test_paths_alone_are_enough_to_find_something() -> None:
    index = build(TREE, lambda path: None)
    assert first(index, "The parser is wrong") == "lamp/parser.py"
    assert first(index, "It fails", "web/src/a.ts:3") == "web/src/a.ts"


def test_nothing_is_found_where_nothing_fits(index: FileIndex) -> None:
    assert search(index, "", "") == ()
    assert search(index, "zebra quagga", "the and of") == ()
    assert search(build((), TREE.get), "parser", "") == ()
    assert search(index, "parser", "", most=0) == ()


def test_the_answer_is_short_sorted_and_the_same_every_time(index: FileIndex) -> None:
    found = search(index, "lamp parser config colour main", "", most=3)
    assert len(found) == 3
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    assert found == search(build(reversed(TREE), TREE.get), "lamp parser config colour main", "", most=3)


def test_names_are_split_where_programs_join_them() -> None:
    assert parts_of("parseHTTPHeader") == ("parsehttpheader", "pars", "http", "header")
    assert parts_of("snake_case_names") == ("snake_case_names", "snak", "case", "name")
    assert "header" in words_of_question("the header", "")
    assert "the" not in words_of_question("the header", "")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("src/a.py", "source"),
        ("src/test/java/A.java", "test"),
        ("src/ATest.java", "test"),
        ("a_test.go", "test"),
        ("a.spec.ts", "test"),
        ("conftest.py", "test"),
        ("src/latest.py", "source"),
        ("docs/a.py", "docs"),
        ("README.md", "docs"),
        ("CHANGES.rst", "news"),
        ("changelog/12.bugfix.rst", "news"),
        ("history.py", "source"),
        ("node_modules/a/b.js", "vendored"),
        ("a.min.js", "generated"),
        ("api.pb.go", "generated"),
        ("Cargo.lock", "lock"),
        ("a.png", "binary"),
        ("Makefile", "other"),
        (".github/workflows/ci.yml", "other"),
    ],
)
def test_the_kind_of_a_file_is_told_by_its_path(path: str, kind: str) -> None:
    assert kind_of(path) == kind


def test_generated_and_minified_texts_are_not_read() -> None:
    tree = {
        "a.py": b"# Code generated by lampc. DO NOT EDIT.\ndef dim(): ...\n",
        "b.js": b"dim();" * 3_000,
        "c.py": b"dim()\n",
    }
    assert [each.path for each in search(build(tree, tree.get), "dim", "")] == ["c.py"]


def test_reading_is_bounded() -> None:
    asked: list[str] = []

    def read(path: str) -> bytes:
        asked.append(path)
        return b"word " * (FILE_LIMIT // 5)

    index = build([*(f"a/{at}.png" for at in range(FILES)), *(f"z/f{at}.py" for at in range(500))], read)
    assert len(index.paths) == FILES
    assert len(asked) <= TOTAL_LIMIT // (FILE_LIMIT - 5) + 1
    # Programs stay where there are too many files.
    assert first(index, "the f499") == "z/f499.py"
    assert build(["a.py"], lambda path: b"parser " * FILE_LIMIT).lengths.sum() == 0


def test_a_path_that_is_no_text_is_left_out() -> None:
    assert build(["a\udcff.py", "parser.py"], lambda path: None).paths == ("parser.py",)


WORDS = st.lists(
    st.sampled_from(["a", ".", "/", "::", "\\", ":", " ", "core", "lamp", "py", "(", "`", "é", "\ud800", "\n"])
)


@settings(deadline=None)
@given(WORDS.map("".join), WORDS.map("".join))
def test_no_question_raises(index: FileIndex, title: str, body: str) -> None:
    assert {each.path for each in search(index, title, body)} <= TREE.keys()


@pytest.mark.parametrize("piece", ["a", "a.", "a/", "/", ".", "::", "a.b ", "a/b.py "])
def test_a_hostile_question_is_looked_up_a_bounded_number_of_times(piece: str) -> None:
    """Counted, not timed: how often a file is asked about does not grow with the text."""
    asked: list[int] = []
    names = Names(["a/b.py"])

    def exists(row: int) -> bool:
        asked.append(row)
        return True

    for size in (20_000, 2_000_000):
        names.mentioned("x", (piece * size)[:size], exists)
    assert len(asked) <= 2 * MOST * 150
    assert len(words_of_question("x", piece * 1_000_000)) <= 120


# --- reading a folder that a stranger filled ------------------------------------------------------------------------


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], bytes | None]:
    (tmp_path / "secret").write_bytes(b"secret")
    folder = tmp_path / "checkout"
    (folder / "sub").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_bytes(b"[core]")
    (folder / "sub" / "a.py").write_bytes(b"text")
    (folder / "large").write_bytes(b"x" * (FILE_LIMIT + 1))
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "up").symlink_to(tmp_path)
    (folder / "in").symlink_to("sub/a.py")
    os.mkfifo(folder / "pipe")
    return reader_of(folder)


def test_a_regular_file_is_read(read: Callable[[str], bytes | None]) -> None:
    assert read("sub/a.py") == b"text"


@pytest.mark.parametrize(
    "path",
    [
        *("out", "up/secret", "in", "pipe", "sub", "large", "nope", "../secret", "sub/../../secret", "/etc/passwd", ""),
        *(
            ".git/config",
            ".GIT/config",
            "sub/../.git/config",
            "sub//a.py",
            "./sub/a.py",
            "a\0b",
            "a\udcff",
            "x" * 5_000,
        ),
    ],
)
def test_nothing_else_is_read(read: Callable[[str], bytes | None], path: str) -> None:
    assert read(path) is None


def test_a_folder_lists_its_regular_files(read: Callable[[str], bytes | None], tmp_path: Path) -> None:
    assert paths_of(tmp_path / "checkout") == ("large", "sub/a.py")
    assert paths_of(tmp_path / "nope") == ()


def test_no_handle_is_left_open(read: Callable[[str], bytes | None]) -> None:
    place = Path("/proc/self/fd")
    before = len(list(place.iterdir()))
    for path in ("sub/a.py", "sub", "pipe", "up/secret", "large", "nope/a", "sub/nope"):
        read(path)
    assert len(list(place.iterdir())) == before


def test_the_checkout_of_this_project_finds_this_test() -> None:
    root = Path(__file__).resolve().parent.parent
    paths = [path for path in paths_of(root / "bot") if re.search(r"\.py$", path)]
    index = build(paths, reader_of(root / "bot"))
    assert first(index, "CODEOWNERS patterns with a trailing slash match files") == "triage/issues/owners.py"

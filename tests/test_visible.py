"""Hostile texts -> what is left of them: nothing that a reader can't see, and the same when asked twice."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bot.visible import fence, fenced, shown, visible, without_ansi, without_html_comments

# Unicode's DerivedCoreProperties: Default_Ignorable_Code_Point.
IGNORABLE = [
    *(0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0),
    *range(0x180B, 0x1810),
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2070),
    *range(0xFE00, 0xFE10),
    *range(0xFFF0, 0xFFF9),
    *range(0x1BCA0, 0x1BCA4),
    *range(0x1D173, 0x1D17B),
    *range(0xE0000, 0xE1000),
]
PIECES = [
    *("<!--", "-->", "<", "!", "--", ">", "-", "hidden", "```", "````", "~~~", "`", "\n", "\r", "\r\n", "    ", "- "),
    *("> ", "\t", "\x1b", "\x1b[", "\x1b]", "\x9b", "\x90", "\x9c", "\x07", "\\", "[31m", "0;t", "m", "é", "\u3000"),
    *map(chr, IGNORABLE[::97]),
    *("\u2028", "\u2029", "\u2800", "\ud800", "\ue000", "\uffff", "\u0378", "\ufe0f", "\U000e0041", "\0"),
]
hostile = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=24).map("".join)


@given(hostile)
def test_nothing_invisible_is_left_and_all_else_is(text: str) -> None:
    seen = visible(text)
    assert visible(seen) == seen
    for char in seen:
        assert char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        assert ord(char) not in IGNORABLE
    left = iter(seen)
    assert all(char in left for char in text if char in "\n\t " or (char.isalnum() and ord(char) not in IGNORABLE))


def test_every_ignorable_character_goes_and_scripts_stay() -> None:
    assert visible("".join(map(chr, IGNORABLE))) == ""
    for text in ("naïve cafe\u0301", "\u3000字 हिन्दी עברית ไทย", "a\u00a0b\n\tc", "\ufffd", "😀 👍🏽"):
        assert visible(text) == text


@given(hostile)
def test_no_escape_sequence_is_left(text: str) -> None:
    plain = without_ansi(text)
    assert without_ansi(plain) == plain
    assert not set(plain) & set("\x1b\x90\x98\x9b\x9c\x9d\x9e\x9f")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("\x1b[31mred\x1b[0m \x9b1mbold", "red bold"),
        ("\x1b]0;title\x07a\x1b]8;;https://x.example\x1b\\b\x9d0;c\x9cd", "abd"),
        ("\x1b]0;one\ntwo\x07a", "a"),
        ("a\x1b]0;never ended\nb", "a\nb"),
        ("\x1b\x1b[31m[32mx", "[32mx"),
        ("\x1b(Bx\x1bMy", "xy"),
    ],
)
def test_escape_sequences(text: str, plain: str) -> None:
    assert without_ansi(text) == plain


@given(hostile, st.booleans())
def test_what_is_shown_is_shown_again(text: str, code: bool) -> None:
    seen = shown(text, code=code)
    assert shown(seen, code=code) == seen
    assert visible(seen) == seen
    if not code:
        assert "<!--" not in seen
    for token in MarkdownIt("commonmark").parse(seen):
        assert "<!--" not in token.content or token.type in ("fence", "code_block")


@pytest.mark.parametrize(
    ("markdown", "seen"),
    [
        ("a <!-- b --> c", "a  c"),
        ("a <!-- b --> c <!-- d", "a  c "),
        ("<!<!-- a -->-- b -->c", "c"),
        ("a <!-- b --\u200b> c --> d", "a  d"),
        ("<\u200b!-- a -->b", "b"),
        ("<!-- a\n```\nb\n```\n-->\nc", "\nc"),
        ("```\n<!-- a -->\n```", "```\n<!-- a -->\n```"),
        ("- ```\n  <!-- a -->\n  ```\n\n<!-- b -->", "- ```\n  <!-- a -->\n  ```\n\n"),
        ("x\n\n    <!-- a -->\n\n<!-- b -->c", "x\n\n    <!-- a -->\n\nc"),
        ("``` a`b\n<!-- c -->\n```", "``` a`b\n\n```"),
        ("``` py <!-- a -->\nb\n```", "``` py \nb\n```"),
        ("```\r\n<!-- a -->\r\n```\r\nb", "```\n<!-- a -->\n```\nb"),
    ],
)
def test_comments_stay_only_where_readers_see_them(markdown: str, seen: str) -> None:
    assert shown(markdown) == seen
    assert "<!--" not in shown(markdown, code=False)


@pytest.mark.parametrize(
    "text",
    [
        "<!" * 8_000 + "<!---->" + "---->" * 8_000,
        "```\n<!-- -->\n```\n" * 3_000 + "<!-- --> ```\n" * 500,
        "\x90\n" * 100_000,
        "\x1b]" * 100_000 + "\n",
        "\x1b[" + "0" * 200_000,
        "\x9b" * 100_000,
    ],
    ids=["nested comments", "fences", "strings", "titles", "parameters", "starts"],
)
def test_hostile_texts_cost_bounded_work(text: str) -> None:
    start = time.process_time()
    shown(without_ansi(text))
    without_html_comments(text)
    assert time.process_time() - start < 5


@given(st.text("`~ \nab<", max_size=60), st.sampled_from(["", "text"]))
def test_a_code_block_can_not_be_closed_from_inside(text: str, info: str) -> None:
    (token,) = MarkdownIt("commonmark").parse(fenced(text, info))
    assert (token.type, token.content, token.info) == ("fence", text + "\n" if text else "\n", info)


def test_a_fence_is_as_long_as_it_must_be() -> None:
    assert fence("a") == "```"
    assert fence("a ``` b ````") == "`````"
    assert fence("a", 1) == "`"

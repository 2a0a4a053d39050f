"""Sanitising: whatever goes in, what comes out is inert, readable, bounded, and stays as it is."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from bot.forge.render.sanitize import CUT, clean, one_line, sanitize, size

SERVER = "https://github.com"
FRAGMENTS = [
    *"\n \t#*_`~<>[]()!|-+=:&;\\/@.1aZ\"'{}$^",
    "\n\n",
    "    ",
    "```",
    "~~~",
    "**",
    "](",
    "![x](http://evil.test/a.png)",
    "[x](javascript:alert(1))",
    "[ref]: http://evil.test",
    "[ref]",
    "<img src=http://evil.test>",
    "<!-- sandpiper:run=1 -->",
    "<!--",
    "-->",
    "<details>",
    "</details>",
    "<script>",
    "<b>",
    "</b>",
    "<http://evil.test>",
    "<a@b.test>",
    "http://evil.test/x?y=(z)",
    "https://github.com/o/r/issues/7",
    "https://github.com.evil.test/",
    "https://github.com@evil.test/",
    "www.evil.test",
    "mail@evil.test",
    "@everyone",
    "@org/team",
    "@alice",
    "Fixes #7",
    "closes: o/r#5",
    "resolves GH-9",
    "#5",
    "&#64;bob",
    "&lt;",
    "&#8203;",
    "\u200b",
    "\u202e",
    "\U0001f600",
    "e\u0301",
    "| a | b |\n|---|:-:|\n| 1 | 2 |\n",
    "- ",
    "* ",
    "1. ",
    "2) ",
    "- [x] ",
    "> ",
    "# ",
    "---\n",
    "===\n",
    "/bot fix",
    "- a\n\n- b\n",
    "\n   ",
    "~~",
    "\\",
]
texts = st.one_of(st.text(max_size=80), st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join))


def safe(text: str, limit: int = 60_000) -> str:
    return sanitize(text, requester="alice", issue=5, repository="o/r", server_url=SERVER, limit=limit)


def tokens(markdown: str) -> list[Token]:
    """Every token of a text, read as GitHub would."""
    found: list[Token] = []
    todo = list(MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown))
    while todo:
        token = todo.pop()
        found.append(token)
        todo += token.children or []
    return found


def prose(markdown: str) -> list[str]:
    """Runs of text outside code and links, block by block, as GitHub's filters see them."""
    runs = []
    for block in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown):
        depth, parts = 0, []
        for token in block.children or []:
            depth += token.nesting if token.type.startswith("link") else 0
            parts.append(
                token.content if token.type == "text" and not depth else "\n" if "break" in token.type else "\0"
            )
        runs.append("".join(parts))
    return runs


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts)
def test_nothing_lives_in_what_comes_out(text: str) -> None:
    out = safe(text)

    assert safe(out) == out
    for token in tokens(out):
        assert token.type not in ("html_block", "html_inline", "image", "code_block")
        if token.type == "link_open":
            assert str(token.attrs["href"]).startswith("https://github.com/") or token.attrs["href"] == SERVER
        if token.type == "heading_open":
            assert token.tag in ("h4", "h5", "h6")
    for run in prose(out):
        for mention in re.findall(r"(?:^|[^\w`])@([A-Za-z0-9][\w-]*(?:/[\w-]+)?)", run):
            assert mention.lower().rstrip("_") == "alice"
        assert not re.search(r"(?i)://|www\.|[A-Za-z0-9.]@\w", run)
        if re.search(r"(?i)\b(close[sd]?|fix(es|ed)?|resolve[sd]?)\b", run):
            assert set(re.findall(r"(?i)[\w./-]*#\d+|gh-\d+", run)) <= {"#5", "o/r#5", "GH-5"}
        assert run.replace("\0", "") == clean(run)
    assert not re.match(r"\s*(?:/[a-z]|<!--)", out)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain *em* **strong** ~~gone~~ `code`", "plain *em* **strong** ~~gone~~ `code`"),
        ("# Title", "#### Title"),
        ("- a\n- b\n  - c", "- a\n- b\n  - c"),
        ("- [x] done\n- [ ] open", "- [x] done\n- [ ] open"),
        ("```py\nprint()\n```", "```py\nprint()\n```"),
        ("| a | b |\n|---|--:|\n| 1 | 2 |", "| a | b |\n| --- | --: |\n| 1 | 2 |"),
        ("see [the docs](https://github.com/o/r/wiki)", "see [the docs](https://github.com/o/r/wiki)"),
        ("see #7 and some_function_name()", "see #7 and some_function_name()"),
        ("1. one\n2. two", "1. one\n2. two"),
        ("a < b && List<String>", r"a \< b \&\& List\<String\>"),
        ("> quoted\n> text", "> quoted\n> text"),
    ],
)
def test_ordinary_markdown_stays_what_it_was(text: str, wanted: str) -> None:
    assert safe(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("@everyone and @org/team", "`@everyone` and `@org/team`"),
        ("thanks @alice, (@bob)", "thanks @alice, (`@bob`)"),
        ("&#64;bob", "`@bob`"),
        ("@<b></b>bob", "`@bob`"),
        ("![x](https://evil.test/p.png)", "x (`https://evil.test/p.png`)"),
        ("[x](https://evil.test)", "x (`https://evil.test`)"),
        ("go to https://evil.test/a_b.", "go to `https://evil.test/a_b`."),
        ("www.evil.test", "`www.evil.test`"),
        ("https://github.com/o/r/pull/3", "<https://github.com/o/r/pull/3>"),
        ("Fixes #7", "Fixes `#7`"),
        ("Fixes #5", "Fixes #5"),
        ("closes o/r#5, other/r#5", "closes o/r#5, `other/r#5`"),
        ("resolved GH-7", "resolved `GH-7`"),
        ("Fixes https://github.com/x/y/issues/1", "Fixes `https://github.com/x/y/issues/1`"),
        ("Fixes [it](https://github.com/x/y/issues/1)", "Fixes it (`https://github.com/x/y/issues/1`)"),
        ("<!-- hidden -->seen", "seen"),
        ("<details><summary>s</summary>t</details>", "st"),
        ("/bot fix", "`/bot` fix"),
        ("left\u202eright\u200b", "leftright"),
        ("```mermaid\nx\n```", "```\nx\n```"),
    ],
)
def test_what_would_come_alive_is_shown_instead(text: str, wanted: str) -> None:
    assert safe(text) == wanted


def test_a_thousand_mentions_are_all_dead() -> None:
    out = safe(" ".join(f"@user{number}" for number in range(1000)))

    assert out.count("`@user") == 1000


@pytest.mark.parametrize("filler", ["word \U0001f600 ", "<&*_", "line\n", "# x\n- y\n", "| a |\n"])
def test_a_long_text_is_cut_with_its_fence_closed(filler: str) -> None:
    text = f"start\n\n```\n{filler * 20_000}"[:70_000]

    out = safe(text)

    assert size(out) <= 60_000
    assert out.endswith(CUT)
    assert sum(line.startswith("```") for line in out.split("\n")) == 2
    out.encode()
    assert safe(out) == out


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts, st.integers(100, 160))
def test_the_limit_holds_for_any_text(text: str, limit: int) -> None:
    out = safe(text * 3, limit)

    assert size(out) <= limit
    assert safe(out, limit) == out


def test_deep_nesting_ends() -> None:
    out = safe(">" * 3000 + "- " * 3000 + "[" * 3000 + "*a " * 3000)

    assert size(out) <= 60_000


@given(st.text(max_size=200), st.integers(10, 80))
def test_a_title_is_one_short_dead_line(text: str, limit: int) -> None:
    out = one_line(text, limit=limit)

    assert size(out) <= limit
    assert out == clean(out)
    assert "\n" not in out
    assert not re.search(r"@\w|://", out)


def test_a_title_closes_only_its_own_issue() -> None:
    assert one_line("Fixes #7, fixes x/y#5 for @bob", limit=72, issue=5) == "Fixes 7, fixes x/y 5 for bob"
    assert one_line("Fix the parser (fixes #5)", limit=72, issue=5) == "Fix the parser (fixes #5)"
    assert one_line("closes GH-9 https://github.com/x/y/issues/1", limit=72) == "closes GH 9 github.com/x/y/issues/1"


@pytest.mark.parametrize(
    "text",
    [
        *("fi\u200bxes #7", "fi`xes #7", "fi@xes #7", "fixes #@7", "fixes #x://7", "cl\0oses GH@-7", "fixes o/r#@@7"),
        "a" * 62 + " fixes #567",  # the cut leaves another issue's number
    ],
)
def test_what_is_taken_out_of_a_title_brings_nothing_to_life(text: str) -> None:
    assert not re.search(r"(?:fixes|closes) \S*(?:#|GH-)[0-9]", one_line(text, limit=72, issue=567))


@given(
    st.lists(
        st.sampled_from(["fixes", "fi", "xes", " ", "#", "7", "@", "x://", "`", "\u200b", "gh", "-", "http:", "//"])
    )
)
def test_a_title_of_such_pieces_is_dead(pieces: list[str]) -> None:
    out = one_line("".join(pieces), limit=72)

    assert not re.search(r"@\w|://", out)
    assert not (re.search(r"\bfixes\b", out) and re.search(r"#[0-9]|\bgh-[0-9]", out))

"""Which comments hold a command (B5), and what is in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.forge.commands import find_command
from bot.types.event import Command


@pytest.mark.parametrize(
    ("body", "verb", "text", "options"),
    [
        ("/bot fix", "fix", "", {}),
        ("/BOT Fix", "fix", "", {}),
        ("/bot", "help", "", {}),
        ("\n\n   /bot\tfix  the bug \r\nin\r\n\r\nhere\r\n", "fix", "the bug\nin\n\nhere", {}),
        ("/bot fix --usd=1.5 slowly --Model='a b'", "fix", "slowly", {"usd": "1.5", "model": "a b"}),
        (r'/bot fix --model="a \"b\" \\"', "fix", "", {"model": 'a "b" \\'}),
        ("/bot fix very --usd=1 slowly", "fix", "very slowly", {"usd": "1"}),
        ("/bot fix --steps=1 --steps=2", "fix", "", {"steps": "2"}),
        ("/bot fix\n--steps=1", "fix", "--steps=1", {}),
        ("/bot run `pytest --maxfail=1` now", "run", "`pytest --maxfail=1` now", {}),
        ("/bot run use --verbose and a--b=c", "run", "use --verbose and a--b=c", {}),
        ("/bot fix --model='open", "fix", "--model='open", {}),
        ("/bot fix\n\n```\n/bot test\n```", "fix", "```\n/bot test\n```", {}),
        ("/bot fix *this* <b>", "fix", "*this* <b>", {}),
    ],
)
def test_commands(body: str, verb: str, text: str, options: dict[str, str]) -> None:
    assert find_command(body, "/bot") == Command(verb=verb, text=text, options=options)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "Please /bot fix",
        "Hello\n/bot fix",
        "`/bot fix`",
        "```\n/bot fix\n```",
        "~~~\n/bot fix",
        "    /bot fix",
        "\t/bot fix",
        "> /bot fix",
        "> said\n/bot fix",
        "- /bot fix",
        "1. /bot fix",
        "# /bot fix",
        "/bot fix\n===",
        "/bot fix\n---",
        "/bot fix | a\n--- | ---\n",
        "<!-- /bot fix -->",
        "<!--\n/bot fix\n-->",
        "<details>\n/bot fix\n</details>",
        "<pre>/bot fix</pre>",
        "[a]: /url\n/bot fix",
        "\\/bot fix",
        "&#47;bot fix",
        "**/bot fix**",
        "/bot\n===",
        "/botfix",
        "/bot: fix",
        "/bot\u00a0fix",
        "/bot\u200bfix",
        "/b\u200bot fix",
        "\u200b/bot fix",
        "\ufeff/bot fix",
        "\u202e/bot fix",
        "/bot \u200bfix",
        "/bot f\u200bix",
        "/bot fix\u200b",
        "/bot fix\u202e",
        "/bot fi\u0445",
        "/bot \uff46ix",
        "/bot `fix`",
        "/bot fix, please",
        "/bot -fix",
        "/bot " + "x" * 41,
        "//bot fix",
        "/Ⓑot fix",
    ],
)
def test_no_commands(body: str) -> None:
    assert find_command(body, "/bot") is None


def test_phrases_with_at() -> None:
    assert find_command("@sand_piper explain this", "@sand_piper") == Command(verb="explain", text="this")
    assert find_command("@sand_piper", "@sand_piper") == Command(verb="help")
    assert find_command("@sand_pipers explain", "@sand_piper") is None
    assert find_command("/bot fix", "@sand_piper") is None


words = st.text(st.characters(codec="utf-8", exclude_characters="`\r\n\0", exclude_categories=("Cc", "Zs")), min_size=1)
line = st.lists(words.filter(lambda word: not word.startswith("--")), max_size=5).map(" ".join)
values = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=20)
names = st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True)


@given(verb=names, first=line, options=st.dictionaries(names, values, max_size=3), below=st.lists(words, max_size=3))
def test_what_is_written_is_read_back(verb: str, first: str, options: dict[str, str], below: list[str]) -> None:
    quoted = [f'--{key}="{_escaped(value)}"' for key, value in options.items()]
    body = "\n\n".join([" ".join(["/bot", verb, *quoted, *([first] if first else [])]), *below])
    text = "\n\n".join([first, *below]).strip()
    assert find_command(body, "/bot") == Command(verb=verb, text=text, options=options)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


@given(st.text(st.characters(exclude_categories=())), st.sampled_from(["", "/bot ", "/bot fix ", "/bot fix --a="]))
def test_no_text_raises(text: str, start: str) -> None:
    find_command(start + text, "/bot")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", ["`", "`` ", "[*_", '--a="', "--a=' ", "> ", "- ", "<!-- ", "| ", "*a_ ", "\\", "\t"])
def test_hostile_comments_cost_little(unit: str) -> None:
    for body in ("/bot fix " + unit * 20_000, "/bot fix\n" + (unit + "\n") * 10_000, unit * 20_000):
        find_command(body[:65_536], "/bot")

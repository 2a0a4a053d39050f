"""Which comments hold a command (B5), what is in it, and that none comes by e-mail."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.forge.events.commands import find_command
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


def test_a_mention_stands_beside_the_phrase() -> None:
    assert find_command("@Piper fix this", "/bot", "piper") == Command(verb="fix", text="this")
    assert find_command("/bot fix this", "/bot", "piper") == Command(verb="fix", text="this")
    assert find_command("@piper", "/bot", "piper") == Command(verb="help")
    for body in (
        "@piper[bot] fix",
        "@pipers fix",
        "piper fix",
        "@piper, fix",
        "> @piper fix",
        "`@piper fix`",
        "cc @piper",
    ):
        assert find_command(body, "/bot", "piper") is None
    assert find_command("@piper fix", "/bot") is None


MAILS = [
    "On Mon, Jan 7, 2030 at 10:00 AM A Person <notifications@example.com> wrote:\n> earlier",
    "On Mon, Jan 7, 2030 at 10:00 AM A Person <\nnotifications@example.com> wrote:\n\n> earlier\n>\n> more",
    "A Person wrote:\n> earlier",
    "Am 07.01.2030 um 10:00 schrieb A Person:\n> earlier",
    "Le lun. 7 janv. 2030 à 10:00, A Person a écrit :\n\n> earlier",
    "El lun, 7 ene 2030 a las 10:00, A Person (<a@example.com>) escribió:\n\n> earlier",
    "2030年1月7日(月) 10:00 A Person <a@example.com>:\n\n> earlier",
    "На 7 яну 2030, в 10:00, A Person:\n> earlier",
    "-----Original Message-----\nFrom: A Person",
    "---------- Forwarded message ---------\nx",
    "-----Ursprüngliche Nachricht-----\nx",
    "> -----Original Message-----\n> x",
    "________________________________\nFrom: A Person <a@example.com>\nSent: Monday\nTo: repo\nSubject: Re: it",
    "*From:* A Person\n*Date:* Monday\n*Subject:* Re: it",
    "Von: A\nGesendet: Montag\nAn: B\nBetreff: Re: it",
    "\u2014\nReply to this email directly, view it on GitHub, or unsubscribe.",
    "> \u2014\n> You are receiving this because you were mentioned.Message ID: <octo/repo/issues/1@github.com>",
    "> Reply to this email directly, [view it on GitHub](https://github.example/x).",
    "reply+ABC123@reply.github.example",
    "-- \nA Person",
    "Sent from my telephone",
    "Get Outlook for Android<https://aka.example>",
]


@pytest.mark.parametrize("mail", MAILS)
def test_a_comment_that_came_by_mail_is_no_command(mail: str) -> None:
    for start in ("/bot fix", "/bot fix it\nplease", "@piper fix", "/bot"):
        assert find_command(start, "/bot", "piper") is not None
        for line_end in ("\n", "\r\n"):
            body = f"{start}\n\n{mail}\n".replace("\n", line_end)
            assert find_command(body, "/bot", "piper") is None, body


@pytest.mark.parametrize("mail", MAILS)
def test_a_mail_that_is_shown_as_code_is_text(mail: str) -> None:
    for body in (f"/bot fix\n\n~~~~~\n{mail}\n~~~~~", "/bot fix\n\n" + re.sub("(?m)^", "    ", mail)):
        assert find_command(body, "/bot") is not None


@pytest.mark.parametrize(
    "below",
    [
        "The page says:\n> it works",
        "In Python 3.11 it prints:\n\n> error",
        "> quoted\n\nThis is wrong, see above.",
        "From: the parser\nTo: the printer",
        "Write to a@example.com about it.",
        "On Monday I wrote: it fails.",
        "--\nnot a signature without the blank",
        "---\n\nrule",
        "Please add a header `Subject:`.",
    ],
)
def test_words_that_only_look_a_little_like_mail_are_text(below: str) -> None:
    found = find_command(f"/bot fix\n\n{below}", "/bot")
    assert found is not None
    assert found.text == below.strip()


def test_the_line_of_the_command_is_no_part_of_a_mail() -> None:
    assert find_command("/bot explain what a@example.com wrote:\n> this", "/bot") is not None


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


commands = st.builds(
    lambda name, verb, quoted, first: " ".join([name, verb, *quoted, *([first] if first else [])]),
    st.sampled_from(["/bot", "/BOT", "@piper"]),
    names,
    st.lists(st.builds(lambda key, value: f'--{key}="{_escaped(value)}"', names, values), max_size=2),
    line,
)
wrapped = st.sampled_from(
    [
        "`{}`",
        "```\n{}\n```",
        "~~~ text\n{}\n~~~",
        "    {}",
        "\t{}",
        "> {}",
        "> > {}",
        "- {}",
        "1. {}",
        "# {}",
        "<!-- {} -->",
        "<!--\n{}\n-->",
        "<details>\n{}\n</details>",
        "<pre>{}</pre>",
        "hello\n{}",
        "hello\n\n{}",
        "{}\n===",
        "**{}**",
    ]
)


@given(commands, wrapped)
def test_no_command_survives_being_wrapped(command: str, wrapper: str) -> None:
    assert find_command(command, "/bot", "piper") is not None
    assert find_command(wrapper.replace("{}", command), "/bot", "piper") is None


@given(commands, st.sampled_from(MAILS), st.text(max_size=20))
def test_no_command_survives_coming_by_mail(command: str, mail: str, between: str) -> None:
    quiet = "".join(each for each in between if each.isalnum() or each == " ")
    assert find_command(f"{command}\n\n{quiet}\n\n{mail}", "/bot", "piper") is None


@given(st.text(st.characters(exclude_categories=())), st.sampled_from(["", "/bot ", "/bot fix ", "/bot fix --a="]))
def test_no_text_raises(text: str, start: str) -> None:
    find_command(start + text, "/bot", "piper")
    find_command(f"{start}\n\n{text}\n> {text}", "/bot", "piper")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", ["`", "`` ", "[*_", '--a="', "--a=' ", "> ", "- ", "<!-- ", "| ", "*a_ ", "\\", "\t"])
def test_hostile_comments_cost_little(unit: str) -> None:
    deep = "/bot fix\n\n" + unit * 20_000
    for body in ("/bot fix " + unit * 20_000, "/bot fix\n" + (unit + "\n") * 10_000, unit * 20_000, deep):
        find_command(body[:65_536], "/bot")

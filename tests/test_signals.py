"""Texts -> what they show by themselves."""

from __future__ import annotations

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.triage.issues import alarms, signals
from bot.triage.issues.language import language_of
from bot.triage.issues.signals import BODY_LIMIT, Signals, parts_of, signals_of, suitability_of

PYTHON = 'Traceback (most recent call last):\n  File "/srv/app/main.py", line 3, in <module>\nValueError: no'


@pytest.mark.parametrize(
    "body",
    [
        PYTHON,
        f"It broke:\n\n```\n{PYTHON}\n```",
        'Exception in thread "main" java.lang.Error\n\tat com.acme.App.run(App.java:10)',
        "TypeError: x is undefined\n    at Object.run (/srv/app/src/a.ts:12:3)\n    at /srv/app/b.js:1:20",
        "panic: runtime error\n\ngoroutine 1 [running]:\nmain.main()",
        "thread 'main' panicked at src/main.rs:2:5:",
        "app/models/user.rb:7:in `save': no (RuntimeError)",
        "#0 /srv/app/index.php(12): run()",
        "#1  0x00007ffff7a05b97 in __libc_start_main () from /lib/libc.so.6",
        "   at Acme.App.Run(String x) in C:\\app\\App.cs:line 10",
    ],
)
def test_a_stack_trace_is_seen_in_many_languages(body: str) -> None:
    found = signals_of("It fails", body)
    assert (found.stack_trace, found.reproduction) == (True, True)


@pytest.mark.parametrize(
    "body",
    [
        "### Steps to reproduce\n\n1. The red lamp, pressed twice\n2. The green lamp, pressed once",
        "To reproduce: press the red lamp twice and wait a minute.",
        "1. Open the settings\n2. Click on the lamp\n3. It is dark",
        "```python\nlamp = Lamp()\nlamp.light(2)\n```",
        "```\n$ lamp --on\n```",
        "See https://codesandbox.io/s/abc123",
        "Here: https://github.com/acme/lamp-repro",
    ],
)
def test_a_way_to_reproduce_is_seen(body: str) -> None:
    assert signals_of("The lamp stays dark", body).reproduction


@pytest.mark.parametrize(
    "body",
    [
        "",
        "It does not work. Please fix it.",
        "**To Reproduce**\nSteps to reproduce the behavior:\n1. Go to '...'\n2. See error",
        "### Steps to reproduce\n\n_No response_",
        "<!-- 1. Open the app\n2. Click on it -->",
        "```json\n{}\n```",
        "See https://github.com/acme/lamp/issues/7",
    ],
)
def test_what_is_no_way_to_reproduce(body: str) -> None:
    assert not signals_of("The lamp stays dark", body).reproduction


@pytest.mark.parametrize(
    ("title", "body"),
    [
        ("CVE-2024-12345 in the parser", ""),
        ("Stored XSS in comments", "A comment with a script tag is run."),
        ("Path traversal when unpacking", ""),
        ("Crash", "A crafted file leads to remote code execution."),
        ("Problem", "The access token is leaked into the log. An attacker could read it."),
        ("Passwords are stored in plain text", ""),
        ("Security issue", "An attacker can exploit it with malicious input."),
        ("GHSA-abcd-1234-efgh is not fixed here", ""),
        ("RCE by YAML", ""),
    ],
)
def test_a_vulnerability_is_seen(title: str, body: str) -> None:
    assert signals_of(title, body).security


@pytest.mark.parametrize(
    ("title", "body"),
    [
        ("Add a security page to the docs", "It would be nice to say more about security."),
        ("Feature request: protect forms", "Please add support for tokens, it would help against CSRF attacks."),
        ("Stack overflow in recursion", "RecursionError, see https://stackoverflow.com/questions/1"),
        ("Login fails", "I forgot my password and the token is expired."),
        ("Install prints noise", "added 3 packages, found 2 vulnerabilities, run npm audit"),
        ("Lamp", "- [x] I did not find a security vulnerability\nPlease do not report security vulnerabilities here."),
        ("Memory leak in the lamp", "It leaks 2 MB an hour."),
    ],
)
def test_what_is_no_vulnerability(title: str, body: str) -> None:
    assert not signals_of(title, body).security


@pytest.mark.parametrize(
    ("title", "body"),
    [
        ("Best online casino 2024", "Play at https://best-casino.example.biz now"),
        ("Loan app customer care number", "Call the helpline number +91 98765 43210 today"),
        ("Buy backlinks", "SEO services and guest posts at https://seo.example.biz, guaranteed returns"),
        ("Hello", " ".join(f"https://shop{at}.example.biz/buy" for at in range(12))),
    ],
)
def test_advertising_is_seen(title: str, body: str) -> None:
    assert signals_of(title, body).spam


@pytest.mark.parametrize(
    ("title", "body"),
    [
        ("", ""),
        ("Bitcoin wallet is slow", "Recovering my wallet takes hours. Version 0.21.0, +1 from me."),
        ("Casino demo fails", f"```\n{PYTHON}\n```\nhttps://casino.example.biz"),
        ("Links are dead", " ".join(f"https://github.com/acme/lamp/issues/{at}" for at in range(30))),
        ("asdf", "qwer"),
    ],
)
def test_what_is_no_advertising(title: str, body: str) -> None:
    assert not signals_of(title, body).spam


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("en", "When I press the button the lamp does not light up, but it should."),
        ("de", "Wenn ich auf den Knopf drücke, geht die Lampe nicht an und es wird ein Fehler gezeigt."),
        ("fr", "Quand je clique sur le bouton, la lampe ne marche pas et une erreur est dans le journal."),
        ("es", "Cuando pulso el botón la lámpara no se enciende y hay un error en la consola."),
        ("pt", "Quando eu clico no botão a lâmpada não acende e uma mensagem de erro é mostrada, mas isso é novo."),
        ("it", "Quando premo il pulsante la lampada non si accende e nella console c'è un errore, ma anche questo."),
        ("nl", "Als ik op de knop druk gaat het licht niet aan en er is een fout in het logboek."),
        ("pl", "Gdy naciskam przycisk, lampa się nie włącza i jest błąd, że nie można tego zrobić."),
        ("tr", "Düğmeye bastığım zaman lamba yanmıyor ve bir hata var, bu çok garip gibi ama."),
        ("sv", "När jag trycker på knappen tänds inte lampan och det är ett fel som inte syns."),
        ("cs", "Když zmáčknu tlačítko, lampa se nerozsvítí a v konzoli je chyba, která se už objevila."),
        ("id", "Ketika saya menekan tombol, lampu tidak menyala dan ada kesalahan yang tidak bisa dibaca."),
        ("vi", "Khi tôi nhấn nút thì đèn không sáng và có một lỗi trong nhật ký."),
        ("ru", "Когда я нажимаю на кнопку, лампа не загорается."),
        ("uk", "Коли я натискаю на кнопку, лампа не світиться, і це помилка."),
        ("zh", "点击按钮以后灯不亮，控制台里有错误信息。"),
        ("ja", "ボタンを押してもランプが点灯しません。"),
        ("ko", "버튼을 눌러도 램프가 켜지지 않습니다."),
        ("ar", "عندما أضغط على الزر لا يضيء المصباح."),
        ("he", "כשאני לוחץ על הכפתור המנורה לא נדלקת."),
        ("el", "Όταν πατάω το κουμπί η λάμπα δεν ανάβει."),
        ("hi", "जब मैं बटन दबाता हूँ तो लैंप नहीं जलता है।"),
        ("th", "เมื่อฉันกดปุ่มหลอดไฟไม่ติด"),
        ("", "lamp.light(2) -> TypeError"),
        ("", "Windows 11 x64 v2.1.0"),
        ("", ""),
    ],
)
def test_the_language_is_told_where_it_can_be(code: str, text: str) -> None:
    assert language_of(text) == code


def test_code_has_no_language() -> None:
    code = "```\n# the lamp is not on when it should be, and this is in the code for you\n```"
    assert (
        signals_of("Die Lampe ist nicht an", f"Wenn ich den Knopf drücke, wird es nicht hell.\n{code}").language == "de"
    )
    assert signals_of("x", f"{code}\n" * 5).language == ""


@pytest.mark.parametrize(
    ("title", "body", "size"),
    [
        ("Typo in README", "", "xs"),
        ("Crash on start", PYTHON, "s"),
        ("The lamp looks odd", "It is rather green.", "m"),
        ("Add support for Windows", "Please.", "l"),
        ("RFC: a new engine", "", "xl"),
    ],
)
def test_how_large_the_work_looks(title: str, body: str, size: str) -> None:
    assert signals_of(title, body).size == size


def test_an_agent_gets_what_is_small_plain_and_found() -> None:
    bug = signals_of("Crash on start", f"Since version 2.1 it crashes at start, on each of my machines.\n{PYTHON}")
    assert suitability_of(bug, kind="bug", files=["main.py"]).suitable
    typo = signals_of("Typo in the README", "The word lamp is written lmap in the second line of the first part of it.")
    assert suitability_of(typo, kind="bug", files=["README.md"]).suitable


@pytest.mark.parametrize(
    ("title", "body", "kind", "files"),
    [
        ("How do I start it?", PYTHON, "question", ["main.py"]),
        ("XSS in the form", PYTHON, "bug", ["main.py"]),
        ("It is broken", "Fix it.", "bug", ["main.py"]),
        ("Discuss the design of lamps", PYTHON, "bug", ["main.py"]),
        ("Crash", f"It crashes whenever I start it on my machine.\n{PYTHON}", "bug", []),
        (
            "Add a lamp",
            f"It would be nice to have one more lamp on each of the tables.\n{PYTHON}",
            "feature",
            ["main.py"],
        ),
        ("Lamp is dark", "It is dark here, and was not dark before, which is not what I like.", "bug", ["main.py"]),
    ],
)
def test_an_agent_does_not_get_what_people_should_look_at(title: str, body: str, kind: str, files: list[str]) -> None:
    found = suitability_of(signals_of(title, body), kind=kind, files=files)  # type: ignore[arg-type]
    assert not found.suitable
    assert found.reason.endswith(".")
    assert title not in found.reason


def test_missing_answers_keep_an_agent_away_but_not_where_a_trace_says_it_all() -> None:
    words = "It crashes whenever I start it on my machine, which is new.\n"
    steps = signals_of("Crash", f"{words}1. Open the lamp\n2. Click on it")
    assert suitability_of(steps, kind="bug", files=["a.py"]).suitable
    assert not suitability_of(steps, kind="bug", files=["a.py"], missing=["Version"]).suitable
    assert suitability_of(signals_of("Crash", words + PYTHON), kind="bug", files=["a.py"], missing=["Version"]).suitable


HOSTILE = st.sampled_from(
    [
        *(
            " ",
            "\n",
            "a",
            "`",
            "```",
            "~~~",
            "<!--",
            "-->",
            "[",
            "](",
            "(",
            "at ",
            "at a(",
            ":1",
            "#0 ",
            "1. Open",
            "$ ",
        ),
        *(
            "https://",
            "@",
            ".",
            "+1 23",
            "expose ",
            "token ",
            "\u202e",
            "\ud800",
            "\0",
            "漢",
            "и",
            "- [ ] ",
            "to reproduce: ",
        ),
    ]
)


@settings(deadline=None, max_examples=50)
@given(st.lists(HOSTILE, max_size=30), st.integers(1, 3_000))
def test_no_text_raises_and_what_is_looked_at_is_bounded(pieces: list[str], times: int) -> None:
    text = "".join(pieces) * times
    parts = parts_of(text[:5_000], text[:200_000])
    assert len(parts.text) <= BODY_LIMIT
    assert len(parts.prose) + sum(map(len, parts.code)) <= BODY_LIMIT
    assert isinstance(signals_of(text[:5_000], text[:200_000]), Signals)


def test_every_pattern_is_matched_in_linear_time() -> None:
    """RE2 has no backtracking: with it and a bounded text, the work is bounded whatever the text is."""
    patterns = [value for module in (signals, alarms) for value in vars(module).values() if hasattr(value, "pattern")]
    assert len(patterns) > 20
    assert {type(pattern) for pattern in patterns} == {type(re2.compile("a"))}

"""A measure -> the report: its words, its policy that the parser takes back, and a page in which nothing is live."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bot.cli.faults import report as fault
from bot.cli.triage import triage
from bot.cli.triage_report import read_measured
from bot.cli.triage_report_view import report_parts
from bot.errors import SandpiperError
from bot.triage.page import escaped, page, tag
from bot.triage.policy import parse_policy
from bot.triage.report import NOT_LEARNED, applied, bar, policy_snippet, words
from bot.triage.report_html import report_page
from bot.types.triage import LabelMeasure, Measured

HOSTILE = "</style><script>alert(1)</script>\" onload=x '\u202e\u200b"
QUIET = {"html", "head", "meta", "title", "style", "body", "main", "footer", "section", "h1", "h2", "p", "div", "dl",
         "dt", "dd", "small", "table", "caption", "thead", "tbody", "tr", "th", "td", "span", "code", "pre", "figure",
         "svg", "desc", "rect", "line", "text", "circle", "polyline", "a", "ul", "li", "nav"}  # fmt: skip


def row(label: str, **more: object) -> LabelMeasure:
    fields = {"label": label, "lessons": 100, "precision": 0.9, "recall": 0.8, "f1": 0.85, **more}
    return LabelMeasure.model_validate(fields)


def measured(**more: object) -> Measured:
    counts = {"bug": 180, "feature": 10, "question": 10}
    fields = {
        "lessons": 500,
        "corrections": 23,
        "types": (row("bug"), row("feature"), row("question")),
        "labels": (
            row("Bug", threshold=0.9, coverage=0.2, error=0.01),
            row("area: parser", threshold=0.8121, coverage=0.3, error=0.04),
            row("docs"),
        ),
        "confusion": {"bug": counts, "feature": {"feature": 200}, "question": {"question": 90, "bug": 10}},
        "f1": 0.79,
        "ece": 0.027,
        "bins": ((0.55, 0.5, 60), (0.95, 0.97, 440)),
        "coverage": 0.424,
        "error": 0.0425,
        **more,
    }
    return Measured.model_validate(fields)


class Page(HTMLParser):
    """What a browser would find in a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said = ""
        self.style = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], f"never closed: {self._open}"

    def handle_starttag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((name, dict(attrs)))
        if name not in ("meta", "col"):
            self._open.append(name)

    def handle_startendtag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((name, dict(attrs)))

    def handle_endtag(self, name: str) -> None:
        assert self._open.pop() == name

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "style":
            self.style += data
        else:
            self.said += data


def looked_at(text: str) -> Page:
    """The page, once nothing in it can run, load, or lead elsewhere."""
    found = Page(text)
    assert {name for name, _ in found.tags} <= QUIET
    for name, attributes in found.tags:
        assert not [each for each in attributes if each.startswith("on") or each in ("style", "src", "srcset")]
        assert "href" not in attributes or re.match(r"https://|#", attributes["href"] or ""), name
    policies = [a["content"] for n, a in found.tags if n == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(found.style.encode()).digest()).decode()
    assert policies == [f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"]
    assert "url(" not in found.style
    assert "@import" not in found.style
    return found


# --- words and policy ---------------------------------------------------------------------------------------------


def test_what_it_would_do_alone_is_said_in_counts() -> None:
    rows = applied(measured())
    assert words(rows[0]) == "Would have put a label for the type on 212 of 500, 9 wrong (4.2 %)."
    assert words(rows[1]) == "Would have put the label 'area: parser' on 150 of 500, 6 wrong (4.0 %)."
    assert len(rows) == 2  # the label of a type is put on by the type's threshold
    none = applied(measured(coverage=0.0, error=None, labels=()))
    assert words(none[0]).startswith("Would have put a label for the type on none of 500")


def test_the_policy_snippet_is_a_policy() -> None:
    policy = parse_policy(policy_snippet(measured()).encode())
    assert policy.triage.apply is not None
    assert policy.triage.apply.error == 0.05
    assert policy.triage.apply.thresholds == {"area: parser": 0.813}  # rounded up: never more than was measured


@given(st.lists(st.tuples(st.text(max_size=60), st.floats(0, 1)), max_size=120, unique_by=lambda pair: pair[0]))
def test_whatever_labels_are_called_the_snippet_is_a_policy(labels: list[tuple[str, float]]) -> None:
    rows = tuple(row(name, threshold=threshold, coverage=0.1, error=0.0) for name, threshold in labels)
    policy = parse_policy(policy_snippet(measured(labels=rows)).encode())
    assert policy.triage.apply is not None
    given_ = dict(labels)
    assert all(given_[name] <= value <= given_[name] + 0.001 for name, value in policy.triage.apply.thresholds.items())


@pytest.mark.parametrize(
    ("share", "drawn"), [(None, ""), (0.0, ""), (1.0, "████"), (0.5, "██"), (0.28, "█▏"), (7, "████")]
)
def test_bars(share: float | None, drawn: str) -> None:
    assert bar(share, 4) == drawn


# --- the page -----------------------------------------------------------------------------------------------------


def test_the_page_holds_everything_and_runs_nothing() -> None:
    text = report_page("acme/app", measured(), policy_path=".github/bot.yml", made="today")
    found = looked_at(text)
    for wanted in (
        "500",
        "23 of them corrections",
        "0.790",
        "0.027",
        "180",
        "90 %",
        "0.812",
        "212 of 500",
        "thresholds",
    ):
        assert wanted in found.said
    names = [name for name, _ in found.tags]
    assert names.count("table") == names.count("caption") == 5
    assert all(attributes.get("scope") in ("col", "row") for name, attributes in found.tags if name == "th")
    assert names.count("circle") == 2
    assert [attributes["lang"] for name, attributes in found.tags if name == "html"] == ["en"]


def test_a_label_may_be_called_anything() -> None:
    labels = (row(HOSTILE, threshold=0.5, coverage=0.2, error=0.01),)
    found = looked_at(report_page("acme/app", measured(labels=labels, encoder=HOSTILE), policy_path="x"))
    assert "</style><script>alert(1)</script>" in found.said
    assert "\u202e" not in found.said
    assert "\u200b" not in found.said


@given(st.text(), st.text())
def test_text_comes_out_of_the_page_as_text(first: str, second: str) -> None:
    found = looked_at(page(first, tag("p", second, title=first), tag("a", first, href=f"https://{second}")))
    assert html_says(second) in found.said


def html_says(text: str) -> str:
    """What is left of a text on the page, as a browser reads it."""
    return Page(f"<p>{escaped(text)}</p>").said


def test_an_empty_model_is_explained_and_not_drawn() -> None:
    found = looked_at(report_page("acme/app", Measured(), policy_path="x"))
    assert NOT_LEARNED in found.said
    assert "svg" not in [name for name, _ in found.tags]
    assert "0.000" not in found.said
    assert NOT_LEARNED.split(".")[0] in drawn(Measured())


def test_a_type_without_lessons_has_no_figures() -> None:
    some = measured(types=(row("bug"), row("question", lessons=0, precision=0, recall=0, f1=0)))
    assert "0.000" not in looked_at(report_page("acme/app", some, policy_path="x")).said
    assert "0.000" not in drawn(some)


def test_little_data_leaves_parts_out() -> None:
    few = measured(bins=(), labels=(), types=(), confusion={}, coverage=None, error=None, f1=None, ece=None)
    said = looked_at(report_page("acme/app", few, policy_path="x")).said
    assert "Too little is known" in said
    assert "No label was given" in said
    assert "none of 500" in drawn(few)


def drawn(value: Measured, width: int = 120) -> str:
    console = Console(file=StringIO(), width=width, highlight=False)
    for part in report_parts("acme/app", value, policy_path=".github/bot.yml"):
        console.print(part)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


def test_the_terminal_shows_the_same() -> None:
    text = drawn(measured(labels=(row("bad\x1b[31m\u202e::error::", threshold=0.5, coverage=0.2, error=0.0),)))
    for wanted in ("23 of them corrections", "212 of 500, 9 wrong (4.2 %)", "███", "180", "0.027", "apply:"):
        assert wanted in text
    assert "\x1b" not in text
    assert "\u202e" not in text


# --- the command --------------------------------------------------------------------------------------------------


def test_the_command_needs_no_network_with_a_file(tmp_path: Path) -> None:
    source, html, again = tmp_path / "in.json", tmp_path / "out.html", tmp_path / "again.json"
    source.write_text(measured().model_dump_json())
    words_ = ["report", "acme/app", "--input", str(source)]
    done = CliRunner().invoke(triage, [*words_, "--html", str(html), "--json"], catch_exceptions=False)
    value = json.loads(done.output)
    assert value["alone"][0] == {"label": "", "of": 500, "put": 212, "wrong": 9, "error": 9 / 212}
    looked_at(html.read_text())
    again.write_text(done.output)  # its own answer is a measure, too
    assert read_measured(again, None) == measured()
    shown = CliRunner().invoke(triage, words_, catch_exceptions=False)
    assert "212 of 500, 9 wrong (4.2 %)" in shown.output


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xff", "measure_invalid"),
        (b"[" * 100_000, "measure_invalid"),
        (b"[]", "measure_invalid"),
        (b'{"lessons": "many"}', "measure_invalid"),
        (b'{"bins": [[0.5, NaN, 1]]}', "measure_invalid"),
        (b'{"bins": [[0.5, 0.5, 0]]}', "measure_invalid"),
        (b'{"lessons": 3}', "other_error"),
        (None, "not_readable"),
    ],
)
def test_a_wrong_file_is_refused_with_a_reason(tmp_path: Path, data: bytes | None, code: str) -> None:
    path = tmp_path / "measure.json"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(SandpiperError) as caught:
        read_measured(path, 0.1)
    assert caught.value.code == code
    assert fault(caught.value, []) == 2


def test_a_page_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    source = tmp_path / "in.json"
    source.write_text(measured().model_dump_json())
    words_ = ["report", "acme/app", "--input", str(source), "--html", str(tmp_path / "no" / "x.html")]
    done = CliRunner().invoke(triage, words_)
    assert isinstance(done.exception, SandpiperError)
    assert done.exception.code == "not_writable"

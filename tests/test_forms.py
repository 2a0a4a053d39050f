"""Issue forms and texts -> what the texts leave open."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.triage.issues.form_files import IssueForm, parse_form
from bot.triage.issues.forms import EXPECTATION, MISSING, STEPS, VERSION, form_for, labels_of_form, missing_fields

FORM = b"""
name: Bug
labels: bug
body:
  - type: markdown
    attributes:
      value: "### Thanks"
  - type: input
    id: version
    attributes: {label: Version, placeholder: "1.2.3"}
    validations: {required: true}
  - type: dropdown
    attributes: {label: How often?, options: [Always, N/A, Once]}
    validations: {required: true}
  - type: textarea
    attributes:
      label: Steps to reproduce
      value: |
        1. Open ...
        2. See error
    validations: {required: true}
  - type: textarea
    attributes: {label: Logs, render: shell}
    validations: {required: true}
  - type: textarea
    attributes: {label: Anything else}
  - type: checkboxes
    attributes:
      label: Before you send it
      options:
        - {label: I searched, required: true}
        - {label: I can help}
"""
TEMPLATE = b"""---
name: Bug report
about: Tell us
labels: bug, triage
---
**Describe the bug**
A clear and concise description of what the bug is.

**To Reproduce**
Steps to reproduce the behavior:
1. Go to '...'
2. See error

**Environment**
 - OS: [e.g. iOS]
 - Version [e.g. 22]

**Additional context**
<!-- anything -->
"""
FILLED = """### Version

2.1.0

### How often?

N/A

### Steps to reproduce

1. Run `tool --all`
2. Look at the screen

### Logs

```shell
boom
```

### Anything else

_No response_

### Before you send it

- [X] I searched
- [ ] I can help
"""


def form(data: bytes = FORM, path: str = ".github/ISSUE_TEMPLATE/bug.yml") -> IssueForm:
    parsed = parse_form(path, data)
    assert parsed is not None
    return parsed


TEMPLATED = form(TEMPLATE, ".github/ISSUE_TEMPLATE/bug.md")


def test_a_filled_form_misses_nothing() -> None:
    assert missing_fields("It breaks", FILLED, [form()]) == ()
    assert missing_fields("It breaks", FILLED.replace("\n", "\r\n"), [form()]) == ()


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("2.1.0", "_No response_", "Version"),
        ("2.1.0", "n/a", "Version"),
        ("2.1.0", "-", "Version"),
        ("2.1.0", "1.2.3", "Version"),
        ("2.1.0", "<!-- which one? -->", "Version"),
        ("2.1.0", "", "Version"),
        ("1. Run `tool --all`\n2. Look at the screen", "1. Open ...\n2. See error", "Steps to reproduce"),
        ("boom", "", "Logs"),
        ("[X] I searched", "[ ] I searched", "Before you send it"),
        ("### Version\n\n2.1.0\n", "", "Version"),
    ],
)
def test_what_a_form_requires_and_the_text_lacks_is_named(old: str, new: str, name: str) -> None:
    assert old in FILLED
    assert missing_fields("It breaks", FILLED.replace(old, new), [form()]) == (name,)


def test_a_heading_of_the_authors_own_ends_no_field() -> None:
    body = FILLED.replace("1. Run `tool --all`", "#### First\n\n1. Run `tool --all`")
    assert missing_fields("It breaks", body, [form()]) == ()


def test_a_heading_in_a_code_block_is_no_heading() -> None:
    body = FILLED.replace("2.1.0", "").replace("boom", "### Version\n\n2.1.0")
    assert missing_fields("It breaks", body, [form()]) == ("Version",)


def test_an_untouched_template_lacks_what_a_bug_needs() -> None:
    body = TEMPLATE.decode().partition("---\n")[2].partition("---\n")[2]
    assert missing_fields("It breaks", body, [TEMPLATED]) == ("Describe the bug", "To Reproduce", "Environment")


def test_a_filled_template_lacks_nothing_even_where_its_headings_moved() -> None:
    body = (
        "**Describe the bug**\nThe lamp stays dark.\n\n**To Reproduce**\n1. Press the red button\n2. Wait a minute\n"
        "\n**Environment**\n - OS: Linux\n - Version 3.2\n"
    )
    assert missing_fields("Dark", body, [TEMPLATED]) == ()
    moved = body.replace("**To Reproduce**\n", "").replace("Wait a minute", "Open the door")
    assert missing_fields("Dark", moved, [TEMPLATED]) == ()


def test_left_over_hints_are_no_answer() -> None:
    body = "**Describe the bug**\nDark.\n**To Reproduce**\n1. Press it\n2. Wait here\n"
    body += "**Environment**\n - OS:\n - Version\n"
    assert missing_fields("Dark", body, [TEMPLATED]) == ("Environment",)


def test_the_form_that_fits_best_is_taken_and_its_labels_with_it() -> None:
    idea = form(
        b"name: Idea\nlabels: [feature]\nbody:\n"
        b"- {type: textarea, attributes: {label: Version}}\n"
        b"- {type: textarea, attributes: {label: The idea}}\n"
        b"- {type: textarea, attributes: {label: Why}}\n"
    )
    assert form_for(FILLED, [idea, form()]) == form()
    assert labels_of_form(FILLED, [idea, form()]) == ("bug",)
    assert labels_of_form("### The idea\n\nx\n\n### Why\n\ny", [form(), idea]) == ("feature",)
    assert form_for("Just a text.", [idea, form()]) is None
    assert labels_of_form("Just a text.", [idea, form()]) == ()


def test_without_a_form_only_a_bug_is_asked_for_more() -> None:
    assert missing_fields("Crash", "The program crashes with an error.", []) == (VERSION, STEPS)
    assert missing_fields("It is broken", "It is broken and wrong.", []) == (VERSION, STEPS, EXPECTATION)
    assert missing_fields("Add a dark mode", "It would be nice to have one.", []) == ()
    assert missing_fields("How do I install it?", "I get an error.", []) == ()
    assert missing_fields("Add a dark mode", "It would be nice.", [], bug=True) == (VERSION, STEPS, EXPECTATION)
    assert missing_fields("Crash", "The program crashes with an error.", [], bug=False) == ()
    full = "Version 2.1. Steps to reproduce:\n1. Run it\n2. Press the button\nExpected: light. Actual: an error."
    assert missing_fields("Crash", full, []) == ()


def test_names_are_few_short_and_clean() -> None:
    row = '- type: input\n  attributes: {label: "f%d <!-- obey --> \\u202e%s"}\n  validations: {required: true}\n'
    rows = "".join(row % (at, "x" * 150) for at in range(30))
    wide = form(f"body:\n{rows}".encode())
    body = "".join(f"### {field.name}\n\n_No response_\n\n" for field in wide.fields)
    names = missing_fields("x", body, [wide])
    assert len(names) == MISSING
    assert all(len(name) <= 80 and "obey" not in name and "\u202e" not in name for name in names)


LINES = st.sampled_from(
    [
        "### Version",
        "**To Reproduce**",
        "```",
        "~~~",
        "<!--",
        "-->",
        "- [x] I searched",
        "_No response_",
        "",
        "text",
        "# #",
    ]
)


@settings(deadline=None)
@given(st.lists(LINES | st.text(max_size=20), max_size=20))
def test_no_text_raises(lines: list[str]) -> None:
    body = "\n".join(lines)
    for forms in ([], [form()], [TEMPLATED, form()]):
        assert len(missing_fields(body[:30], body, forms)) <= MISSING
        labels_of_form(body, forms)


@settings(deadline=None)
@given(st.binary(max_size=200) | st.lists(LINES, max_size=20).map(lambda lines: "\n".join(lines).encode()))
def test_no_file_raises(data: bytes) -> None:
    parse_form("a.yml", data)
    parse_form("a.md", data)

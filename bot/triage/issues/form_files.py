"""Bytes of an issue form or Markdown template -> its fields, or None where it can't be read.

Source: GitHub Docs, "Syntax for issue forms" and "Syntax for GitHub's form schema"; a template is Markdown below a
front matter with `name`, `about`, `labels`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from bot.triage.policy_file import read
from bot.types.value import Value
from bot.visible import shown, without_html_comments

FORM_LIMIT = 64 * 1024
"""Bytes of a form or template that are read."""
FIELDS = 60
"""Fields of a form that are looked at."""
LABELS = 20
"""Labels that a form may set."""
NAME_LENGTH = 200
"""Characters of a field's name."""
FieldKind = Literal["input", "textarea", "dropdown", "checkboxes", "section"]
"""A section is a heading of a Markdown template with what stands below it."""
_KINDS: dict[str, FieldKind] = {
    "input": "input",
    "textarea": "textarea",
    "dropdown": "dropdown",
    "checkboxes": "checkboxes",
    "upload": "textarea",
}
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(\S.*)")
_STRONG = re.compile(r" {0,3}(?:\*\*|__)(\S[^*_]*)(?:\*\*|__)[ \t:]*")


class FormField(Value):
    """One thing that a form asks for."""

    name: str
    """Its label: the heading in the issue's text."""
    kind: FieldKind
    """How it is answered."""
    required: bool = False
    """Whether it has to be answered."""
    given: tuple[str, ...] = ()
    """Lines that the form itself puts there or shows there: they are no answer."""
    options: tuple[str, ...] = ()
    """Answers to choose from; of checkboxes those that must be ticked."""


class IssueForm(Value):
    """An issue form or Markdown template."""

    path: str
    """Where it is in the repository."""
    name: str = ""
    """What people choose it by."""
    labels: tuple[str, ...] = ()
    """Labels that it sets by itself: nobody thought about them."""
    fields: tuple[FormField, ...] = Field(default=(), max_length=FIELDS)
    """What it asks for, in its order."""


def parse_form(path: str, data: bytes) -> IssueForm | None:
    """A form by its file's bytes; None where nothing can be made of it. Never raises."""
    if len(data) > FORM_LIMIT:
        return None
    if path.lower().endswith(".md"):
        return _template(path, data.decode("utf-8-sig", "replace"))
    form = _mapping(data, path)
    body = form.get("body")
    if not isinstance(body, list):
        return None
    fields = tuple(field for field in map(_field, body[:FIELDS]) if field is not None)
    return IssueForm(path=path, name=_text(form.get("name")), labels=_labels(form.get("labels")), fields=fields)


def normal(text: str) -> str:
    """A heading or answer as it is compared: case, spaces and Markdown's signs are no difference."""
    return " ".join(re.sub(r"[*_`#:?!.]", " ", text[:2_000].casefold()).split())


def lines_of(text: str) -> Iterator[tuple[str, str | None]]:
    """Each line with the heading's words if it is one (`## Heading` or `**Heading**` alone), code blocks aside."""
    fence = ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and not line.strip(" \t`~"):
                fence = ""
            yield line, None
            continue
        if mark:
            fence = mark[1]
            yield line, None
            continue
        found = _HEADING.match(line) or _STRONG.fullmatch(line)
        yield line, found[1].strip() if found else None


def _mapping(data: bytes, path: str) -> dict[str, Any]:
    value, _, _ = read(data, path)  # aliases, tags, depth and size are bounded there; a mistake gives an empty value
    return value if isinstance(value, dict) else {}


def _field(item: Any) -> FormField | None:
    if not isinstance(item, dict) or not isinstance(item.get("attributes"), dict):
        return None
    kind, attributes, rules = _KINDS.get(_text(item.get("type"))), item["attributes"], item.get("validations")
    name = _text(attributes.get("label"))
    if kind is None or not normal(name):
        return None
    options = attributes.get("options") if isinstance(attributes.get("options"), list) else []
    if kind == "checkboxes":
        musts = [each for each in options if isinstance(each, dict) and each.get("required") is True]
        ticked = tuple(filter(None, (_text(each.get("label")) for each in musts)))
        return FormField(name=name, kind=kind, required=bool(ticked), options=ticked)
    return FormField(
        name=name,
        kind=kind,
        required=isinstance(rules, dict) and rules.get("required") is True,
        given=tuple(_given(attributes.get("value"))) + tuple(_given(attributes.get("placeholder"))),
        options=tuple(filter(None, map(_text, options))),
    )


def _given(value: Any) -> Iterator[str]:
    text = without_html_comments(value) if isinstance(value, str) else ""
    return (line for line in map(normal, text.split("\n")) if line)


def _template(path: str, text: str) -> IssueForm | None:
    text = text.replace("\r\n", "\n")
    front: dict[str, Any] = {}
    if text.startswith("---\n"):
        head, mark, rest = text[4:].partition("\n---")
        if mark:
            front, text = _mapping(head.encode(), path), rest.partition("\n")[2]
    fields, name, given = [], "", list[str]()
    for line, heading in lines_of(shown(text)):
        if heading is None:
            given.append(normal(line))
            continue
        fields.append((name, given))
        name, given = heading, []
    fields.append((name, given))
    found = tuple(
        FormField(name=name[:NAME_LENGTH], kind="section", given=tuple(filter(None, given)))
        for name, given in fields[1:]
        if normal(name)
    )[:FIELDS]
    if not found and not front:
        return None
    return IssueForm(path=path, name=_text(front.get("name")), labels=_labels(front.get("labels")), fields=found)


def _labels(value: Any) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    cleaned = (_text(each) for each in names)
    return tuple(dict.fromkeys(each for each in cleaned if each))[:LABELS]


def _text(value: Any) -> str:
    return " ".join(shown(value, code=False).split())[:NAME_LENGTH] if isinstance(value, str) else ""

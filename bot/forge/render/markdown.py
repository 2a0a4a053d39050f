"""A CommonMark tree -> Markdown, from an allow-list of block and inline kinds; the rest becomes plain text.

Which words and links stay alive is decided by the `Living` that is handed in; this file knows only how to write.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from markdown_it.tree import SyntaxTreeNode

from bot.visible import fence, fenced, without_html_comments

HEADING = 4
"""Headings inside a stranger's text never outrank ours."""
_SPECIAL = re.compile(r"[\\`*\[\]<>|~&$]|_|#|!$")
_LINE_START = re.compile(r"^(?:[-+=:/](?![A-Za-z0-9])|(?P<number>\d{1,9})(?P<point>[.)])(?=\s|$))")
_LANGUAGE = re.compile(r"[A-Za-z0-9+#_.-]{1,20}")
_DRAWN = frozenset(["mermaid", "geojson", "topojson", "stl", "math", "suggestion"])
"""Languages that GitHub draws instead of showing, and the one that it offers to commit."""
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_TAG = re.compile(
    r"</?(?:a|abbr|b|center|code|dd|del|details|div|dl|dt|em|font|h[1-6]|hr|i|img|ins|kbd|li|mark|ol|p|picture|pre|q|s|"
    r"samp|small|source|span|strike|strong|sub|summary|sup|table|tbody|td|tfoot|th|thead|tr|tt|u|ul|var|video)"
    r"(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Inline:
    """A piece of a line: `text` to be escaped, `code`, `autolink`, or `markup` that is written already."""

    kind: str
    text: str


class Living(Protocol):
    """What decides about words and links."""

    def clean(self, text: str) -> str: ...

    def closing(self, text: str) -> bool: ...

    def link(self, url: str, closing: bool) -> bool: ...

    def words(self, text: str, *, closing: bool, line_start: bool) -> list[Inline]: ...


def write_blocks(nodes: Sequence[SyntaxTreeNode], living: Living, *, tight: bool = False) -> str:
    """Blocks as Markdown, a blank line between them unless `tight`."""
    written: list[str] = []
    previous, flip = "", False
    for node in nodes:
        # Two lists next to each other stay two only if their markers differ.
        flip = node.type == previous and node.type in ("bullet_list", "ordered_list") and not flip
        text = _block(node, living, flip)
        if text:
            written.append(text)
            previous = node.type
    return ("\n" if tight else "\n\n").join(written)


def code_span(text: str) -> str:
    """Text as inline code, with a fence longer than any run of backticks inside."""
    text = " ".join(text.split("\n"))
    if not text.strip():
        return ""
    marks = fence(text, 1)
    pad = " " if text[0] == "`" or text[-1] == "`" or text[0] == text[-1] == " " else ""
    return f"{marks}{pad}{text}{pad}{marks}"


def code_block(text: str, language: str = "") -> str:
    """Text as a fenced block, with a fence longer than any run of backticks inside."""
    language = language if _LANGUAGE.fullmatch(language) and language.lower() not in _DRAWN else ""
    return fenced(text.rstrip("\n"), language)


def escape(text: str) -> str:
    """Plain text as Markdown that reads the same."""

    def backslash(found: re.Match[str]) -> str:
        char, at = found[0], found.start()
        after = text[at + 1 : at + 2]
        if char == "_" and text[max(at - 1, 0) : at].isalnum() and after.isalnum():
            return char
        return char if char == "#" and after.isalnum() else "\\" + char

    return _SPECIAL.sub(backslash, text)


def _block(node: SyntaxTreeNode, living: Living, flip: bool) -> str:
    kind = node.type
    if kind in ("paragraph", "heading"):
        text = _inline(node, living)
        if kind == "paragraph" or not text:
            return text
        return "#" * max(int(node.tag[1]), HEADING) + " " + re.sub(r"\\?\n", " ", text)
    if kind in ("fence", "code_block"):
        words = node.info.split() if kind == "fence" else []
        return code_block(living.clean(node.content), living.clean(words[0]) if words else "")
    if kind == "bullet_list":
        return _list(node, living, ["*" if flip else "-"] * len(node.children))
    if kind == "ordered_list":
        first = min(int(node.attrs.get("start", 1)), 1_000_000)
        point = ")" if flip else "."
        return _list(node, living, [f"{first + index}{point}" for index in range(len(node.children))])
    if kind == "blockquote":
        text = write_blocks(node.children, living)
        return "\n".join(f"> {line}".rstrip() for line in text.split("\n")) if text else ""
    if kind == "table":
        return _table(node, living)
    if kind == "hr":
        return "___"
    # Raw HTML, and any kind that a later parser may bring.
    return _lines(_written(html_text(living.clean(node.content)), living))


def _list(node: SyntaxTreeNode, living: Living, markers: Sequence[str]) -> str:
    tight = all(_tight(item) for item in node.children)
    items = []
    for marker, item in zip(markers, node.children, strict=True):
        indent = " " * (len(marker) + 1)
        text = write_blocks(item.children, living, tight=tight)
        task = re.match(r"\\\[([ xX])\\\](?= \S)", text)
        if task:
            text = f"[{task[1]}]{text[task.end() :]}"
        lines = text.replace("\t", "    ").split("\n")
        items.append("\n".join([f"{marker} {lines[0]}".rstrip(), *((indent + line).rstrip() for line in lines[1:])]))
    return ("\n" if tight else "\n\n").join(items)


def _tight(item: SyntaxTreeNode) -> bool:
    """Whether an item can be written without blank lines: text, then lists that may follow text directly."""
    first, rest = item.children[:1], item.children[1:]
    if any(each.type != "paragraph" or not each.hidden for each in first):
        return False
    return all(
        each.type == "bullet_list" and each.children[0].children and each.children[0].children[0].type == "paragraph"
        for each in rest
    )


def _table(node: SyntaxTreeNode, living: Living) -> str:
    rows = [row for part in node.children for row in part.children]
    if not rows:
        return ""
    lines = []
    for index, row in enumerate(rows):
        cells = [_inline(cell, living).replace("\n", " ").replace("|", "\\|") for cell in row.children]
        lines.append("| " + " | ".join(cells) + " |")
        if index == 0:
            lines.append("| " + " | ".join(_ruler(cell) for cell in row.children) + " |")
    return "\n".join(lines)


def _ruler(cell: SyntaxTreeNode) -> str:
    align = str(cell.attrs.get("style", "")).removeprefix("text-align:")
    return {"left": ":--", "right": "--:", "center": ":-:"}.get(align, "---")


def html_text(html: str) -> str:
    """Raw HTML as plain text: comments and everyday tags go, anything else is shown as it was written."""
    text = _BREAK.sub("\n", without_html_comments(html))
    return _TAG.sub("", text)


def _inline(node: SyntaxTreeNode, living: Living) -> str:
    children = [
        child for inline in node.children for child in (inline.children if inline.type == "inline" else [inline])
    ]
    closing = living.closing(_plain(children))
    return _lines(_markup(children, living, closing, frozenset()))


def _plain(nodes: Sequence[SyntaxTreeNode]) -> str:
    """The words of inline nodes; those of different nodes never join up."""
    parts = []
    for node in nodes:
        if node.type in ("text", "html_inline"):
            parts.append(node.content if node.type == "text" else html_text(node.content))
        else:
            parts.append(f" {node.content or _plain(node.children)} ")
    return "".join(parts)


def _written(text: str, living: Living) -> str:
    closing = living.closing(text)
    return "\n".join(_text(line, living, closing, line_start=True) for line in text.split("\n"))


def _markup(nodes: Sequence[SyntaxTreeNode], living: Living, closing: bool, inside: frozenset[str]) -> str:
    """Inline nodes as Markdown; `\\n` stands for breaks."""
    out: list[str] = []
    text = ""
    for node in [*nodes, None]:
        if node is not None and node.type in ("text", "html_inline"):
            # Text on both sides of a dropped tag is one text to GitHub, so it is one text here.
            text += node.content if node.type == "text" else html_text(node.content)
            continue
        if text:
            start = not inside and (not out or out[-1].endswith("\n"))
            out.append(_text(living.clean(text), living, closing, line_start=start))
            text = ""
        if node is not None:
            out.append(_node(node, living, closing, inside))
    return "".join(out)


def _node(node: SyntaxTreeNode, living: Living, closing: bool, inside: frozenset[str]) -> str:
    kind = node.type
    if kind in ("softbreak", "hardbreak"):
        return "\n" if kind == "softbreak" else "\\\n"
    if kind == "code_inline":
        return code_span(living.clean(node.content))
    if kind in ("em", "strong", "s"):
        return _wrapped(node, living, closing, inside)
    if kind == "image":
        label = " ".join(living.clean(_plain(node.children)).split()) or "image"
        return _link(escape_words(label, living, closing), str(node.attrs.get("src", "")), living, closing, inside)
    if kind == "link":
        label = _markup(node.children, living, closing, inside | {"link"}).strip()
        return _link(label, str(node.attrs.get("href", "")), living, closing, inside)
    return escape_words(living.clean(node.content), living, closing)


def _wrapped(node: SyntaxTreeNode, living: Living, closing: bool, inside: frozenset[str]) -> str:
    mark = {"em": "*", "strong": "**", "s": "~~"}[node.type]
    text = _markup(node.children, living, closing, inside | {node.type})
    if node.type in inside or not text.strip():
        return text
    # Emphasis must touch its words: white space goes outside.
    core = text.strip()
    at = text.index(core)
    return f"{text[:at]}{mark}{core}{mark}{text[at + len(core) :]}"


def _link(label: str, url: str, living: Living, closing: bool, inside: frozenset[str]) -> str:
    url = living.clean(url)
    if "link" in inside:
        return label
    if living.link(url, closing):
        if label in ("", escape(url), f"<{url}>"):
            return f"<{url}>"
        return f"[{label}]({url.replace('(', '%28').replace(')', '%29')})"
    shown = code_span(url)
    return label if not shown or shown in label else f"{label} ({shown})" if label else shown


def escape_words(text: str, living: Living, closing: bool) -> str:
    """Plain text as Markdown in which nothing comes alive but what may."""
    return _text(text, living, closing, line_start=False)


def _text(text: str, living: Living, closing: bool, *, line_start: bool) -> str:
    text = re.sub(r"[\n\t]+", " ", text)
    out = []
    for piece in living.words(text.lstrip() if line_start else text, closing=closing, line_start=line_start):
        if piece.kind == "code":
            out.append(code_span(piece.text))
        elif piece.kind == "autolink":
            out.append(f"<{piece.text}>")
        else:
            out.append(escape(piece.text))
    return "".join(out)


def _lines(text: str) -> str:
    """Lines of a block, each without what would make it another kind of block."""
    lines = []
    for line in text.split("\n"):
        hard = line.endswith("\\") and not line.endswith("\\\\")
        line = (line[:-1] if hard else line).strip()
        if line:
            lines.append((_guard(line), hard))
    return "\n".join(
        line + ("\\" if hard and index < len(lines) - 1 else "") for index, (line, hard) in enumerate(lines)
    )


def _guard(line: str) -> str:
    found = _LINE_START.match(line)
    if not found:
        return line
    if found["number"]:
        return f"{found['number']}\\{line[len(found['number']) :]}"
    return "\\" + line

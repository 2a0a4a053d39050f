r"""A comment's text -> the command in it, or None. The grammar:

    comment  = line *(newline any)       the first line that is not blank; the rest belongs to the text
    line     = phrase [blank verb *(blank (option / code / word))]
    phrase   = "/bot"                    a setting; upper and lower case are the same; may start with "@"
    verb     = letter *39(letter / digit / "-" / "_")     ASCII; a bare phrase means `help`
    option   = "--" key "=" value        the value bare, 'quoted', or "quoted" with \" and \\
    code     = a code span; options inside it are text

The first block of the comment must be a paragraph of CommonMark (with GitHub's tables): nothing in quotes, code,
lists, headings, tables or HTML is a command. Zero-width and other invisible characters match no part of a command.
"""

import re

from markdown_it import MarkdownIt

from bot.types.event import Command

LINE_LIMIT = 4_000
"""Characters of the first line that are searched for options; those behind are text."""

_VERB = re.compile(r"[ \t]+([A-Za-z][A-Za-z0-9_-]{0,39})(?=[ \t]|$)")
_PART = re.compile(
    r"(?P<blank>[ \t]+)"
    r"|(?P<code>(?P<tick>`+)(?!`).*?(?<!`)(?P=tick)(?!`))"
    r"|--(?P<key>[A-Za-z][A-Za-z0-9_-]{0,39})="
    r"""(?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>[^']*)'|(?P<bare>[^\s"'`]*))(?=[ \t]|$)"""
    r"|(?P<word>[^ \t`]+|`+)"
)


def find_command(body: str, phrase: str) -> Command | None:
    """The command that a comment starts with, None when it holds none. Never raises."""
    text = re.sub(r"\r\n?", "\n", body)
    text = re.sub(r"\A(?:[ \t]*\n)+", "", text)
    line, _, below = text.partition("\n")
    start = line.lstrip(" ")
    if start[: len(phrase)].lower() != phrase.lower() or not _starts_with_paragraph(text):
        return None
    rest = start[len(phrase) :].rstrip(" \t")
    if not rest:
        return Command(verb="help", text=below.strip())
    match = _VERB.match(rest)
    if not match:
        return None
    words, options = _options(rest[match.end() :])
    return Command(verb=match[1].lower(), text=f"{words}\n{below}".strip(), options=options)


def _starts_with_paragraph(text: str) -> bool:
    """Whether CommonMark reads the first line as a paragraph. A blank line ends that, so no more is parsed."""
    block = re.split(r"\n[ \t]*(?:\n|\Z)", text, maxsplit=1)[0]
    markdown = MarkdownIt("commonmark").enable("table")
    markdown.core.ruler.disable("inline")  # blocks decide, and inline syntax is where hostile text costs time
    tokens = markdown.parse(block)
    return bool(tokens) and tokens[0].type == "paragraph_open" and (tokens[0].map or [1])[0] == 0


def _options(line: str) -> tuple[str, dict[str, str]]:
    """The words of a line without its options, and the options; the last of two with the same key counts."""
    kept: list[str] = []
    options: dict[str, str] = {}
    head = line[:LINE_LIMIT]
    for part in _PART.finditer(head):
        if part["key"]:
            options[part["key"].lower()] = _value(part)
            if kept and not kept[-1].strip(" \t"):
                kept.pop()
        else:
            kept.append(part[0])
    return "".join(kept).strip() + line[LINE_LIMIT:], options


def _value(part: re.Match[str]) -> str:
    if part["double"] is not None:
        return re.sub(r'\\(["\\])', r"\1", part["double"])
    return part["single"] if part["single"] is not None else part["bare"]

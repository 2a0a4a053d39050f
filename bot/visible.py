"""Text that anybody wrote -> what a reader sees of it: no hidden characters, no escape sequences, no HTML comments.

What people can't see, programs and models obey all the same; so every room takes it out by these same sets.
"""

from __future__ import annotations

import re
import unicodedata

_SHAPELESS = frozenset(
    map(
        chr,
        [
            *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, 0xFFFC, 0x1D159),  # fillers and blanks
            *range(0x180B, 0x1810),  # Mongolian variation selectors
            *range(0xFE00, 0xFE10),  # variation selectors: 256 of them with the next, enough to spell any byte
            *range(0xE0100, 0xE01F0),
        ],
    )
)
"""Characters without a shape that Unicode counts as letters, marks or symbols."""
_END = r"(?:\x07|\x1b\\|\x9c)"
_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,16}[@-~]"  # CSI: colours, cursor (ECMA-48, 5.4)
    # OSC, DCS, SOS, PM, APC: titles, links, clipboard. A string that nobody ends is swallowed up to the line's end.
    # No string reaches over the start of another one, so that a hostile megabyte is read only once.
    rf"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])"
    rf"(?:[^\x07\x1b\x90\x98\x9b-\x9f]{{0,2000}}{_END}|[^\x07\x1b\x90\x98\x9b-\x9f\n]*{_END}?)"
    r"|\x1b[ -/]{0,16}[0-~]"  # everything shorter
    r"|[\x1b\x90\x98\x9b-\x9f]"  # a start alone, lest it makes a sequence of what comes to stand behind it
)
_OPEN, _CLOSE = "<!--", "-->"
_ROUNDS = 8


def visible(text: str) -> str:
    """Text without characters that a reader does not see; of white space, spaces, tabs and `\\n` stay.

    Gone are controls, format characters (zero-width, direction, tags), halves of pairs, private and unassigned ones,
    separators of lines and paragraphs, variation selectors, and fillers that are only blank.
    """
    if text.isascii() and text.isprintable():
        return text
    hidden = {char for char in set(text) if _hidden(char)}
    return "".join(char for char in text if char not in hidden) if hidden else text


def _hidden(char: str) -> bool:
    if char in _SHAPELESS:
        return True
    return not (char.isprintable() or char in "\n\t" or unicodedata.category(char) == "Zs")


def without_ansi(text: str) -> str:
    """Text without the escape sequences that terminals obey, in their 7-bit and 8-bit forms."""
    return _ANSI.sub("", text)


def shown(markdown: str, *, code: bool = True) -> str:
    """What a page shows of Markdown: no hidden characters, no HTML comments. `code` as in `without_html_comments`."""
    # Before, because a hidden character can break the end of a comment; after, because it can break the start of one.
    text = visible(without_html_comments(markdown, code=code))
    return without_html_comments(text, code=code)


def without_html_comments(text: str, *, code: bool = False) -> str:
    """Text without HTML comments; one that is left open hides the rest, as it does on a page.

    With `code`, those inside code blocks stay, where readers do see them.
    """
    if not code or _OPEN not in text:
        return _uncommented(text)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for _ in range(_ROUNDS):
        less = _uncommented_outside_code(text)
        if less == text:
            return text
        # Without a comment other lines may be code: judge again, until the text is what a reader of it would see.
        text = less
    return _uncommented(text)


def _uncommented(text: str) -> str:
    at = 0
    # What stood on both sides of a comment may itself join up to one.
    while (start := text.find(_OPEN, max(at - len(_OPEN) + 1, 0))) >= 0:
        end = text.find(_CLOSE, start + len(_OPEN))
        text = text[:start] + (text[end + len(_CLOSE) :] if end >= 0 else "")
        at = start
    return text


def _uncommented_outside_code(text: str) -> str:
    """One round. Blocks are told apart by CommonMark: a fence inside a comment is no fence."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark")
    parser.core.ruler.enableOnly(["normalize", "block"])
    lines, pieces, done = text.split("\n"), [], 0
    for token in parser.parse(text):
        if token.type not in ("fence", "code_block") or token.map is None:
            continue
        start, end = token.map
        if start > done:
            pieces.append(_uncommented("\n".join(lines[done:start])))
        if token.type == "fence":  # of the words behind a fence no reader sees more than the colours
            pieces.append(_uncommented(lines[start]))
            start += 1
        pieces += lines[start:end]
        done = end
    if done < len(lines):
        pieces.append(_uncommented("\n".join(lines[done:])))
    return "\n".join(pieces)


def fence(text: str, least: int = 3) -> str:
    """Backticks, `least` or more, that open and close code which can't close itself with its own."""
    return "`" * max(least, 1 + max(map(len, re.findall(r"`+", text)), default=0))


def fenced(text: str, info: str = "") -> str:
    """Text as a code block that it can't close: nothing in it is a link, a mention or formatting.

    `info` is the language: one word without backticks.
    """
    marks = fence(text)
    return f"{marks}{info}\n{text}\n{marks}"

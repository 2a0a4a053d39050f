"""An issue's text -> the part of it that a judge needs: what people see, without what templates and mail put there.

Long code keeps its head and tail, where the error's first and last words stand, and so does the whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bot.visible import shown

LIMIT = 4_000
"""Characters of a packed text."""
SCAN = 65_536
"""Characters of any text that are looked at; GitHub allows no more."""
CODE_HEAD, CODE_TAIL = 14, 8
"""Lines of a code block that are kept at its ends."""
CODE_LINE, PROSE_LINE = 240, 1_600
"""Characters of one line."""
ROUNDS = 4

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})[^`]*$")
_QUOTE = re.compile(r" {0,3}>")
_WROTE = re.compile(r"on .{6,80} wrote:$|am .{6,80} schrieb .{1,60}:$|le .{6,80} a écrit ?:$", re.IGNORECASE)
_HEADING = re.compile(r" {0,3}(#{1,6})\s+\S")
_EMPTY = re.compile(r"[_*]*(no response|n/?a|none|not applicable|-+)[_*]*\.?", re.IGNORECASE)
_TICK = re.compile(
    r"\s*[-*+] \[[ xX]?\].{0,200}(\bI\b|\bI['’]|search|latest|duplicate|code of conduct|contributing|guideline|terms)"
)
_RULE = re.compile(r" {0,3}([-*_=] ?){3,}$")
_TAG = re.compile(r"</?(?:details|summary|br|p|div|span|sub|sup|b|i|em|strong|hr|table|tbody|thead|tr|td|th|kbd|h[1-6])"
                  r"(?:\s[^<>]{0,200})?/?>", re.IGNORECASE)  # fmt: skip
_IMAGE = re.compile(
    r"!\[([^\]\n]{0,200})\]\([^)\n]{0,2000}\)|<(?:img|video|source|picture)\b[^<>]{0,2000}>", re.IGNORECASE
)
_LINK = re.compile(r"\[([^\]\n]{1,300})\]\(\s*<?https?://[^)\n]{1,2000}\)")
_URL = re.compile(r"(https?://[^\s<>()\"']{60})[^\s<>()\"']+")


def packed(text: str, *, limit: int = LIMIT) -> str:
    """The text without comments, hidden characters, quotations and boilerplate, `limit` characters at most.

    Packing what was packed changes nothing.
    """
    seen = plain(text, SCAN)
    for _ in range(ROUNDS):
        less = cut(_without_noise(seen), limit)
        if less == seen:
            break
        seen = less
    return seen


def plain(text: str, limit: int) -> str:
    """What a person sees of a text, `limit` characters at most; comments go from code blocks too."""
    text = text[:SCAN].replace("\r\n", "\n").replace("\r", "\n")
    return shown(text, code=False).strip()[:limit].strip()


def one_line(text: str, limit: int) -> str:
    """The same in one line."""
    return " ".join(plain(text, SCAN).split())[:limit].rstrip()


def cut(text: str, limit: int) -> str:
    """The head and the tail of a text that is too long, at the end of a line where one is near."""
    if len(text) <= limit:
        return text
    mark = "\n[... cut ...]\n"
    room = limit - len(mark)
    if room < 20:
        return text[:limit].strip()
    head, tail = text[: room * 2 // 3], text[-(room - room * 2 // 3) :]
    if (at := head.rfind("\n")) > len(head) * 0.8:
        head = head[:at]
    if 0 <= (at := tail.find("\n")) < len(tail) * 0.2:
        tail = tail[at + 1 :]
    return f"{head.rstrip()}{mark}{tail.lstrip()}".strip()


def _without_noise(text: str) -> str:
    kept = [line for lines in _blocks(text.split("\n")) for line in lines]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(_without_empty_sections(kept))).strip()


def _blocks(lines: Sequence[str]) -> Iterator[list[str]]:
    """Prose line by line, and code blocks cut to their ends."""
    at = 0
    while at < len(lines):
        opened = _FENCE.match(lines[at])
        end = at
        while opened is None and end < len(lines) and lines[end].count("|") >= (2 if end == at else 1):
            end += 1
        if end - at > CODE_HEAD + CODE_TAIL + 1:
            yield _code([line for line in map(_prose, lines[at:end]) if line is not None])
            at = end
            continue
        if opened is None:
            yield [line for line in [_prose(lines[at])] if line is not None]
            at += 1
            continue
        end = at + 1
        while end < len(lines) and not _closes(lines[end], opened[1]):
            end += 1
        if any(line.strip() for line in lines[at + 1 : end]):
            yield [lines[at].strip()[:40], *_code(lines[at + 1 : end]), opened[1]]
        at = end + 1


def _closes(line: str, fence: str) -> bool:
    line = line.strip()
    return len(line) >= len(fence) and set(line) == {fence[0]}


def _code(lines: Sequence[str]) -> list[str]:
    short = [line.rstrip() if len(line) <= CODE_LINE else line[: CODE_LINE - 5].rstrip() + " ..." for line in lines]
    left = len(short) - CODE_HEAD - CODE_TAIL
    if left <= 1:
        return short
    return [*short[:CODE_HEAD], f"[... {left} lines left out ...]", *short[-CODE_TAIL:]]


def _prose(line: str) -> str | None:
    """A line without what says nothing; None where nothing is left of it."""
    if _QUOTE.match(line) or _TICK.match(line) or _WROTE.match(line.strip()) or _RULE.match(line):
        return None
    less = _IMAGE.sub(lambda found: f"[image: {found[1].strip()}]" if (found[1] or "").strip() else "[image]", line)
    less = _URL.sub(r"\1...", _TAG.sub(" ", _LINK.sub(r"\1", less)))
    if not less.strip() and line.strip():
        return None
    return less.rstrip() if len(less) <= PROSE_LINE else less[: PROSE_LINE - 5].rstrip() + " ..."


def _without_empty_sections(lines: Sequence[str]) -> list[str]:
    """Without headings below which nothing was written."""
    kept: list[str] = []
    waiting: list[str] = []
    fence = ""
    for line in lines:
        if fence:
            fence = "" if _closes(line, fence) else fence
        elif opened := _FENCE.match(line):
            fence = opened[1]
        elif found := _HEADING.match(line):
            level = len(found[1])
            waiting = [each for each in waiting if not (_HEADING.match(each) and _level(each) >= level)]
            waiting.append(line)
            continue
        elif not line.strip() or _EMPTY.fullmatch(line.strip()):
            if waiting:
                continue
            kept.append("" if _EMPTY.fullmatch(line.strip()) else line)
            continue
        kept += [*waiting, line]
        waiting = []
    return kept


def _level(heading: str) -> int:
    found = _HEADING.match(heading)
    return len(found[1]) if found else 9

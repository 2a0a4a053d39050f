"""An issue's title and body -> the two texts that are learned from: as it was written, and what it says in words.

Templates and version strings tell an issue's type, so the words' counts see the text raw; code and addresses would
fill the sentence encoder's few tokens, so it sees neither.
"""

from __future__ import annotations

import re

MOST = 64_000
"""Characters of a body that are looked at: what comes after them changes no judgement, only the time it takes."""
TITLE = 1_000
HEAD = 400
"""Characters of the body whose words are counted: more of it made the measured figures worse."""
SPOKEN = 2_000
"""Characters of `spoken`: more than the encoder's 256 tokens hold."""

_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_SPAN = re.compile(r"`[^`\n]{1,200}`")
_IMAGE = re.compile(r"!\[[^\]\n]{0,200}\]\([^)\n]{0,500}\)|<img\b[^>\n]{0,500}>", re.IGNORECASE)
_LINK = re.compile(r"\[([^\]\n]{0,200})\]\([^)\n]{0,500}\)")
_ADDRESS = re.compile(r"\b(?:https?|ftp)://[^\s<>\"')\]]+|\bwww\.[^\s<>\"')\]]+")
_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,300}>")
_SILENT = re.compile(r"_?no response_?|^n/?a\.?$|^ *[-*] \[[ xX]\].*$", re.IGNORECASE | re.MULTILINE)
_FRAME = re.compile(r"^[ \t]{0,40}(?:at +\S.*|File \".*|#\d+ .*|\d+[:|] .*|[$>]{1,3} .*)$", re.MULTILINE)
_MARKS = re.compile(r"[#*_>|~=+-]{2,}|^[ \t]{0,40}[#>*+-][ \t]", re.MULTILINE)
_SPACE = re.compile(r"\s+")


def cut(title: str, body: str) -> tuple[str, str]:
    """Both, bounded, and without lone surrogates and NUL, so that whatever comes next can encode them."""
    return _whole(title[:TITLE]), _whole(body[:MOST])


def written(title: str, body: str) -> str:
    """What is counted: the raw title and the first 400 characters of the body."""
    title, body = cut(title, body[:HEAD])
    return f"{title}\n{body}"


def spoken(title: str, body: str) -> str:
    """What is encoded: both without code, addresses, traces and what a template left; at most 2,000 characters."""
    title, body = cut(title, body)
    return f"{_SPACE.sub(' ', title).strip()}. {prose(body)}"[:SPOKEN].strip()


def prose(body: str) -> str:
    """The sentences of a body that was cut: in one line, a code span keeps its place by a space."""
    text = _COMMENT.sub(" ", body.replace("\r\n", "\n").replace("\r", "\n"))
    text = _LINK.sub(r"\1", _IMAGE.sub(" ", unfenced(text)))
    for pattern in (_ADDRESS, _TAG, _FRAME, _SILENT, _SPAN, _MARKS):
        text = pattern.sub(" ", text)
    return _SPACE.sub(" ", text).strip()


def unfenced(text: str) -> str:
    """Without fenced code blocks; one that isn't closed goes to the end (CommonMark 0.31, 4.5)."""
    kept: list[str] = []
    fence = ""
    for line in text.split("\n"):
        found = _FENCE.match(line)
        if not fence and found is None:
            kept.append(line)
        elif not fence and found is not None:
            fence = found[1]
        elif line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            fence = ""
    return "\n".join(kept)


def _whole(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", " ")

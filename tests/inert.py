"""Markdown as GitHub reads it -> what in it is alive: links, images, mentions, references, HTML that is not ours."""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

OURS = re.compile(r"\s*(?:</?(?:details|summary|sub)>|<summary>Details</summary>|<!-- sandpiper:[a-z]+=\S+ -->|\s)*")
LIVE = re.compile(r"@[\w-]|#[0-9]+|\bgh-[0-9]+|https?://\S+|\bwww\.\S+", re.IGNORECASE)


def alive(markdown: str) -> list[str]:
    """Everything that a reader could click, that calls somebody, or that a browser would load."""
    parser = MarkdownIt("commonmark", {"linkify": False}).enable(["table", "strikethrough"])
    return [each for token in parser.parse(markdown) for each in _alive(token)]


def _alive(token: Token) -> Iterator[str]:
    if token.type in ("html_block", "html_inline") and not OURS.fullmatch(token.content):
        yield token.content
    if token.type in ("link_open", "image"):
        yield str(token.attrs)
    if token.type == "text":
        yield from LIVE.findall(token.content)
    for child in token.children or ():
        yield from _alive(child)

"""A stranger's or a model's Markdown -> Markdown that is safe to post under our name.

The text is parsed to its CommonMark tree (with GitHub's tables and strikethrough) and written anew from an allow-list;
what is not on the list becomes visible, inert text. Writing is repeated until a further round changes nothing, so
whatever survives has been looked at in the very form in which GitHub will read it.

Why code spans for mentions: GitHub looks for `@name`, `#1` and addresses in the *rendered* text, where a backslash or
an entity has already vanished, so escaping does not help. It does not look inside code. A zero-width space would do
too, but breaks copying, and such characters are what we remove from strangers' text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from bot.forge.render.markdown import Inline, write_blocks
from bot.visible import visible

CUT = "*Cut here: the full text is in the run's artifacts.*"
ROUNDS = 8

_LINE_ENDS = re.compile("\r\n?|\u2028|\u2029")
_KEYWORD = re.compile(r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?)\b", re.IGNORECASE)
_REFERENCE = re.compile(r"#[0-9]|\bgh-[0-9]|/(?:issues|pull|discussions)/[0-9]", re.IGNORECASE)
_ADDRESS = re.compile(r"://|www\.|@[\w-]", re.IGNORECASE)
_ALIVE = re.compile(r"@+(?=[\w-])|[a-z][a-z0-9+.-]{0,20}://|\bwww\.(?=\w)", re.IGNORECASE)
_WORD = re.compile(r"""^([(\[{<"'“‘*_~,;:]*)(.*?)([)\]}>"'”’.,;:!?*_~…]*)$""", re.DOTALL)
_SAFE_URL = re.compile(r"https?://[A-Za-z0-9.:-]+(?:[/?#][A-Za-z0-9._~:/?#@!$&'()*+,;=%-]*)?")


@dataclass(frozen=True)
class Allowed:
    """What may stay alive in a text."""

    requester: str
    issue: int | None
    repository: str
    server_url: str

    def link(self, url: str) -> bool:
        """Whether an address leads to the forge's own pages and nowhere else."""
        if not _SAFE_URL.fullmatch(url):
            return False
        try:
            wanted, given = urlsplit(self.server_url), urlsplit(url)
            return given.scheme in ("http", "https") and given.netloc.lower() == wanted.netloc.lower() != ""
        except ValueError:
            return False

    def reference(self, word: str) -> bool:
        """Whether this names the task's own issue, the only one that may be closed."""
        if self.issue is None:
            return False
        number = self.issue
        own = {f"#{number}", f"gh-{number}", f"{self.repository}#{number}".lower()}
        if self.server_url:
            own.add(f"{self.server_url}/{self.repository}/issues/{number}".lower())
        return word.lower() in own

    def mention(self, word: str) -> bool:
        """Whether this calls the one person who asked to be answered."""
        return bool(self.requester) and word.lower() == f"@{self.requester}".lower()


def sanitize(
    markdown: str,
    *,
    requester: str = "",
    issue: int | None = None,
    repository: str = "",
    server_url: str = "",
    limit: int = 60_000,
) -> str:
    """Safe Markdown of at most `limit` characters; sanitising it again changes nothing.

    `requester` may be mentioned and `issue` of `repository` may be closed; nobody and nothing else. Links stay where
    they lead to the host of `server_url`; images never load.
    """
    allowed = Allowed(requester, issue, repository, server_url.rstrip("/"))
    whole = clean(markdown)
    source = whole[: 2 * limit]
    body = _settle(source, allowed)
    if size(body) <= limit and len(source) == len(whole):
        return body
    room = limit - size(CUT) - 2
    while size(body) > room and source:
        source = _shorten(source, int(len(source) * min(0.95, room / size(body))))
        body = _settle(source, allowed)
    return f"{body}\n\n{CUT}".strip() if room > 0 else body


def one_line(text: str, *, limit: int, issue: int | None = None, repository: str = "") -> str:
    """A title or a commit's subject: plain text, where neither Markdown nor code spans exist to make things inert."""
    allowed = Allowed("", issue, repository, "")
    line = _dead(clean(text[: 20 * limit]).replace("`", ""), allowed)
    # The cut may fall into a number and name another issue by what is left of it.
    return line if size(line) <= limit else _dead(_fit(line, limit - 1).rstrip() + "…", allowed)


def _dead(line: str, allowed: Allowed) -> str:
    """Without mentions, addresses and foreign references, again and again: what a round took out may have hidden one,
    as in `fixes #@5` or `fi@xes #5`.
    """
    while True:
        closing = _KEYWORD.search(line) is not None
        words = []
        for word in line.split():
            if closing and _REFERENCE.search(word) and not allowed.reference(word.strip("()[].,;:!?")):
                word = re.sub(r"#(?=[0-9])|(?<=gh)-(?=[0-9])", " ", word, flags=re.IGNORECASE).strip()
            words.append(_ALIVE.sub("", word))
        less = " ".join(" ".join(words).split())
        if less == line:
            return line
        line = less


def clean(text: str) -> str:
    """Without characters that people can't see; whatever ends a line for somebody is `\\n`."""
    return visible(_LINE_ENDS.sub("\n", text))


def size(text: str) -> int:
    """Length as a forge may count it: characters beyond the basic plane count twice."""
    return len(text) + sum(char > "\uffff" for char in text)


def _settle(source: str, allowed: Allowed) -> str:
    """Write anew until nothing changes; a text that will not come to rest is shown as code."""
    for _ in range(ROUNDS):
        written = _rewrite(source, allowed)
        if written == source:
            return written
        source = written
    return _rewrite("~~~~~~~~~~\n" + source.replace("~~~", "~ ~ ~") + "\n~~~~~~~~~~", allowed)


def _rewrite(source: str, allowed: Allowed) -> str:
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    return write_blocks(SyntaxTreeNode(parser.parse(source)).children, Neutral(allowed)).strip("\n")


@dataclass(frozen=True)
class Neutral:
    """Decides for the writer which words and links stay alive. One for each text."""

    allowed: Allowed

    def clean(self, text: str) -> str:
        return clean(text)

    def closing(self, text: str) -> bool:
        """Whether a block holds a word with which GitHub closes issues."""
        return _KEYWORD.search(text) is not None

    def link(self, url: str, closing: bool) -> bool:
        foreign = closing and _REFERENCE.search(url) and not self.allowed.reference(url)
        return not foreign and self.allowed.link(url)

    def words(self, text: str, *, closing: bool, line_start: bool) -> list[Inline]:
        """A text as pieces: plain text, code for what would come alive, and links to the forge itself."""
        pieces: list[Inline] = []
        for index, part in enumerate(re.split(r"(\s+)", text)):
            if index % 2 or not part:
                pieces.append(Inline("text", part))
                continue
            command = line_start and index == 0 and re.match(r"[/!][A-Za-z]", part)
            pieces += self._word(part, closing=closing) if not command else [Inline("code", part)]
        return pieces

    def _word(self, part: str, *, closing: bool) -> list[Inline]:
        live = _ADDRESS.search(part)
        reference = closing and _REFERENCE.search(part)
        if not live and not reference:
            return [Inline("text", part)]
        before, word, after = _split(part)
        if self.allowed.link(word) and self.link(word, closing):
            kind = "autolink"
        elif self.allowed.mention(word) or (reference and self.allowed.reference(word)):
            kind = "text"
        else:
            kind = "code"
        return [Inline("text", before), Inline(kind, word), Inline("text", after)]


def _split(part: str) -> tuple[str, str, str]:
    """A word without the punctuation around it."""
    found = _WORD.match(part)
    before, word, after = found.groups() if found else ("", part, "")
    return (before, word, after) if word else ("", part, "")


def _fit(text: str, limit: int) -> str:
    """The longest beginning of that size."""
    text = text[: max(limit, 0)]
    while size(text) > limit:
        text = text[: len(text) - max(1, (size(text) - limit) // 2)]
    return text


def _shorten(source: str, length: int) -> str:
    """A beginning of the text, at the end of a line where one is near."""
    newline = source.rfind("\n", 0, length)
    return source[: newline if newline > length * 0.8 else length]

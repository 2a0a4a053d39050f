r"""A comment's text -> the command in it, or None. The grammar:

    comment  = line *(newline any)       the first line that is not blank; the rest belongs to the text
    line     = name [blank verb *(blank (option / code / word))]
    name     = phrase / mention          upper and lower case are the same
    phrase   = "/bot"                    a setting; may start with "@"
    mention  = "@" login                 where the setting `mention` gives the bot's login
    verb     = letter *39(letter / digit / "-" / "_")     ASCII; a bare name means `help`
    option   = "--" key "=" value        the value bare, 'quoted', or "quoted" with \" and \\
    code     = a code span; options inside it are text

The verb is a task's name or one of the bot's own words; an option's key is one that the gate knows, or it refuses.

The first block of the comment must be a paragraph of CommonMark (with GitHub's tables): nothing in quotes, code,
lists, headings, tables or HTML is a command. Zero-width and other invisible characters match no part of a command.

A comment that came by e-mail holds no command: whoever forges a sender's address would speak as that person. What
shows it, below the first line and outside of code blocks and HTML:

    quotation   a paragraph that ends with ":" above a block quote, where it ends with "wrote:" or another language's
                word for it, or holds an address, or a year and a time of day
    separator   a line of dashes around "Original Message" or "Forwarded message", also in other languages
    header      lines of a paragraph that begin with three of From:, Sent:, To:, Subject:, in one of a few languages
    footer      what GitHub puts below its mails ("Reply to this email directly", "You are receiving this because"),
                also within a quote, or an address of GitHub's for replies
    signature   a line "-- ", or one that begins like those of telephones ("Sent from my ...", "Get Outlook for ...")
"""

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

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

_WROTE = re.compile(
    r"(?:\bwrote|\bschrieb|\ba écrit|\bescribió|\bha scritto|\bschreef|\bescreveu|\bskrev|\bnapisała?|\bnapsala?"
    r"|\bkirjoitti|\byazdı|написала?|пише|写道|寫道|님이 작성)\W{0,3}$",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}\.\w")
_TIME, _YEAR = re.compile(r"\b\d{1,2}:\d\d\b"), re.compile(r"\b20\d\d\b")
_SEPARATOR = re.compile(
    r"-{2,20} ?(?:original message|original appointment|forwarded message|reply message|ursprüngliche nachricht"
    r"|weitergeleitete nachricht|message d.origine|message original|mensaje original|messaggio originale"
    r"|mensagem original|oorspronkelijk bericht|исходное сообщение|原始邮件|元のメッセージ) ?-{2,20}",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"[*_]{0,2}(?:(?P<who>from|von|de|da|van|från|от|发件人)|(?P<when>sent|date|gesendet|datum|envoyé|enviado|inviato"
    r"|verzonden|skickat|дата|发送时间)|(?P<whom>to|cc|an|à|para|a|aan|till|кому|收件人)"
    r"|(?P<what>subject|betreff|objet|asunto|oggetto|onderwerp|assunto|ämne|тема|主题)) ?[:：]",
    re.IGNORECASE,
)
_FOOTER = re.compile(
    r"reply to this email directly|you are receiving this because|message id: ?<|\breply\+[\w.+-]{1,200}@|"
    r"notifications@github\.",
    re.IGNORECASE,
)
_SIGNATURE = re.compile(r"sent from my |sent from (?:mail|outlook|yahoo|proton)|get outlook for ", re.IGNORECASE)


def find_command(body: str, phrase: str, mention: str | None = None) -> Command | None:
    """The command that a comment starts with, None when it holds none. Never raises."""
    text = re.sub(r"\r\n?", "\n", body)
    text = re.sub(r"\A(?:[ \t]*\n)+", "", text)
    line, _, below = text.partition("\n")
    start = line.lstrip(" ")
    for name in (phrase, f"@{mention}") if mention else (phrase,):
        if start[: len(name)].lower() == name.lower() and (found := _command(start[len(name) :], below)):
            return found if _counts(text) else None
    return None


def _command(rest: str, below: str) -> Command | None:
    """The command behind a name."""
    rest = rest.rstrip(" \t")
    if not rest:
        return Command(verb="help", text=below.strip())
    match = _VERB.match(rest)
    if not match:
        return None
    words, options = _options(rest[match.end() :])
    return Command(verb=match[1].lower(), text=f"{words}\n{below}".strip(), options=options)


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


# --- the tree ---------------------------------------------------------------------------------------------------


def _counts(text: str) -> bool:
    """Whether CommonMark reads the first line as a paragraph, and nothing shows that the comment came by e-mail."""
    markdown = MarkdownIt("commonmark").enable("table")
    markdown.core.ruler.disable("inline")  # blocks decide, and inline syntax is where hostile text costs time
    tokens = markdown.parse(text)
    if not tokens or tokens[0].type != "paragraph_open" or (tokens[0].map or [1])[0] != 0:
        return False
    return not _is_mail(tokens, text.split("\n"))


def _is_mail(tokens: list[Token], lines: list[str]) -> bool:
    """Whether one of the traits is there that the grammar names."""
    for number, (paragraph, top, quoted) in enumerate(_paragraphs(tokens)):
        rows = [row.strip() for row in paragraph.split("\n")][0 if number else 1 :]  # the command is no mail's doing
        headers = {kind for row in rows if (match := _HEADER.match(row)) for kind in (match.lastgroup,)}
        if _FOOTER.search("\n".join(rows)) or len(headers) >= 3 or any(_SEPARATOR.fullmatch(row) for row in rows):
            return True
        if top and any(_SIGNATURE.match(row) for row in rows):
            return True
        if quoted and _introduces(" ".join(rows[-3:])):
            return True
    return any(lines[at] == "-- " for at in _text_lines(tokens))


def _introduces(words: str) -> bool:
    """Whether the words stand above the quotation of a mail."""
    words = words[-500:].rstrip("*_ \t")
    dated = _TIME.search(words) and _YEAR.search(words)
    return words.endswith((":", "：")) and bool(_WROTE.search(words) or _ADDRESS.search(words) or dated)


def _paragraphs(tokens: list[Token]) -> Iterator[tuple[str, bool, bool]]:
    """The text of each paragraph, whether it stands at the top level, and whether a block quote follows it."""
    for at, token in enumerate(tokens):
        if token.type == "inline":
            end = tokens[at + 1 : at + 3]
            quoted = len(end) == 2 and end[1].type == "blockquote_open"
            yield token.content, token.level == 1, quoted


def _text_lines(tokens: list[Token]) -> Iterator[int]:
    """Numbers of the lines that belong to paragraphs at the top level."""
    for token in tokens:
        if token.type == "paragraph_open" and token.level == 0 and token.map:
            yield from range(*token.map)

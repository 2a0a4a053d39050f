"""Text that may hold secrets -> the same text without them.

Two nets: values that we know (the operator's settings, variables named like credentials) in every common encoding,
also when broken over lines or strewn with punctuation; and shapes that credentials have, whoever they belong to.
Nothing assumes a token's length: GitHub's installation tokens grew from 40 to about 520 characters.
"""

from __future__ import annotations

import base64
import html
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, overload
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

from bot.types.value import Value

HIDDEN = "***"
"""What stands in a secret's place. Shorter than any secret and without letters, so that redaction always ends."""
SHORTEST = 8
"""Shorter values are words, not secrets: hiding them would hide half the text."""

_NAME = re.compile(
    r"TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|APIKEY|ACCESSKEY|PRIVATE_KEY"
    r"|(?:^|_)(?:KEY|KEYS|PASS|PWD|PAT|AUTH|AUTHORIZATION|COOKIE|SIGNATURE|DSN|CONNECTION_STRING)\d*(?:_|$)",
    re.IGNORECASE,
)
_PLACE = re.compile(r"(?:PATH|FILE|DIR|SOCK|ASKPASS)$|^(?:OLD)?PWD$", re.IGNORECASE)
"""Variables that say where a secret lies do not hold it; nor do those that say where a shell is."""
_USERINFO = re.compile(r"(?<=://)[^/\s:@]*:([^/\s@]{3,})@")

Needle = str | bytes
"""What to look for: text as it stands, or letters and digits only."""

SHAPES: Mapping[str, re.Pattern[str]] = {
    "GitHub token": re.compile(
        r"gh[pousr]_(?=[A-Za-z0-9_.-]{16})[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|github_pat_[A-Za-z0-9_]{20,}"
    ),
    "private key": re.compile(
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[\s\S]{16,}?"
        r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)"
    ),
    "key of a model's provider": re.compile(
        r"(?:sk|rk|pk)[-_](?<![A-Za-z0-9].{3})(?=[A-Za-z_-]{0,200}[0-9])[A-Za-z0-9_-]{20,}"
        r"|gsk_[A-Za-z0-9]{20,}|AIza[A-Za-z0-9_-]{30,}|hf_[A-Za-z0-9]{30,}"
    ),
    "cloud key": re.compile(r"(?:AKIA|ASIA)(?<![A-Za-z0-9].{4})[A-Z0-9]{16}(?![A-Za-z0-9])"),
    "service token": re.compile(
        r"xox[abeoprs]-[A-Za-z0-9-]{10,}|glpat-[A-Za-z0-9_-]{16,}|npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{40,}"
    ),
}
"""Credentials that are recognised whoever they belong to; the names are what `find_secrets` reports."""

_HIDDEN_SHAPES = (
    *SHAPES.values(),
    # The header is short; without a bound, a megabyte of `eyJeyJeyJ` would be read to its end from every `eyJ`.
    re.compile(r"eyJ[A-Za-z0-9_-]{8,500}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    re.compile(r"(://)[^/\s:@*]*:[^/\s@]{3,}(?=@)"),
    re.compile(r"([Aa](?i:uthorization: ))(?i:basic|bearer|token) [A-Za-z0-9+/=._~-]{8,}"),
)
"""Also hidden, but too common in examples and tests to hold a proposal for. A group is kept.

Every pattern begins with a letter or two: the search then skips through megabytes of output.
"""

_ESCAPE = re.compile(r"\\(?:u00[0-9a-fA-F]{2}|[nrtbfv0])")
_NOISE = bytes(code for code in range(128) if not chr(code).isalnum())
_LOWER = bytes(range(128)).lower() + bytes(range(128, 256))


class Secrets(Sequence[str]):
    """Values that must never leave, more of them as tokens are made: whoever hides them looks here each time."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known = tuple(dict.fromkeys(known))
        self._adding = threading.Lock()

    def add(self, value: str) -> None:
        """One more, with its parts. Who reads meanwhile sees it or does not: never half of the others."""
        with self._adding:
            self._known = tuple(dict.fromkeys((*self._known, *_parts(value))))

    @overload
    def __getitem__(self, at: int) -> str: ...

    @overload
    def __getitem__(self, at: slice) -> tuple[str, ...]: ...

    def __getitem__(self, at: int | slice) -> str | tuple[str, ...]:
        return self._known[at]

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __repr__(self) -> str:
        return f"<{len(self._known)} secrets>"


def secrets_of(environ: Mapping[str, str], settings: Value) -> tuple[str, ...]:
    """Values that must never leave: the settings' secrets, and variables that they name or that are named so."""
    found: dict[str, None] = {}
    for value in (getattr(settings, name) for name in type(settings).model_fields):
        if isinstance(value, SecretStr):
            found.update(dict.fromkeys(_parts(value.get_secret_value())))
    named = set(getattr(settings, "tokens", {}).values())
    for name, text in environ.items():
        if name in named or (_NAME.search(name) and not _PLACE.search(name)):
            found.update(dict.fromkeys(_parts(text)))
        found.update(dict.fromkeys(each for each in _USERINFO.findall(text) if len(each) >= SHORTEST))
    return tuple(found)


def redact(text: str, secrets: Iterable[str], *, shapes: bool = True) -> str:
    """The text with every secret replaced by `***`. A second time changes nothing.

    Without `shapes` only the known values go: for text that must stay what it is, made-up tokens included.
    """
    needles = _needles(tuple(secrets))
    while True:
        cleaned = _hide(text, needles)
        for shape in _HIDDEN_SHAPES if shapes else ():
            cleaned = shape.sub(rf"\g<1>{HIDDEN}" if shape.groups else HIDDEN, cleaned)
        # What stood on both sides of a secret may itself join up to one: look again until nothing is found.
        if cleaned == text:
            return cleaned
        text = cleaned


def redact_data(value: Any, secrets: Iterable[str]) -> Any:
    """JSON-like data with `redact` done to every text in it, keys included."""
    if isinstance(value, str):
        return redact(value, secrets)
    if isinstance(value, Mapping):
        return {redact_data(key, secrets): redact_data(each, secrets) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [redact_data(each, secrets) for each in value]
    return value


def find_secrets(text: str, secrets: Iterable[str]) -> tuple[str, ...]:
    """What kinds of secrets a text holds, never the secrets themselves; empty when it holds none."""
    known = next(_spans(text, _needles(tuple(secrets))), None)
    names = ["credential of this machine"] if known else []
    return (*names, *(name for name, shape in SHAPES.items() if shape.search(text)))


def _parts(value: str) -> Iterator[str]:
    """A value and those pieces of it that are secrets by themselves: lines of a key, fields of a JSON credential."""
    value = value.strip()
    if len(value) < SHORTEST:
        return
    yield value
    yield from (line.strip() for line in value.splitlines() if len(line.strip()) >= 32)
    if value.startswith("{"):
        try:
            fields = json.loads(value)
        except (ValueError, RecursionError):
            return
        for name, text in fields.items():
            if isinstance(text, str) and _NAME.search(name):
                yield from _parts(text)


@lru_cache(maxsize=8)
def _needles(secrets: tuple[str, ...]) -> tuple[Needle, ...]:
    """What to look for, longest first; what has too few letters is looked for as it stands."""
    found: dict[Needle, None] = {}
    for secret in secrets:
        if len(secret) >= SHORTEST and not (secret[0].isalnum() and secret[-1].isalnum()):
            found[secret] = None  # the search for letters would leave its first or last sign standing
        for form in _forms(secret) if len(secret) >= SHORTEST else ():
            bare = _bare(form)
            found[bare if len(bare) >= SHORTEST else form] = None
    return tuple(sorted(found, key=len, reverse=True))


def _bare(text: str) -> bytes:
    """Letters and digits of ASCII, in lower case."""
    return text.encode("ascii", "ignore").translate(_LOWER, _NOISE)


def _forms(secret: str) -> Iterator[str]:
    """A secret as it looks after the usual encodings."""
    data = secret.encode("utf-8", "surrogatepass")
    yield secret
    yield secret[::-1]
    yield data.hex()
    yield data[::-1].hex()
    yield quote(data, safe="")
    yield quote_plus(data)
    yield quote(data)
    yield html.escape(secret)
    yield json.dumps(secret)[1:-1]
    # Base64 of a longer text in which the secret begins at any of three offsets; characters shared with
    # neighbouring bytes are cut off.
    for offset in range(3):
        whole = base64.b64encode(b"\0" * offset + data).rstrip(b"=")
        start = (0, 2, 3)[offset]
        end = len(whole) if (offset + len(data)) % 3 == 0 else len(whole) - 1
        part = whole[start:end].decode()
        if len(part) >= SHORTEST:
            yield part
            yield part.translate(str.maketrans("+/", "-_"))
            yield part[::-1]


def _hide(text: str, needles: tuple[Needle, ...]) -> str:
    spans = sorted(_spans(text, needles))
    pieces: list[str] = []
    done = 0
    for start, end in spans:
        if end <= done:
            continue
        if start >= done:
            pieces += [text[done:start], HIDDEN]
        done = end
    return "".join([*pieces, text[done:]])


def _spans(text: str, needles: tuple[Needle, ...]) -> Iterator[tuple[int, int]]:
    """Where secrets stand; punctuation, white space and letter case between do not hide them."""
    yield from _spans_in(text, needles)
    if "\\" in text:  # in JSON that was written down as text the `n` of a line's end is a letter and yet means none
        yield from _spans_in(_ESCAPE.sub(lambda found: " " * len(found[0]), text), needles)


def _spans_in(text: str, needles: tuple[Needle, ...]) -> Iterator[tuple[int, int]]:
    bare = _bare(text)
    places: list[int] = []
    for needle in needles:
        if isinstance(needle, str):
            at = text.find(needle)
            while at >= 0:
                yield at, at + len(needle)
                at = text.find(needle, at + 1)
            continue
        at = bare.find(needle)
        while at >= 0:
            places = places or [index for index, char in enumerate(text) if char.isascii() and char.isalnum()]
            yield places[at], places[at + len(needle) - 1] + 1
            at = bare.find(needle, at + 1)

"""A text -> the numbers of its word pieces, as BERT's lower-casing tokeniser cuts them.

Source: "WordPiece" in the BERT paper's published tokeniser (github.com/google-research/bert, tokenization.py). One
difference is meant: `[MASK]` and its like in a text are ordinary words, so that a stranger can't steer the encoder.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from bot.offline.tensors import damaged

MAX_PIECES = 256
"""Of one text, with the two that frame it."""
MAX_WORD = 100
"""Characters; a longer word is unknown as a whole."""
MAX_CHARACTERS = 20_000
"""No more of a text is looked at: 254 pieces are long full by then, unless it is made of spaces."""
MAX_VOCABULARY = 200_000
CONTROL = frozenset({"Cc", "Cf", "Cs", "Co"})
CJK = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
"""Characters that are words of their own."""


class Wordpiece:
    """A vocabulary, and the tables that are made from it as characters turn up."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        """Raises ConfigurationError `weights_damaged` for a list that is none of BERT's."""
        self._ids: Mapping[str, int] = {piece: number for number, piece in enumerate(vocabulary)}
        missing = {"[UNK]", "[CLS]", "[SEP]"} - set(self._ids)
        if missing or not len(self._ids) == len(vocabulary) <= MAX_VOCABULARY:
            raise damaged("its vocabulary is no list of word pieces")
        self._unknown, self._first, self._last = (self._ids[each] for each in ("[UNK]", "[CLS]", "[SEP]"))
        self._clean, self._fold = _Clean(), _Fold()

    def ids(self, text: str, *, limit: int = MAX_PIECES) -> list[int]:
        """Its pieces, framed and at most `limit`. Any text will do."""
        found = [self._first]
        for word in self.words(text):
            found += self._pieces(word)
            if len(found) >= limit:
                break
        return [*found[: limit - 1], self._last]

    def words(self, text: str) -> list[str]:
        """Lower-case words without accents; each punctuation mark and each CJK character is one."""
        plain = text[:MAX_CHARACTERS].translate(self._clean)
        return unicodedata.normalize("NFD", plain).translate(self._fold).split(" ")

    def _pieces(self, word: str) -> list[int]:
        """The longest pieces that it begins with, one after the other; unknown if no piece fits somewhere."""
        if len(word) > MAX_WORD:
            return [self._unknown]
        found = []
        start = 0
        while start < len(word):
            fitting = next(self._fitting(word, start), None)
            if fitting is None:
                return [self._unknown]
            number, start = fitting
            found.append(number)
        return found

    def _fitting(self, word: str, start: int) -> Iterator[tuple[int, int]]:
        """Number and end of the pieces that stand at `start`, longest first."""
        mark = "##" if start else ""
        for end in range(len(word), start, -1):
            number = self._ids.get(mark + word[start:end])
            if number is not None:
                yield number, end


class _Clean(dict[int, str]):
    """`str.translate` table: control characters go, white space is a space, CJK characters stand alone."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if char in "\t\n\r":
            made = " "
        elif code in (0, 0xFFFD) or unicodedata.category(char) in CONTROL:
            made = ""
        elif char.isspace():
            made = " "
        else:
            made = f" {char} " if any(low <= code <= high for low, high in CJK) else char
        self[code] = made
        return made


class _Fold(dict[int, str]):
    """`str.translate` table for decomposed text: accents go, letters are small, punctuation stands alone."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        category = unicodedata.category(char)
        if category == "Mn":
            made = ""
        elif category.startswith("P") or (code < 128 and char.isprintable() and not char.isalnum() and char != " "):
            made = f" {char} "
        else:
            made = char.lower()
        self[code] = made
        return made

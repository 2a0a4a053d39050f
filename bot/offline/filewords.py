"""Texts, programs and paths -> the words by which they find each other: identifiers as a whole and in their parts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

LONGEST = 60
"""Characters of the longest word; longer ones are hashes and encoded data."""
DEFINED = 4
"""How often a word counts more where a program defines it."""
TITLE = 2.5
"""How often a word of the title counts."""
TERMS = 120
"""Words of a question that are looked up."""
QUESTION = 20_000
"""Characters of a question that are read."""
_IDENTIFIER = re.compile(rb"[A-Za-z_][A-Za-z0-9_]{1,59}")
_DEFINITION = re.compile(
    rb"\b(?:def|class|func|fn|function|struct|type|interface|enum|trait|impl|module|macro|object|record|protocol|const|let|var|val)"
    rb"[ \t]+(?:\([^()\n]{0,80}\)[ \t]*)?(?:mut[ \t]+)?([A-Za-z_$][A-Za-z0-9_]{2,59})"
)
_WORD = re.compile(r"[^\W\d]\w{0,59}|\d+")
PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\dA-Za-z_]+")


def _of(words: str) -> frozenset[str]:
    return frozenset(words.split())


_STOP = _of(
    "the a an and or not no is are was were be been being to of in on at it its this that these those with for "
    "from by as if then else when while do does did done can could should would will may might must have has had "
    "i we you they he she my your our their there here what which who how why where all any some more most other "
    "only same so than too very just also but about into over after before between out up down off again because "
    "until during both each few such own s t don now use used using make makes made get gets got see fix fixes "
    "fixed fixing bug bugs issue issues add adds added adding change changes changed remove removes removed "
    "update updates updated close closes closed closing please thanks hello hi like want need try tried work "
    "works working instead still new way co authored signed off"
)


def words_of_path(path: str) -> Counter[str]:
    """The words of a path; those of the file's own name count double."""
    folder, _, name = path.rpartition("/")
    stem = name.rpartition(".")[0] or name
    counts: Counter[str] = Counter()
    for text, weight in ((folder, 1), (stem, 2)):
        for found in _WORD.findall(text):
            for word in dict.fromkeys(parts_of(found)):
                counts[word] += weight
    return counts


def identifiers_of(data: bytes) -> Counter[bytes]:
    """The identifiers of a file's text, as they are written; those that it defines count several times."""
    found = Counter(_IDENTIFIER.findall(data))
    for name in _DEFINITION.findall(data):
        found[name] += DEFINED
    return found


def words_of_question(title: str, body: str) -> Mapping[str, float]:
    """The words of a question and how much each counts, at most 120."""
    weights: dict[str, float] = {}
    for text, weight in ((title[:500], TITLE), (body[:QUESTION], 1.0)):
        counts: Counter[str] = Counter()
        for found in _WORD.findall(text):
            counts.update(parts_of(found))
        for word, count in counts.items():
            # What is said ten times is not ten times as important.
            weights[word] = weights.get(word, 0.0) + weight * (1 + min(count - 1, 4) * 0.25)
    kept = ((word, weight) for word, weight in weights.items() if word not in _STOP)
    return dict(sorted(kept, key=lambda each: -each[1])[:TERMS])


def parts_of(name: str) -> tuple[str, ...]:
    """An identifier in lower case as a whole, and its parts: `parseHTTPHeader` has parse, http and header."""
    parts = PART.findall(name)
    whole = name.strip("_").lower()
    if len(parts) <= 1:
        return (_stem(whole),) if len(whole) > 1 else ()
    return (whole, *dict.fromkeys(_stem(each.lower()) for each in parts if len(each) > 1))


def _stem(word: str) -> str:
    """Without the endings that English words get in a sentence and names do not."""
    if len(word) > 5 and word.endswith("ing"):
        word = word[:-3]
    elif len(word) > 4 and word.endswith("ed"):
        word = word[:-2]
    elif len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    return word[:-1] if len(word) > 4 and (word.endswith("e") or word[-1] == word[-2]) else word

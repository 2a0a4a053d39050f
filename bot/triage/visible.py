"""A stranger's text -> what a person sees of it: no hidden characters, no HTML comments, cut to a length."""

import re
import unicodedata

HIDDEN_CATEGORIES = ("Cf", "Cc", "Cs", "Co", "Cn")
"""Unicode's format, control, surrogate, private and unassigned characters: zero-width, bidi, tags and their kin."""

SCAN = 65_536
"""Characters looked at; GitHub allows no more in a text."""


def visible(text: str, limit: int) -> str:
    """The text without what only machines read. `limit` is in characters."""
    text = re.sub(r"<!--.*?(?:-->|\Z)", "", text[:SCAN], flags=re.DOTALL)
    kept = "".join(each for each in text if each in "\n\t" or unicodedata.category(each) not in HIDDEN_CATEGORIES)
    return kept.strip()[:limit]


def fenced(text: str) -> str:
    """The text inside a code block that it can't close: nothing in it is a link, a mention or formatting."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"

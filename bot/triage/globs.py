"""A pattern with `*` and `?`, and a text -> whether they match. Time is bounded by the product of both lengths.

Regular expressions from a file that many people may change are a way to stop the bot: some take exponential time.
"""

from collections.abc import Sequence

TEXT_LIMIT = 4_000
"""Characters of a text that are looked at."""


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text has the pattern's form, upper and lower case being the same."""
    pattern, text = pattern.casefold(), text[:TEXT_LIMIT].casefold()
    at = place = mark = 0
    after_star = -1
    while at < len(text):
        if place < len(pattern) and pattern[place] == "*":
            after_star, mark = place + 1, at
            place += 1
        elif place < len(pattern) and pattern[place] in ("?", text[at]):
            place += 1
            at += 1
        elif after_star >= 0:
            mark += 1
            place, at = after_star, mark
        else:
            return False
    return set(pattern[place:]) <= {"*"}


def found_in(patterns: Sequence[str], text: str) -> bool:
    """Whether one of the patterns is anywhere in the text."""
    return any(matches(f"*{pattern}*", text[:TEXT_LIMIT]) for pattern in patterns)


def any_matches(patterns: Sequence[str], text: str) -> bool:
    """Whether the text as a whole has the form of one of the patterns."""
    return any(matches(pattern, text) for pattern in patterns)

"""Names that strangers chose -> words that can stand in a sentence of ours, in a terminal and in Markdown alike."""

from __future__ import annotations

from collections.abc import Iterable

from bot.visible import visible, without_ansi

NAME = 80
"""Characters of a name."""
NAMES = 5
"""Names of a list; of the others only the number is told."""
SWAPPED = str.maketrans({"`": "'", "|": "¦", "\n": " ", "\r": " ", "\t": " "})


def quoted(name: str) -> str:
    """A name in backticks, which it can't leave: no link, no mention, no formatting, no table's cell."""
    text = " ".join(visible(without_ansi(name[: 4 * NAME])).translate(SWAPPED).split())
    # GitHub pads a code span by a space on both sides; a lone backslash at its end is no escape there.
    return f"`{text if len(text) <= NAME else text[: NAME - 1] + '…'}`" if text else "`?`"


def listed(names: Iterable[str]) -> str:
    """Names in backticks with commas between."""
    given = list(names)
    more = f" and {len(given) - NAMES} more" if len(given) > NAMES else ""
    return ", ".join(map(quoted, given[:NAMES])) + more

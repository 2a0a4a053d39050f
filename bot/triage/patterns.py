"""A regular expression of the policy and a text -> whether it is found. RE2: time grows with the text, never faster.

Source: RE2's syntax page; it knows no look-around and no back-references, which is why it can promise that.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

MEMORY = 1 << 20
"""Bytes that one compiled pattern may take; repetitions of repetitions would take gigabytes."""
SCAN = 65_536
"""Characters of a text that are looked at; GitHub allows no more."""


def fault_of(pattern: str) -> str | None:
    """What is wrong with a pattern, None where nothing is."""
    import re2

    try:
        _compiled(pattern)
    except re2.error as error:
        detail = error.args[0] if error.args else ""
        return " ".join((detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)).split())
    return None


def found(patterns: Sequence[str], *texts: str) -> bool:
    """Whether one of the patterns is anywhere in one of the texts. The patterns were checked before."""
    # Halves of surrogate pairs are no text for RE2; JSON lets them through.
    data = [text[:SCAN].encode("utf-8", "replace") for text in texts]
    return any(_compiled(pattern).search(each) is not None for pattern in patterns for each in data)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    import re2

    options = re2.Options()
    options.max_mem = MEMORY
    options.log_errors = False  # it writes to standard error, past everything that keeps a log inert
    return re2.compile(pattern.encode("utf-8", "replace"), options)

"""A path of a pristine checkout -> its bytes, if it is a regular file inside.

Whoever wrote the checkout chose what lies there: no link leads out of it, and no pipe blocks.
"""

import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_inside(checkout: Path, path: str) -> BinaryIO | None:
    """The file, open; None where there is no such regular file inside of the checkout that may be read."""
    try:
        root = checkout.resolve()
        real = (root / path).resolve(strict=True)
        if not real.is_relative_to(root):
            return None
        # The checkout is never written, so nobody changes the path between the two calls.
        file = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError, RuntimeError):
        return None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        return None
    return os.fdopen(file, "rb")


def read_inside(checkout: Path, path: str, max_bytes: int) -> bytes | None:
    """The file's bytes, at most one more than `max_bytes`, so that a longer one is told; None as above."""
    opened = open_inside(checkout, path)
    if opened is None:
        return None
    with opened as stream:
        return stream.read(max_bytes + 1)

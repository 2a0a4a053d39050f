"""A digest -> the bytes kept under it, or an error: never other bytes; a path -> no more bytes than are expected."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

from bot.errors import TaskError
from bot.types.sandbox import Blob


def read_blob(blobs: Path, blob: Blob) -> bytes:
    """The bytes of a blob. Raises TaskError `blob_missing`, or `blob_damaged` when size or digest differ."""
    path = blobs / blob.digest
    try:
        data = read_at_most(path, blob.size)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise _damaged(blob) from error
        message = f"the bytes of blob {blob.digest[:12]} can't be read: {error.strerror or error}"
        raise TaskError("blob_missing", message, hint="start the run again") from error
    if len(data) != blob.size or hashlib.sha256(data).hexdigest() != blob.digest:
        raise _damaged(blob)
    return data


def read_at_most(path: Path, limit: int) -> bytes:
    """A file's bytes, in a folder that may have travelled from another job: no link is followed, no pipe waited for.

    Raises OSError, of number EFBIG where there are more than `limit`.
    """
    number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(number, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit:,} bytes")
    return data


def _damaged(blob: Blob) -> TaskError:
    return TaskError("blob_damaged", f"blob {blob.digest[:12]} holds other bytes", hint="start the run again")

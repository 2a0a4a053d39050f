"""A digest -> the bytes kept under it, or an error: never other bytes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from bot.errors import TaskError
from bot.types.sandbox import Blob


def read_blob(blobs: Path, blob: Blob) -> bytes:
    """The bytes of a blob. Raises TaskError `blob_missing`, or `blob_damaged` when size or digest differ."""
    path = blobs / blob.digest
    try:
        # Never through a link, never waiting on a FIFO: the folder may have travelled from another job.
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(number, "rb") as file:
            data = file.read(blob.size + 1)
    except OSError as error:
        message = f"the bytes of blob {blob.digest[:12]} can't be read: {error.strerror or error}"
        raise TaskError("blob_missing", message, hint="start the run again") from error
    if len(data) != blob.size or hashlib.sha256(data).hexdigest() != blob.digest:
        raise TaskError("blob_damaged", f"blob {blob.digest[:12]} holds other bytes", hint="start the run again")
    return data

"""A text and a path that a person named -> a file there, whole or not at all; and the bounded reading of one."""

from __future__ import annotations

import os
from pathlib import Path

from bot.errors import ConfigurationError
from bot.store.durable import written


def put_text(path: Path, text: str) -> None:
    """Replace or create a file; one that is no regular file (a pipe, /dev/stdout) is written to.

    Raises ConfigurationError `not_writable`.
    """
    data = text.encode("utf-8", "replace")
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as file:
                file.write(data)
            return
        with written(path.parent, data, prefix=".sandpiper-", suffix=".tmp") as temporary:
            temporary.chmod(0o666 & ~_umask())  # a report is made to be handed on
            temporary.replace(path)
    except OSError as error:
        message = f"can't write {path}: {error.strerror or error}"
        raise ConfigurationError("not_writable", message, hint="name a file in a folder that exists") from error


def bounded(path: Path, most: int, what: str) -> bytes:
    """A file of at most `most` bytes. Raises ConfigurationError `not_readable`, `file_too_large`."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ConfigurationError("not_readable", f"can't read {path}: {error.strerror or error}") from error
    if len(data) > most:
        raise ConfigurationError("file_too_large", f"{path} is larger than {most:,} bytes", hint=f"is it {what}?")
    return data


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask

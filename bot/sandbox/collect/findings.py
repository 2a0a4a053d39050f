"""Changed files, one by one -> Changes, within bounds of bytes, count and time; the bytes go into a folder of blobs."""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bot.sandbox.collect.tree import Mode, speakable
from bot.types.sandbox import Blob, Changes, FileChange
from bot.types.task import Limits

ENTRIES, SECONDS = 200_000, 60.0
"""What is looked at, and for how long, when only what changed is there."""
WHOLE_ENTRIES, WHOLE_SECONDS = 2_000_000, 300.0
"""Likewise, when everything has to be compared."""
_SKIPPED = 200
"""Lines about what was not taken, and again as many about what makes the proposal worthless."""
_OLD_BYTES = 1_000_000_000
"""Of what the checkout had in place of all that changed."""
_CHUNK = 1 << 20


class Cut(Exception):
    """A bound was reached."""


@dataclass
class Findings:
    """What was found so far, and how much more may be."""

    limits: Limits
    blobs: Path
    entries: int = ENTRIES
    seconds: float = SECONDS
    complete: bool = True
    files: dict[str, FileChange] = field(default_factory=dict)
    _skipped: list[str] = field(default_factory=list)
    _unlisted: int = 0
    _spoilt: int = 0
    _old: int = 0
    _entries: int = 0
    _taken: int = 0
    _since: float = field(default_factory=time.monotonic)

    def changes(self) -> Changes:
        more = (f"... and {self._unlisted} more",) if self._unlisted else ()
        files = tuple(change for _, change in sorted(self.files.items()))
        return Changes(files=files, skipped=(*sorted(self._skipped), *more), complete=self.complete)

    def add(self, change: FileChange) -> None:
        if len(self.files) >= self.limits.changed_files:
            raise Cut(f"more than {self.limits.changed_files} files changed")
        self.files[change.path] = change
        self._taken += change.new.size if change.new else 0

    def drop(self, path: str, why: str) -> None:
        """Take a change back, without which the proposal is worthless."""
        del self.files[path]
        self.skip(path, why, complete=False)

    def room(self) -> int:
        """Bytes that may still be taken."""
        return self.limits.changed_bytes - self._taken

    def take_old(self, size: int) -> None:
        """So many bytes of the checkout are about to be kept. Raises Cut."""
        self._old += size
        if self._old > _OLD_BYTES:
            raise Cut(f"what changed had more than {_OLD_BYTES} bytes in the checkout")

    def skip(self, path: str, why: str, *, complete: bool = True) -> None:
        """Note a path that is not taken; not `complete` when the proposal is worthless without it."""
        self.complete = self.complete and complete
        text = path if speakable(path) else ascii(path)
        text = text if len(text) <= 200 else f"{text[:150]}...{text[-40:]}"
        self._spoilt += not complete
        if len(self._skipped) < _SKIPPED or (not complete and self._spoilt <= _SKIPPED):
            self._skipped.append(f"{text}: {why}")
        else:
            self._unlisted += 1

    def count(self) -> None:
        """One more file or folder was looked at. Raises Cut."""
        self._entries += 1
        if self._entries > self.entries:
            raise Cut(f"more than {self.entries} files and folders")
        self.check_time()

    def chunks(self, file: int) -> Iterator[bytes]:
        """All bytes of an open file. Raises Cut."""
        os.lseek(file, 0, os.SEEK_SET)
        while chunk := os.read(file, _CHUNK):
            self.check_time()
            yield chunk

    def keep(self, chunks: Iterable[bytes], mode: Mode) -> Blob:
        """Bytes into a file named by their digest; it appears there whole or not at all."""
        digest, size = hashlib.sha256(), 0
        descriptor, temporary = tempfile.mkstemp(dir=self.blobs, prefix=".new-")
        try:
            with os.fdopen(descriptor, "wb") as target:
                for chunk in chunks:
                    digest.update(chunk)
                    size += len(chunk)
                    target.write(chunk)
            kept = self.blobs / digest.hexdigest()
            if kept.exists():  # to replace it would have ext4 flush it
                Path(temporary).unlink()
            else:
                Path(temporary).replace(kept)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return Blob(digest=digest.hexdigest(), size=size, mode=mode)

    def check_time(self) -> None:
        """Raises Cut when collecting takes too long."""
        if time.monotonic() > self._since + self.seconds:
            raise Cut(f"collecting took longer than {self.seconds:.0f} s")

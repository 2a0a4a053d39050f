"""Records of egress <-> lines of JSON in a bounded file, which no text of a sandbox can break or forge."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from bot.types.network import EgressRecord

AUDIT_BYTES = 10_000_000
"""A file of this size is full; its last line says that records are missing from there on."""


def write_record(path: Path, record: EgressRecord, *, limit: int = AUDIT_BYTES) -> None:
    """Append a record to the file, which is made if it is not there, readable by its owner alone. Raises OSError."""
    line = _line(record.model_dump(mode="json"))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        room = limit - os.fstat(descriptor).st_size
        stopped = _line({"stopped": f"the audit has reached {limit} bytes, what follows is not recorded"})
        if room <= 0:
            return
        if len(line) + len(stopped) > room:
            # Padded to the limit, so that no shorter record fits in behind it.
            line = stopped[:-1].ljust(room - 1) + b"\n"
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def read_records(path: Path) -> Iterator[EgressRecord]:
    """Return the records of such a file in order. Raises OSError, ValueError."""
    with path.open(encoding="ascii") as lines:
        for line in lines:
            if "stopped" not in (found := json.loads(line)):
                yield EgressRecord.model_validate(found)


def _line(value: dict[str, object]) -> bytes:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"

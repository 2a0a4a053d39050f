"""A scale -> a proposal of every kind of change, and the repository that it is made for; the same for the same seed."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from pathlib import Path

from bot.types.sandbox import Blob, FileChange

Contents = tuple[str, bytes]
"""Mode and bytes."""
NAMES = ("src", "dücs", "Ünï cödé", "tests", "数据", "a'b\"c$(id)", "deep/er/and/deeper", "bin")


@dataclass
class Proposal:
    """What a repository holds before and after."""

    before: dict[str, Contents] = field(default_factory=dict)
    after: dict[str, Contents] = field(default_factory=dict)

    def changes(self, blobs: Path) -> tuple[FileChange, ...]:
        """The difference, its bytes in a folder of blobs."""
        paths = sorted(path for path in self.before.keys() | self.after.keys() if self._differs(path))
        blobs.mkdir(parents=True, exist_ok=True)
        return tuple(
            FileChange(path=path, old=_kept(self.before.get(path), blobs), new=_kept(self.after.get(path), blobs))
            for path in paths
        )

    @property
    def size(self) -> int:
        """Bytes that are new."""
        return sum(len(made[1]) for path, made in self.after.items() if self._differs(path))

    def _differs(self, path: str) -> bool:
        return self.before.get(path) != self.after.get(path)


def base_files(scale: float) -> dict[str, Contents]:
    """What the repository holds: 3,000 files at scale 1, of which a third is left alone."""
    return {f"old/{at % 13}/file {at}.txt": ("100644", f"line {at}\n".encode() * 20) for at in range(int(3000 * scale))}


def make_proposal(scale: float, seed: str) -> Proposal:
    """10,000 files and 100 MB at scale 1: texts, binaries, renames, deletions, exec bits, links, ten large files."""
    chance, before = random.Random(seed), base_files(scale)
    made = Proposal(before, dict(before))
    old = sorted(before)
    third = len(old) // 3
    for at, path in enumerate(old[:third]):
        mode, data = made.after.pop(path)  # a third of these is deleted, one renamed, one made executable
        if at % 3 == 1:
            made.after[f"moved/{path}"] = (mode, data)
        elif at % 3 == 2:
            made.after[path] = ("100755", data)
    for path in old[third : third * 2]:
        made.after[path] = ("100644", before[path][1] + seed.encode())
    gone = len([path for path in before if path not in made.after])
    moved = len(made.after) + gone - len(before)
    more = max(12, int(10_000 * scale) - third * 2 - moved)
    for at in range(more - 10):
        path = f"{chance.choice(NAMES)}/{at % 97}/{at}"
        if at % 20 == 0:
            made.after[f"{path}.bin"] = ("100644", chance.randbytes(9_000))
        elif at % 50 == 1:
            made.after[f"{path}.link"] = ("120000", f"{at}.txt".encode())
        else:
            line = f"{seed} {at} ünï {chance.random()}\n".encode()
            made.after[f"{path}.txt"] = ("100755" if at % 9 == 0 else "100644", line * (6_000 // len(line)))
    large = max(1, int(100_000_000 * scale) - made.size) // 10
    for at in range(10):
        data = chance.randbytes(large) if at % 2 else f"{seed} {at} large\n".encode() * (large // 20)
        made.after[f"large/{at}"] = ("100644", data)
    return made


def _kept(contents: Contents | None, blobs: Path) -> Blob | None:
    if contents is None:
        return None
    mode, data = contents
    digest = hashlib.sha256(data).hexdigest()
    if not (blobs / digest).exists():
        (blobs / digest).write_bytes(data)
    return Blob.model_validate({"digest": digest, "size": len(data), "mode": mode})

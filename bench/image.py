"""Programs of this machine -> a small image that all subjects share, so that nothing has to be pulled."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker

TOOLS = (
    *("sh", "bash", "sleep", "cat", "head", "tail", "stat", "find", "mkdir", "mkfifo", "chmod", "readlink", "ls", "id"),
    *("touch", "rm", "cp", "mv", "dd", "env", "echo", "true", "test", "kill", "ps", "grep", "sed", "tar", "sort", "wc"),
)
_FOLDERS = ("usr/bin", "usr/lib", "usr/lib64", "usr/sbin", "etc", "proc", "sys", "dev", "root", "sandbox", "workspace")
_PASSWD = b"root:x:0:0:root:/root:/bin/sh\nbot:x:1000:1000:bot:/workspace:/bin/sh\n"
_LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}


@contextmanager
def small_image(client: docker.DockerClient) -> Iterator[str]:
    """An image with a shell and a few programs; it is removed with the block."""
    data = _archive()
    name, tag = "sandpiper-bench", hashlib.sha256(data).hexdigest()[:12]
    client.api.import_image_from_data(data, repository=name, tag=tag, changes=['CMD ["/bin/sh"]'])
    try:
        yield f"{name}:{tag}"
    finally:
        client.images.remove(f"{name}:{tag}", force=True)


def _archive() -> bytes:
    wanted: dict[str, Path] = {}
    for program in map(Path, filter(None, map(shutil.which, TOOLS))):
        wanted[f"usr/bin/{program.name}"] = program
        listing = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
        for library in map(Path, re.findall(r"(/\S+) \(0x", listing)):
            wanted[_merged(library)] = library
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        for name in _FOLDERS:
            tar.addfile(_entry(name, tarfile.DIRTYPE, 0o755))
        tar.addfile(_entry("tmp", tarfile.DIRTYPE, 0o1777))
        for name, target in _LINKS.items():
            link = _entry(name, tarfile.SYMTYPE, 0o777)
            link.linkname = target
            tar.addfile(link)
        for name, source in sorted(wanted.items()):
            _add(tar, name, source.resolve().read_bytes(), 0o755)
        _add(tar, "etc/passwd", _PASSWD, 0o644)
    return held.getvalue()


def _add(tar: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    entry = _entry(name, tarfile.REGTYPE, mode)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def _merged(library: Path) -> str:
    """/lib/x and /usr/lib/x are the same file where /lib is a link, and the image has the link."""
    name = str(library).lstrip("/")
    return name if name.startswith("usr/") else f"usr/{name}"


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = kind, mode
    return entry

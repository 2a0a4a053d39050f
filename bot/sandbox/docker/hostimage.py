"""This machine -> an empty image for the engine, which the toolchain's mounts fill, for `image: host`.

No registry and no build: folders to mount on, and the links of a merged /usr.
"""

import hashlib
import io
import os
import tarfile
from pathlib import Path

import docker
from docker.errors import ImageNotFound

from bot.sandbox.toolchain import LINKS

REPOSITORY = "sandpiper-host"
_FOLDERS = (
    *("dev", "etc/ssl", "home", "mnt", "opt", "proc", "root", "run", "sbin", "sys", "tmp", "usr", "var"),
    "workspace",
)


def host_image(client: docker.APIClient) -> str:
    """Name of the empty image, imported once; its tag follows from its content."""
    archive = _archive()
    name = f"{REPOSITORY}:{hashlib.sha256(archive).hexdigest()[:12]}"
    try:
        client.inspect_image(name)  # type: ignore[no-untyped-call]
    except ImageNotFound:
        repository, tag = name.split(":")
        client.import_image_from_data(archive, repository=repository, tag=tag)
    return name


def _archive() -> bytes:
    """Folders to mount on, and the links of a merged /usr as this machine has them.

    /sbin is a folder of links instead of a link: the engine mounts its init into it, which it could not below /usr.
    """
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in _FOLDERS:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            archive.addfile(entry)
        links = {name: os.readlink(f"/{name}").lstrip("/") for name in LINKS if Path(f"/{name}").is_symlink()}  # noqa: PTH115
        links |= {"var/tmp": "../tmp"} | {
            f"sbin/{file.name}": f"/usr/sbin/{file.name}" for file in sorted(Path("/usr/sbin").iterdir())
        }
        for name, target in links.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return stream.getvalue()

"""This machine -> an empty image for the engine, which the toolchain's mounts fill, for `image: host`.

No registry and no build: folders to mount on, and the links of a merged /usr.
"""

import contextlib
import fcntl
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import docker
from docker.errors import APIError

from bot.errors import SandboxError
from bot.sandbox.docker.container import Image
from bot.sandbox.docker.engine import has_image
from bot.sandbox.toolchain import LINKS, Toolchains

REPOSITORY = "sandpiper-host"
LABEL = "sandpiper.host"
"""On every such image, with its tag, so that one that lost its name is found again."""
_TRIES = 3
_FOLDERS = (
    *("dev", "etc/ssl", "home", "mnt", "opt", "proc", "root", "run", "sbin", "sys", "tmp", "usr", "var"),
    "workspace",
)


class HostImages:
    """What `image: host` stands for now; remembers what it takes long to find out. One for each provider."""

    def __init__(self, work: Path | None, *, repository: str = REPOSITORY) -> None:
        self._work = work
        self._repository = repository
        self._toolchains = Toolchains()
        self._known: tuple[_Links, bytes, str] | None = None

    def image(self, api: docker.APIClient, environ: Mapping[str, str]) -> Image:
        """The image with the machine's mounts. Raises SandboxError `image_not_found`, and what the engine raises.

        The engine is asked each time: somebody may have pruned its images meanwhile.
        """
        toolchain = self._toolchains.of(environ)
        return Image(self.name(api), toolchain.path, toolchain.mounts, toolchain.hidden)

    def name(self, api: docker.APIClient) -> str:
        """Name of the empty image, imported where the engine has none; its tag follows from its content."""
        links, known = _links(), self._known
        if known is None or known[0] != links:
            archive = _archive(links)
            known = (links, archive, f"{self._repository}:{hashlib.sha256(archive).hexdigest()[:12]}")
            self._known = known
        if not has_image(api, known[2]):
            _import(api, known[2], known[1], self._work)
        return known[2]


def _import(api: docker.APIClient, name: str, archive: bytes, work: Path | None) -> None:
    repository, tag = name.split(":")
    for _ in range(_TRIES):
        with _locked(work):  # of this machine's processes that share a folder, one imports
            if not has_image(api, name):
                # Bytes that stay the same still become another image each time, as the engine notes when.
                with contextlib.suppress(APIError):  # tried again: another process may have taken it for a leftover
                    api.import_image_from_data(
                        archive, repository=repository, tag=tag, changes=[f"LABEL {LABEL}={name}"]
                    )
            _remove_nameless(api, name)
            if has_image(api, name):
                return
    raise SandboxError(
        "image_not_found",
        f"the engine has no image {name} though it was imported just now",
        hint="see the engine's log, and whether its disk is full",
    )


def _remove_nameless(api: docker.APIClient, name: str) -> None:
    """Two that import at once leave an image whose name the other one got."""
    for image in api.images(filters={"dangling": True, "label": f"{LABEL}={name}"}):
        with contextlib.suppress(APIError):  # gone by now, or a sandbox uses it
            api.remove_image(image["Id"])


@contextlib.contextmanager
def _locked(work: Path | None) -> Iterator[None]:
    if work is None:
        yield
        return
    work.mkdir(parents=True, exist_ok=True)
    file = os.open(work / ".host-image.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


_Links = tuple[tuple[str, str], ...]


def _links() -> _Links:
    """The links of a merged /usr as this machine has them, and those that stand for /sbin.

    /sbin is a folder of links instead of a link: the engine mounts its init into it, which it could not below /usr.
    """
    merged = [(name, os.readlink(f"/{name}").lstrip("/")) for name in LINKS if os.path.islink(f"/{name}")]  # noqa: PTH114, PTH115
    system = [(f"sbin/{name}", f"/usr/sbin/{name}") for name in sorted(os.listdir("/usr/sbin"))]  # noqa: PTH208 - twice as fast
    return (*merged, ("var/tmp", "../tmp"), *system)


def _archive(links: _Links) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in _FOLDERS:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            archive.addfile(entry)
        for name, target in links:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return stream.getvalue()

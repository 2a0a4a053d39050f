"""A Dockerfile of a checkout -> an image in the engine, built once for the same content.

A build runs the checkout's code as the engine's container root, so that only trusted checkouts may have one; it has no
network, no argument of a stranger's, and bounded memory. See the Engine API's `ImageBuild`.
"""

import hashlib
import io
import json
import logging
import os
import re
import tarfile
import tempfile
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import IO, Literal

import docker
from docker.errors import APIError, DockerException, ImageNotFound
from docker.utils.build import exclude_paths

from bot.errors import SandboxError
from bot.sandbox.checkoutfile import open_inside, read_inside
from bot.sandbox.docker.dockerfile import base_images
from bot.sandbox.docker.engine import has_image
from bot.sandbox.docker.pull import OnProgress, stream

_LOG = logging.getLogger(__name__)
REPOSITORY = "sandpiper-built"
LABEL = "sandpiper.built"
"""On every such image, with its tag."""
_FILE = ".sandpiper-dockerfile"
"""The Dockerfile's name in the context, where a name of the checkout's may be ignored or outside."""
_IGNORE = ".dockerignore"
_TEXT = 1_000_000
_FILES = 200_000
_BYTES = 2_000_000_000
_LINES = 20
"""The end of the log that an error shows."""
_MIB = 1 << 20
_STEP = re.compile(r"Step \d+/\d+ : (\w+)")
_MADE = re.compile(r"---> ([0-9a-f]{12})$")


@dataclass(frozen=True)
class Recipe:
    """What is built."""

    dockerfile: str
    """Relative to the checkout."""
    context: str = "."
    """Folder that the build sees, relative to the checkout."""
    target: str = ""
    """Stage; the last one if empty."""
    args: Mapping[str, str] = field(default_factory=dict)
    """Build arguments, of the checkout's own devcontainer.json."""


@dataclass(frozen=True)
class Building:
    """The operator's word on builds."""

    seconds: float = 600
    """Wall clock."""
    network: Literal["none", "default"] = "none"
    """What RUN can reach."""
    memory_mb: int = 2_048
    """Of each RUN, without swap."""


def build(
    api: docker.APIClient,
    checkout: Path,
    recipe: Recipe,
    *,
    building: Building,
    have: Callable[[str], object],
    on_progress: OnProgress | None = None,
) -> str:
    """Name of the image. `have` gets the name of each image that it builds on and raises where that may not be had.

    Every call reads the context, for the name follows from its content; only the first one builds. Raises SandboxError
    `dockerfile_not_found`, `dockerfile_invalid`, `build_context_too_large`, `image_build_failed`,
    `image_build_timeout`.
    """
    data = read_inside(checkout, recipe.dockerfile, _TEXT)
    if data is None or len(data) > _TEXT:
        raise SandboxError(
            "dockerfile_not_found",
            f"the checkout has no Dockerfile of at most {_TEXT:,} bytes at {recipe.dockerfile!r}",
            hint="write `dockerfile:PATH`, relative to the checkout",
        )
    bases = base_images(data.decode(errors="replace"), recipe.args)
    with closing(_context(checkout, recipe, data)) as context:
        tag = _digest(context, recipe, building)
        name = f"{REPOSITORY}:{tag}"
        if not has_image(api, name):
            for base in bases:
                have(base)
            _build(api, name, context, recipe, building, on_progress or _LOG.info)
    return name


def prune(
    api: docker.APIClient, older_than: timedelta = timedelta(0), *, only: Collection[str] | None = None
) -> tuple[str, ...]:
    """Remove images of ours (or `only` these of them) that were built so long ago and that no container uses.

    Returns their names.
    """
    before = time.time() - older_than.total_seconds()
    gone = []
    for image in api.images(filters={"label": LABEL}):
        # By name and without force: what somebody else tagged too, or runs, stays.
        for name in (each for each in image["RepoTags"] or () if each.startswith(f"{REPOSITORY}:")):
            with suppress(APIError):
                if image["Created"] <= before and (only is None or name in only):
                    api.remove_image(name)
                    gone.append(name)
    return tuple(gone)


def _context(checkout: Path, recipe: Recipe, dockerfile: bytes) -> IO[bytes]:
    """An archive that is the same for the same content: no owner, no time, names in order; `.git` is left out."""
    root = checkout / recipe.context
    if not root.is_dir() or not root.resolve().is_relative_to(checkout.resolve()):
        raise SandboxError(
            "dockerfile_invalid", f"the build's context {recipe.context!r} is no folder of the checkout", hint="use `.`"
        )
    spooled = tempfile.SpooledTemporaryFile(max_size=64 * _MIB)  # noqa: SIM115 - the caller closes it
    try:
        fits = _fill(spooled, root, dockerfile)
    except OSError as error:
        spooled.close()
        raise SandboxError(
            "image_build_failed",
            f"the build's context {recipe.context!r} can't be read: {error}",
            hint="every folder of the checkout must be readable, and the folder for temporary files must have room",
        ) from error
    if not fits:
        spooled.close()
        raise SandboxError(
            "build_context_too_large",
            f"the build's context {recipe.context!r} has more than {_FILES:,} files or {_BYTES:,} bytes",
            hint=f"leave out in {_IGNORE} what the build does not need",
        )
    return spooled


def _fill(into: IO[bytes], root: Path, dockerfile: bytes) -> bool:
    """Write the archive; False when it would be too large."""
    ignored = (read_inside(root, _IGNORE, _TEXT) or b"").decode("utf-8-sig", errors="replace").splitlines()
    patterns = [each for each in ignored if each.strip() and not each.startswith("#")]
    paths = sorted(exclude_paths(str(root), [*patterns, ".git", "**/.git"], _FILE))
    total = 0
    with tarfile.open(fileobj=into, mode="w") as archive:
        _add_text(archive, _FILE, dockerfile)
        _add_text(archive, _IGNORE, f"{_FILE}\n{_IGNORE}\n".encode())
        for path in paths if len(paths) <= _FILES else ():
            if path not in (_FILE, _IGNORE):
                total += _add(archive, root, path)
            if total > _BYTES:
                return False
    return len(paths) <= _FILES


def _add(archive: tarfile.TarFile, root: Path, path: str) -> int:
    """Add a file, a folder or a link as it is; nothing for what is none of them. Returns the file's bytes."""
    full = root / path
    entry = tarfile.TarInfo(path)
    if full.is_symlink():
        entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(full)  # noqa: PTH115
        archive.addfile(entry)
    elif full.is_dir():
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(entry)
    elif (opened := open_inside(root, path)) is not None:
        with opened:
            found = os.fstat(opened.fileno())
            entry.size, entry.mode = found.st_size, 0o755 if found.st_mode & 0o100 else 0o644
            if entry.size <= _BYTES:
                archive.addfile(entry, opened)
        return entry.size
    return 0


def _add_text(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def _digest(context: IO[bytes], recipe: Recipe, building: Building) -> str:
    context.seek(0)
    digest = hashlib.sha256()
    while chunk := context.read(_MIB):
        digest.update(chunk)
    digest.update(json.dumps([recipe.target, sorted(recipe.args.items()), building.network]).encode())
    context.seek(0)
    return digest.hexdigest()[:24]


def _build(
    api: docker.APIClient, name: str, context: IO[bytes], recipe: Recipe, building: Building, say: OnProgress
) -> None:
    log = _Log(say)
    params = {
        "version": "1",  # the builder without BuildKit, which every engine has
        "t": name,
        "dockerfile": _FILE,
        "rm": "1",
        "forcerm": "1",
        "networkmode": building.network,
        "memory": str(building.memory_mb * _MIB),
        "memswap": str(building.memory_mb * _MIB),
        "labels": json.dumps({LABEL: name}),
        "buildargs": json.dumps(dict(recipe.args)),
        **({"target": recipe.target} if recipe.target else {}),
    }
    headers = {"Content-Type": "application/x-tar"}
    deadline = time.monotonic() + building.seconds
    try:
        with closing(stream(api, "/build", deadline, params=params, headers=headers, data=context)) as messages:
            for message in messages:
                log.add(str(message.get("error") or message.get("stream") or ""))
                if "error" in message:
                    raise _failed(recipe, log.tail)
        if not has_image(api, name):
            raise _failed(recipe, [*log.tail, "the engine's answer broke off"])
    except BaseException as error:  # also an interrupt must leave nothing behind
        _forget(api, log.made)
        if isinstance(error, TimeoutError):
            raise SandboxError(
                "image_build_timeout",
                f"{recipe.dockerfile} was not built within {building.seconds:g} s; the end:\n" + "\n".join(log.tail),
                hint="build it ahead and name the image, or let it have more time",
            ) from None
        if isinstance(error, APIError):
            raise _failed(recipe, [*log.tail, *_lines(str(error.explanation or error))]) from None
        raise


class _Log:
    """What the engine says while it builds -> lines for people, and the images that the steps made."""

    def __init__(self, say: OnProgress) -> None:
        self.tail: deque[str] = deque(maxlen=_LINES)
        self.made: list[str] = []
        self._say = say
        self._old = True

    def add(self, text: str) -> None:
        for line in _lines(text):
            self.tail.append(line)
            self._say(f"build: {line}")
            if step := _STEP.match(line):
                self._old = step[1].upper() in ("FROM", "ARG")
            elif line == "---> Using cache":
                self._old = True
            elif (image := _MADE.match(line)) and not self._old:
                self.made.append(image[1])


def _forget(api: docker.APIClient, made: Sequence[str]) -> None:
    """Remove the images of the steps of a build that came to nothing, last first; what has a name by now stays."""
    for image in reversed(made):
        for pause in (0.0, 0.3, 1.0):  # the engine may still be ending the step's container
            time.sleep(pause)
            try:
                if not api.inspect_image(image)["RepoTags"]:  # type: ignore[no-untyped-call]
                    api.remove_image(image)
                break
            except ImageNotFound:  # it went with its child
                break
            except (DockerException, OSError) as error:
                _LOG.debug("image %s of a failed build: not removed yet: %s", image, error)


def _failed(recipe: Recipe, tail: Iterable[str]) -> SandboxError:
    return SandboxError(
        "image_build_failed",
        f"{recipe.dockerfile} could not be built; it ended with:\n" + "\n".join(tail),
        hint="the build has no network unless the operator lets it, and BuildKit's own instructions are not there",
    )


def _lines(text: str) -> Iterator[str]:
    """Lines of a log that anybody wrote, without what a terminal would obey."""
    for line in text.splitlines():
        plain = "".join(char if char.isprintable() else " " for char in line[:300]).strip()
        if plain:
            yield plain

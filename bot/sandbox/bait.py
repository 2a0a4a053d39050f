"""This machine -> the same with things on it that no sandbox may ever see or reach, and ears that tell whether one did.

Everything is made for one proof and gone after it: variables with values that nobody can guess, files that everybody
may read, a checkout full of credentials, and listeners on every address of this machine.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bot.errors import SandboxError

VARIABLES = 20
"""Canaries in the environment."""
KNOWN = "SANDPIPER_PROOF_README"
"""What stands in the checkout for everybody to see: whoever does not find it has not searched."""


@dataclass(frozen=True)
class Ears:
    """Listeners of this machine."""

    tcp: socket.socket
    udp: socket.socket
    path: socket.socket
    abstract: socket.socket
    control: socket.socket
    """One that we talk to ourselves, so that silence means something."""

    @property
    def port(self) -> int:
        """Of both, TCP and UDP."""
        return int(self.tcp.getsockname()[1])

    def heard(self) -> tuple[str, ...]:
        """Which of them somebody reached; each is asked once."""
        named = {"tcp": self.tcp, "udp": self.udp, "unix": self.path, "abstract": self.abstract}
        return tuple(name for name, each in named.items() if _heard(each))

    def works(self) -> bool:
        """Whether a connection of our own is heard."""
        with socket.create_connection(("127.0.0.1", self.control.getsockname()[1]), timeout=5):
            pass
        return _heard(self.control)


@dataclass(frozen=True)
class Bait:
    """What was laid out."""

    token: str
    """In every canary, and in nothing else on this machine."""
    folder: Path
    ears: Ears
    names: tuple[str, ...] = field(default=())
    """Variables of this process."""

    @property
    def checkout(self) -> Path:
        """A repository with credentials in every place where people leave them."""
        return self.folder / "checkout"

    @property
    def private(self) -> Path:
        """A file that everybody on this machine may read."""
        return self.folder / "home" / ".ssh" / "id_ed25519"

    @property
    def memory(self) -> Path:
        """Another one, in the machine's shared memory."""
        return Path("/dev/shm") / self.folder.name  # noqa: S108 - the canary itself

    @property
    def abstract(self) -> str:
        """Name of a socket that lies in no folder."""
        return self.folder.name


@contextlib.contextmanager
def laid() -> Iterator[Bait]:
    """The bait, for as long as the block lasts. Raises SandboxError `proof_failed` where it can't be laid."""
    with contextlib.ExitStack() as undo:
        folder = Path(tempfile.mkdtemp(prefix="sandpiper-proof-"))
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        bait = Bait(secrets.token_hex(16), folder, _listening(folder, undo))
        try:
            _files(bait, undo)
            _repository(bait)
        except (OSError, subprocess.SubprocessError) as error:
            raise SandboxError(
                "proof_failed", f"nothing can be laid out: {error}", hint="see TMPDIR, and git"
            ) from error
        names = tuple(f"SANDPIPER_PROOF_{number}_TOKEN" for number in range(VARIABLES))
        for name in names:
            os.environ[name] = bait.token
            undo.callback(os.environ.pop, name, None)
        yield Bait(bait.token, folder, bait.ears, names)


def _listening(folder: Path, undo: contextlib.ExitStack) -> Ears:
    tcp = socket.create_server(("0.0.0.0", 0), backlog=64)  # noqa: S104 - every address is what is tried
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("0.0.0.0", tcp.getsockname()[1]))  # noqa: S104
    control = socket.create_server(("127.0.0.1", 0))
    path, abstract = (socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(2))
    path.bind(str(folder / "socket"))
    (folder / "socket").chmod(0o777)
    abstract.bind(f"\0{folder.name}")
    for each in (path, abstract):
        each.listen(64)
    for each in (tcp, udp, path, abstract, control):
        each.setblocking(False)
        undo.callback(each.close)
    return Ears(tcp, udp, path, abstract, control)


def _heard(ear: socket.socket) -> bool:
    try:
        if ear.type == socket.SOCK_DGRAM:
            ear.recvfrom(64)
        else:
            ear.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def _files(bait: Bait, undo: contextlib.ExitStack) -> None:
    bait.private.parent.mkdir(parents=True)
    bait.private.write_text(f"{bait.token}\n")
    with contextlib.suppress(OSError):  # not every machine has shared memory
        undo.callback(bait.memory.unlink, missing_ok=True)
        bait.memory.write_text(f"{bait.token}\n")


def _repository(bait: Bait) -> None:
    checkout, token = bait.checkout, bait.token
    checkout.mkdir()
    (checkout / "README.md").write_text(f"{KNOWN}\n")
    _git(checkout, "init", "-q", "-b", "main")
    _git(checkout, "add", "README.md")
    _git(checkout, "commit", "-q", "-m", "first")
    git = checkout / ".git"
    (bait.folder / "included").write_text(f"[user]\n\tpassword = {token}\n")
    with (git / "config").open("a") as config:
        config.write(f'[http "https://example.org/"]\n\textraheader = AUTHORIZATION: basic {token}\n')
        config.write(f'[remote "origin"]\n\turl = https://x:{token}@example.org/a/b\n')
        config.write(f"[include]\n\tpath = {bait.folder / 'included'}\n[credential]\n\thelper = !echo {token}\n")
    (git / "hooks").mkdir(exist_ok=True)
    (git / "hooks" / "post-checkout").write_text(f"#!/bin/sh\necho {token}\n")
    (git / "hooks" / "post-checkout").chmod(0o755)
    (git / "credentials").write_text(f"https://x:{token}@example.org\n")
    (checkout / ".netrc").write_text(f"machine example.org password {token}\n")


def _git(folder: Path, *words: str) -> None:
    """Our own repository, which nobody else has written: git may be asked."""
    environ = {"PATH": os.environ.get("PATH", os.defpath), "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ("-c", "user.name=sandpiper", "-c", "user.email=sandpiper@localhost", "-c", "init.templateDir=")
    subprocess.run(["git", *identity, *words], cwd=folder, env=environ, check=True, capture_output=True, timeout=20)

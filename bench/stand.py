"""What all rows share: the engine, the image, our providers, the peers; made once, removed whatever happens."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import docker
from asking import Asked, versions
from docker.utils import kwargs_from_env
from floors import LABEL, Floor, remove
from image import small_image
from ours import Ours, remove_folder
from rows import LeftOut, Once, Row

PEERS = ("llm-sandbox", "mini-swe-agent", "SWE-ReX")
PACKAGES = ("llm-sandbox", "mini-swe-agent", "swe-rex")


@dataclass
class Stand:
    """One run of the benchmark."""

    client: docker.DockerClient
    image: str
    folder: Path
    floor: Floor
    ours: Ours
    peers: dict[str, Asked] = field(default_factory=dict)
    peers_note: str = ""
    checkouts: dict[int, Path] = field(default_factory=dict)
    copies: dict[Path, Path] = field(default_factory=dict)

    def add_peers(self, row: Row, verb: str, *arguments: object, names: tuple[str, ...] = PEERS) -> None:
        """The peers' subjects of a row; their processes end with it."""
        for name in names if self.peers else ():
            row.add(name, self.peer(name, verb, *arguments))

    def peer(self, name: str, verb: str, *arguments: object) -> Callable[[ExitStack], Once]:
        """One subject of a peer."""

        def make(stack: ExitStack) -> Once:
            stack.callback(self.peers[name].close)
            return self.peers[name].measure(verb, *arguments)

        return make


@contextmanager
def stand(peers_python: Path | None) -> Iterator[Stand]:
    """Ready to measure; whatever was made is removed with the block, also after an interrupt."""
    with ExitStack() as stack:
        # it keeps a pool for each URL, and with the usual 25 it closes one that another thread uses
        client = docker.DockerClient(**kwargs_from_env(), timeout=120, num_pools=200, max_pool_size=50)
        stack.callback(client.close)
        folder = Path(tempfile.mkdtemp(prefix="sandpiper-bench-"))
        folder.chmod(0o755)
        stack.callback(remove_folder, folder)
        image = stack.enter_context(small_image(client))
        stack.callback(sweep, client, LABEL)
        ours = Ours(client, image, folder)
        stack.callback(ours.close)
        made = Stand(client, image, folder, Floor(client, image), ours)
        try:
            made.peers_note = _peers(made, peers_python)
        except LeftOut as error:
            made.peers_note = str(error)
        yield made


def _peers(made: Stand, python: Path | None) -> str:
    if python is None:
        raise LeftOut("left out: all peers, because no --peers named a Python that has bench/peers.txt installed")
    found = versions(python, PACKAGES)
    for name in PEERS:
        label = f"{LABEL}={name}"
        made.peers[name] = Asked(python, name, (made.image, LABEL, str(made.folder)), _sweeper(made.client, label))
    return f"peers: {found}"


def _sweeper(client: docker.DockerClient, label: str) -> Callable[[], None]:
    return lambda: sweep(client, label)


def sweep(client: docker.DockerClient, label: str) -> None:
    """Remove every container with that label."""
    for container in client.containers.list(all=True, filters={"label": label}, sparse=True, ignore_removed=True):
        remove(container)

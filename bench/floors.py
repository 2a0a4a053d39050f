"""The raw docker SDK, the docker CLI and a plain subprocess -> the floors that all others are compared with."""

from __future__ import annotations

import io
import subprocess
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import docker
from docker.errors import NotFound
from docker.models.containers import Container
from rows import LeftOut, Once, Sample, memory_peak, timer

LABEL = "sandpiper.bench"
TRUE = ["sh", "-c", "true"]
HELLO = ["sh", "-c", "echo hello"]
MEGABYTES_50 = ["head", "-c", "50000000", "/dev/zero"]
KILOBYTE = b"0123456789abcde\n" * 64
HARDENED: dict[str, Any] = {
    "network_mode": "none",
    "read_only": True,
    "user": "1000:1000",
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "tmpfs": {"/tmp": "rw,nosuid,nodev,size=64m"},  # noqa: S108 - a path in the container
    "mem_limit": "512m",
    "memswap_limit": "512m",
    "pids_limit": 128,
    "init": True,
    "ipc_mode": "private",
    "log_config": {"type": "none"},
}


class Floor:
    """The docker SDK as its documentation uses it, on one image."""

    def __init__(self, client: docker.DockerClient, image: str) -> None:
        self.client, self.image = client, image

    def run(self, **options: Any) -> Container:
        """A container that waits."""
        return self.client.containers.run(self.image, ["sleep", "600"], detach=True, labels={LABEL: ""}, **options)

    def cold(self, **options: Any) -> Once:
        """`run` and `exec_run`."""

        def once() -> Sample:
            with timer() as elapsed:
                container = self.run(**options)
                output = printed(container, HELLO)
                sample = elapsed()
            remove(container)
            return said(output, sample)

        return once

    def many(self, count: int) -> Once:
        """So many at once, a thread each."""

        def start(_: int) -> Container:
            container = self.run()
            said(printed(container, HELLO))
            return container

        def once() -> Sample:
            with timer() as elapsed, ThreadPoolExecutor(count) as threads:
                containers = list(threads.map(start, range(count)))
                sample = elapsed()
                list(threads.map(remove, containers))
            return sample

        return once

    def close(self) -> Once:
        """`remove(force=True)` of one that runs."""

        def once() -> Sample:
            container = self.run()
            said(printed(container, HELLO))
            with timer() as elapsed:
                container.remove(force=True)
                return elapsed()

        return once

    def opened(self, stack: ExitStack) -> Container:
        """One that stays for a whole row."""
        container = self.run()
        stack.callback(remove, container)
        return container


def printed(container: Container, words: list[str]) -> bytes:
    """What `exec_run` returns for a command."""
    output = container.exec_run(words).output
    return output if isinstance(output, bytes) else b"".join(output)


def command(container: Container) -> Once:
    """`exec_run` of one command."""

    def once() -> Sample:
        with timer() as elapsed:
            code = container.exec_run(TRUE).exit_code
            return succeeded(code, elapsed())

    return once


def output(container: Container) -> Once:
    """`exec_run` of a command that prints 50 MB."""

    def once() -> Sample:
        with memory_peak() as grown, timer() as elapsed:
            data = printed(container, MEGABYTES_50)
            sample = elapsed()
            return counted(len(data), Sample(sample.value, grown()))

    return once


def file_write(container: Container) -> Once:
    """`put_archive` of one file."""

    def once() -> Sample:
        with timer() as elapsed:
            put(container)
            return elapsed()

    return once


def file_read(container: Container) -> Once:
    """`get_archive` of one file."""
    put(container)

    def once() -> Sample:
        with timer() as elapsed:
            data = get(container)
            return counted(len(data), elapsed(), len(KILOBYTE))

    return once


def file_both(container: Container) -> Once:
    """`put_archive`, then `get_archive`."""

    def once() -> Sample:
        with timer() as elapsed:
            put(container)
            data = get(container)
            return counted(len(data), elapsed(), len(KILOBYTE))

    return once


def put(container: Container) -> None:
    """Write a file of 1 KB."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        entry = tarfile.TarInfo("file.txt")
        entry.size = len(KILOBYTE)
        tar.addfile(entry, io.BytesIO(KILOBYTE))
    container.put_archive("/workspace", held.getvalue())


def get(container: Container) -> bytes:
    """Read it again."""
    chunks, _ = container.get_archive("/workspace/file.txt")
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        member = tar.extractfile("file.txt")
        return member.read() if member else b""


def program(words: list[str]) -> Once:
    """A subprocess of this one."""

    def once() -> Sample:
        with timer() as elapsed:
            code = subprocess.run(words, stdout=subprocess.DEVNULL).returncode
            return succeeded(code, elapsed())

    return once


def program_output(words: list[str]) -> Once:
    """A subprocess whose 50 MB of output are kept."""

    def once() -> Sample:
        with memory_peak() as grown, timer() as elapsed:
            data = subprocess.run(words, stdout=subprocess.PIPE).stdout
            sample = elapsed()
            return counted(len(data), Sample(sample.value, grown()))

    return once


def host_file(folder: Path, what: str) -> Once:
    """A file of this machine: `write`, `read` or `both`."""
    file = folder / "file.txt"
    file.write_bytes(KILOBYTE)
    steps: list[Callable[[], object]] = []
    if what in ("write", "both"):
        steps.append(lambda: file.write_bytes(KILOBYTE))
    if what in ("read", "both"):
        steps.append(file.read_bytes)

    def once() -> Sample:
        with timer() as elapsed:
            for step in steps:
                step()
            return elapsed()

    return once


def remove(container: Container) -> None:
    """Gone, whatever it does."""
    with suppress(NotFound):
        container.remove(force=True)


def gone(client: docker.DockerClient, name: str, seconds: float = 40) -> None:
    """Wait until the engine has no such container. Raises LeftOut when it stays."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            client.api.inspect_container(name)
        except NotFound:
            return
        time.sleep(0.002)
    raise LeftOut(f"the container was still there after {seconds:g} s")


def said(output: bytes, sample: Sample | None = None) -> Sample:
    """The sample, if the command said hello."""
    if output != b"hello\n":
        raise LeftOut(f"it printed {output[:100]!r}")
    return sample or Sample(0)


def succeeded(code: int | None, sample: Sample) -> Sample:
    """The sample, if the command exited with 0."""
    if code != 0:
        raise LeftOut(f"the command exited with {code}")
    return sample


def counted(size: int, sample: Sample, wanted: int = 50_000_000) -> Sample:
    """The sample, if all bytes came."""
    if size != wanted:
        raise LeftOut(f"{size} of {wanted} bytes came")
    return sample

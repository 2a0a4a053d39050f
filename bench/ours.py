"""Sandpiper's own sandboxes, through the public seam only -> subjects for every row."""

from __future__ import annotations

import importlib
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import docker
from floors import HELLO, KILOBYTE, MEGABYTES_50, TRUE, counted, gone, said, succeeded
from rows import LeftOut, Once, Sample, memory_peak, timer

from bot.protocols import Sandbox, SandboxProvider
from bot.types.network import Network
from bot.types.sandbox import ExecRequest, SandboxRecord, Template
from bot.types.task import Limits

RUN_ID = "be0c4be0c4be0c4b"
LIMITS = Limits(minutes=30, memory_mb=512, cpus=1, pids=128, disk_mb=1024)
_STABLE_SECONDS = 1.0
Kind = Literal["docker", "bubblewrap"]


class Ours:
    """Providers of one benchmark run, each made when first asked for."""

    def __init__(self, client: docker.DockerClient, image: str, folder: Path) -> None:
        self._client, self._image, self._folder = client, image, folder
        self._providers: dict[str, SandboxProvider] = {}
        self.remarks: dict[str, None] = {}
        """What could not be had here, as the sandboxes' records say it, in order."""
        self.checkout = small_checkout(folder / "checkout")

    def template(self, kind: Kind = "docker", **changes: Any) -> Template:
        """What the rows open: the shared image for docker, this machine's toolchain for bubblewrap."""
        image = self._image if kind == "docker" else "host"
        values = {"image": image, "run_id": RUN_ID, "checkout": str(self.checkout), "pristine": True, "limits": LIMITS}
        return Template.model_validate({**values, **changes})

    def provider(self, kind: Kind, name: str = "") -> SandboxProvider:
        """The provider of that kind; another name is another one, whose stock is its own. Raises LeftOut."""
        key = f"{kind}{name}"
        if key not in self._providers:
            made = _load(kind)(work=self._folder / key)
            broken = made.healthy()
            if broken is not None:
                raise LeftOut(broken)
            self._providers[key] = made
        return self._providers[key]

    def close(self) -> None:
        """Remove everything that carries this benchmark's run."""
        for provider in self._providers.values():
            close = getattr(provider, "close", None)
            if close is not None:
                close()
            provider.sweep(RUN_ID)

    def cold(self, kind: Kind = "docker", *, stock: bool = False, image: str | None = None) -> Once:
        """From the call to the first output."""
        provider = self.provider(kind, "-stocked" if stock else "")
        template = self.template(kind, **({"image": image} if image else {}))

        def once() -> Sample:
            if stock:
                self.fill(provider, template, 1)
            with timer() as elapsed:
                box = provider.create(template)
                output = hello(box)
                sample = elapsed()
            record = self.seen(kind, box)
            box.close()
            if stock and kind == "docker" and not record.warm:
                raise LeftOut("nothing had been made ahead, although warm() was called")
            return said(output, sample)

        return once

    def pooled(self) -> Once:
        """From the warm pool to the first output."""
        room = _room("bot.sandbox.pool", "WarmPool")
        pool, template = room(self.provider("docker", "-pooled")), self.template()
        self._providers["pool"] = pool

        def once() -> Sample:
            self.fill(pool, template, 1)
            with timer() as elapsed:
                box = pool.create(template)
                output = hello(box)
                sample = elapsed()
            box.close()
            return said(output, sample)

        return once

    def many(self, stack: ExitStack, count: int, kind: Kind = "docker", *, stock: bool) -> Once:
        """So many at once, each to its first output."""
        create_many = _room("bot.sandbox.many", "create_many")
        provider, template = self.provider(kind, "-many" if stock else ""), self.template(kind)
        if stock:
            stack.callback(provider.close)  # such a stock is not for the rows that follow

        def once() -> Sample:
            if stock:
                self.fill(provider, template, count)
            with timer() as elapsed:
                boxes = living(create_many(provider, [template] * count, oversubscribe=True))
                outputs = [hello(box) for box in boxes]
                sample = elapsed()
            close_all(boxes)
            for output in outputs:
                said(output)
            return sample

        return once

    def closing(self, kind: Kind = "docker", *, until_gone: bool) -> Once:
        """`close` of one that runs: till it returns, or till the engine has nothing left of it."""
        provider, template = self.provider(kind), self.template(kind)

        def once() -> Sample:
            box = provider.create(template)
            hello(box)
            with timer() as elapsed:
                box.close()
                if until_gone:
                    gone(self._client, box.id)
                return elapsed()

        return once

    def opened(self, stack: ExitStack, kind: Kind = "docker", **changes: Any) -> Sandbox:
        """One that stays for a whole row."""
        box = self.provider(kind).create(self.template(kind, **changes))
        stack.callback(box.close)
        self.seen(kind, box)
        return box

    def fill(self, provider: SandboxProvider, template: Template, count: int) -> None:
        """Ask for a stock, and wait until nothing new appears."""
        provider.warm(template, count)
        seen, since = self._containers(), time.monotonic()
        while time.monotonic() - since < _STABLE_SECONDS:
            time.sleep(0.05)
            now = self._containers()
            if now != seen:
                seen, since = now, time.monotonic()

    def seen(self, kind: Kind, box: Sandbox) -> SandboxRecord:
        """How it was made, which is kept where something was done without."""
        record = box.record
        how = (f"workspace as {record.workspace}", f"disk {record.disk}")
        remarks = [each for each in how if each not in ("workspace as overlay", "disk volume")]
        self.remarks |= dict.fromkeys(f"{kind}: {each}" for each in (*remarks, *record.notes))
        return record

    def _containers(self) -> frozenset[tuple[str, str]]:
        listed = self._client.api.containers(all=True, filters={"label": "sandpiper.owner"})
        return frozenset((str(each["Id"]), str(each["State"])) for each in listed)


def command(box: Sandbox) -> Once:
    """One command."""
    request = ExecRequest(argv=tuple(TRUE))

    def once() -> Sample:
        with timer() as elapsed:
            code = box.exec(request).exit_code
            return succeeded(code, elapsed())

    return once


def output(box: Sandbox, kept: int) -> Once:
    """A command that prints 50 MB, of which so many bytes are kept."""
    request = ExecRequest(argv=tuple(MEGABYTES_50), output_bytes=kept)

    def once() -> Sample:
        with memory_peak() as grown, timer() as elapsed:
            result = box.exec(request)
            sample = elapsed()
            return counted(len(result.stdout) + result.dropped_bytes, Sample(sample.value, grown()))

    return once


def file(box: Sandbox, what: str) -> Once:
    """A file of 1 KB: `write`, `read` or `both`."""
    box.write_file("file.txt", KILOBYTE)

    def once() -> Sample:
        data = KILOBYTE
        with timer() as elapsed:
            if what in ("write", "both"):
                box.write_file("file.txt", KILOBYTE)
            if what in ("read", "both"):
                data = box.read_file("file.txt")
            return counted(len(data), elapsed(), len(KILOBYTE))

    return once


def hello(box: Sandbox) -> bytes:
    """What its first command says."""
    return box.exec(ExecRequest(argv=tuple(HELLO))).stdout


def living(made: Sequence[Any]) -> list[Sandbox]:
    """All of them, or the first failure raised."""
    failures = [each for each in made if isinstance(each, Exception)]
    boxes = [each for each in made if not isinstance(each, Exception)]
    if failures:
        close_all(boxes)
        raise failures[0]
    return boxes


def close_all(boxes: Sequence[Sandbox]) -> None:
    """In a few threads."""
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda box: box.close(), boxes))


def small_checkout(folder: Path) -> Path:
    """A repository with one file, owned by an ordinary user."""
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("hello\n")
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    """Make a repository of a folder."""
    who = ("-c", "user.name=bench", "-c", "user.email=bench@example.org", "-c", "gc.auto=0")
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "all")):
        subprocess.run(["git", *who, *words], cwd=folder, check=True)
    if folder.stat().st_uid == 0:  # a checkout that belongs to root is a special case, and none of a runner's
        subprocess.run(["chown", "-R", "1000:1000", str(folder)], check=True)


def restricted(name: str) -> Network:
    """Only that server, over plain HTTP, although it is on this machine."""
    return Network.model_validate({"mode": "restricted", "allow": (f"http://{name}",), "private": (f"http://{name}",)})


def remove_folder(folder: Path) -> None:
    """With what sandboxes left there."""
    subprocess.run(["rm", "-rf", "--", str(folder)], check=False)  # several times as fast as shutil.rmtree


def _load(kind: Kind) -> Callable[..., SandboxProvider]:
    if kind == "docker":
        return _room("bot.sandbox.docker.provider", "DockerProvider")
    return _room("bot.sandbox.bubblewrap.provider", "BubblewrapProvider")


def _room(module: str, name: str) -> Callable[..., Any]:
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise LeftOut(f"{module}.{name} is not there: {error}") from error
    return found

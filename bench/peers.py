"""One other sandbox, asked by JSON lines -> timings of it, taken in this process.

Usage: python bench/peers.py PEER IMAGE LABEL FOLDER     with the Python that has bench/peers.txt installed

Each line on standard input is a JSON list: a verb and its arguments. Each answer is `{"ms": ...}` with `"grown_mb"`
where memory was looked at, or `{"error": ...}`. Every peer runs as its documentation starts it, on the same image.
"""

from __future__ import annotations

import asyncio
import compileall
import importlib
import json
import os
import sys
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from rows import LeftOut, Sample, memory_peak, reason, timer

HELLO, TRUE, MEGABYTES_50 = "echo hello", "sh -c true", "head -c 50000000 /dev/zero"
KILOBYTE = "0123456789abcde\n" * 64


class Peer(Protocol):
    """What is asked of another sandbox."""

    def open(self) -> Any: ...
    def shell(self, box: Any, command: str) -> str: ...
    def write(self, box: Any) -> None: ...
    def read(self, box: Any) -> str: ...
    def close(self, box: Any) -> None: ...
    def container(self, box: Any) -> str: ...


class LlmSandbox:
    """llm-sandbox: SandboxSession, without its set-up of a Python environment, which needs a package index."""

    def __init__(self, image: str, label: str, folder: str) -> None:
        self._library = importlib.import_module("llm_sandbox")
        self._options = {
            "lang": "python",
            "image": image,
            "keep_template": True,
            "skip_environment_setup": True,
            "runtime_configs": {"labels": {label: "llm-sandbox"}},
        }
        self._pool: Any = None
        self._folder = Path(folder)
        (self._folder / "peer.txt").write_text(KILOBYTE)

    def open(self) -> Any:
        session = self._library.SandboxSession(**self._options)
        session.open()
        return session

    def acquire(self) -> Any:
        """One from its pool."""
        pool = importlib.import_module("llm_sandbox.pool")
        if self._pool is None:
            options = {each: self._options[each] for each in ("lang", "image", "runtime_configs")}
            config = pool.PoolConfig(min_pool_size=2, max_pool_size=2)
            self._pool = pool.create_pool_manager(
                backend="docker", config=config, skip_environment_setup=True, **options
            )
        session = pool.PooledSandboxSession(pool_manager=self._pool)
        session.open()
        return session

    def shell(self, box: Any, command: str) -> str:
        return str(box.execute_command(command).stdout)

    def write(self, box: Any) -> None:
        box.copy_to_runtime(str(self._folder / "peer.txt"), "/workspace/file.txt")

    def read(self, box: Any) -> str:
        box.copy_from_runtime("/workspace/file.txt", str(self._folder / "back.txt"))
        return (self._folder / "back.txt").read_text()

    def close(self, box: Any) -> None:
        box.close()

    def container(self, box: Any) -> str:
        return str(box.container.id)


class MiniSweAgent:
    """mini-swe-agent: its docker environment."""

    def __init__(self, image: str, label: str, folder: str) -> None:
        os.environ["MSWEA_SILENT_STARTUP"] = "1"
        self._library = importlib.import_module("minisweagent.environments.docker")
        self._options = {"image": image, "run_args": ["--rm", "--label", f"{label}=mini-swe-agent"]}

    def open(self) -> Any:
        return self._library.DockerEnvironment(**self._options)

    def shell(self, box: Any, command: str) -> str:
        return str(box.execute({"command": command})["output"])

    def write(self, box: Any) -> None:
        raise LeftOut("it has no call that writes a file")

    def read(self, box: Any) -> str:
        raise LeftOut("it has no call that reads a file")

    def close(self, box: Any) -> None:
        box.cleanup()

    def container(self, box: Any) -> str:
        return str(box.container_id)


class SweRex:
    """SWE-ReX: its docker deployment, whose server runs from this machine's Python, mounted into the container."""

    def __init__(self, image: str, label: str, folder: str) -> None:
        self._library = importlib.import_module("swerex.deployment.docker")
        self._calls = importlib.import_module("swerex.runtime.abstract")
        self._loop = asyncio.new_event_loop()
        compileall.compile_dir(f"{sys.prefix}/lib", quiet=2, workers=0)  # its server can't write there
        mounts = [f"-v={each}:{each}:ro" for each in ("/usr", sys.prefix, sys.base_prefix)]
        path = f"{sys.prefix}/bin:/usr/bin:/bin"
        self._options = {"image": image, "pull": "never", "startup_timeout": 50.0}
        self._options["docker_args"] = [f"--label={label}=SWE-ReX", *mounts, f"-e=PATH={path}"]
        self._sessions: set[int] = set()

    def open(self) -> Any:
        return self._wait(self._start())

    def many(self, count: int) -> list[Any]:
        """So many at once, in its own asynchronous way."""

        async def start() -> list[Any]:
            return list(await asyncio.gather(*(self._hello() for _ in range(count))))

        return list(self._wait(start()))

    def shell(self, box: Any, command: str) -> str:
        return str(self._wait(box.runtime.execute(self._shell(command))).stdout)

    def in_session(self, box: Any, command: str) -> str:
        """Its interactive way."""
        if id(box) not in self._sessions:
            self._wait(box.runtime.create_session(self._calls.CreateBashSessionRequest()))
            self._sessions.add(id(box))
        return str(self._wait(box.runtime.run_in_session(self._calls.BashAction(command=command))).output)

    def write(self, box: Any) -> None:
        request = self._calls.WriteFileRequest(path="/workspace/file.txt", content=KILOBYTE)
        self._wait(box.runtime.write_file(request))

    def read(self, box: Any) -> str:
        return str(self._wait(box.runtime.read_file(self._calls.ReadFileRequest(path="/workspace/file.txt"))).content)

    def close(self, box: Any) -> None:
        self._wait(box.stop())

    def container(self, box: Any) -> str:
        return str(box.container_name)

    def _shell(self, command: str) -> Any:
        return self._calls.Command(command=["sh", "-c", command])

    async def _start(self) -> Any:
        deployment = self._library.DockerDeployment(**self._options)
        await deployment.start()
        return deployment

    async def _hello(self) -> Any:
        box = await self._start()
        await box.runtime.execute(self._shell(HELLO))
        return box

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)


PEERS: dict[str, type[LlmSandbox] | type[MiniSweAgent] | type[SweRex]] = {
    "llm-sandbox": LlmSandbox,
    "mini-swe-agent": MiniSweAgent,
    "SWE-ReX": SweRex,
}


class Clock:
    """Verbs -> samples."""

    def __init__(self, peer: Peer) -> None:
        self._peer, self._box = peer, None
        self._engine = importlib.import_module("docker").from_env()

    def cold(self) -> Sample:
        """From nothing to the first output."""
        with timer() as elapsed:
            box = self._hello()
            sample = elapsed()
        self._discard(box)
        return sample

    def acquire(self) -> Sample:
        """From its pool to the first output."""
        with timer() as elapsed:
            box = self._optional("acquire")()
            said(self._peer.shell(box, HELLO))
            sample = elapsed()
        self._peer.close(box)
        return sample

    def many(self, count: int) -> Sample:
        """So many at once."""
        with timer() as elapsed, ThreadPoolExecutor(count) as threads:
            own = getattr(self._peer, "many", None)
            boxes = own(count) if own else list(threads.map(lambda _: self._hello(), range(count)))
            sample = elapsed()
            list(threads.map(self._discard, boxes))
        return sample

    def close(self) -> Sample:
        """Until the engine has no such container any more."""
        box = self._hello()
        name = self._peer.container(box)
        with timer() as elapsed:
            self._peer.close(box)
            while self._engine.containers.list(all=True, filters={"name": name}, sparse=True) or self._known(name):
                time.sleep(0.002)
            return elapsed()

    def shell(self, how: str = "shell") -> Sample:
        """One command."""
        box, run = self._opened(), self._optional(how)
        with timer() as elapsed:
            run(box, TRUE)
            return elapsed()

    def output(self) -> Sample:
        """A command that prints 50 MB."""
        box = self._opened()
        with memory_peak() as grown, timer() as elapsed:
            size = len(self._peer.shell(box, MEGABYTES_50))
            sample = elapsed()
            if size != 50_000_000:
                raise LeftOut(f"{size} of 50000000 bytes came")
            return Sample(sample.value, grown())

    def file(self, what: str) -> Sample:
        """A file of 1 KB: `write`, `read` or `both`."""
        box = self._opened()
        if what == "read":
            self._peer.write(box)
        with timer() as elapsed:
            if what != "read":
                self._peer.write(box)
            if what != "write" and self._peer.read(box) != KILOBYTE:
                raise LeftOut("it read something else than it wrote")
            return elapsed()

    def _opened(self) -> Any:
        if self._box is None:
            self._box = self._hello()
        return self._box

    def _hello(self) -> Any:
        box = self._peer.open()
        said(self._peer.shell(box, HELLO))
        return box

    def _discard(self, box: Any) -> None:
        """Untimed, so without the peer's own way, which may wait for ten seconds."""
        with suppress(Exception):  # it may have gone by itself
            self._engine.api.remove_container(self._peer.container(box), force=True)

    def _known(self, name: str) -> bool:
        try:
            self._engine.api.inspect_container(name)
        except importlib.import_module("docker.errors").NotFound:
            return False
        return True

    def _optional(self, name: str) -> Any:
        found = getattr(self._peer, name, None)
        if found is None:
            raise LeftOut("it has no such call")
        return found


def said(output: str) -> None:
    """Raises LeftOut when a command did not say hello."""
    if output.strip() != "hello":
        raise LeftOut(f"it printed {output[:200]!r}")


def main() -> None:
    """Answer until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # peers print what they like
    clock: Clock | None = None
    for line in sys.stdin:
        verb, *arguments = json.loads(line)
        try:
            clock = clock or Clock(PEERS[sys.argv[1]](*sys.argv[2:5]))
            sample: Sample = getattr(clock, verb)(*arguments)
            answers.write(json.dumps({"ms": sample.value, "grown_mb": sample.grown_mb}) + "\n")
        except Exception as error:  # noqa: BLE001 - the asker is told, and asks on
            answers.write(json.dumps({"error": reason(error)}) + "\n")
    os._exit(0)  # what a peer would do at its end, such as stopping containers for ten seconds, is done by the asker


if __name__ == "__main__":
    main()

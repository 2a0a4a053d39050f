"""A peer's name -> its timings, from a process of its own that is killed when it hangs."""

from __future__ import annotations

import json
import selectors
import subprocess
from collections.abc import Callable
from pathlib import Path

from rows import LeftOut, Once, Sample

SECONDS = 60
"""For one answer."""
VERSIONS = "import importlib.metadata as m; print(*(f'{{n}} {{m.version(n)}}' for n in {names!r}), sep=', ')"


class Asked:
    """A peer in a process of its own, started when first asked."""

    def __init__(self, python: Path, peer: str, arguments: tuple[str, ...], sweep: Callable[[], None]) -> None:
        script = Path(__file__).with_name("peers.py")
        self._sweep = sweep
        self._argv = [str(python), str(script), peer, *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    def measure(self, verb: str, *arguments: object) -> Once:
        """One timing each time it is called. Raises LeftOut with the peer's reason."""

        def once() -> Sample:
            answer = json.loads(self._ask(json.dumps([verb, *arguments])))
            if "error" in answer:
                raise LeftOut(str(answer["error"]))
            return Sample(float(answer["ms"]), answer["grown_mb"])

        return once

    def close(self) -> None:
        """End the process and remove its containers, which carry the label."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
            self._sweep()

    def _ask(self, line: str) -> bytes:
        if self._process is None:
            self._process = subprocess.Popen(
                self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
            )
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise LeftOut("it has no pipes")
        stdin.write(line.encode() + b"\n")
        with selectors.DefaultSelector() as waiting:
            waiting.register(stdout, selectors.EVENT_READ)
            if not waiting.select(SECONDS):
                self.close()
                raise LeftOut(f"no answer within {SECONDS} s, its process was killed")
        answer = stdout.readline()
        if not answer:
            self.close()
            raise LeftOut("its process ended")
        return answer


def versions(python: Path, names: tuple[str, ...]) -> str:
    """What is installed there, in one line. Raises LeftOut when something is missing."""
    script = VERSIONS.format(names=names)
    done = subprocess.run([str(python), "-c", script], capture_output=True, text=True)
    if done.returncode != 0:
        raise LeftOut(f"{python} has not all of bench/peers.txt: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout.strip()

"""Requests to start a process -> the process, and its end when its time is over, or when we are gone.

The kernel ends a process "with its parent" when the thread that started it ends, not the program (prctl(2),
PR_SET_PDEATHSIG). So all are started by one thread, which lives as long as the program.
"""

from __future__ import annotations

import queue
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext

from bot.sandbox.folder import now

_Due = dict[str, tuple[float, Callable[[], object]]]
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Where the system's own programs are."""


class Keeper:
    """The thread, from the first request to the end of the program."""

    def __init__(self, path: str = PATH) -> None:
        # All of the environment, unless another one is given: sandboxes show it in /proc/1/environ.
        self.path, self._environment = path, {"PATH": path}
        self._jobs: queue.SimpleQueue[Callable[[_Due], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._children: list[subprocess.Popen[bytes]] = []

    def start(
        self,
        argv: Sequence[str],
        *,
        pass_fds: Sequence[int] = (),
        stdout: int = subprocess.DEVNULL,
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
        umask: int = -1,
        inside: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> subprocess.Popen[bytes]:
        """Start it in a session of its own, standard error into a pipe. Raises OSError, and what `inside` raises.

        `inside` is where it is started: what the thread enters before, and leaves at once.
        """
        started: Future[subprocess.Popen[bytes]] = Future()

        def job(_: _Due) -> None:
            process = None
            try:
                with inside():
                    process = subprocess.Popen(
                        argv,
                        stdin=subprocess.DEVNULL,
                        stdout=stdout,
                        stderr=subprocess.PIPE,
                        env=self._environment if env is None else env,
                        cwd=cwd,
                        pass_fds=pass_fds,
                        start_new_session=True,
                        umask=umask,
                    )
            except BaseException as error:  # noqa: BLE001 - raised in the thread that asked
                if process is not None:  # it could not be left
                    process.kill()
                    process.wait()
                started.set_exception(error)
            else:
                started.set_result(process)

        self._ask(job)
        return started.result()

    def at(self, name: str, moment: float, call: Callable[[], object]) -> None:
        """Make a call, which is quick and raises nothing, at a moment by `folder.now`."""
        self._ask(lambda due: due.update({name: (moment, call)}))

    def forget(self, name: str) -> None:
        """Make that call no more."""
        self._ask(lambda due: (due.pop(name, None), None)[1])

    def adopt(self, process: subprocess.Popen[bytes]) -> None:
        """Bury it when it is dead, whenever there is something to do."""

        def job(_: _Due) -> None:
            self._children = [each for each in (*self._children, process) if each.poll() is None]

        self._ask(job)

    def _ask(self, job: Callable[[_Due], None]) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sandbox-keeper", daemon=True)
                self._thread.start()
        self._jobs.put(job)

    def _run(self) -> None:
        due: _Due = {}
        while True:
            next_one = min((moment for moment, _ in due.values()), default=None)
            try:
                # The clock of `now` goes on while the machine sleeps, that of the queue does not: look again.
                job = self._jobs.get(timeout=None if next_one is None else min(60.0, max(0.0, next_one - now())))
            except queue.Empty:
                for name in [name for name, (moment, _) in due.items() if moment <= now()]:
                    due.pop(name)[1]()
            else:
                job(due)

"""The news of a run -> what people see while it happens: a live display on a terminal, plain lines in a log."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

from bot.protocols import Observer
from bot.redaction import redact, redact_data
from bot.telemetry.lines import clean, inert, split
from bot.types.run import Progress

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

DETAIL_LINES = 20
"""Lines of detail that a log gets for one piece of news; the whole lies among the artifacts."""
LIVE_LINES = 6
"""Lines of detail below the running step on a terminal."""

log = logging.getLogger(__name__)


def plain_observer(stream: IO[str], *, clock: Callable[[], datetime] | None = None) -> PlainObserver:
    """One time-stamped line for each piece of news, inert for GitHub's runner; details indented below it."""
    return PlainObserver(stream, clock or (lambda: datetime.now().astimezone()))


def live_observer(console: Console) -> LiveObserver:
    """Finished steps with a tick and their time, the running one with a spinner. Use it as a context manager."""
    return LiveObserver(console)


def observer_for(console: Console, environ: Mapping[str, str] | None = None) -> LiveObserver | PlainObserver:
    """A live display where a person watches a terminal, plain lines everywhere else. Use it as a context manager."""
    environ = os.environ if environ is None else environ
    if is_log(console, environ) or environ.get("TERM") == "dumb":
        return plain_observer(console.file)
    return live_observer(console)


def watched_by(*observers: Observer, secrets: Sequence[str] | None = None) -> Observer:
    """One observer for many: each sees all news, and the error of one disturbs nobody.

    Where `secrets` are given (also none), news loses them and whatever has the shape of a credential.
    """
    return _Many(observers, secrets)


def in_github_job(environ: Mapping[str, str]) -> bool:
    """Whether GitHub's runner reads our output (it sets GITHUB_ACTIONS for every step)."""
    return environ.get("GITHUB_ACTIONS", "").lower() == "true"


def is_log(console: Console, environ: Mapping[str, str]) -> bool:
    """Whether what is printed ends in a log: no terminal, or GitHub's runner reads along (colours can be forced)."""
    return in_github_job(environ) or not console.file.isatty()


class PlainObserver:
    """Lines for a log. As a context manager it does nothing, so that it can stand in for the live display."""

    def __init__(self, stream: IO[str], clock: Callable[[], datetime]) -> None:
        self._stream = stream
        self._clock = clock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stream.flush()

    def notify(self, progress: Progress) -> None:
        """Write the news; of a text of several lines, the first is the news and the others are details."""
        if progress.stage == "audit":  # for machines: people would not see the run for all the steps
            return
        prefix = f"{self._clock():%H:%M:%S}  {progress.stage:<9} "
        first, *rest = split(progress.text) or [""]
        self._line(prefix + first)
        for line in shortened([*rest, *split(progress.detail)], DETAIL_LINES):
            self._line(" " * (len(prefix) - 2) + "| " + line)
        self._stream.flush()

    def _line(self, line: str) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        self._stream.write(inert(line).rstrip().encode(encoding, "replace").decode(encoding) + "\n")


def shortened(lines: list[str], limit: int) -> list[str]:
    """Head and tail of a list of lines, with a line that says how many are left out."""
    if len(lines) <= limit:
        return lines
    head, tail = limit // 2, limit - limit // 2 - 1
    return [*lines[:head], f"... {len(lines) - head - tail} lines ...", *lines[-tail:]]


class LiveObserver:
    """The display on a terminal. It owns the bottom lines from the first news until `done`, or until it is left."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._running: Progress | None = None
        self._since = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._finish("✓" if kind is None else "✗", "green" if kind is None else "red")

    def notify(self, progress: Progress) -> None:
        """Show it; what ran before is done with it."""
        if progress.stage == "audit":
            return
        if progress.stage == "done":
            self._finish("✓", "green")
            self._console.print(_step("•", "bold", progress, None))
            return
        before, took = self._running, time.monotonic() - self._since
        self._running, self._since = progress, time.monotonic()
        if before is not None:
            self._console.print(_step("✓", "green", before, took))
        if self._live is None:
            from rich.live import Live

            self._live = Live(get_renderable=self._frame, console=self._console, refresh_per_second=8, transient=True)
            self._live.start(refresh=True)

    def _finish(self, mark: str, style: str) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._running is not None:
            self._console.print(_step(mark, style, self._running, time.monotonic() - self._since))
            self._running = None

    def _frame(self) -> RenderableType:
        """What stands at the bottom right now; rich asks for it several times a second, from a thread of its own."""
        from rich.console import Group
        from rich.spinner import Spinner
        from rich.text import Text

        running, seconds = self._running, time.monotonic() - self._since
        if running is None:
            return Text("")
        words = _words(running, seconds)
        words.no_wrap, words.overflow = True, "ellipsis"
        spinner = Spinner("dots", text=words, style="cyan")
        spinner.start_time = self._console.get_time() - seconds  # a new spinner would always show its first picture
        detail = split(running.detail)[-LIVE_LINES:]
        return Group(spinner, *(Text(f"   {line}", style="dim", no_wrap=True, overflow="ellipsis") for line in detail))


def _step(mark: str, style: str, progress: Progress, seconds: float | None) -> Text:
    from rich.text import Text

    return Text.assemble((mark, style), " ", _words(progress, seconds))


def _words(progress: Progress, seconds: float | None) -> Text:
    from rich.text import Text

    took = f"  {seconds:.1f} s" if seconds is not None and seconds >= 0.05 else ""
    return Text.assemble((f"{progress.stage:<9} ", "bold"), clean(" ".join(progress.text.splitlines())), (took, "dim"))


class _Many:
    def __init__(self, observers: tuple[Observer, ...], secrets: Sequence[str] | None) -> None:
        self._observers = observers
        self._secrets = secrets

    def notify(self, progress: Progress) -> None:
        if self._secrets is not None:
            progress = _without_secrets(progress, self._secrets)
        for observer in self._observers:
            try:
                observer.notify(progress)
            except Exception:
                # Whoever watches must not change what is watched: a closed pipe is no reason to lose a run.
                log.warning("an observer failed and is left alone", exc_info=True)


def _without_secrets(progress: Progress, secrets: Sequence[str]) -> Progress:
    """The news without them. One look at all its texts is enough where there are none, which is nearly always."""
    texts = (each for each in progress.facts.values() if isinstance(each, str))
    whole = "\n".join((progress.text, progress.detail, *texts))
    if redact(whole, secrets) == whole:
        return progress
    return Progress.model_validate(redact_data(progress.model_dump(), secrets))

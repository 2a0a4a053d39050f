"""What happened to a sandbox -> a piece of news with stage `audit`, whose facts machines read.

What facts are called is told in docs/observing.md. They hold what was asked for and how it ended: arguments of
commands, names of variables, paths, sizes, codes; never values of variables, contents of files or output of commands.
Whoever keeps them takes secrets out of the arguments first.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from bot.errors import SandpiperError
from bot.protocols import Observer
from bot.types.network import EgressRecord
from bot.types.run import Progress

LONGEST = 2_000
"""Characters of a text among the facts."""
WORD = 1_000
"""Characters that a credential may have: where a text is cut, none is cut in two, or it would not be recognised."""
SHORT = 200
"""Characters of the line for people."""

Fact = str | int | float | bool
log = logging.getLogger(__name__)


class Teller:
    """Says what happened, with facts that all of it shares. An observer that fails changes nothing."""

    def __init__(self, watch: Observer, **shared: Fact) -> None:
        self._watch, self._shared = watch, shared

    def also(self, **shared: Fact) -> Teller:
        """One that shares more."""
        return Teller(self._watch, **{**self._shared, **shared})

    def say(self, event: str, action: str, **facts: Fact) -> None:
        """An event that is over as soon as it is told."""
        whole = {"event": event, "at": _iso(datetime.now(UTC)), "action": action, **self._shared, **facts}
        self._notify(Progress(stage="audit", text=_line(whole), facts=_plain(whole)))

    def warn(self, event: str, text: str, **facts: Fact) -> None:
        """Something that people should see, and machines too."""
        whole = {"event": event, "at": _iso(datetime.now(UTC)), "severity": "warning", **self._shared, **facts}
        self._notify(Progress(stage="sandbox", text=text, facts=_plain(whole)))

    @contextlib.contextmanager
    def step(self, event: str, action: str, **asked: Fact) -> Iterator[dict[str, Fact]]:
        """An event that is told when the block is left, however it is left. The block may add facts; errors go on."""
        facts: dict[str, Fact] = {"ok": True, "code": "", **asked}
        started = time.perf_counter()
        try:
            yield facts
        except BaseException as error:  # an interrupt ends a step too, and the record must not lack it
            facts.update(ok=False, code=code_of(error))
            raise
        finally:
            facts["seconds"] = round(time.perf_counter() - started, 6)
            self.say(event, action, **facts)

    def _notify(self, progress: Progress) -> None:
        try:
            self._watch.notify(progress)
        except Exception:
            # A sandbox that was made must reach its owner, and a command's result too, whoever could not be told.
            log.warning("an observer of sandboxes failed", exc_info=True)


def egress_news(record: EgressRecord, *, sandbox_id: str = "", run_id: str = "") -> Progress:
    """What the proxy noted about one request, as news for the same observers."""
    whole = {
        "event": "egress",
        "at": _iso(record.at),
        "action": "connect",
        "sandbox_id": sandbox_id,
        "run_id": run_id,
        "ok": record.verdict != "denied",
        **record.model_dump(exclude={"at"}),
    }
    return Progress(stage="audit", text=_line(whole), facts=_plain(whole))


def code_of(error: BaseException) -> str:
    """The stable code of an error; of those that are not ours, the kind."""
    if isinstance(error, SandpiperError):
        return error.code
    return "interrupted" if isinstance(error, KeyboardInterrupt) else "internal_error"


def _line(facts: Mapping[str, Fact]) -> str:
    """The same on one line, for whoever reads it."""
    what = next((str(facts[name]) for name in ("argv", "path", "host", "image") if facts.get(name)), "")
    ending = "" if facts.get("ok", True) else f" ({facts.get('code') or facts.get('exit_code', 'failed')})"
    return " ".join(_text(f"{facts['event']} {what}", SHORT).split()) + ending


def _plain(facts: Mapping[str, Fact]) -> dict[str, Fact]:
    return {name: _text(value, LONGEST) if isinstance(value, str) else value for name, value in facts.items()}


def _text(text: str, limit: int) -> str:
    """Text as JSON and every reader can have it: no halves of surrogate pairs, and not too long."""
    if len(text) > limit:
        text = text[:limit]
        words = text[: -WORD + 1] + text[-WORD + 1 :].rpartition(" ")[0] if limit > WORD else text.rpartition(" ")[0]
        text = words + "…"
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")

"""Log records -> one JSON object a line on stderr, without secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import IO, Any

from bot.redaction import redact
from bot.types.run import Progress

log = logging.getLogger(__name__)

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def start_logging(stream: Callable[[], IO[str]], *, level: str = "WARNING", secrets: Sequence[str] = ()) -> None:
    """Send the records of `bot` to a stream, asked for anew each time. An earlier call's handler is replaced."""
    logger = logging.getLogger("bot")
    for each in [each for each in logger.handlers if isinstance(each, _Handler)]:
        logger.removeHandler(each)
    handler = _Handler(stream)
    handler.setFormatter(JsonLines(secrets))
    logger.addHandler(handler)
    logger.setLevel(level)


class LoggedNews:
    """An Observer that logs what is told to machines: with `--debug` every step in the life of a sandbox."""

    def notify(self, progress: Progress) -> None:
        """Log it with its facts; alerts as warnings."""
        if "event" not in progress.facts:
            return
        level = logging.WARNING if progress.facts.get("severity") == "high" else logging.DEBUG
        if log.isEnabledFor(level):
            log.log(level, "%s", progress.text, extra={"stage": progress.stage, "facts": dict(progress.facts)})


class _Handler(logging.Handler):
    def __init__(self, stream: Callable[[], IO[str]]) -> None:
        super().__init__()
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._stream().write(self.format(record) + "\n")
        except (OSError, ValueError):  # a closed or broken stream never harms the program: logging's own rule
            self.handleError(record)


class JsonLines(logging.Formatter):
    """A record as JSON: time, level, logger, message, what was passed as `extra`, and the traceback."""

    def __init__(self, secrets: Sequence[str]) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields.update({name: value for name, value in vars(record).items() if name not in _STANDARD})
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return one_line(_hidden(fields, self._secrets))


def one_line(value: Any) -> str:
    """JSON on one line in which GitHub's runner finds no command: `##[` is spelled with an escape, `::` never leads."""
    return json.dumps(value, default=str).replace("##[", "##\\u005b")


def _hidden(value: Any, secrets: Sequence[str]) -> Any:
    """The value with secrets taken out of every text, before JSON's own escapes could disguise one."""
    if isinstance(value, Mapping):
        return {str(key): _hidden(each, secrets) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_hidden(each, secrets) for each in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value), secrets)

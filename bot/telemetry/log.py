"""Log records -> one JSON object a line on stderr, without secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import IO, Any

from bot.redaction import redact

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def start_logging(stream: IO[str], *, level: str = "WARNING", secrets: tuple[str, ...] = ()) -> logging.Handler:
    """Send the records of `bot` to a stream; the handler that was set by an earlier call is replaced."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines(secrets))
    logger = logging.getLogger("bot")
    logger.handlers = [each for each in logger.handlers if not isinstance(each.formatter, JsonLines)]
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    return handler


class JsonLines(logging.Formatter):
    """A record as JSON: time, level, logger, message, what was passed as `extra`, and the traceback."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
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


def _hidden(value: Any, secrets: tuple[str, ...]) -> Any:
    """The value with secrets taken out of every text, before JSON's own escapes could disguise one."""
    if isinstance(value, Mapping):
        return {str(key): _hidden(each, secrets) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_hidden(each, secrets) for each in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value), secrets)

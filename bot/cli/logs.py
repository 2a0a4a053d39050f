"""This process's environment -> its log on stderr: warnings, or with `--debug` everything, without secrets."""

from __future__ import annotations

import os
import sys

from bot.errors import ConfigurationError
from bot.redaction import secrets_of
from bot.settings import Settings, load_settings
from bot.telemetry.log import start_logging


def start(*, debug: bool) -> None:
    """Begin to log."""
    start_logging(lambda: sys.stderr, level="DEBUG" if debug else "WARNING", secrets=known_secrets())


def known_secrets() -> tuple[str, ...]:
    """What must not be printed; where a setting is wrong, the variables still count."""
    try:
        settings = load_settings(os.environ)
    except ConfigurationError:
        settings = Settings()
    return secrets_of(os.environ, settings)

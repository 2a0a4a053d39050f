"""`sandpiper serve` -> the webhooks of a GitHub App, received and worked on until a signal comes."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import click

from bot.api.signature import secrets_for
from bot.cli.app_files import read_env
from bot.errors import PluginError
from bot.redaction import secrets_of
from bot.settings import load_settings
from bot.telemetry.log import start_logging


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65_535), help="Port; 0 for a free one.")
@click.option("--path", default="/webhook", show_default=True, help="Path of the webhook.")
@click.option("--grace", default=8.0, show_default=True, type=click.FloatRange(0), help="Seconds for runs to end.")
@click.option("--env", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="File of NAME=VALUE lines.")
@click.pass_context
def serve(context: click.Context, host: str, port: int, path: str, grace: float, env: Path | None) -> None:
    """Receive the webhooks of a GitHub App and do what they ask for.

    Speaks plain HTTP: put a proxy with TLS before it. Needs SANDPIPER_WEBHOOK_SECRET and an account on GitHub.
    What GitHub delivered is on the disk before GitHub hears so; after a crash the next start goes on with it.
    """
    environ = {**(read_env(env) if env else {}), **os.environ}
    settings = load_settings(environ)
    debug = bool((context.parent or context).params.get("debug"))
    start_logging(lambda: sys.stderr, level="DEBUG" if debug else "INFO", secrets=secrets_of(environ, settings))
    if not path.startswith("/") or path.rstrip("/") in ("", "/healthz"):
        raise click.UsageError("--path begins with a slash, and is neither / nor /healthz")
    secrets_for(settings)  # what is missing is said at once, before seconds go by for the libraries
    server = server_module()
    server.serve(settings, environ, server.Address(host, port, path, grace))


def server_module() -> Any:
    """The server, whose libraries are an extra. Raises PluginError naming it."""
    try:
        # By name and late: the rest of the program starts without these libraries.
        return importlib.import_module("bot.api.server")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "bot":
            raise
        hint = "pip install 'sandpiper-bot[server]'"
        raise PluginError("extra_missing", f"`serve` needs the extra `server`: {error}", hint=hint) from None

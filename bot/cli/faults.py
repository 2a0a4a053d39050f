"""Any error that ended a command -> a message with a hint, and an exit code. The only place of this door that does so.

0 done, 1 the task failed (or a defect of ours), 2 the caller's mistake, 3 a provider failed, 130 a person stopped it.
"""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from bot import __version__
from bot.cli.logs import known_secrets
from bot.cli.output import print_json, say
from bot.errors import PolicyError, SandpiperError
from bot.redaction import redact
from bot.types.result import Failure

STOPPED = 130
CALLER = 2
DEFECT = 1
REPORT = "please report this with the file above at the project's issue page; look it over before you share it"


def report(error: BaseException, words: Sequence[str]) -> int:
    """Say what went wrong, as JSON on stdout after `--json`, else on stderr; return the exit code."""
    options = list(words)[: list(words).index("--")] if "--" in words else list(words)
    failure, code = explain(error, debug="--debug" in options)
    secrets = known_secrets()
    message, hint = redact(failure.message, secrets), redact(failure.hint, secrets)
    if "--json" in options:
        fields: dict[str, object] = {"code": failure.code, "message": message, "hint": hint}
        if isinstance(error, PolicyError):
            fields["mistakes"] = error.mistakes
        print_json({"error": fields})
    elif isinstance(error, PolicyError):
        # Each on a line of its own that begins with file and line, as editors and people expect.
        say(f"{message}\nsandpiper: {len(error.mistakes)} mistakes [{failure.code}]", err=True)
    else:
        say(f"sandpiper: {message} [{failure.code}]", err=True)
        if hint:
            say(f"  hint: {hint}", err=True)
    return code


def explain(error: BaseException, *, debug: bool) -> tuple[Failure, int]:
    """The error as a value, and the exit code of its kind."""
    match error:
        case SandpiperError():
            return error.failure(), error.exit_code
        case click.Abort():
            return Failure(code="interrupted", message="interrupted"), STOPPED
        case click.UsageError():
            words = error.ctx.command_path if error.ctx else "sandpiper"
            hint = f"{words} --help"
            return Failure(code="usage", message=error.format_message(), hint=hint), CALLER
        case click.ClickException():
            return Failure(code="usage", message=error.format_message()), CALLER
        case _:
            place = "" if debug else f"; the traceback is in {_keep_traceback(error)}"
            if debug:
                say(redact("".join(traceback.format_exception(error)), known_secrets()), err=True)
            message = f"a defect in sandpiper {__version__}: {type(error).__name__}: {error}{place}"
            return Failure(code="internal_error", message=message, hint=REPORT), DEFECT


def _keep_traceback(error: BaseException) -> Path:
    """A file that only this user can read, with the traceback in it."""
    handle, name = tempfile.mkstemp(prefix="sandpiper-", suffix=".traceback.txt")
    with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
        file.write(redact("".join(traceback.format_exception(error)), known_secrets()))
    return Path(name)

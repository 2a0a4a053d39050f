"""`sandpiper sandbox run` and `create` -> a command's own output and exit code, or the id of a sandbox that stays."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bot.blobs import read_blob
from bot.cli.output import json_option, plain, print_json, say
from bot.cli.sandbox_options import LOCAL, Asked, asked_for, template_options
from bot.cli.sandbox_reach import opened
from bot.cli.sandbox_view import as_text, changed_lines, ending_words, hint_for, one_line, print_raw
from bot.errors import ConfigurationError
from bot.protocols import Sandbox
from bot.sandbox.egress.learn import policy_text, propose
from bot.settings import load_settings
from bot.store.diff import unified_patch, with_counts
from bot.types.network import EgressRecord
from bot.types.sandbox import Changes, ExecRequest, ExecResult

WORDS = {"allow_interspersed_args": False}
"""What follows the first word that is no option belongs to the command."""
UNISOLATED = "WARNING: no isolation. This command runs as you, on this machine, with its network and your files."


@click.command(context_settings=WORDS)
@template_options
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Time-out of the command.")
@click.option("--stdin", is_flag=True, help="Pass our standard input on.")
@click.option("--learn", is_flag=True, help="Let every public host through, and propose an allow-list at the end.")
@click.option("--diff", is_flag=True, help="Show what changed as a patch.")
@click.option(
    "--keep-changes", "keep", metavar="DIR", type=click.Path(path_type=Path), help="Copy changed files there."
)
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but what the command prints.")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED)
@json_option
@click.pass_context
def run(context: click.Context, /, argv: tuple[str, ...], as_json: bool, quiet: bool, **options: Any) -> None:
    """Run one command in a new sandbox: no network, no secret, and nothing of this machine to write to.

    Its output comes through as it is; what is said about it goes to stderr. The exit code is the command's, 124 after
    a time-out, 137 after a kill.

    \b
    sandpiper sandbox run -- make test
    sandpiper sandbox run --empty --memory 256m -- echo 'Hello from sandbox!'
    """
    settings = load_settings(os.environ, pull="missing" if options.pop("pull") else None)
    seconds, keep, diff, stdin = (options.pop(each) for each in ("seconds", "keep", "diff", "stdin"))
    asked = asked_for(settings, options, seconds=seconds)
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise ConfigurationError("not_empty", f"{keep} is not empty", hint="name a folder that is not there yet")
    _warn_if_open(asked)
    learned: list[EgressRecord] = []
    request = ExecRequest(
        argv=argv,
        seconds=asked.template.limits.command_seconds,
        output_bytes=asked.template.limits.output_bytes,
        stdin=sys.stdin.buffer.read() if stdin else b"",
    )
    with tempfile.TemporaryDirectory(prefix="sandpiper-run-") as folder:
        with (
            opened(settings, asked.provider, unisolated=asked.unisolated, on_egress=learned.append) as provider,
            contextlib.closing(provider.create(asked.template)) as sandbox,
        ):
            result = sandbox.exec(request, on_output=None if as_json else print_raw)
            changes = with_counts(sandbox.collect(Path(folder)), Path(folder))
        if keep is not None:
            _keep(changes, Path(folder), keep)
        patch = unified_patch(changes, Path(folder)) if diff else b""
    told = policy_text(propose(learned)) if asked.template.network.learn else ""
    if as_json:
        print_json({**_about(sandbox, asked, result), "changes": plain(changes), "learned": told, **_patch(patch)})
    elif not quiet:
        _tell(sandbox, asked, result, changes, patch, told, argv)
    context.exit(result.exit_code)


@click.command()
@template_options
@json_option
def create(as_json: bool, **options: Any) -> None:
    """Make a sandbox that stays when this command is over, until its wall clock ends it; print its id.

    \b
    id=$(sandpiper sandbox create --minutes 60)
    sandpiper sandbox exec $id -- make test
    sandpiper sandbox stop $id
    """
    settings = load_settings(os.environ, pull="missing" if options.pop("pull") else None)
    asked = asked_for(settings, options)
    if asked.template.network.mode == "restricted":
        hint = "use `sandbox run --allow HOST`, whose proxy lives as long as the command"
        raise ConfigurationError("network_unsupported", "a sandbox that stays can't be restricted", hint=hint)
    _warn_if_open(asked)
    with opened(settings, asked.provider, unisolated=asked.unisolated) as provider:
        sandbox = provider.create(asked.template.changed(detached=True))
    if as_json:
        print_json({"id": sandbox.id, "run_id": asked.template.run_id, "record": plain(sandbox.record)})
        return
    say(sandbox.id)
    for note in sandbox.record.notes:
        say(f"note: {note}", err=True)


def _warn_if_open(asked: Asked) -> None:
    if asked.provider == LOCAL:
        click.secho(UNISOLATED, fg="red", bold=True, err=True)


def _about(sandbox: Sandbox, asked: Asked, result: ExecResult) -> dict[str, Any]:
    return {
        "id": sandbox.id,
        "run_id": asked.template.run_id,
        "record": plain(sandbox.record),
        "result": as_text(result),
        "hint": hint_for(result, asked.template.limits),
    }


def _patch(patch: bytes) -> dict[str, str]:
    return {"patch": patch.decode("utf-8", "replace")} if patch else {}


def _tell(
    sandbox: Sandbox,
    asked: Asked,
    result: ExecResult,
    changes: Changes,
    patch: bytes,
    learned: str,
    argv: Sequence[str],
) -> None:
    """On stderr, for stdout is the command's."""
    record, limits = sandbox.record, asked.template.limits
    say(f"-- {one_line(argv)}: {ending_words(result, limits)}", err=True)
    if hint := hint_for(result, limits):
        say(f"   hint: {hint}", err=True)
    say(f"-- sandbox: {record.provider}, image {record.image}, network {record.network}, removed", err=True)
    for note in record.notes:
        say(f"   note: {note}", err=True)
    for line in changed_lines(changes):
        say(line, err=True)
    if patch:
        say(patch.decode("utf-8", "replace"), err=True)
    if learned:
        say("-- what it asked for, for the policy:", err=True)
        say(learned, err=True)


def _keep(changes: Changes, blobs: Path, target: Path) -> None:
    """Changed files below a new folder, links left out: names come from inside, and were checked when collected."""
    target.mkdir(parents=True, exist_ok=True)
    for change in changes.files:
        if change.new is None or change.new.mode == "120000":
            continue
        file = target / change.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(read_blob(blobs, change.new))
        file.chmod(0o755 if change.new.mode == "100755" else 0o644)

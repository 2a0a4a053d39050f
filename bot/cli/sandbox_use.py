"""`sandpiper sandbox exec`, `cp`, `pause`, `resume` -> what is done in a sandbox that is there already."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from bot.cli.output import json_option, print_json, say
from bot.cli.sandbox_options import variable
from bot.cli.sandbox_reach import bad_path, reach
from bot.cli.sandbox_run import WORDS
from bot.cli.sandbox_view import as_text, ending_words, hint_for, one_line, print_raw
from bot.errors import ConfigurationError
from bot.sandbox.copying import copy_in, copy_out
from bot.types.sandbox import ExecRequest
from bot.types.task import Limits


@click.command("exec", context_settings=WORDS)
@click.option("--cwd", default=".", show_default=True, help="Folder, relative to the workspace.")
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="A variable.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Time-out; the sandbox's own if none.")
@click.option("--stdin", is_flag=True, help="Pass our standard input on.")
@click.argument("sandbox_id", metavar="ID")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED)
@json_option
@click.pass_context
def exec_(
    context: click.Context,
    sandbox_id: str,
    argv: tuple[str, ...],
    cwd: str,
    env: Sequence[str],
    seconds: float | None,
    stdin: bool,
    as_json: bool,
) -> None:
    """Run a command in a sandbox that is there. ID may be the beginning of its id or of its run's.

    Output and exit code are the command's: 124 after a time-out, 137 after a kill.
    """
    with reach(sandbox_id) as reached:
        sandbox = reached.living()
        limits = reached.note.template.limits if reached.note.template else Limits()
        request = ExecRequest(
            argv=argv[1:] if argv[0] == "--" and len(argv) > 1 else argv,
            cwd=cwd,
            env=dict(variable(each) for each in env),
            seconds=seconds or limits.command_seconds,
            output_bytes=limits.output_bytes,
            stdin=sys.stdin.buffer.read() if stdin else b"",
        )
        result = sandbox.exec(request, on_output=None if as_json else print_raw)
    if as_json:
        print_json({"id": reached.info.id, "result": as_text(result), "hint": hint_for(result, limits)})
    elif result.ending != "exited":
        say(f"-- {one_line(request.argv)}: {ending_words(result, limits)}", err=True)
        if hint := hint_for(result, limits):
            say(f"   hint: {hint}", err=True)
    context.exit(result.exit_code)


@click.command()
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@json_option
def cp(source: str, target: str, as_json: bool) -> None:
    """Copy a file or a folder; ID:PATH is the side in the sandbox, relative to its workspace.

    Links, pipes and devices are left out, and no link is followed on either side.

    \b
    sandpiper sandbox cp ./fixtures ID:tests/fixtures
    sandpiper sandbox cp ID:build/report.html .
    """
    inward, outward = _inside(target), _inside(source)
    if (inward is None) == (outward is None):
        raise bad_path(f"one of {source!r} and {target!r} has to be ID:PATH")
    said = _into(Path(source), *inward) if inward else _out_of(*(outward or ("", "")), Path(target))
    if as_json:
        print_json(said)
        return
    count, bytes_ = said["files"], said.get("bytes")
    size = f", {bytes_:,} bytes" if isinstance(bytes_, int) else ""
    say(f"copied {count} file{'s' if count != 1 else ''}{size}")
    skipped = said.get("skipped")
    for line in skipped if isinstance(skipped, tuple) else ():
        say(f"left out: {line}", err=True)


@click.command()
@click.argument("sandbox_id", metavar="ID")
@json_option
def pause(sandbox_id: str, as_json: bool) -> None:
    """Freeze everything in a sandbox. Its wall clock goes on."""
    _freeze(sandbox_id, True, as_json)


@click.command()
@click.argument("sandbox_id", metavar="ID")
@json_option
def resume(sandbox_id: str, as_json: bool) -> None:
    """Let a frozen sandbox go on."""
    _freeze(sandbox_id, False, as_json)


def _freeze(sandbox_id: str, frozen: bool, as_json: bool) -> None:
    with reach(sandbox_id) as reached:
        sandbox = reached.sandbox if reached.info.state == "paused" and reached.sandbox else reached.living()
        if frozen:
            sandbox.pause()
        else:
            sandbox.resume()
    state = "paused" if frozen else "running"
    if as_json:
        print_json({"id": reached.info.id, "state": state})
    else:
        say(f"{reached.info.id}: {state}")


def _inside(word: str) -> tuple[str, str] | None:
    """Id and path of ID:PATH; None for a path of this machine, which a slash before the colon makes it."""
    name, colon, path = word.partition(":")
    return (name, path or ".") if colon and name and "/" not in name else None


def _into(source: Path, name: str, path: str) -> dict[str, object]:
    if not os.path.lexists(source):
        raise ConfigurationError("no_such_file", f"there is no {source}", hint="the path on this machine comes first")
    place = f"{path.rstrip('/') or '/'}/{source.name}" if path.endswith("/") or path == "." else path
    with reach(name) as reached:
        count = copy_in(reached.living(), source, place)
    return {"id": reached.info.id, "files": count, "path": place}


def _out_of(name: str, path: str, target: Path) -> dict[str, object]:
    last = Path(path).name
    place = target / last if target.is_dir() and last else target
    with reach(name) as reached:
        copied = copy_out(reached.living(), path, place)
    return {
        "id": reached.info.id,
        "files": copied.files,
        "bytes": copied.size,
        "path": str(place),
        "skipped": copied.skipped,
    }

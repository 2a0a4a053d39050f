"""`sandpiper sandbox doctor` -> a table of escapes that were tried from inside, and advice about this machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from bot.cli.output import json_option, plain, print_json, say, table
from bot.cli.sandbox_options import LOCAL
from bot.cli.sandbox_reach import opened
from bot.errors import ConfigurationError, SandboxError
from bot.sandbox.docker.engine import ENGINE_ERRORS
from bot.sandbox.docker.images import ImageRules
from bot.sandbox.docker.workshop import Workshop
from bot.sandbox.proof import SECONDS, Attempt, Proof, prove
from bot.sandboxes import work_of
from bot.settings import Settings, load_settings
from bot.telemetry.display import is_log

if TYPE_CHECKING:
    from rich.table import Table

BROKEN = 1
"""Exit code when something does not hold."""
COLUMNS = ("", "about", "tried from inside", "seen")
_COLOURS = {"ok": "green", "FAILED": "bold red", "not enforced": "yellow", "skipped": "yellow"}
_OLDEST = 20
"""Docker's first major version that is said to be current enough."""
_VIRTUAL = ("runsc", "kata", "kata-runtime", "io.containerd.kata.v2", "io.containerd.runsc.v1")
Advice = tuple[str, str, str]
"""State, what was looked at, what is there or could be had."""


@click.command()
@click.option("--provider", metavar="NAME", help="auto, docker or bubblewrap; the configured one if none.")
@click.option("--image", help="What the sandbox is made from; `host` if none.")
@click.option("--runtime", help="OCI runtime of the engine, such as runsc (gVisor).")
@click.option("--seconds", type=click.FloatRange(min=1), default=SECONDS, show_default=True, help="For all of it.")
@json_option
@click.pass_context
def doctor(
    context: click.Context, provider: str | None, image: str | None, runtime: str | None, seconds: float, as_json: bool
) -> None:
    """Prove the isolation on this machine: make a sandbox among canaries and listeners, and try to break out.

    Exit code 0 only if everything holds. What could not be tried is `skipped`; what can't be had here is `not enforced`
    and counts as not held. It takes some seconds and leaves nothing behind.
    """
    settings = load_settings(os.environ)
    name = provider or settings.sandbox
    if name == LOCAL:
        hint = "--provider docker, or bubblewrap"
        raise ConfigurationError(
            "no_isolation", "the provider local isolates nothing: there is nothing to prove", hint=hint
        )
    image, runtime = image or settings.image, runtime or settings.oci_runtime
    with opened(settings, name) as sandboxes:
        if wrong := sandboxes.healthy():
            reason, _, hint = wrong.partition("\n  hint: ")
            raise SandboxError("provider_unhealthy", reason, hint=hint)
        with _shown(quiet=as_json) as seen:
            proof = prove(
                sandboxes, work=work_of(settings), image=image, runtime=runtime, seconds=seconds, on_attempt=seen
            )
    advice = tuple(_advice(settings)) if proof.provider == "docker" else ()
    if as_json:
        rows = [{"state": state, "name": name, "detail": detail} for state, name, detail in advice]
        print_json({"ok": proof.ok, **plain(proof), "advice": rows})
    else:
        _tell(proof, advice)
    context.exit(0 if proof.ok else BROKEN)


@contextlib.contextmanager
def _shown(*, quiet: bool) -> Iterator[Any]:
    """Somebody who shows each attempt as it is made: a table that grows on a terminal, lines in a log."""
    from rich.console import Console
    from rich.live import Live

    console, attempts = Console(highlight=False), list[Attempt]()
    if quiet:
        yield attempts.append
    elif is_log(console, os.environ):
        yield attempts.append
        say(table([COLUMNS, *((each.state, each.group, each.name, each.seen) for each in attempts)]))
    else:
        with Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop") as live:

            def show(attempt: Attempt) -> None:
                attempts.append(attempt)
                rest = console.height - 5
                live.update(_table(attempts[-rest:]), refresh=True)

            yield show
        console.print(_table(attempts))


def _table(attempts: Sequence[Attempt]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for number, name in enumerate(COLUMNS):
        made.add_column(name, no_wrap=number < 2, ratio=None)
    group = ""
    for each in attempts:
        made.add_row(
            Text(each.state, _COLOURS[each.state]),
            Text(each.group if each.group != group else "", "dim"),
            Text(each.name),
            Text(each.seen, "" if each.state == "ok" else _COLOURS[each.state]),
        )
        group = each.group
    return made


def _tell(proof: Proof, advice: Sequence[Advice]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    counts = {state: sum(each.state == state for each in proof.attempts) for state in _COLOURS}
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    verdict = f"{proof.provider}, image {proof.image}: {told}, in {proof.seconds:.1f} s"
    if is_log(console, os.environ):
        say(verdict)
    else:
        console.print(verdict, style="green" if proof.ok else "bold red")
    for note in proof.record.notes:
        say(f"note: {note}")
    for each in proof.attempts:
        if each.state != "ok":
            say(f"{each.state}: {each.name}: expected {each.expected}; seen: {each.seen}")
    if advice:
        say("\nThis machine:")
        say(table(advice))


def _advice(settings: Settings) -> Iterator[Advice]:
    """What else hardens a machine that runs strangers' code: none of it is needed for the attempts above."""
    with contextlib.closing(Workshop(work_of(settings), ImageRules(), None)) as shop:
        try:
            info = shop.info
        except (SandboxError, *ENGINE_ERRORS):
            return
        yield from advice_of(info)


def advice_of(info: Mapping[str, Any]) -> Iterator[Advice]:
    """From what the engine says of itself. Source: the Engine API's `SystemInfo`."""
    options = " ".join(str(each) for each in info.get("SecurityOptions") or ())
    version = str(info.get("ServerVersion", ""))
    major = version.partition(".")[0]
    current = not major.isdigit() or int(major) >= _OLDEST
    yield ("ok" if current else "advice"), "engine", f"{version}" if current else f"{version} is old: update it"
    yield _option("seccomp" in options, "seccomp", "the engine filters system calls", "use an engine that has seccomp")
    mandatory = next((each for each in ("apparmor", "selinux") if each in options), "")
    yield _option(bool(mandatory), "AppArmor, SELinux", f"the engine uses {mandatory}", "neither is on: enable one")
    apart = next((each for each in ("rootless", "userns") if each in options), "")
    yield _option(
        bool(apart), "root of the engine", f"{apart}: it is nobody here", "it is root here: rootless mode helps"
    )
    machines = [each for each in info.get("Runtimes") or {} if each in _VIRTUAL]
    text = "gVisor or Kata put a kernel in between: --runtime runsc"
    yield _option(bool(machines), "own kernel", f"can be had: --runtime {(*machines, '')[0]}", text)


def _option(there: bool, name: str, good: str, advice: str) -> Advice:
    return ("ok", name, good) if there else ("advice", name, advice)

"""`sandpiper handle` -> any webhook's payload through the same door that production uses."""

from __future__ import annotations

import os
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import click

from bot.cli.output import json_option, plain, print_json, say
from bot.cli.perform import opened, perform, present
from bot.errors import EventError
from bot.forge.events.parsing import MAX_BYTES, load_payload, parse_event
from bot.forge.render.story import announce, refusal
from bot.settings import Settings, load_settings
from bot.triage.decide import decide
from bot.types.decision import Answer, Decision, Go, Refuse
from bot.types.event import Event
from bot.types.output import Output

FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.option("--event", "name", required=True, help="GitHub's event name, for instance issues.")
@click.option("--delivery", default="", help="Value of X-GitHub-Delivery, where there is one.")
@click.option("--dry-run", is_flag=True, help="Do everything, but write nothing to the forge.")
@click.option("--decide-only", is_flag=True, help="Stop after the decision: no sandbox, no write.")
@click.option("--local", type=FOLDER, help="Folder of a local forge that takes GitHub's place.")
@click.option("--checkout", type=FOLDER, help="A checkout that is there already.")
@json_option
@click.argument("payload", type=click.File("rb"))
@click.pass_context
def handle(
    context: click.Context,
    name: str,
    delivery: str,
    dry_run: bool,
    decide_only: bool,
    local: Path | None,
    checkout: Path | None,
    as_json: bool,
    payload: BinaryIO,
) -> None:
    """Put the webhook in PAYLOAD (a file, or - for standard input) through the door."""
    settings = load_settings(os.environ, dry_run=(dry_run or decide_only) or None)
    event = read_event(name, payload, settings, delivery)
    if decide_only:
        show_decision(event, settings, local, as_json)
        return
    performed = perform(event, settings, os.environ, checkout=checkout, local=_absolute(local))
    context.exit(present(performed, as_json=as_json))


def read_event(name: str, payload: BinaryIO, settings: Settings, delivery: str) -> Event:
    """The event in a payload. Raises EventError for what GitHub would not send."""
    data = payload.read(MAX_BYTES + 1)
    if not data.strip():
        raise EventError("payload_empty", "the payload is empty", hint="name a file with the webhook's JSON, or - ")
    return parse_event(name, load_payload(data), settings=settings, delivery=delivery)


def show_decision(event: Event, settings: Settings, local: Path | None, as_json: bool) -> None:
    """Print what the event deserves and why, and the first thing that would be published."""
    with ExitStack() as stack:
        deps = stack.enter_context(opened(event, settings, os.environ, local=_absolute(local)))
        decision = decide(event, reader=deps.reader, settings=settings, model=deps.model, knowledge=deps.knowledge)
    outputs = first_outputs(event, decision, settings)
    if as_json:
        print_json({"decision": plain(decision), "outputs": plain(outputs), "event": plain(event)})
        return
    say(f"{decision.kind} ({decision.code}): {decision.reason}")
    for output in outputs:
        say(f"  would publish: {output.kind} ({output.key})")


def first_outputs(event: Event, decision: Decision, settings: Settings) -> tuple[Output, ...]:
    """What is published as soon as the decision stands."""
    match decision:
        case Go():
            return announce(event, decision.spec, settings=settings)
        case Answer():
            return decision.outputs
        case Refuse():
            return refusal(event, decision, day=datetime.now(UTC).date().isoformat())
        case _:
            return ()


def _absolute(folder: Path | None) -> Path | None:
    return folder.absolute() if folder else None

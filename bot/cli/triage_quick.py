"""`sandpiper triage quick` -> a text sorted: category, priority, what to do next."""

from __future__ import annotations

import os
import sys

import click
from rich.console import Console

from bot.cli.dollars import Dollars
from bot.cli.output import json_option, print_json
from bot.cli.triage_view import facts
from bot.errors import ConfigurationError
from bot.llm.chat import open_model
from bot.llm.models import choose_model
from bot.offline.model import fit, judge
from bot.redaction import redact, secrets_of
from bot.settings import Settings, load_settings
from bot.triage.quick import Quick
from bot.triage.quick import quick as sorted_out
from bot.types.triage import Posterior

TEXT_BYTES = 1_000_000


@click.command()
@click.argument("text", metavar="TEXT|-")
@click.option("--no-model", is_flag=True, help="Ask no model: rules and the offline model only.")
@click.option("--model", help="Model as provider/name.")
@click.option(
    "--max-usd", type=Dollars(), default=0.05, show_default=True, help="Ceiling for the price, in US dollars."
)
@json_option
def quick(text: str, no_model: bool, model: str | None, max_usd: float, as_json: bool) -> None:
    """Judge a text: its category, how urgent it is, what to do next.

    With `-` the text is read from the standard input. Without a key, or where the model fails, rules and the offline
    model answer.
    """
    settings = load_settings(os.environ, model=model)
    if text == "-":
        text = sys.stdin.buffer.read(TEXT_BYTES).decode("utf-8", "replace")
    if not text.strip():
        raise ConfigurationError(
            "empty_text", "there is no text to judge", hint="give it as one argument, or pipe it in"
        )
    text = redact(text[:TEXT_BYTES], secrets_of(os.environ, settings))  # it goes to a model's provider
    asks = not no_model and choose_model(settings, os.environ) is not None
    found = sorted_out(
        text,
        open_llm=(lambda: open_model(settings, None, os.environ)) if asks else None,
        posterior=_posterior(text, settings),
        usd=max_usd,
    )
    if as_json:
        print_json(found)
        return
    _show(found)


def _posterior(text: str, settings: Settings) -> Posterior | None:
    """What general experience says: no repository's past is known here."""
    if not settings.offline:
        return None
    title, _, body = text.strip().partition("\n")
    return judge(fit(()), title, body)


def _show(found: Quick) -> None:
    source = {"rules": "rules", "offline": "offline model", "model": "model"}[found.by]
    why = f", since the model was of no help: {found.trouble}" if found.trouble else ""
    price = f", ${found.usage.usd:.4f}" if found.usage.usd else ""
    facts(
        Console(highlight=False),
        [
            ("priority", found.priority, found.priority),
            ("category", found.category, ""),
            ("summary", found.summary, ""),
            ("next", found.suggested_action, ""),
            ("sure", f"{found.confidence:.0%} ({source}{why}{price})", "dim"),
        ],
    )

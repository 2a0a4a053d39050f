"""`sandpiper triage analyze` -> a long conversation summed up: what is done, what is left, and issues for that."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from functools import partial
from pathlib import Path

import click
from pydantic import ValidationError

from bot.cli.dollars import Dollars
from bot.cli.files import bounded, put_text
from bot.cli.output import json_option, plain, print_json, say
from bot.cli.perform import require_token
from bot.cli.triage_open import at_repository
from bot.errors import CallerError, ConfigurationError, SandpiperError
from bot.forge.forge import checked_name
from bot.forge.render.sanitize import one_line, sanitize
from bot.llm.chat import open_model
from bot.llm.models import choose_model
from bot.protocols import LLM
from bot.redaction import redact, redact_data, secrets_of
from bot.settings import Settings, load_settings
from bot.store.durable import written
from bot.store.folder import FolderStore
from bot.triage import conversation
from bot.triage.conversation import Turn, read_turns, transcript
from bot.triage.findings import Analysis, new_issues, report_markdown, safe
from bot.types.output import NewIssue, Receipt

CONVERSATION_BYTES = 50_000_000
FILES = ("trajectory.json", "commands.log", "report.md")
"""A run's artifacts that tell what happened, best first."""
KEPT = "analyses"


@click.command()
@click.argument("source", metavar="ID|FILE|-")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the report to a file.")
@click.option("--create-issues", "repository", metavar="OWNER/NAME", help="Open an issue for each task that is left.")
@click.option("--dry-run", is_flag=True, help="Open nothing: print what would be opened, and ask no forge.")
@click.option("--no-model", is_flag=True, help="Ask no model: a digest by rules.")
@click.option("--max-usd", type=Dollars(), help="Ceiling for the price, in US dollars.")
@click.option("--fresh", is_flag=True, help="Read it anew, also where it was analysed before.")
@json_option
def analyze(
    source: str,
    output: Path | None,
    repository: str | None,
    dry_run: bool,
    no_model: bool,
    max_usd: float | None,
    fresh: bool,
    as_json: bool,
) -> None:
    """Sum up a long conversation: what is done, what is left, what blocks it, what to do next.

    The conversation is a run's on this machine, by its ID, or a FILE with text or with messages in JSON.
    """
    settings = load_settings(os.environ, max_usd=max_usd)
    name = checked_name(repository) if repository else ""
    writes = bool(name) and not (dry_run or settings.dry_run)
    if writes:
        require_token(settings, os.environ, name)  # before anything is paid for
    turns, origin, ended = read_source(source, settings)
    found = _analysed(turns, ended, settings, with_model=not no_model, fresh=fresh)
    found = safe(found, title=partial(one_line, limit=200), text=sanitize)
    issues = new_issues(found, origin) if name else ()
    report = report_markdown(found, origin, text=sanitize)
    if output:
        put_text(output, report)
    receipts = _open_issues(name, issues) if issues and writes else ()
    if as_json:
        opened = [{**plain(issue), "url": at.url, "number": at.id, "new": at.done}
                  for issue, at in zip(issues, receipts, strict=False)]  # fmt: skip
        print_json({"source": origin, "analysis": found, "issues": opened or issues, "dry_run": not receipts})
        return
    if not output:
        say(report)
    for line in _told(name, issues, receipts):
        say(line)
    if output:
        say(f"the report is {output}")


def read_source(source: str, settings: Settings) -> tuple[tuple[Turn, ...], str, str]:
    """The conversation, what it is called, and how its run ended. Raises ConfigurationError where there is none."""
    if source == "-":
        data = sys.stdin.buffer.read(CONVERSATION_BYTES + 1)[:CONVERSATION_BYTES]
    elif Path(source).is_file():
        data = bounded(Path(source), CONVERSATION_BYTES, "a conversation")
    elif re.fullmatch(r"[0-9a-fA-F]{1,16}", source):
        return _run(source.lower(), settings)
    else:
        hint = "name a file, `-` for the standard input, or a run's id from `sandpiper runs list`"
        raise ConfigurationError("no_such_conversation", f"there is no file and no run {source[:200]!r}", hint=hint)
    turns = _cleaned(read_turns(data), settings)
    if not turns:
        raise CallerError("empty_conversation", "nothing was said in it", hint="is it the right file?")
    return turns, hashlib.sha256(data).hexdigest()[:16], ""


def _run(run_id: str, settings: Settings) -> tuple[tuple[Turn, ...], str, str]:
    store = FolderStore(settings.state)
    run = store.load(run_id)
    if run is None:
        raise ConfigurationError("no_such_run", f"there is no run {run_id!r}", hint="see `sandpiper runs list`")
    folder = store.folder(run.run_id)
    parts = [folder / each for each in FILES if (folder / each).is_file()]
    told = [read_turns(bounded(each, CONVERSATION_BYTES, "an artifact")) for each in parts]
    turns = _cleaned(tuple(turn for each in reversed(told) for turn in each), settings)
    if not turns:
        hint = "only a run that reached the sandbox left something to read"
        raise ConfigurationError("no_conversation", f"run {run.run_id} said nothing", hint=hint)
    return turns, run.run_id, run.conclusion or run.status


def _cleaned(turns: tuple[Turn, ...], settings: Settings) -> tuple[Turn, ...]:
    """Without secrets: the text goes to a model's provider, and what comes back into a report."""
    secrets = secrets_of(os.environ, settings)
    return tuple(each.changed(text=redact(each.text, secrets)) for each in turns)


def _analysed(turns: tuple[Turn, ...], ended: str, settings: Settings, *, with_model: bool, fresh: bool) -> Analysis:
    """What is kept of an earlier look by a model, or a new one: the same conversation is paid for once, and its tasks
    have the same titles each time, by which their issues are found again.
    """
    model = _model(settings) if with_model else None
    if model is None:
        return conversation.analyze(turns, None, ended=ended)
    digest = hashlib.sha256(f"{model.model}\n{ended}\n{transcript(turns)}".encode("utf-8", "replace")).hexdigest()
    path = settings.state / KEPT / f"{digest[:32]}.json"
    if not fresh and (kept := _kept(path)) is not None:
        return kept
    found = conversation.analyze(turns, model, ended=ended, usd=settings.max_usd)
    found = Analysis.model_validate(redact_data(found.model_dump(), secrets_of(os.environ, settings)))
    if found.by == "model":
        _keep(path, found)
    return found


def _model(settings: Settings) -> LLM | None:
    if choose_model(settings, os.environ) is None:
        return None
    return open_model(settings, None, os.environ)


def _kept(path: Path) -> Analysis | None:
    try:
        return Analysis.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _keep(path: Path, found: Analysis) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with written(path.parent, found.model_dump_json().encode()) as temporary:
            temporary.replace(path)
    except OSError as error:
        message = f"can't write {path}: {error.strerror or error}"
        raise SandpiperError("store_unusable", message, hint="SANDPIPER_STATE names another folder") from error


def _open_issues(name: str, issues: tuple[NewIssue, ...]) -> tuple[Receipt, ...]:
    """Each once: one that an earlier run opened is kept, whatever its state."""
    with at_repository(name) as (deps, _, settings):
        return tuple(deps.writer.apply(each, blobs=settings.state) for each in issues)


def _told(name: str, issues: tuple[NewIssue, ...], receipts: tuple[Receipt, ...]) -> list[str]:
    lines: list[str] = []
    for issue, at in zip(issues, receipts, strict=False):
        lines.append(f"{'opened' if at.done else 'is there'}: {at.url} {issue.title}")
    if not receipts:
        for issue in issues:
            lines += [f"would open in {name}: {issue.title} [{', '.join(issue.labels)}]"]
            lines += [f"    {line}" for line in issue.body.splitlines()]
    if name and not issues:
        lines.append("no task is left: no issue to open")
    return lines

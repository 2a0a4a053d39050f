"""`sandpiper triage backlog` -> all open issues of a repository judged, shown, and, if wanted, labelled."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console

from bot import __version__
from bot.backlog import Basis, basis_of, journal_of, judge_all, open_issues
from bot.cli.dollars import Dollars
from bot.cli.drawn import draw
from bot.cli.files import put_text
from bot.cli.output import json_option, plain, print_json, say
from bot.cli.triage_backlog_view import LONG_WAIT, Meter, backlog_parts
from bot.cli.triage_open import at_repository
from bot.deps import tell
from bot.errors import Cancelled, ConfigurationError, SandpiperError
from bot.forge.client.addresses import server_base
from bot.forge.client.pace import Paces
from bot.settings import Settings
from bot.triage.backlog_page import backlog_page
from bot.triage.listing import Row, in_order, totals
from bot.types.event import Repository, Subject

AGAIN = "the same command goes on where this ended"


@dataclass
class Work:
    """What one call has done so far, whatever ends it."""

    rows: list[Row] = field(default_factory=list)
    judged: int = 0
    """Now, and not by an earlier call."""
    spent: float = 0.0
    """US dollars, now."""
    ended: SandpiperError | None = None
    """What ended it early."""


@click.command()
@click.argument("repository", metavar="OWNER/NAME")
@click.option("--dry-run", is_flag=True, help="Write nothing to the forge: show what would be done.")
@click.option("--limit", type=click.IntRange(1), help="At most so many issues, the oldest ones.")
@click.option("--since", default="", help="Only issues opened since that ISO time, such as 2026-01-31.")
@click.option("--resume/--fresh", default=True, help="Go on where an earlier call ended, or begin anew.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write the list as one page, too.")
@click.option("--no-model", is_flag=True, help="Ask no language model, whatever is configured.")
@click.option("--max-usd", type=Dollars(), help="Stop when that many US dollars are spent.")
@click.option("--yes", is_flag=True, help="Do not ask before labels are put on.")
@json_option
def backlog(
    repository: str,
    dry_run: bool,
    limit: int | None,
    since: str,
    resume: bool,
    html: Path | None,
    no_model: bool,
    max_usd: float | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Judge all open issues of a repository, as an event of each would be.

    Without --dry-run labels are put on and comments written as the repository's policy says. Each judgement is kept:
    whatever ends this, the same command goes on from there.
    """
    began = moment(since)
    waits = Waits()
    paces = Paces(sleep=waits)
    with at_repository(repository, paces=paces, dry_run=dry_run or None, max_usd=max_usd) as (deps, place, settings):
        tell(deps, "decide", f"reading the policy and the open issues of {place.full_name}")
        subjects = open_issues(deps, since=began, limit=limit)
        basis = basis_of(deps, place, with_model=not no_model, usd=settings.max_usd, writes=not settings.dry_run)
        tell(deps, "done", f"{len(subjects):,} open issues; judged by {judges(basis)}")
        confirm(basis, place, len(subjects), yes=yes)
        work = worked(basis, place, settings, subjects, waits, fresh=not resume)
    present(work, place, settings, html=html, as_json=as_json)


class Waits:
    """Sleeps when the forge asks for it, and says so."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self.meter: Meter | None = None
        """Where it is said."""

    def __call__(self, seconds: float) -> None:
        if seconds >= LONG_WAIT and self.meter is not None:
            self.meter.say(f"GitHub's rate limit: waiting {seconds:.0f} s")
        self._sleep(seconds)


def moment(text: str) -> str:
    """An ISO time as the forge writes it, in UTC. Raises ConfigurationError `no_time`."""
    if not text:
        return ""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        hint = "such as 2026-01-31 or 2026-01-31T12:00:00Z"
        raise ConfigurationError("no_time", f"{text[:100]!r} is no ISO time", hint=hint) from None
    return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def judges(basis: Basis) -> str:
    """Who judges, in words."""
    parts = ["rules"]
    parts += ["the offline model"] if basis.knowledge is not None else []
    parts += [basis.purse.model] if basis.purse is not None else []
    return ", ".join(parts)


def confirm(basis: Basis, place: Repository, count: int, *, yes: bool) -> None:
    """Ask whoever sits there before anything is written. Raises click.Abort for a no."""
    if basis.writes and count and not yes and sys.stdin.isatty() and sys.stderr.isatty():
        click.confirm(
            f"Put labels on, and comment on, {count:,} open issues of {place.full_name}?", abort=True, err=True
        )


def worked(
    basis: Basis, place: Repository, settings: Settings, subjects: tuple[Subject, ...], waits: Waits, *, fresh: bool
) -> Work:
    """Judge and write, with a meter on stderr; an interrupt ends it cleanly."""
    work = Work()
    state = basis.deps.settings.state
    with ExitStack() as stack:
        journal = stack.enter_context(journal_of(state, place, fresh=fresh))
        waits.meter = stack.enter_context(Meter(Console(stderr=True, highlight=False), len(subjects)))
        try:
            for row, new in judge_all(basis, subjects, journal):
                work.rows.append(row)
                work.judged += new
                work.spent = basis.purse.spent if basis.purse else 0.0
                waits.meter.step(row, new=new, usd=work.spent)
        except KeyboardInterrupt:
            work.ended = Cancelled("interrupted", "it was interrupted", hint=AGAIN)
        except SandpiperError as error:
            work.ended = error
        waits.meter = None
    if work.ended is None and basis.purse is not None and basis.purse.over:
        left = len(subjects) - len(work.rows)
        say(f"stopped at {settings.max_usd:.2f} USD: {left:,} issues are left; {AGAIN}", err=True)
    return work


def present(work: Work, place: Repository, settings: Settings, *, html: Path | None, as_json: bool) -> None:
    """Show what there is; then raise what ended it early."""
    rows, dry_run = in_order(work.rows), settings.dry_run
    if html:
        made = f"Made by sandpiper {__version__} on {datetime.now(UTC):%d %B %Y, %H:%M} UTC."
        put_text(html, backlog_page(place.full_name, server_base(settings), rows, dry_run=dry_run, made=made))
    if as_json and work.ended is None:
        counts = totals(rows)
        print_json(
            {
                "repository": place.full_name,
                "dry_run": dry_run,
                "judged": work.judged,
                "spent_usd": work.spent,
                "totals": {**plain(counts), **{name: dict(getattr(counts, name)) for name in COUNTED}},
                "issues": rows,
            }
        )
    elif not as_json:
        draw(backlog_parts(rows, dry_run=dry_run))
        if html:
            say(f"\nthe page is {html}")
    if work.ended is not None:
        if not as_json:
            say(f"\n{len(rows):,} issues are done and kept; {AGAIN}", err=True)
        raise work.ended


COUNTED = ("types", "priorities", "labels", "by")

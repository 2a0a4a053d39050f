"""`sandpiper triage report` -> what the offline model knows of a repository, for a terminal, a browser or a program."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click
from pydantic import ValidationError

from bot import __version__
from bot.cli.drawn import draw
from bot.cli.files import bounded, put_text
from bot.cli.output import json_option, plain, print_json, say
from bot.cli.triage_open import at_repository
from bot.cli.triage_report_view import report_parts
from bot.errors import CallerError, ConfigurationError
from bot.forge.forge import checked_name
from bot.triage.policy import parse_policy
from bot.triage.report import applied, policy_snippet
from bot.triage.report_html import report_page
from bot.types.triage import Measured

POLICY = ".github/bot.yml"
INPUT_BYTES = 20_000_000


@click.command()
@click.argument("repository", metavar="OWNER/NAME")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write the report as one page, too.")
@click.option("--input", "source", type=click.Path(path_type=Path, dir_okay=False), help="What --json said before.")
@click.option("--error", type=click.FloatRange(0.005, 0.5), help="Share of wrong labels that is borne [0.05].")
@json_option
def report(repository: str, html: Path | None, source: Path | None, error: float | None, as_json: bool) -> None:
    """Show how well the offline model knows a repository, and what it would do on its own.

    With --input nobody is asked: the figures come from a file.
    """
    name = checked_name(repository)
    measured = read_measured(source, error) if source else measure(name, 0.05 if error is None else error)
    if html:
        made = f"Made by sandpiper {__version__} on {datetime.now(UTC):%d %B %Y, %H:%M} UTC."
        put_text(html, report_page(name, measured, policy_path=POLICY, made=made))
    if as_json:
        rows = [{**plain(row), "error": row.error} for row in applied(measured)]
        print_json({"repository": name, "measured": measured, "alone": rows, "policy": policy_snippet(measured)})
        return
    draw(report_parts(name, measured, policy_path=POLICY))
    if html:
        say(f"\nthe page is {html}")


def measure(name: str, error: float) -> Measured:
    """What is known by now, brought up to date first."""
    with at_repository(name) as (deps, repository, settings):
        if deps.knowledge is None:
            raise ConfigurationError(
                "offline_off", "the offline model is turned off", hint="set SANDPIPER_OFFLINE=true"
            )
        policy = parse_policy(deps.reader.file(settings.policy, repository.default_branch), settings.policy)
        return deps.knowledge(error=error, types=policy.triage.named_types).measured()


def read_measured(path: Path, error: float | None) -> Measured:
    """The measure in a file. Raises CallerError `measure_invalid`, and `other_error` where it aims at another one."""
    try:
        data = json.loads(bounded(path, INPUT_BYTES, "a report's JSON"))
        value = data.get("measured", data) if isinstance(data, dict) else data
        measured = Measured.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as wrong:
        first = wrong.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise _invalid(path, f"{where}: {first['msg']}") from None
    except (ValueError, RecursionError):
        raise _invalid(path, "it is no JSON") from None
    if error is not None and abs(error - measured.wanted_error) > 1e-9:
        message = f"{path} was measured for an error of {measured.wanted_error:g}, not {error:g}"
        raise ConfigurationError("other_error", message, hint="leave --error out, or measure anew without --input")
    return measured


def _invalid(path: Path, why: str) -> CallerError:
    hint = "make it with `sandpiper triage report OWNER/NAME --json`"
    return CallerError("measure_invalid", f"{path} holds no measure: {why}", hint=hint)

"""`sandpiper run` -> a task done in a checkout on this machine, or in a repository on GitHub."""

from __future__ import annotations

import getpass
import os
import re
import uuid
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import click

from bot.cli.dollars import Dollars
from bot.cli.output import json_option, say
from bot.cli.perform import Performed, perform, present, require_token
from bot.errors import ConfigurationError
from bot.forge.client.credentials import has_credentials, open_credentials
from bot.forge.forge import checked_name, lookup_repository, open_forge
from bot.forge.local.borrow import borrow, full_name_of, git_folder_of, put_subject
from bot.forge.local.reader import Person
from bot.settings import Settings, load_settings
from bot.telemetry.view import PATCH
from bot.types.event import Actor, Dispatched, Event, Repository

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")
MAINTAINER = 2
"""Id of whoever sits at this machine, on the forge of a checkout. Its owner may do everything there."""
REFUSED = 2
"""Exit code when the task was not started: whoever asks on a command line made a mistake."""


@click.command()
@click.option("--repo", default=".", metavar="PATH|OWNER/NAME", help="A checkout, or a repository on GitHub.")
@click.option("--task", required=True, help="Name of the task.")
@click.option("--issue", "number", type=click.IntRange(min=1), help="Issue or pull request to work on.")
@click.option("--prompt", default="", help="What to do, in free text.")
@click.option("--ref", help="Branch to work on.")
@click.option("--dry-run", is_flag=True, help="Do everything, but write nothing to the forge.")
@click.option("--image", help="Image of the sandbox; `host` for this machine's toolchain.")
@click.option("--model", help="Model as provider/name.")
@click.option("--max-usd", type=Dollars(), help="Ceiling for the price of the run, in US dollars.")
@json_option
@click.pass_context
def run(
    context: click.Context,
    repo: str,
    task: str,
    number: int | None,
    prompt: str,
    ref: str | None,
    dry_run: bool,
    image: str | None,
    model: str | None,
    max_usd: float | None,
    as_json: bool,
) -> None:
    """Do a task.

    In a checkout nothing is written to any forge and nothing in the checkout changes: the result is shown, and its
    patch is among the artifacts. In a repository on GitHub it is published like any other run.
    """
    settings = load_settings(os.environ, dry_run=dry_run or None, image=image, model=model, max_usd=max_usd)
    trigger = Dispatched(task=task, prompt=prompt, number=number, ref=ref)
    place = Path(repo)
    if place.is_dir():
        performed = run_in_checkout(place.resolve(), trigger, settings, os.environ)
    elif NAME.fullmatch(repo):
        performed = run_on_github(repo, trigger, settings, os.environ)
    else:
        hint = "name a folder that exists, or OWNER/NAME"
        raise ConfigurationError("no_such_repository", f"there is no folder {repo}", hint=hint)
    code = present(performed, as_json=as_json)
    if place.is_dir() and not as_json:
        say_how_to_take(performed)
    decision = performed.run.decision
    context.exit(code or (REFUSED if decision and decision.kind in ("ignore", "refuse") else 0))


def say_how_to_take(performed: Performed) -> None:
    """Say how to get the result into the checkout, which nothing has touched."""
    commit = performed.run.receipt("commit")
    if commit and commit.url:
        address, _, branch = commit.url.partition("#")
        say(f"take it:  git fetch {address} {branch}:{branch}")
    elif (patch := performed.folder / PATCH).is_file():
        say(f"take it:  git apply {patch}")


def run_on_github(name: str, trigger: Dispatched, settings: Settings, environ: Mapping[str, str]) -> Performed:
    """Work as the token's account, and publish there."""
    require_token(settings, environ, name)
    with closing(open_credentials(settings, environ, checked_name(name))) as lent:
        repository = lookup_repository(settings, name, credentials=lent)
        reader, _ = open_forge(settings, repository.full_name, credentials=lent)
        viewer = reader.viewer()
    return perform(_event(repository, viewer, trigger), settings, environ)


def run_in_checkout(place: Path, trigger: Dispatched, settings: Settings, environ: Mapping[str, str]) -> Performed:
    """Work on the checkout's commits, and publish to a local forge that is made for this run alone."""
    git_folder = git_folder_of(place)
    known = full_name_of(git_folder, settings)
    folder = settings.state.absolute() / "checkouts" / uuid.uuid4().hex[:12]
    me = Actor(login=_login(), id=MAINTAINER)
    name = known or f"local/{re.sub(r'[^A-Za-z0-9._-]+', '-', place.name) or 'checkout'}"
    repository = borrow(git_folder, folder, name, {me.login: Person(id=me.id, permission="admin")})
    if trigger.number is not None:
        _fetch_subject(folder, trigger.number, known, settings, environ)
    return perform(_event(repository, me, trigger), settings, environ, local=folder)


def _fetch_subject(
    folder: Path, number: int, full_name: str | None, settings: Settings, environ: Mapping[str, str]
) -> None:
    """Read the issue from GitHub; it needs to know where, and with whose eyes."""
    if full_name is None or not has_credentials(settings, environ, full_name):
        hint = "give the checkout a remote `origin` on GitHub and set SANDPIPER_TOKEN, or use --prompt"
        raise ConfigurationError("issue_unreachable", f"issue {number} of this checkout can't be read", hint=hint)
    with closing(open_credentials(settings, environ, full_name)) as lent:
        reader, _ = open_forge(settings, full_name, credentials=lent)
        subject = reader.subject(number)
        if subject is None:
            raise ConfigurationError("no_such_issue", f"{full_name} has no issue or pull request {number}")
        put_subject(folder, subject, reader.comments(number))


def _event(repository: Repository, actor: Actor, trigger: Dispatched) -> Event:
    """What `workflow_dispatch` would bring; each call is a new happening."""
    identity = f"workflow_dispatch:cli:{uuid.uuid4().hex}"
    return Event(id=identity, name="workflow_dispatch", repository=repository, actor=actor, trigger=trigger)


def _login() -> str:
    """A name for whoever calls; a container may have none for its user id."""
    try:
        return re.sub(r"[^A-Za-z0-9-]", "-", getpass.getuser()) or "maintainer"
    except (KeyError, OSError):
        return "maintainer"

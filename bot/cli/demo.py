"""`sandpiper demo` -> the main job done for real on a sample: a label, a run in a container, a draft pull request."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bot.cli.sample import BUG_BODY, BUG_TITLE, FILES, STALE_BODY, STALE_TITLE
from bot.errors import ConfigurationError
from bot.forge.events.parsing import parse_event
from bot.forge.local.reader import LocalReader, Person, Thread, create_local, open_issue, open_repository, write_thread
from bot.llm.models import choose_model
from bot.pipeline import exit_code, handle
from bot.settings import Settings, load_settings
from bot.telemetry.display import observer_for
from bot.telemetry.view import show_run
from bot.types.run import Run
from bot.wiring import wire

PEOPLE = {"maria": Person(id=1001, permission="write"), "otto": Person(id=1002, permission="read")}
MARK = ".sandpiper-demo"
"""A file that says that a folder is the demo's own, so that only such a folder is ever replaced."""


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=Path("demo"), help="Where to put everything.")
@click.option("--json", "as_json", is_flag=True, help="Print the finished run as JSON.")
@click.pass_context
def demo(context: click.Context, folder: Path, as_json: bool) -> None:
    """Do the main job end to end on a sample repository: no account, no key, no image registry."""
    settings = load_settings(os.environ, state=(folder / "state").absolute(), sandbox="auto", image="host")
    console = Console(stderr=as_json)
    with_model = choose_model(settings, os.environ) is not None
    forge = _prepare(folder)
    event = _labelled_issue(forge, "fix" if with_model else "regenerate", settings)
    console.print(f"A sample repository, two people and an issue are in [bold]{forge}[/bold].")
    console.print(f"maria puts the label [bold]bot:{'fix' if with_model else 'regenerate'}[/bold] on it:\n")
    run = _handle(event, forge, settings, console)
    if as_json:
        click.echo(run.model_dump_json(indent=2))
    else:
        _show(run, forge, settings, console)
    context.exit(exit_code(run))


def _prepare(folder: Path) -> Path:
    """An empty folder with a fresh local forge in it; an earlier demo's folder is replaced, nobody else's."""
    if folder.exists():
        if any(folder.iterdir()) and not (folder / MARK).is_file():
            hint = "choose another one with --folder"
            raise ConfigurationError("folder_in_use", f"{folder} holds something that is not a demo", hint=hint)
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
    forge = (folder / "forge").absolute()
    create_local(forge, "maria/tidepool", FILES, PEOPLE)
    return forge


def _labelled_issue(forge: Path, task: str, settings: Settings) -> Path:
    """Open the issue that fits the task, label it as maria would, and keep GitHub's event as a file."""
    title, body = (BUG_TITLE, BUG_BODY) if task == "fix" else (STALE_TITLE, STALE_BODY)
    thread = open_issue(forge, "otto", title, body)
    thread = thread.changed(labels=(f"{settings.label_prefix}{task}",))
    write_thread(forge, thread)
    event = forge / "event.json"
    event.write_text(json.dumps(labelled_payload(forge, thread, "maria"), indent=2) + "\n", encoding="utf-8")
    return event


def labelled_payload(forge: Path, thread: Thread, login: str) -> dict[str, Any]:
    """The webhook payload `issues.labeled` for the thread's last label (API page "Webhook events and payloads")."""
    repository = open_repository(forge)
    user = {"login": login, "id": LocalReader(forge).person(login).id, "type": "User"}
    label = {"name": thread.labels[-1], "color": "ededed", "default": False, "description": None}
    return {
        "action": "labeled",
        "label": label,
        "issue": {
            "number": thread.number,
            "title": thread.title,
            "body": thread.body,
            "state": thread.state,
            "locked": False,
            "user": {"login": thread.author.login, "id": thread.author.id, "type": "User"},
            "labels": [label],
            "html_url": (forge / "issues" / f"{thread.number}.json").as_uri(),
            "updated_at": thread.updated_at,
        },
        "repository": {
            "id": repository.id,
            "name": repository.name,
            "full_name": repository.full_name,
            "owner": {"login": repository.owner, "id": 1001, "type": "User"},
            "private": False,
            "archived": False,
            "default_branch": repository.default_branch,
            "html_url": forge.as_uri(),
        },
        "sender": user,
    }


def _handle(event: Path, forge: Path, settings: Settings, console: Console) -> Run:
    """Exactly what the Action does with an event, with the local forge in place of GitHub."""
    parsed = parse_event("issues", json.loads(event.read_text(encoding="utf-8")), settings=settings)
    with observer_for(console) as watch:
        deps = wire(settings, parsed.repository, watch=watch, environ=os.environ, local=forge, actor=parsed.actor.login)
        with closing(deps):
            return handle(parsed, deps)


def _show(run: Run, forge: Path, settings: Settings, console: Console) -> None:
    """What was published, read back from the forge and not from memory."""
    number = run.event.subject.number if run.event.subject else 0
    comments = LocalReader(forge).comments(number)
    show_run(console, run, folder=settings.state / "runs" / run.run_id, comment=comments[-1].body if comments else "")
    commit, pull = run.receipt("commit"), run.receipt("pull")
    if commit:
        branch = commit.url.partition("#")[2]
        console.print(f"branch   {branch} ({commit.sha[:12]})  git clone -b {branch} {forge / 'repository.git'}")
    if pull:
        console.print(f"draft    {forge / 'issues' / f'{pull.id}.json'}")
    console.print(f"issue    {forge / 'issues' / f'{number}.json'}")

"""`sandpiper sandbox stop`, `gc`, `pull`, `cache` -> sandboxes, leftovers, images and caches that come or go."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import click

from bot.cli.output import json_option, plain, print_json, say, table
from bot.cli.sandbox_look import owner_of
from bot.cli.sandbox_reach import PROVIDERS, inventory, present, reach, warn
from bot.errors import ConfigurationError, ProviderError, SandboxError
from bot.sandbox import caches
from bot.sandbox.docker import leftovers
from bot.sandbox.docker.build import prune
from bot.sandbox.docker.engine import ENGINE_ERRORS
from bot.sandbox.docker.images import ImageRules, prefetch
from bot.sandbox.docker.pull import Pulling
from bot.sandbox.docker.starting import unavailable
from bot.sandbox.docker.workshop import Workshop
from bot.sandboxes import work_of
from bot.settings import Settings, load_settings
from bot.types.sandbox import SandboxInfo

PULL_SECONDS = 1_800
"""For one image that somebody fetches by hand."""
BUILT_DAYS = timedelta(days=7)
"""After which an image that was built from a Dockerfile is removed: the next run that needs it builds it again."""


@click.command()
@click.option("--all", "every", is_flag=True, help="Every one that outlives its maker.")
@click.option("--force", is_flag=True, help="With --all: also those that a living process works with.")
@click.argument("sandbox_ids", metavar="[ID]...", nargs=-1)
@json_option
def stop(sandbox_ids: tuple[str, ...], every: bool, force: bool, as_json: bool) -> None:
    """Remove sandboxes with all that they hold. One that is not there is only warned of."""
    if bool(sandbox_ids) == every:
        raise ConfigurationError("bad_option", "name sandboxes, or say --all", hint="see `sandpiper sandbox list`")
    settings = load_settings(os.environ)
    wanted, kept = (sandbox_ids, ()) if not every else _all(settings, force)
    removed: list[str] = []
    failed: list[dict[str, str]] = []
    for word in wanted:
        try:
            removed.append(_stop(word))
        except ConfigurationError as error:
            if error.code != "no_such_sandbox":
                raise
            warn(error.message)
        except SandboxError as error:  # one that can't be removed must not keep the others
            failed.append({"id": word, "code": error.code, "message": error.message, "hint": error.hint})
    if as_json:
        print_json({"removed": removed, "kept": list(kept), "failed": failed})
    else:
        for name in removed:
            say(f"removed {name}")
        for name in kept:
            say(f"kept {name}: a living process works with it (--force removes it)", err=True)
        if not removed and not failed:
            say("nothing was removed")
    if failed:
        if not as_json:
            raise SandboxError(failed[0]["code"], failed[0]["message"], hint=failed[0]["hint"])
        raise click.exceptions.Exit(ProviderError.exit_code)


def _all(settings: Settings, force: bool) -> tuple[list[str], tuple[str, ...]]:
    found = inventory(settings)[0]
    kept = tuple(each.id for each in found if not force and owner_of(each).startswith("process"))
    return [each.id for each in found if each.id not in kept], kept


def _stop(word: str) -> str:
    with reach(word) as reached:
        name, run_id = reached.info.id, reached.info.run_id
        if reached.sandbox is not None:
            reached.sandbox.close()
        elif not _others(reached.provider.list(), name, run_id):
            reached.provider.sweep(run_id)
        left = name in {each.id for each in reached.provider.list()}
    if left:
        hint = "its time has to be over first; `sandpiper sandbox gc` removes it then"
        raise SandboxError("sandbox_stays", f"{name} has ended, but is not removed", hint=hint)
    return name


def _others(found: Sequence[SandboxInfo], name: str, run_id: str) -> list[str]:
    return [each.id for each in found if each.run_id == run_id and each.id != name]


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@json_option
def gc(dry_run: bool, as_json: bool) -> None:
    """Remove what dead processes left behind: containers, volumes, processes, folders; and images built a week ago.

    Ours are known by label and by their folder's note, never by name, so that nobody else's are touched.
    """
    settings = load_settings(os.environ)
    doomed: dict[str, list[str]] = {}
    wrong: dict[str, str] = {}
    removed = 0
    for name in PROVIDERS:
        try:
            with present(settings, name) as provider:
                doomed[name] = _doomed(settings, name)
                removed += 0 if dry_run else provider.sweep()
        except SandboxError as error:
            wrong[name] = error.message
    images = () if dry_run or "docker" in wrong else _old_images(settings)
    if as_json:
        print_json(
            {"dry_run": dry_run, "found": doomed, "removed": removed, "images": plain(images), "problems": wrong}
        )
        return
    for image in images:
        say(f"removed {image} (an image built from a Dockerfile)")
    for name, names in doomed.items():
        for each in names:
            say(f"{'would remove' if dry_run else 'removed'} {each} ({name})")
    if not any(doomed.values()):
        say("nothing is left of dead processes")
    elif not dry_run:
        say(f"{removed} removed")
    for name, text in wrong.items():
        warn(f"{name}: {text}")


def _old_images(settings: Settings) -> tuple[str, ...]:
    with contextlib.closing(Workshop(work_of(settings), ImageRules(), None)) as shop:
        return prune(shop.api, BUILT_DAYS)


def _doomed(settings: Settings, name: str) -> list[str]:
    """Names of what a sweep would remove. The engine also has things whose folder is gone."""
    work = work_of(settings)
    if name != "docker":
        with present(settings, name) as provider:
            return [each.id for each in provider.list() if each.orphan]
    with contextlib.closing(Workshop(work, ImageRules(), None)) as shop:
        try:
            return sorted(leftovers.find(shop.api, work, None))
        except ENGINE_ERRORS as error:
            raise unavailable(error) from error


@click.command()
@click.option("--refresh", is_flag=True, help="Fetch again what is there: a newer one may have its tag.")
@click.option("--seconds", type=float, default=PULL_SECONDS, show_default=True, help="For one image.")
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@json_option
def pull(images: tuple[str, ...], refresh: bool, seconds: float, as_json: bool) -> None:
    """Fetch images ahead, three at a time. One that fails is warned of; exit code 3 when none could be had."""
    settings = load_settings(os.environ)
    with contextlib.closing(Workshop(work_of(settings), ImageRules(), None)) as shop:
        fetched = prefetch(
            shop.api,
            images,
            shop.hosts,
            pulling=Pulling(policy="missing", seconds=seconds),
            warn=warn,
            refresh=refresh,
            on_progress=None if as_json else lambda text: say(text, err=True),
        )
    good = [each.name for each in fetched if each.error is None]
    if as_json:
        bad = {each.name: {"code": each.error.code, "message": each.error.message} for each in fetched if each.error}
        print_json({"there": good, "failed": bad})
    for name in good if not as_json else ():
        say(f"{name} is there")
    if first := next((each.error for each in fetched if each.error and not good), None):
        if as_json:
            raise click.exceptions.Exit(ProviderError.exit_code)
        raise first


@click.group()
def cache() -> None:
    """List and clear what package managers downloaded, which sandboxes of the same lock file share."""


@cache.command("list")
@json_option
def list_caches(as_json: bool) -> None:
    """List caches, the one that was used longest ago first."""
    found = caches.stored(_root())
    if as_json:
        rows = [{"name": each.name, "bytes": each.bytes, "used_at": each.used_at.isoformat()} for each in found]
        print_json({"folder": str(_root()), "caches": rows})
    elif not found:
        say(f"no caches in {_root()}")
    else:
        rows_ = [
            (each.name, f"{each.bytes / 1e6:,.1f} MB", f"{each.used_at.astimezone():%Y-%m-%d %H:%M}") for each in found
        ]
        say(table([("cache", "size", "last used"), *rows_]))


@cache.command()
@click.option("--older-than", type=float, default=0, metavar="DAYS", help="Only those that nobody used for so long.")
@json_option
def clear(older_than: float, as_json: bool) -> None:
    """Remove caches; one that a sandbox has stays."""
    gone = caches.clear(_root(), older_than=timedelta(days=older_than))
    if as_json:
        print_json({"removed": plain(gone)})
    else:
        say(f"removed {len(gone)}: {', '.join(gone)}" if gone else "nothing was removed")


def _root() -> Path:
    return work_of(load_settings(os.environ)).parent / "caches"

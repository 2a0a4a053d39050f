"""Rows about checkouts: a workspace from one of many files, and the patch that comes out."""

from __future__ import annotations

import importlib
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path

import ours
from checkouts import make_big_checkout, path_of
from floors import counted, said
from ours import Kind
from rows import Goal, LeftOut, Once, Row, Sample, timer
from stand import Stand

from bot.types.sandbox import ExecRequest

SIZES = (1_000, 10_000, 100_000)
CHANGED = 10
_CHANGE = 'for file do echo "$file changed" > "$file" || exit 1; done'
_BUDGET_SECONDS = 30.0
"""Copies of a large checkout take long, and so does their removal."""


def prepare(stand: Stand, size: int) -> Row:
    """Row 6, one of three."""
    mine, copy = "Sandpiper: prepare", "cp -a"
    title = f"workspace of a checkout of {size:,} files"
    row = Row(f"6.{size}", title, copy, (Goal(mine, 5.0),), digits=2, budget=_BUDGET_SECONDS)
    row.add(mine, lambda _: _prepared(stand, checkout(stand, size), pristine=True))
    row.add(f"{mine}, somebody's checkout", lambda _: _prepared(stand, checkout(stand, size), pristine=False))
    row.add(copy, lambda _: _copied(stand, checkout(stand, size)))
    row.add("git worktree add", lambda _: _worktree(stand, checkout(stand, size)))
    row.notes.append(
        "Sandpiper's is what happens before the engine mounts the overlay; the whole is in the rows of starts"
    )
    row.notes.append("a checkout that the run did not make itself is looked through for what must not be seen")
    return row


def start(stand: Stand, kind: Kind) -> Row:
    """Row 6: whole starts, so that nothing can hide in the engine."""
    names = {size: f"{size:,} file{'s' if size > 1 else ''}" for size in (1, *SIZES)}
    row = Row(f"6.{kind}", f"Sandpiper {kind}, cold start with a checkout of", names[1])
    for size, name in names.items():
        row.add(name, lambda _, size=size: _started(stand, kind, size))  # type: ignore[misc]
    return row


def patch(stand: Stand) -> Row:
    """Row 6: what comes out."""
    large, names = SIZES[-1], {"docker": "Sandpiper docker", "bubblewrap": "Sandpiper bubblewrap"}
    floor = f"git diff of a copy, {large:,} files"
    goals = tuple(Goal(f"{name}, {size:,} files", 20.0) for name in names.values() for size in (1_000, large))
    row = Row("6.patch", f"patch of {CHANGED} files, after the kill", floor, goals)
    row.add(floor, lambda _: _git_diff(stand, checkout(stand, large)))
    for kind, name in names.items():
        for size in (1_000, large):
            row.add(f"{name}, {size:,} files", lambda _, k=kind, n=size: _collected(stand, k, n))  # type: ignore[misc]
    return row


def checkout(stand: Stand, size: int) -> Path:
    """A repository of so many small files, made once."""
    if size == 1:
        return stand.ours.checkout
    if size not in stand.checkouts:
        stand.checkouts[size] = make_big_checkout(stand.folder / f"checkout-{size}", size)
    return stand.checkouts[size]


def _prepared(stand: Stand, source: Path, *, pristine: bool) -> Once:
    try:
        work: Callable[..., object] = importlib.import_module("bot.sandbox.workspace.overlay").prepare
    except (ImportError, AttributeError) as error:
        raise LeftOut(f"bot.sandbox.workspace.overlay.prepare is not there: {error}") from error

    def once() -> Sample:
        folder = _room(stand)
        folder.mkdir()
        with timer() as elapsed:
            work(folder, source, "overlay", pristine=pristine)
            sample = elapsed()
        ours.remove_folder(folder)
        return sample

    return once


def _copied(stand: Stand, source: Path) -> Once:
    def once() -> Sample:
        folder = _room(stand)
        with timer() as elapsed:
            _copy(source, folder)
            sample = elapsed()
        if source in stand.copies:
            ours.remove_folder(folder)
        stand.copies.setdefault(source, folder)
        return sample

    return once


def _worktree(stand: Stand, source: Path) -> Once:
    git = ["git", "-c", "safe.directory=*", "-C", str(source), "worktree"]

    def once() -> Sample:
        folder = _room(stand)
        with timer() as elapsed:
            subprocess.run([*git, "add", "--detach", str(folder)], check=True, capture_output=True)
            sample = elapsed()
        subprocess.run([*git, "remove", "--force", str(folder)], check=True, capture_output=True)
        return sample

    return once


def _started(stand: Stand, kind: Kind, size: int) -> Once:
    provider = stand.ours.provider(kind, "-stocked")
    template = stand.ours.template(kind, checkout=str(checkout(stand, size)), pristine=True)

    def once() -> Sample:
        if kind == "docker":
            stand.ours.fill(provider, template, 1)
        with timer() as elapsed:
            box = provider.create(template)
            output = ours.hello(box)
            sample = elapsed()
        stand.ours.seen(kind, box)
        box.close()
        return said(output, sample)

    return once


def _collected(stand: Stand, kind: Kind, size: int) -> Once:
    provider = stand.ours.provider(kind)
    template = stand.ours.template(kind, checkout=str(checkout(stand, size)), pristine=True)

    def once() -> Sample:
        blobs = stand.folder / f"blobs-{secrets.token_hex(4)}"  # new ones, as a run has them
        blobs.mkdir()
        box = provider.create(template)
        try:
            result = box.exec(ExecRequest(argv=_change(size)))
            if not result.ok:
                raise LeftOut(f"the files could not be changed: {result.stderr!r}")
            with timer() as elapsed:
                changes = box.collect(blobs)
                return counted(len(changes.files), elapsed(), CHANGED)
        finally:
            box.close()

    return once


def _git_diff(stand: Stand, source: Path) -> Once:
    if source not in stand.copies:
        stand.copies[source] = _copy(source, _room(stand))
    copy = stand.copies[source]
    subprocess.run(_change(SIZES[-1]), cwd=copy, check=True)
    git = ["git", "-c", "safe.directory=*", "diff", "--no-ext-diff"]

    def once() -> Sample:
        with timer() as elapsed:
            subprocess.run(git, cwd=copy, check=True, stdout=subprocess.DEVNULL)
            return elapsed()

    return once


def _change(size: int) -> tuple[str, ...]:
    return ("sh", "-c", _CHANGE, "sh", *(path_of(number * (size // CHANGED)) for number in range(CHANGED)))


def _copy(source: Path, folder: Path) -> Path:
    subprocess.run(["cp", "-a", str(source), str(folder)], check=True)
    return folder


def _room(stand: Stand) -> Path:
    return stand.folder / f"workspace-{secrets.token_hex(4)}"

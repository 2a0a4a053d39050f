"""Settings and words of a command line -> providers, and the one sandbox that is meant, whoever made it.

Sandboxes of all providers have their folders in one place, so that an id says whose they are.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

import click

from bot.cli.output import say
from bot.errors import ConfigurationError, SandboxError, TaskError
from bot.protocols import Sandbox, SandboxProvider
from bot.redaction import secrets_of
from bot.sandbox.folder import PREFIX, Note, read_note
from bot.sandboxes import OnEgress, open_sandboxes, watchers, work_of
from bot.settings import Settings, load_settings
from bot.telemetry.lines import inert
from bot.types.run import Progress
from bot.types.sandbox import SandboxInfo

PROVIDERS = ("docker", "bubblewrap", "local")
"""Whose sandboxes are looked for."""


class _Aloud:
    """An Observer that says what people have to know; the steps are for the log."""

    def notify(self, progress: Progress) -> None:
        if progress.stage != "audit":
            say(f"sandpiper: {progress.text}", err=True)


@contextlib.contextmanager
def opened(
    settings: Settings, name: str = "", *, unisolated: bool = False, on_egress: OnEgress | None = None
) -> Iterator[SandboxProvider]:
    """A provider while it is in use; a signal ends what it does like an interrupt, so that nothing stays behind."""
    watch = watchers(settings, _Aloud(), secrets_of(os.environ, settings))
    provider = open_sandboxes(settings, watch, name=name, unisolated=unisolated, actor=_login(), on_egress=on_egress)
    with interruptible(), contextlib.closing(provider):
        yield provider


def present(settings: Settings, name: str) -> contextlib.AbstractContextManager[SandboxProvider]:
    """A provider for what it has made already, the one without isolation included: nothing new is let in."""
    return opened(settings, name, unisolated=True)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP interrupt, as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def inventory(settings: Settings) -> tuple[tuple[SandboxInfo, ...], tuple[str, ...]]:
    """All sandboxes, oldest first, and what is wrong with providers that did not answer though they have some."""
    found: list[SandboxInfo] = []
    wrong: list[str] = []
    names = {note.provider for _, note in _notes(settings)}
    for name in (each for each in PROVIDERS if each in names):
        with present(settings, name) as provider:
            try:
                found += provider.list()
            except SandboxError as error:
                wrong.append(f"{name}: {error.message}")
    return tuple(sorted(found, key=lambda each: each.created_at)), tuple(wrong)


@dataclass(frozen=True)
class Reached:
    """A sandbox that somebody named."""

    info: SandboxInfo
    note: Note
    provider: SandboxProvider
    sandbox: Sandbox | None
    """None when nothing can be run in it any more."""

    def living(self) -> Sandbox:
        """It, if it takes commands. Raises SandboxError."""
        if self.sandbox is None or self.info.state == "stopped":
            hint = f"make a new one; `sandpiper sandbox stop {self.info.id}` removes what is left"
            raise SandboxError("sandbox_lost", f"nothing runs in {self.info.id} any more", hint=hint)
        if self.info.state == "paused":
            hint = f"`sandpiper sandbox resume {self.info.id}` first"
            raise SandboxError("sandbox_paused", f"{self.info.id} is paused", hint=hint)
        return self.sandbox


@contextlib.contextmanager
def reach(word: str) -> Iterator[Reached]:
    """The sandbox whose id, or run, begins so. Raises ConfigurationError `no_such_sandbox`, `ambiguous_id`."""
    settings = load_settings(os.environ)
    name, note = find(settings, word)
    with present(settings, note.provider) as provider:
        info = next((each for each in provider.list() if each.id == name), None)
        if info is None:
            raise _unknown(word)
        yield Reached(info, note, provider, provider.get(name))


def find(settings: Settings, word: str) -> tuple[str, Note]:
    """Id and note of the sandbox that a word means; `sandpiper-` may be left out."""
    known = [each for each in _notes(settings) if each[0].startswith((word, f"{PREFIX}{word}"))]
    if not known or not word:
        raise _unknown(word)
    exact = [each for each in known if each[0] == word]
    if len(known) > 1 and not exact:
        names = ", ".join(name for name, _ in known[:5])
        raise ConfigurationError(
            "ambiguous_id", f"{word!r} is the beginning of several: {names}", hint="write more of it"
        )
    return (exact or known)[0]


def bad_path(text: str) -> TaskError:
    """A word that should have been ID:PATH."""
    return TaskError("bad_path", text, hint="sandpiper sandbox cp ID:src/file.py . (or the other way round)")


def warn(text: str) -> None:
    """One line, in yellow on a terminal."""
    click.secho(inert(f"warning: {text}"), fg="yellow", err=True)


def _notes(settings: Settings) -> list[tuple[str, Note]]:
    work = work_of(settings)
    folders = sorted(work.glob(f"{PREFIX}*")) if work.is_dir() else []
    found = [(each.name, note) for each in folders if (note := read_note(each)) is not None]
    return [each for each in found if each[1].provider in PROVIDERS]


def _unknown(word: str) -> ConfigurationError:
    return ConfigurationError("no_such_sandbox", f"there is no sandbox {word!r}", hint="see `sandpiper sandbox list`")


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may have no name for its user id
        return ""

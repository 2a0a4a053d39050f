"""An App's credentials -> a key and a file of settings that only their owner may read; nothing is ever overwritten."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from pathlib import Path

from bot.errors import ConfigurationError
from bot.forge.manifest import NewApp
from bot.settings import PREFIX, Settings
from bot.store.durable import written

ENV = "sandpiper-app.env"
KEY = "sandpiper-app.private-key.pem"


def prepared(folder: Path) -> Path:
    """The folder, ours alone and without an App in it. Raises ConfigurationError before anything is asked of GitHub."""
    folder = folder.absolute()
    if not re.fullmatch(r"[A-Za-z0-9_./+@-]+", str(folder)):
        hint = "the path stands in a file of settings that shells, systemd and Docker read each in its own way"
        raise ConfigurationError("folder_unusable", f"{folder} has characters that would need quotes", hint=hint)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = folder.stat().st_mode
        with tempfile.TemporaryFile(dir=folder):
            pass  # it can be written to
    except OSError as error:
        message = f"{folder} can't be used: {error.strerror or error}"
        raise ConfigurationError("folder_unusable", message, hint="choose another one with --into") from None
    if mode & 0o077:
        message = f"others may look into {folder} (mode {stat.S_IMODE(mode):04o})"
        raise ConfigurationError("folder_exposed", message, hint=f"chmod 700 {folder}, or choose another with --into")
    if there := [name for name in (ENV, KEY) if os.path.lexists(folder / name)]:
        message = f"{folder / there[0]} is there already, and is not overwritten"
        raise ConfigurationError("app_exists", message, hint="move it away, or choose another folder with --into")
    return folder


def store(app: NewApp, secret: str, folder: Path, settings: Settings) -> Path:
    """Write both files, or neither. Returns the file of settings."""
    key, env = folder / KEY, folder / ENV
    values = {
        "app_id": str(app.id),
        "app_key_file": str(key),
        "webhook_secret": secret,
        "mention": app.slug,
        "api_url": settings.api_url or "",
        "server_url": settings.server_url or "",
    }
    text = "".join(f"{PREFIX}{name.upper()}={value}\n" for name, value in values.items() if value)
    head = f"# The App {app.slug}, client id {app.client_id}. Secret: keep it to yourself.\n"
    try:
        with written(folder, app.pem.encode()) as pem, written(folder, (head + text).encode()) as lines:
            os.link(pem, key)
            try:
                os.link(lines, env)
            except OSError:
                key.unlink()
                raise
    except OSError as error:
        message = f"the App {app.slug} was created, but its key can't be kept: {error.strerror or error}"
        hint = f"make a new private key on its settings page ({app.page}), or delete the App and begin again"
        raise ConfigurationError("app_not_stored", message, hint=hint) from None
    return env


def read_env(path: Path) -> dict[str, str]:
    """Variables of a file of settings: NAME=VALUE lines, as they stand. Raises ConfigurationError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError("env_unreadable", f"{path} can't be read: {error}") from None
    found = {}
    for number, line in enumerate(lines, 1):
        name, equals, value = line.strip().partition("=")
        if not name or name.startswith("#"):
            continue
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ConfigurationError("env_invalid", f"{path}:{number}: not NAME=VALUE")
        found[name] = value
    return found

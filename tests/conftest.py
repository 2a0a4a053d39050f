"""Set-up that is shared by all tests: no secret of this machine, and one Docker engine."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.errors import SandboxError
from bot.sandbox.workspace.mounts import release

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _no_credentials_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that wants a token or a model key sets its own; what a person has exported never leaks in."""
    for name in list(os.environ):
        if name.startswith(("SANDPIPER_", "GITHUB_", "ACTIONS_")) or name.endswith(("_API_KEY", "_TOKEN")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session", autouse=True)
def _nothing_stays_mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests that kill the bot leave its sandboxes' disks mounted, as a crash does; nobody sweeps for them."""
    yield
    with contextlib.suppress(SandboxError):
        release(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def docker_engine() -> None:
    """A Docker engine that answers; started where that is possible."""
    done = subprocess.run([str(ROOT / "scripts" / "ensure-docker")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

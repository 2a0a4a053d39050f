"""Set-up that is shared by all tests: no secret of this machine, and one Docker engine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _no_credentials_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that wants a token or a model key sets its own; what a person has exported never leaks in."""
    for name in list(os.environ):
        if name.startswith(("SANDPIPER_", "GITHUB_", "ACTIONS_")) or name.endswith(("_API_KEY", "_TOKEN")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def docker_engine() -> None:
    """A Docker engine that answers; started where that is possible."""
    done = subprocess.run([str(ROOT / "scripts" / "ensure-docker")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

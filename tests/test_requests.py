"""What a whole `fix` run asks of GitHub's API, from its first look to the last word: few enough for anybody's limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stage import NAME, Stage, Tell, app_on_pull, command_on_pull, labelled_issue, staged

MOST = 25
"""Requests of a run that changes ten text files, an App's four for its two tokens among them."""
POLICY = "version: 1\ntasks:\n  fix:\n    verify: [make test]\n"
"""The built-in task's own outputs: comment, branch, draft pull request."""


def ten_files(workspace: Path) -> None:
    for number in range(9):
        (workspace / f"place{number}.txt").write_text(f"{number}\n")


def installed(stage: Stage) -> Stage:
    """As an App's webhook says it, with the number of the installation."""
    if stage.app_key:
        (app,) = (each for each in stage.server.world.apps.values() if each.slug == "sandpiper")
        stage.event = stage.event.changed(installation=app.installation_id)
    return stage


@pytest.mark.parametrize("tell", [labelled_issue, command_on_pull, app_on_pull], ids=lambda tell: tell.__name__)
def test_a_fix_asks_little(tell: Tell, tmp_path: Path) -> None:
    with staged(tell, tmp_path / "stage") as stage:
        stage.server.commit(NAME, "main", {".github/bot.yml": POLICY})
        stage = installed(stage)
        stage.working = ten_files
        evidence = stage.play()
        assert evidence.run.conclusion == "success"
        assert evidence.run.result is not None
        assert len(evidence.run.result.changes.files) == 10
        asked = [f"{each.method} {each.path}" for each in stage.server.requests]
        assert len(asked) <= MOST, "\n".join(asked)

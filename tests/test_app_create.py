"""`sandpiper app create` against a GitHub that plays the manifest flow; the test is the browser and the person."""

from __future__ import annotations

import html
import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from bot.cli.app import load_manifest
from bot.cli.app_files import ENV, KEY, read_env
from bot.errors import ForgeError
from bot.forge.client.apps import WRITE
from bot.forge.events.parsing import PARSERS
from tests.forge_fixtures import NAME, Desk, desk
from tests.github_server.server import GitHubServer
from tests.serve_fixtures import ROOT, serving
from tests.test_forge_writer import MAKERS

__all__ = ["desk"]
BROWSER = httpx.Client(verify=False, timeout=30)


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    with GitHubServer() as server:
        yield server
        assert server.violations == []


class Terminal:
    """The command, waiting for the browser."""

    def __init__(self, github: GitHubServer, folder: Path, *words: str) -> None:
        environ = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        environ |= {"SANDPIPER_API_URL": github.url, "SANDPIPER_SERVER_URL": github.html_url}
        command = [sys.executable, "-m", "bot", "app", "create", "--no-browser", "--into", str(folder / "app"), *words]
        self.process = subprocess.Popen(
            command, env=environ, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.page = self.process.stdout.readline().rpartition(" ")[2].strip()

    def form(self) -> tuple[str, dict[str, Any]]:
        """What the page sends to GitHub: the address, and the manifest."""
        page = BROWSER.get(self.page).text
        found = re.search(r'action="([^"]+)"[^>]*>\s*<input[^>]*name="manifest" value="([^"]+)"', page)
        assert found is not None
        return html.unescape(found[1]), json.loads(html.unescape(found[2]))

    def end(self) -> tuple[int, str, str]:
        """Exit code and what was printed."""
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@contextmanager
def terminal(github: GitHubServer, folder: Path, *words: str) -> Iterator[Terminal]:
    shown = Terminal(github, folder, *words)
    try:
        yield shown
    finally:
        if shown.process.poll() is None:
            shown.process.kill()
            shown.process.communicate()


def confirmed(github: GitHubServer, shown: Terminal, code: str = "c0de") -> httpx.Response:
    """The person says yes on GitHub's page, which sends the browser back."""
    action, manifest = shown.form()
    github.world.manifests[code] = manifest
    state = parse_qs(urlsplit(action).query)["state"][0]
    return BROWSER.get(manifest["redirect_url"], params={"code": code, "state": state})


def test_an_app_is_created_and_the_server_starts_with_what_was_stored(github: GitHubServer, tmp_path: Path) -> None:
    words = ("--org", "acme", "--name", "Acme Bot", "--webhook", "https://bot.acme.example/webhook")
    with terminal(github, tmp_path, *words) as shown:
        action, manifest = shown.form()
        assert action.startswith(f"{github.html_url}/organizations/acme/settings/apps/new?state=")
        assert manifest["name"] == "Acme Bot"
        assert manifest["hook_attributes"] == {"url": "https://bot.acme.example/webhook", "active": True}
        assert manifest["redirect_url"].startswith("http://127.0.0.1:")
        assert confirmed(github, shown).status_code == 200
        code, out, err = shown.end()
    assert (code, err) == (0, "")
    assert "/apps/acme-bot/installations/new" in out
    folder = tmp_path / "app"
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (folder, folder / ENV, folder / KEY)]
    assert modes == [0o700, 0o600, 0o600]
    assert sorted(each.name for each in folder.iterdir()) == sorted([ENV, KEY])
    values = read_env(folder / ENV)
    (app,) = [each for each in github.world.apps.values() if each.slug == "acme-bot"]
    assert values["SANDPIPER_APP_ID"] == str(app.id)
    assert values["SANDPIPER_APP_KEY_FILE"] == str(folder / KEY)
    assert values["SANDPIPER_MENTION"] == "acme-bot"
    assert values["SANDPIPER_WEBHOOK_SECRET"] not in out
    assert "PRIVATE KEY" not in out
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    with serving(environ, "--env", str(folder / ENV)) as server:
        secret = values["SANDPIPER_WEBHOOK_SECRET"]
        assert server.post({}, "d", "ping", secret=secret).status_code == 200


def test_without_a_webhook_a_secret_is_made_up_and_the_steps_say_what_is_missing(
    github: GitHubServer, tmp_path: Path
) -> None:
    with terminal(github, tmp_path) as shown:
        action, manifest = shown.form()
        assert urlsplit(action).path == "/settings/apps/new"
        assert "hook_attributes" not in manifest
        confirmed(github, shown)
        code, out, _ = shown.end()
    assert code == 0
    assert "no webhook yet" in out
    assert len(read_env(tmp_path / "app" / ENV)["SANDPIPER_WEBHOOK_SECRET"]) == 64


def test_an_answer_to_another_question_is_not_believed(github: GitHubServer, tmp_path: Path) -> None:
    with terminal(github, tmp_path, "--minutes", "0.15") as shown:
        manifest = shown.form()[1]
        redirect, github.world.manifests["c0de"] = manifest["redirect_url"], manifest
        for query in ("", "?code=c0de", "?code=c0de&state=guess", "?code=c0de&state=%ff%00", "?code=a&code=b&state="):
            assert BROWSER.get(redirect + query).status_code == 400
        own = urlsplit(shown.page)
        assert BROWSER.get(f"http://{own.netloc}/").status_code == 404
        assert BROWSER.get(shown.page, headers={"Host": f"evil.example:{own.port}"}).status_code == 403
        code, _, err = shown.end()
    assert code == 1
    assert "app_not_created" in err
    assert "5 came that did not belong" in err
    assert list((tmp_path / "app").iterdir()) == []
    assert github.requests == []


def test_whoever_gives_up_leaves_nothing_behind(github: GitHubServer, tmp_path: Path) -> None:
    with terminal(github, tmp_path) as shown:
        shown.process.send_signal(signal.SIGINT)
        code, _, err = shown.end()
    assert (code, "interrupted" in err) == (130, True)
    assert list((tmp_path / "app").iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "word"), [(None, "app_code_refused"), ("drop_after", "app_in_doubt"), ("status", "app_in_doubt")]
)
def test_a_code_that_buys_nothing_is_said_and_nothing_is_written(
    github: GitHubServer, tmp_path: Path, fault: Any, word: str
) -> None:
    if fault:
        github.faults.add("POST", "/conversions$", fault)
    with terminal(github, tmp_path) as shown:
        action, manifest = shown.form()
        state = parse_qs(urlsplit(action).query)["state"][0]
        if fault:
            github.world.manifests["c0de"] = manifest
        BROWSER.get(manifest["redirect_url"], params={"code": "c0de", "state": state})
        code, _, err = shown.end()
    assert code == 3
    assert word in err
    assert list((tmp_path / "app").iterdir()) == []
    assert len(github.requests) == 1  # a code is never tried twice


@pytest.mark.parametrize("case", ["env", "key", "open", "quotes", "organization", "webhook"])
def test_what_would_go_wrong_later_is_refused_before_github_is_asked(
    github: GitHubServer, tmp_path: Path, case: str
) -> None:
    folder, words = tmp_path / "app", []
    folder.mkdir(mode=0o755 if case == "open" else 0o700)
    if case in ("env", "key"):
        (folder / (ENV if case == "env" else KEY)).write_text("precious")
    words += ["--into", str(tmp_path / "a b")] if case == "quotes" else []
    words += ["--org", "a/../b"] if case == "organization" else []
    words += ["--webhook", "javascript:alert(1)"] if case == "webhook" else []
    with terminal(github, tmp_path, *words) as shown:
        code, _, err = shown.end()
    assert code == 2
    assert "hint" in err
    if case in ("env", "key"):
        assert [each.read_text() for each in folder.iterdir()] == ["precious"]


# --- what the manifest asks for ---------------------------------------------------------------------------------


def test_it_asks_for_what_the_tokens_are_made_with_and_never_for_workflows() -> None:
    assert load_manifest()["default_permissions"] == dict(WRITE)
    assert "workflows" not in WRITE


def refused_to(desk: Desk, permissions: dict[str, str]) -> set[tuple[str, str]]:
    """Kinds of outputs that are refused to an App with these permissions, and the errors' codes."""
    desk.server.add_app(77, "sandpiper", [NAME], permissions)
    desk.server.add_token("of-the-app", "sandpiper[bot]", "app", permissions, [NAME])
    refused = set()
    for kind, maker in MAKERS.items():
        try:
            desk.open("of-the-app")[1].apply(maker(desk), blobs=desk.blobs)
        except ForgeError as error:
            refused.add((kind, error.code))
    return refused - {("check ended", "forbidden")}  # the job's token began it, which is another App's


def test_everything_can_be_written_with_it(desk: Desk) -> None:
    assert refused_to(desk, load_manifest()["default_permissions"]) == set()


@pytest.mark.parametrize("name", sorted(set(load_manifest()["default_permissions"]) - {"metadata"}))
def test_nothing_less_would_do(desk: Desk, name: str) -> None:
    refused = refused_to(desk, load_manifest()["default_permissions"] | {name: "read"})
    assert {code for _, code in refused} == {"forbidden"}


def test_it_asks_for_the_events_that_are_acted_on() -> None:
    runner_only = {"pull_request_target", "schedule"}  # no webhook is ever sent for them
    # An App hears of failed checks by check_suite; whoever runs a workflow by hand means that workflow, not the bot.
    of_workflows = {"workflow_run", "workflow_dispatch"}
    known = {name for name, _ in PARSERS}
    assert set(load_manifest()["default_events"]) == known - runner_only - of_workflows

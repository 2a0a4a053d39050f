"""Credentials: keys, installations and their faults, tokens of organisations, who a token acts as."""

from __future__ import annotations

import json
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bot.cli.perform import require_token
from bot.errors import ConfigurationError, ForgeError
from bot.forge.client.apps import AHEAD, WRITE, InstallationTokens, Minted
from bot.forge.client.credentials import open_credentials
from bot.forge.forge import open_forge
from bot.redaction import Secrets
from bot.settings import Settings, load_settings
from bot.wiring import wire
from tests.app_fixtures import (
    APP_ID,
    app_settings,
    github,
    install,
    key_pair,
    labelled,
    lent_by,
    minted,
    other_key,
    perform,
)
from tests.forge_fixtures import NAME, TOKEN
from tests.github_server.records import now
from tests.github_server.server import GitHubServer
from tests.pipeline_fixtures import News

__all__ = ["github"]


# --- what stands in the way -----------------------------------------------------------------------------------------


def refusal(github: GitHubServer, **more: Any) -> ForgeError:
    with closing(lent_by(github, **more)) as lent, pytest.raises(ForgeError) as caught:
        lent.write.token()
    assert caught.value.hint
    assert minted(github) == [] or all(each.revoked for each in minted(github))
    return caught.value


def test_an_app_that_is_not_installed(github: GitHubServer) -> None:
    github.world.apps[APP_ID].repos.clear()
    error = refusal(github)
    assert (error.code, type(error)) == ("installation_missing", ForgeError)
    assert "octo" in error.hint


def test_an_installation_without_this_repository(github: GitHubServer) -> None:
    github.add_repo("octo/other")
    app = github.world.apps[APP_ID]
    app.repos = {"octo/other"}
    assert refusal(github, installation=app.installation_id).code == "installation_missing"


def test_an_installation_of_another_account_is_not_used(github: GitHubServer) -> None:
    github.add_repo("mallory/hello", private=True)
    app = github.world.apps[APP_ID]
    app.repos = {"mallory/hello"}
    assert refusal(github, installation=app.installation_id).code == "installation_missing"
    assert [each.repos for each in minted(github)] == [{"mallory/hello"}]


def test_a_suspended_installation(github: GitHubServer) -> None:
    github.world.apps[APP_ID].suspended_at = now()
    assert refusal(github).code == "installation_suspended"


def test_a_permission_that_is_lacking_is_named(github: GitHubServer) -> None:
    github.world.apps[APP_ID].permissions |= {"checks": "read"}
    del github.world.apps[APP_ID].permissions["pull_requests"]
    error = refusal(github)
    assert error.code == "permission_missing"
    assert "pull_requests: write, checks: write" in error.message
    assert "issues" not in error.message


def test_the_app_that_we_create_has_what_its_tokens_ask_for() -> None:
    manifest = json.loads((Path(__file__).parent.parent / "github-app-manifest.json").read_text(encoding="utf-8"))
    assert manifest["default_permissions"] == WRITE


@pytest.mark.parametrize("why", ["installation_missing", "installation_suspended", "permission_missing", "app_refused"])
def test_a_run_that_gets_no_token_ends_and_says_why(github: GitHubServer, tmp_path: Path, why: str) -> None:
    app = github.world.apps[APP_ID]
    match why:
        case "installation_missing":
            app.repos = set()
        case "installation_suspended":
            app.suspended_at = now()
        case "permission_missing":
            app.permissions["issues"] = "read"  # found out when the first word is to be written
        case _:
            app.public_key = other_key("public")
    run = perform(github, tmp_path)
    assert (run.status, run.conclusion) == ("completed", "failure")
    assert run.failure is not None
    assert (run.failure.code, run.failure.blame) == (why, "provider")
    assert github.repo(NAME).comments(1) == []
    assert all(each.revoked for each in minted(github))


def test_the_key_of_another_app(github: GitHubServer) -> None:
    github.world.apps[APP_ID].public_key = other_key("public")
    assert refusal(github).code == "app_refused"


def test_a_clock_that_is_off(github: GitHubServer) -> None:
    for off in (-3600.0, 3600.0):
        with closing(lent_by(github, clock=lambda off=off: now().timestamp() + off)) as lent:
            with pytest.raises(ForgeError) as caught:
                lent.read.token()
            assert (caught.value.code, "clock" in caught.value.hint) == ("app_refused", True)
    with closing(lent_by(github, clock=lambda: now().timestamp() + 50)) as lent:
        assert lent.read.token() == lent.read.token(), "most of a minute is borne"


def test_the_events_installation_may_be_of_another_app(github: GitHubServer) -> None:
    with closing(lent_by(github, installation=4711)) as lent:
        assert lent.read.token()
    operators_word = open_credentials(app_settings(github, installation=4711), {}, NAME)
    with closing(operators_word) as lent, pytest.raises(ForgeError) as caught:
        lent.read.token()
    assert caught.value.code == "installation_missing"


def test_a_client_id_does_as_well(github: GitHubServer) -> None:
    settings = app_settings(github).changed(app_id=github.world.apps[APP_ID].client_id)
    with closing(open_credentials(settings, {}, NAME)) as lent:
        assert lent.read.token() == minted(github)[0].value


# --- time and threads ---------------------------------------------------------------------------------------------


class Mint:
    """GitHub's part, with a clock of its own."""

    def __init__(self, life: float = 3600.0) -> None:
        self.life, self.time, self.made, self.revoked = life, 1e9, 0, list[str]()

    def tokens(self) -> InstallationTokens:
        return InstallationTokens(self.mint, self.revoked.append, clock=lambda: self.time)

    def mint(self) -> Minted:
        self.made += 1
        return Minted(f"token-{self.made}", self.time + self.life)


@given(st.lists(st.floats(min_value=0, max_value=5000), max_size=20))
def test_no_token_is_used_in_its_last_five_minutes(pauses: list[float]) -> None:
    mint = Mint()
    tokens, ends = mint.tokens(), dict[str, float]()
    for pause in pauses:
        mint.time += pause
        before = mint.made
        token = tokens.token()
        if mint.made > before:
            ends[token] = mint.time + mint.life
        assert ends[token] - mint.time > AHEAD
        assert tokens.token() == token, "never one per request"
    alive = {token for token, end in ends.items() if end > mint.time}
    tokens.close()
    assert set(mint.revoked) == alive
    assert len(mint.revoked) == len(alive)


def test_a_short_life_is_no_reason_to_ask_each_time() -> None:
    mint = Mint(life=10.0)
    tokens = mint.tokens()
    for _ in range(30):
        tokens.token()
        mint.time += 1
    assert mint.made == 1


def test_many_threads_share_one_renewal() -> None:
    mint = Mint()
    tokens = mint.tokens()
    old = tokens.token()
    start, got = threading.Barrier(16), list[str]()

    def work() -> None:
        start.wait(10)
        assert tokens.renew(old)
        got.append(tokens.token())

    threads = [threading.Thread(target=work) for _ in range(16)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(10)
    assert set(got) == {"token-2"}
    assert (len(got), mint.made) == (16, 2)
    mint.time += 60
    assert tokens.renew("token-2")
    tokens.close()
    assert mint.revoked == ["token-3"], "what GitHub refused is not given back"
    assert not tokens.renew("token-3")


# --- the App's key ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "code"), [(0o600, ""), (0o400, ""), (0o640, "app_key_exposed"), (0o604, "app_key_exposed")]
)
def test_a_key_file_is_its_owners_alone(github: GitHubServer, tmp_path: Path, mode: int, code: str) -> None:
    path = tmp_path / "app.pem"
    path.write_text(key_pair()[0])
    path.chmod(mode)
    hidden = Secrets()
    if code:
        with pytest.raises(ConfigurationError) as caught:
            lent_by(github, app_key_file=path)
        assert (caught.value.code, caught.value.hint) == (code, f"chmod 600 {path}")
        return
    with closing(lent_by(github, app_key_file=path, hide=hidden.add)) as lent:
        assert lent.read.token() in hidden
    body = key_pair()[0].splitlines()[5]
    assert body in hidden, "also a line of the key alone"


def test_a_key_file_that_is_none(github: GitHubServer, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(ConfigurationError) as caught:
            lent_by(github, app_key_file=path)
        assert caught.value.code == "app_key_unreadable"


@pytest.mark.parametrize(
    "key", ["", "nonsense", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----", "ec"]
)
def test_a_key_that_is_none_is_not_echoed(github: GitHubServer, key: str) -> None:
    text = other_key("ec") if key == "ec" else key
    settings = app_settings(github).changed(app_key=SecretStr(text))
    with closing(open_credentials(settings, {}, NAME)) as lent, pytest.raises(ConfigurationError) as caught:
        lent.read.token()
    assert caught.value.code == "invalid_app_key"
    assert "AAAA" not in str(caught.value)
    assert github.requests == []


def test_a_key_in_one_line(github: GitHubServer) -> None:
    environ = {
        "SANDPIPER_APP_ID": str(APP_ID),
        "SANDPIPER_APP_KEY": key_pair()[0].replace("\n", "\\n"),
        "SANDPIPER_API_URL": github.url,
    }
    with closing(open_credentials(load_settings(environ), environ, NAME)) as lent:
        assert lent.read.token()


@pytest.mark.parametrize("given", [{"app_id": "77"}, {"app_key": "k" * 40}, {"app_key_file": "/nowhere"}])
def test_half_an_app_is_an_error(given: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        require_token(Settings.model_validate({"token": "t" * 20, **given}), {}, NAME)
    assert caught.value.code == "app_incomplete"


# --- tokens of organisations ----------------------------------------------------------------------------------------


TOKENS = {"Acme": "ACME_TOKEN", "acme": "LOWER_TOKEN", "Other": "OTHER_TOKEN"}
ENVIRON = {"ACME_TOKEN": "t0ken-Acme", "LOWER_TOKEN": "t0ken-acme", "OTHER_TOKEN": " t0ken-other\n", "EMPTY": " "}


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        ("Acme", "t0ken-Acme"),
        ("acme", "t0ken-acme"),
        ("ACME", "t0ken-Acme"),
        ("OTHER", "t0ken-other"),
        ("octo", "t0ken-default"),
    ],
)
def test_the_token_of_an_organisation(owner: str, expected: str) -> None:
    settings = Settings(token=SecretStr("t0ken-default"), tokens=TOKENS)
    hidden = Secrets()
    lent = open_credentials(settings, ENVIRON, f"{owner}/hello", hide=hidden.add)
    assert (lent.read.token(), lent.write.token()) == (expected, expected)
    assert tuple(hidden) == (() if owner == "octo" else (expected,))


def test_a_variable_without_a_token_is_named() -> None:
    for variable in ("EMPTY", "NOT_THERE"):
        settings = Settings(token=SecretStr("t0ken-default"), tokens={"acme": variable})
        for use in (open_credentials, require_token):
            with pytest.raises(ConfigurationError) as caught:
                use(settings, ENVIRON, "acme/hello")
            assert caught.value.code == "token_missing"
            assert variable in caught.value.message
        assert open_credentials(settings, ENVIRON, "octo/hello").read.token() == "t0ken-default"


def test_without_anything_the_way_to_a_token_is_said() -> None:
    settings = Settings(tokens={"acme": "ACME_TOKEN"})
    with pytest.raises(ConfigurationError) as caught:
        require_token(settings, ENVIRON, NAME)
    assert caught.value.code == "token_missing"
    assert "octo=VARIABLE" in caught.value.hint
    require_token(settings, ENVIRON, "acme/hello")
    require_token(Settings(app_id="77", app_key=SecretStr("k" * 40)), {}, NAME)


def test_every_organisations_token_is_hidden_and_used_at_its_place(github: GitHubServer, tmp_path: Path) -> None:
    github.add_token("t0ken-Acme", "acme-person", kind="pat")
    environ = {"PATH": "/usr/bin:/bin", "HOME_OF_IT": "t0ken-elsewhere", **ENVIRON}
    settings = Settings(
        token=SecretStr(TOKEN),
        tokens={"OCTO": "ACME_TOKEN", "x": "HOME_OF_IT"},
        api_url=github.url,
        state=tmp_path,
    )
    event = labelled(github)
    with closing(wire(settings, event.repository, watch=News(), environ=environ)) as deps:
        assert deps.reader.viewer().login == "acme-person"
        assert {"t0ken-Acme", "t0ken-elsewhere", TOKEN} <= set(deps.secrets)


# --- who a token acts as ------------------------------------------------------------------------------------------


def viewer_with(github: GitHubServer, token: str) -> tuple[str, int, str]:
    settings = Settings(token=SecretStr(token), api_url=github.url)
    found = open_forge(settings, NAME, sleep=lambda seconds: None)[0].viewer()
    return found.login, found.id, found.type


@pytest.mark.parametrize("graphql", [True, False])
def test_the_viewer_by_either_way(github: GitHubServer, graphql: bool) -> None:
    if not graphql:
        github.faults.add("POST", "/graphql$", "status", times=-1, status=404)
    github.add_token(TOKEN)
    person = github.add_token("personal", "maint", kind="pat").user
    app = github.world.apps[APP_ID]
    assert viewer_with(github, TOKEN) == ("github-actions[bot]", 41898282, "Bot")
    assert viewer_with(github, "personal") == ("maint", person.id, "User")
    with closing(lent_by(github)) as lent:
        reader, _ = open_forge(app_settings(github), NAME, credentials=lent)
        found = reader.viewer()
        assert (found.login, found.id, found.type) == (f"sandpiper-{APP_ID}[bot]", app.user.id, "Bot")
        before = len(github.requests)
        reader.viewer()
        assert len(github.requests) == before, "asked once"
        if graphql:
            assert viewer_with(github, lent.read.token()) == (found.login, found.id, "Bot"), "by its token alone"


def test_on_an_enterprise_server() -> None:
    with GitHubServer(enterprise=True) as server:
        server.add_repo(NAME)
        install(server, NAME)
        with closing(lent_by(server)) as lent:
            reader, _ = open_forge(app_settings(server), NAME, credentials=lent)
            assert reader.viewer().login == f"sandpiper-{APP_ID}[bot]"
        assert all(each.revoked for each in minted(server))


def test_a_refused_token_is_not_asked_for_in_another_way(github: GitHubServer) -> None:
    with pytest.raises(ForgeError) as caught:
        viewer_with(github, "not-a-token")
    assert caught.value.code == "unauthorized"
    assert len(github.requests) == 1

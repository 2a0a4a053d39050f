"""Credentials: an App's tokens from the first request to the last, tokens of organisations, who a token acts as."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing, nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bot.agent.runtimes.command import CommandRuntime
from bot.cli.perform import opened, require_token
from bot.deps import Deps, tell
from bot.errors import ConfigurationError, ForgeError
from bot.forge.apps import AHEAD, READ, WRITE, InstallationTokens, Minted
from bot.forge.checkout import GitCheckouts
from bot.forge.client import Client
from bot.forge.credentials import Credentials, open_credentials
from bot.forge.events import parse_event
from bot.forge.forge import open_forge
from bot.forge.transport import Transport
from bot.pipeline import handle
from bot.redaction import Secrets, redact
from bot.settings import Settings, load_settings
from bot.testing.sandbox import FakeProvider
from bot.types.event import Event
from bot.types.run import Run
from bot.wiring import wire
from tests.action_fixtures import job_for
from tests.app_fixtures import APP_ID, MINTING, REVOKING, app_settings, install, key_pair, minted, of_kind, sent
from tests.forge_fixtures import FILES, NAME, TOKEN
from tests.github_server.exchange import Request
from tests.github_server.records import now
from tests.github_server.server import GitHubServer
from tests.github_server.webhooks import issue_comment_created, issues_labeled
from tests.pipeline_fixtures import POLICY, News, make
from tests.test_forge_checkout import spec_for


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    """A repository with an App on it."""
    with GitHubServer() as server:
        server.add_repo(NAME, {**FILES, ".github/bot.yml": POLICY, "table.txt": "old\n"})
        install(server, NAME)
        yield server
        assert server.violations == []
        assert server.unknown == []


def lent_by(server: GitHubServer, **more: Any) -> Credentials:
    naps: list[float] = []
    options = {name: more.pop(name) for name in ("installation", "hide", "clock") if name in more}
    return open_credentials(app_settings(server, **more), {}, NAME, sleep=naps.append, **options)


def operations(server: GitHubServer) -> list[str | None]:
    return [each.operation for each in server.requests]


# --- a whole run --------------------------------------------------------------------------------------------------


def labelled(server: GitHubServer) -> Event:
    server.add_user("maria")
    server.set_permission(NAME, "maria", "write")
    server.open_issue(NAME, title="The table is old", labels=["bot:regenerate"])
    payload = issues_labeled(server, NAME, 1, "bot:regenerate", "maria")
    return parse_event("issues", payload, settings=Settings())


def wired(server: GitHubServer, event: Event, folder: Path, news: News, **more: Any) -> Deps:
    """As every door wires it, but for the sandbox: commands run in a folder."""
    settings = app_settings(server, state=folder / "state")
    deps = wire(settings, event.repository, watch=news, environ={"PATH": "/usr/bin:/bin"}, **more)
    return replace(deps, sandboxes=FakeProvider(folder / "boxes", make), runtime=lambda spec: CommandRuntime())


def perform(server: GitHubServer, folder: Path, **more: Any) -> Run:
    event = labelled(server)
    with closing(wired(server, event, folder, News(), **more)) as deps:
        return handle(event, deps)


def test_a_run_as_an_app_uses_the_least_and_gives_it_back(github: GitHubServer, tmp_path: Path) -> None:
    installation = github.world.apps[APP_ID].installation_id
    run = perform(github, tmp_path, installation=installation)
    assert run.conclusion == "success"
    assert [each.permissions for each in minted(github)] == [dict(READ), dict(WRITE)]
    assert all(each.repos == {NAME} and each.revoked for each in minted(github))
    assert "workflows" not in {**READ, **WRITE}
    about_tokens = [each for each in operations(github) if each and ("/app" in each or "/installation" in each)]
    assert about_tokens == [MINTING, MINTING, REVOKING, REVOKING], "four requests more than with a job's token"
    bot = github.world.user(f"sandpiper-{APP_ID}[bot]")
    issue = github.repo(NAME).issues[1]
    assert {each.user.login for each in issue.comments} == {bot.login}
    pull = next(iter(github.repo(NAME).pulls.values()))
    assert pull.user.login == bot.login
    phases = {each.value: of_kind(each) for each in minted(github)}
    for request in github.requests:
        if request.operation not in (MINTING, REVOKING):
            assert phases[sent(request)] == ("read" if request.reads else "write"), request
    assert {request.token for request in github.git_requests} == {minted(github)[0].value}, "the checkout reads"


def test_a_long_token_leaves_nowhere(github: GitHubServer, tmp_path: Path) -> None:
    event = labelled(github)
    news = News()
    with closing(wired(github, event, tmp_path, news)) as deps:
        assert handle(event, deps).conclusion == "success"
        values = [each.value for each in minted(github)]
        assert len(values) == 2
        for value in values:
            assert len(value) > 400
            tell(deps, "work", f"<{value}> {value[::-1]} {value.encode().hex()}")
            deps.watch.notify(news.told[-1].changed(text=f"[{value}]"))
            assert redact(f"a {value} b", deps.secrets, shapes=False) == "a *** b"
    assert news.told[-2].text == "<***> *** ***"
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    bodies = "\n".join(github.repo(NAME).comments(1)).encode() + b"".join(each.raw for each in github.requests)
    for value in values:
        for part in (value, value[:40], value[-40:], value.split("_")[-1][:60]):
            assert part.encode() not in kept
            assert part.encode() not in bodies


def expire_at(server: GitHubServer, kind: str, method: str, words: str, times: int = 1) -> None:
    """GitHub ends the token of a phase just before a request of it comes in."""
    left = [times]

    def strike(request: Request) -> None:
        token = server.world.tokens.get(sent(request))
        wanted = token is not None and of_kind(token) == kind and request.method == method and words in request.path
        if token is not None and wanted and left[0] > 0:
            left[0] -= 1
            token.expires_at = now() - timedelta(seconds=1)

    server.on_request(strike)


@pytest.mark.parametrize(
    ("kind", "method", "words"),
    [
        ("read", "GET", "/collaborators/"),
        ("read", "GET", "/issues/1"),
        ("write", "POST", "/comments"),
        ("write", "POST", "/git/trees"),
        ("write", "POST", "/pulls"),
        ("write", "PATCH", "/comments/"),
    ],
)
def test_a_token_that_ends_in_the_middle_is_renewed_once(
    github: GitHubServer, tmp_path: Path, kind: str, method: str, words: str
) -> None:
    expire_at(github, kind, method, words)
    assert perform(github, tmp_path).conclusion == "success"
    assert sorted(of_kind(each) for each in minted(github)) == sorted(["read", "write", kind])
    refused = [at for at, each in enumerate(github.requests) if each.status == 401]
    # Reads come side by side: some may be on their way with the old token already.
    assert 1 <= len(refused) <= (1 if kind == "write" else 8)
    old = sent(github.requests[refused[0]])
    assert {sent(github.requests[at]) for at in refused} == {old}
    assert old not in [sent(each) for each in github.requests[refused[-1] + 1 :]], "the old token is dropped"
    assert len(github.repo(NAME).comments(1)) == 1
    assert len(github.repo(NAME).pulls) == 1
    assert all(each.revoked for each in minted(github) if each.value != old)


def test_whoever_refuses_every_token_is_not_asked_for_more(github: GitHubServer) -> None:
    github.faults.add("GET", f"/repos/{NAME}/collaborators", "expired", times=-1)
    with closing(lent_by(github)) as lent:
        reader, _ = open_forge(app_settings(github), NAME, credentials=lent)
        for _ in range(3):
            with pytest.raises(ForgeError) as caught:
                reader.permission(labelled(github).actor)
            assert caught.value.code == "unauthorized"
    assert operations(github).count(MINTING) == 2


def test_a_checkout_renews_its_token_as_well(github: GitHubServer, tmp_path: Path) -> None:
    github.repo(NAME).private = True
    head = github.repo(NAME).git.ref("refs/heads/main") or ""
    with closing(lent_by(github)) as lent:
        lent.read.token()
        minted(github)[0].expires_at = now() - timedelta(seconds=1)
        checkouts = GitCheckouts(app_settings(github), None, tokens=lent.read)
        assert (checkouts.prepare(spec_for(head), tmp_path / "w") / "README.md").read_text() == "# Sample\n"
    assert [of_kind(each) for each in minted(github)] == ["read", "read"]


def test_a_refusal_that_was_said_takes_no_token_that_writes(github: GitHubServer, tmp_path: Path) -> None:
    github.open_issue(NAME)
    for number in range(2):
        comment = github.comment(NAME, 1, "/bot fix", "stranger")
        event = parse_event("issue_comment", issue_comment_created(github, NAME, comment.id), settings=Settings())
        before = len(minted(github))
        with closing(wired(github, event, tmp_path / str(number), News())) as deps:
            assert handle(event, deps).conclusion == "skipped"
        kinds = [of_kind(each) for each in minted(github)[before:]]
        assert kinds == (["read", "write"] if number == 0 else ["read"])
    assert len(github.repo(NAME).comments(1)) == 3


class Boom(Exception):
    """A defect."""


@pytest.mark.parametrize("ending", ["failure", "cancelled", "defect", "interrupted"])
def test_tokens_are_given_back_however_it_ends(github: GitHubServer, tmp_path: Path, ending: str) -> None:
    event = labelled(github)

    def runtime(spec: Any) -> Any:
        if ending == "failure":
            raise ForgeError("broken", "somebody else's fault")
        raise {"defect": Boom, "interrupted": KeyboardInterrupt}[ending]()

    def door() -> Run:
        with closing(wired(github, event, tmp_path, News(), cancelled=lambda: ending == "cancelled")) as deps:
            return handle(event, replace(deps, runtime=deps.runtime if ending == "cancelled" else runtime))

    if ending in ("failure", "cancelled"):
        assert door().conclusion == ending
    else:
        with pytest.raises((Boom, KeyboardInterrupt)):
            door()
    assert len(minted(github)) == 2
    assert all(each.revoked for each in minted(github))


def test_giving_back_twice_or_to_a_dead_server_is_no_error(github: GitHubServer) -> None:
    lent = lent_by(github)
    lent.read.token()
    github.faults.add("DELETE", "/installation/token", "status", times=-1, status=500)
    lent.close()
    lent.close()
    with pytest.raises(ForgeError) as caught:
        lent.read.token()
    assert caught.value.code == "tokens_returned"
    assert operations(github).count(MINTING) == 1


def test_an_answer_that_is_lost_when_giving_back_is_asked_for_again(github: GitHubServer) -> None:
    github.faults.add("DELETE", "/installation/token", "drop_after")
    with closing(lent_by(github)) as lent:
        lent.write.token()
    assert [each.revoked for each in minted(github)] == [True]


def test_nothing_is_asked_before_it_is_needed(github: GitHubServer) -> None:
    with closing(lent_by(github)) as lent:
        open_forge(app_settings(github), NAME, credentials=lent)
    assert github.requests == []


# --- what a token may do ------------------------------------------------------------------------------------------


def test_the_reading_token_writes_nothing(github: GitHubServer) -> None:
    issue = github.open_issue(NAME)
    with closing(lent_by(github)) as lent:
        transport = Transport(app_settings(github), lent.read)
        for method, path, body in (
            ("POST", f"/repos/{NAME}/issues/{issue.number}/comments", {"body": "x"}),
            ("POST", f"/repos/{NAME}/git/blobs", {"content": "x", "encoding": "utf-8"}),
            ("POST", f"/repos/{NAME}/check-runs", {"name": "x", "head_sha": "1" * 40}),
        ):
            with pytest.raises(ForgeError) as caught:
                Client(transport).write(method, path, body)  # type: ignore[arg-type]
            assert caught.value.code == "forbidden"
    assert github.repo(NAME).comments(issue.number) == []


def test_a_token_reaches_one_repository(github: GitHubServer) -> None:
    other = github.add_repo("octo/other", private=True)
    github.world.apps[APP_ID].repos.add(other.full_name)
    with closing(lent_by(github)) as lent:
        reads = Client(Transport(app_settings(github), lent.write))
        assert reads.get(f"/repos/{NAME}")["full_name"] == NAME
        with pytest.raises(ForgeError) as caught:
            reads.get("/repos/octo/other")
        assert caught.value.code == "not_found"


def test_a_redirect_to_another_host_takes_no_token_along(github: GitHubServer) -> None:
    issue = github.open_issue(NAME)
    with GitHubServer() as thief, closing(lent_by(github)) as lent:
        github.faults.add("GET", f"/issues/{issue.number}$", "redirect", location=f"{thief.url}/x/issues/1")
        github.faults.add("POST", "/access_tokens$", "redirect", location=f"{thief.url}/x")
        reader, _ = open_forge(app_settings(github), NAME, credentials=lent)
        for code in ("moved", "moved"):
            with pytest.raises(ForgeError) as caught:
                reader.subject(issue.number)
            assert caught.value.code == code
        assert thief.requests == []
        assert thief.unknown == []


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


def other_key(which: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    if which == "public":
        public = rsa.generate_private_key(65537, 2048).public_key()
        return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


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


# --- doors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raises", [False, True])
def test_the_command_line_gives_tokens_back(github: GitHubServer, tmp_path: Path, raises: bool) -> None:
    event = labelled(github).changed(installation=github.world.apps[APP_ID].installation_id)
    settings = app_settings(github, state=tmp_path)
    with pytest.raises(Boom) if raises else nullcontext(), opened(event, settings, {}) as deps:
        deps.reader.viewer()
        assert [each.revoked for each in minted(github)] == [False]
        if raises:
            raise Boom
    assert [each.revoked for each in minted(github)] == [True]
    assert "GET /repos/{owner}/{repo}/installation" not in operations(github), "the event names it"


def test_a_job_that_acts_as_an_app(github: GitHubServer, tmp_path: Path) -> None:
    labelled(github)
    github.add_user("stranger")
    payload = issues_labeled(github, NAME, 1, "bot:regenerate", "stranger")
    variables = {"SANDPIPER_APP_ID": str(APP_ID), "SANDPIPER_APP_KEY": key_pair()[0]}
    step = job_for(github, tmp_path, payload, **variables).step("run")
    assert step.code == 0, step.stderr + step.stdout
    assert minted(github)
    assert all(each.revoked for each in minted(github))
    for each in minted(github):
        assert each.value[:40] not in step.stdout.replace("::add-mask::" + each.value, "") + step.stderr
    broken = job_for(github, tmp_path / "2", payload, **{**variables, "SANDPIPER_APP_KEY": "nonsense-nonsense"}).step(
        "run"
    )
    assert broken.code == 2
    assert "invalid_app_key" in broken.stdout

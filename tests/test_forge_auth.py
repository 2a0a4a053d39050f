"""A run as an App: least permissions, tokens renewed and given back, whatever happens; who may write with which."""

from __future__ import annotations

from contextlib import closing, nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.cli.perform import opened
from bot.deps import tell
from bot.errors import ForgeError
from bot.forge.checkout.checkout import GitCheckouts
from bot.forge.client.apps import READ, WRITE
from bot.forge.client.client import Client
from bot.forge.client.transport import Transport
from bot.forge.events.parsing import parse_event
from bot.forge.forge import open_forge
from bot.pipeline import handle
from bot.redaction import redact
from bot.settings import Settings
from bot.types.run import Run
from tests.action_fixtures import job_for
from tests.app_fixtures import (
    APP_ID,
    MINTING,
    REVOKING,
    app_settings,
    github,
    key_pair,
    labelled,
    lent_by,
    minted,
    of_kind,
    operations,
    perform,
    sent,
    wired,
)
from tests.forge_fixtures import NAME
from tests.github_server.exchange import Request
from tests.github_server.records import now
from tests.github_server.server import GitHubServer
from tests.github_server.webhooks import issue_comment_created, issues_labeled
from tests.pipeline_fixtures import News
from tests.test_forge_checkout import spec_for

__all__ = ["github"]


# --- a whole run --------------------------------------------------------------------------------------------------


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
        for part in (value, value[:40], value[-40:], value.split("_", 2)[-1][:60]):
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

"""Faults of the network and of GitHub -> retries, waits, refusals: the policy of the client."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
import responses
from pydantic import SecretStr

from bot.errors import ForgeError
from bot.forge.client.client import Client, last_page
from bot.forge.client.failures import InDoubt
from bot.forge.client.tokens import FixedToken
from bot.forge.client.transport import Request, Transport
from bot.forge.forge import open_forge
from bot.settings import Settings
from bot.types.output import Note
from tests.forge_fixtures import MARKER, NAME, TOKEN, Desk, desk

__all__ = ["desk"]

API = "http://api.example.test/api/v3"


def client_for(naps: list[float], now: float = 1000.0) -> Client:
    settings = Settings(token=SecretStr("sup3r-s3cret-t0ken"), api_url=API)
    return Client(Transport(settings, FixedToken(settings.token)), sleep=naps.append, clock=lambda: now)


@pytest.mark.parametrize("kind", ["drop_before", "status"])
def test_reads_are_retried_a_few_times(desk: Desk, kind: Any) -> None:
    fault = desk.server.faults.add("GET", "/issues/1", kind, times=2)
    assert desk.open()[0].subject(1) is not None
    assert fault.met == 2
    assert len(desk.naps) == 2
    assert desk.naps[0] < desk.naps[1]


def test_reads_end_with_an_error_when_nothing_answers(desk: Desk) -> None:
    fault = desk.server.faults.add("GET", "/issues/1", "status", times=-1, status=503)
    with pytest.raises(ForgeError) as caught:
        desk.open()[0].subject(1)
    assert caught.value.code == "unreachable"
    assert fault.met == 3


def test_retry_after_is_honoured(desk: Desk) -> None:
    desk.server.faults.add("GET", "/issues/1", "secondary_limit", retry_after=7)
    assert desk.open()[0].subject(1) is not None
    assert desk.naps == [7.0]


def test_a_limited_write_waits_and_is_done_once(desk: Desk) -> None:
    desk.server.faults.add("POST", "/comments", "secondary_limit", status=429, retry_after=9)
    desk.apply(Note(key="status", number=1, marker=MARKER, body="hello"))
    assert desk.naps == [9.0]
    assert desk.repo.comments(1) == [f"{MARKER}\nhello"]


def test_the_reset_of_the_primary_limit_is_honoured(desk: Desk) -> None:
    desk.server.faults.add("GET", "/issues/1", "primary_limit", seconds=30)
    assert desk.open()[0].subject(1) is not None
    assert len(desk.naps) == 1
    assert 28 <= desk.naps[0] <= 32


def test_a_wait_beyond_patience_is_an_error_with_the_time(desk: Desk) -> None:
    desk.server.faults.add("GET", "/issues/1", "primary_limit", seconds=3000)
    with pytest.raises(ForgeError) as caught:
        desk.open()[0].subject(1)
    assert caught.value.code == "rate_limited"
    assert desk.naps == []


def test_a_limit_that_never_ends_is_an_error(desk: Desk) -> None:
    desk.server.faults.add("GET", "/issues/1", "secondary_limit", times=-1, retry_after=0)
    with pytest.raises(ForgeError) as caught:
        desk.open()[0].subject(1)
    assert caught.value.code == "rate_limited"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_reads_follow_redirects_only_inside_the_api(desk: Desk, status: int) -> None:
    desk.server.faults.add("GET", "/issues/1", "redirect", status=status)
    assert desk.open()[0].subject(1) is not None
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        stranger = mock.get("https://elsewhere.test/steal", json={})
        mock.get(f"{API}/x", status=status, headers={"Location": "https://elsewhere.test/steal"})
        with pytest.raises(ForgeError) as caught:
            client_for([]).get("/x")
        assert caught.value.code == "moved"
        assert stranger.call_count == 0


@pytest.mark.parametrize(
    "where", [f"{API}/x", "http://api.example.test/other", "http://api.example.test:81/api/v3/y", "", "//evil"]
)
def test_redirects_that_loop_or_leave_are_refused(where: str) -> None:
    with responses.RequestsMock() as mock:
        mock.get(f"{API}/x", status=301, headers={"Location": where})
        with pytest.raises(ForgeError) as caught:
            client_for([]).get("/x")
        assert caught.value.code == "moved"
        assert {call.request.method for call in mock.calls} == {"GET"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirected_write_is_refused_and_never_becomes_a_read(desk: Desk, status: int) -> None:
    desk.server.faults.add("POST", "/comments", "redirect", status=status)
    with pytest.raises(ForgeError) as caught:
        desk.apply(Note(key="status", number=1, marker=MARKER, body="hello"))
    assert caught.value.code == "moved"
    assert desk.repo.comments(1) == []
    assert sum(each.method == "POST" for each in desk.server.requests) == 1


def test_a_renamed_repository_takes_no_writes(desk: Desk) -> None:
    desk.server.rename(NAME, "renamed")
    with pytest.raises(ForgeError) as caught:
        desk.apply(Note(key="status", number=1, marker=MARKER, body="hello"))
    assert caught.value.code == "moved"


@pytest.mark.parametrize("page", ["<html>proxy</html>", "[" * 100_000, "{", ""])
def test_a_page_that_is_no_json_leaves_a_write_in_doubt(page: str) -> None:
    with responses.RequestsMock() as mock:
        mock.post(f"{API}/x", body=page, status=200)
        if page:
            with pytest.raises(InDoubt):
                client_for([]).write("POST", "/x", {})
        else:
            assert client_for([]).write("POST", "/x", {}) is None


def test_texts_with_half_a_surrogate_pair_become_storable() -> None:
    with responses.RequestsMock() as mock:
        mock.get(f"{API}/x", body=json.dumps({"body": "a\ud800b"}))
        found = client_for([]).get("/x")["body"]
    assert found.encode().decode() == found


def test_the_token_goes_to_the_api_only_in_its_header_and_never_into_an_error() -> None:
    with responses.RequestsMock() as mock:
        mock.get(f"{API}/x", status=403, json={"message": "no, sup3r-s3cret-t0ken may not"})
        with pytest.raises(ForgeError) as caught:
            client_for([]).get("/x")
        assert mock.calls[0].request.headers["Authorization"] == "Bearer sup3r-s3cret-t0ken"
    assert "sup3r-s3cret-t0ken" not in str(caught.value)
    assert "sup3r-s3cret-t0ken" not in repr(vars(caught.value))


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "unauthorized"),
        (403, "forbidden"),
        (404, "not_found"),
        (409, "rejected"),
        (410, "gone"),
        (422, "rejected"),
    ],
)
def test_every_refusal_has_a_code_and_a_way_out(status: int, code: str) -> None:
    with responses.RequestsMock() as mock:
        mock.get(f"{API}/x", status=status, json={"message": "because", "errors": [{"field": "f", "code": "c"}, "e"]})
        with pytest.raises(ForgeError) as caught:
            client_for([]).get("/x")
    assert caught.value.code == code
    assert "because; f c; e" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("Unable to create comment because issue is locked.", "locked"),
        ("Repository was archived so is read-only.", "archived"),
        ("Resource not accessible by integration", "forbidden"),
        ("This installation has been suspended", "suspended"),
        ("Sorry. Your account was suspended.", "suspended"),
        ("The `octo` organization has an IP allow list enabled, and your IP address is not permitted.", "ip_denied"),
        ("Repository access blocked", "unavailable"),
    ],
)
def test_reasons_that_people_can_mend_have_codes_of_their_own(said: str, code: str) -> None:
    with responses.RequestsMock() as mock:
        mock.post(f"{API}/x", status=403, json={"message": said})
        with pytest.raises(ForgeError) as caught:
            client_for([]).write("POST", "/x", {})
    assert caught.value.code == code


def test_single_sign_on_and_a_takedown_have_codes_of_their_own() -> None:
    with responses.RequestsMock() as mock:
        sso = {"X-GitHub-SSO": "required; url=https://github.example.test/orgs/octo/sso?authorization_request=x"}
        mock.get(f"{API}/sso", status=403, json={"message": "Resource protected by organization SAML"}, headers=sso)
        mock.get(f"{API}/dmca", status=451, json={"message": "no"})
        partial = {"X-GitHub-SSO": "partial-results; organizations=1,2"}
        mock.get(f"{API}/partly", json=[], headers=partial)
        for path, code in (("/sso", "sso_required"), ("/dmca", "unavailable")):
            with pytest.raises(ForgeError) as caught:
                client_for([]).get(path)
            assert caught.value.code == code
            assert caught.value.hint
        assert client_for([]).get("/partly") == []


def test_a_token_of_one_letter_does_not_spoil_answers() -> None:
    with responses.RequestsMock() as mock:
        mock.get(f"{API}/x", json={"text": "axe"})
        settings = Settings(api_url=API)
        assert Client(Transport(settings, FixedToken(SecretStr("x")))).get("/x")["text"] == "axe"


def test_a_missing_permission_is_named() -> None:
    with responses.RequestsMock() as mock:
        headers = {"X-Accepted-GitHub-Permissions": "issues=write"}
        mock.get(f"{API}/x", status=403, json={"message": "no"}, headers=headers)
        with pytest.raises(ForgeError) as caught:
            client_for([]).get("/x")
    assert "issues=write" in caught.value.hint


def test_an_endless_answer_is_cut_off() -> None:
    with responses.RequestsMock() as mock:
        mock.get(f"{API}/x", body=b"x" * 200_000)
        assert len(client_for([]).text("/x", "text/plain", 100_000)) == 100_000
        with pytest.raises(ForgeError) as caught:
            Transport(Settings(api_url=API), FixedToken(None)).send(Request("GET", "/x", limit=100_000))
        assert caught.value.code == "answer_too_large"


def test_a_list_that_is_too_long_is_read_from_its_end() -> None:
    with responses.RequestsMock() as mock:
        for page in (1, 8, 9):
            link = f'<{API}/x?per_page=100&page=9>; rel="last", <https://evil.test/?page=2>; rel="next"'
            query = responses.matchers.query_param_matcher({"per_page": "100", "page": str(page)})
            mock.get(f"{API}/x", json=[page], headers={"Link": link}, match=[query])
        assert client_for([]).pages("/x", most=2) == (8, 9)


@pytest.mark.parametrize(
    ("link", "page"),
    [
        ("", 1),
        ('<u?page=3>; rel="next"', 1),
        ('<u?per_page=9&page=12&x>; rel="last"', 12),
        ('<u?page=x>; rel="last"', 1),
    ],
)
def test_link_headers(link: str, page: int) -> None:
    assert last_page(link) == page


def test_a_write_whose_answer_takes_too_long_is_in_doubt_and_not_repeated() -> None:
    with responses.RequestsMock() as mock:
        lost = mock.post(f"{API}/x", body=requests.ReadTimeout("sup3r-s3cret-t0ken"))
        with pytest.raises(InDoubt) as caught:
            client_for([]).write("POST", "/x", {})
        assert lost.call_count == 1
    assert "sup3r" not in str(caught.value)


def test_a_write_that_took_effect_late_is_found_instead_of_repeated() -> None:
    found = iter([None, "made"])
    naps: list[float] = []
    with responses.RequestsMock() as mock:
        lost = mock.post(f"{API}/x", body=requests.ReadTimeout())
        client = client_for(naps)
        assert client.settle(lambda: client.write("POST", "/x", {}), lambda: next(found)) == "made"
        assert lost.call_count == 2
    assert len(naps) == 2


def test_opening_a_forge_asks_nothing() -> None:
    with responses.RequestsMock():
        open_forge(Settings(token=SecretStr(TOKEN), api_url=API), NAME)

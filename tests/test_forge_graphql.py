"""GraphQL documents with variables -> data, or the error that a REST call would raise."""

from __future__ import annotations

import json
from typing import Any

import pytest
import responses
from pydantic import SecretStr

from bot.errors import Conflict, ForgeError, NotFound
from bot.forge.client import graphql
from bot.forge.client.client import Client
from bot.forge.client.failures import InDoubt
from bot.forge.client.tokens import FixedToken
from bot.forge.client.transport import Transport
from bot.settings import Settings
from tests.forge_fixtures import NAME, TOKEN, Desk, desk, settings_for
from tests.github_server.server import GitHubServer

__all__ = ["desk"]

VIEWER = "query { viewer { login } }"
MUTATION = "mutation($id: ID!) { resolveReviewThread(input: {threadId: $id}) { thread { id } } }"


def client_for(naps: list[float], api: str = "https://api.example.test") -> Client:
    transport = Transport(Settings(api_url=api), FixedToken(SecretStr(TOKEN)))
    return Client(transport, sleep=naps.append, clock=lambda: 1000.0)


def error(kind: str | None, message: str = "because") -> dict[str, Any]:
    return {"data": None, "errors": [{"message": message, **({"type": kind} if kind else {})}]}


@pytest.mark.parametrize(
    ("api", "address"),
    [
        ("https://api.example.test", "https://api.example.test/graphql"),
        ("https://git.example.test/api/v3", "https://git.example.test/api/graphql"),
        ("https://git.example.test:8443/api/v3/", "https://git.example.test:8443/api/graphql"),
        ("https://api.sub.example.test", "https://api.sub.example.test/graphql"),
    ],
)
@responses.activate
def test_the_address_follows_from_the_api(api: str, address: str) -> None:
    asked = responses.post(address, json={"data": {"viewer": {"login": "octo"}}})
    assert client_for([], api).query(VIEWER) == {"viewer": {"login": "octo"}}
    assert json.loads(asked.calls[0].request.body) == {"query": VIEWER, "variables": {}}
    assert asked.calls[0].request.headers["Authorization"] == f"Bearer {TOKEN}"


def test_the_viewer_is_asked_of_the_server(desk: Desk) -> None:
    client = Client(Transport(settings_for(desk.server), FixedToken(SecretStr(TOKEN))))
    login = client.query(VIEWER)["viewer"]["login"]
    assert login
    assert desk.calls() == ["POST /graphql"]


def test_an_enterprise_server_has_it_beside_its_api() -> None:
    with GitHubServer(enterprise=True) as server:
        server.add_repo(NAME, {"a": "1\n"})
        server.add_token(TOKEN)
        client = Client(Transport(settings_for(server), FixedToken(SecretStr(TOKEN))))
        assert client.query(VIEWER)["viewer"]["login"]
        assert server.unknown == []


@pytest.mark.parametrize(
    ("kind", "code", "type_"),
    [
        ("NOT_FOUND", "not_found", NotFound),
        ("FORBIDDEN", "forbidden", ForgeError),
        ("INSUFFICIENT_SCOPES", "forbidden", ForgeError),
        ("UNPROCESSABLE", "rejected", Conflict),
        ("STALE_DATA", "rejected", Conflict),
        ("MAX_NODE_LIMIT_EXCEEDED", "query_rejected", ForgeError),
        (None, "query_rejected", ForgeError),
    ],
)
@responses.activate
def test_errors_have_the_codes_of_rest(kind: str | None, code: str, type_: type[ForgeError]) -> None:
    asked = responses.post("https://api.example.test/graphql", json=error(kind, f"no, {TOKEN} may not"))
    client = client_for([])
    for ask, document in ((client.query, VIEWER), (client.mutate, MUTATION)):
        with pytest.raises(type_) as caught:
            ask(document, {})
        assert caught.value.code == code
        assert caught.value.hint
        assert TOKEN not in str(caught.value)
    assert asked.call_count == 2


@responses.activate
def test_a_limit_in_the_answer_is_waited_for_by_both() -> None:
    naps: list[float] = []
    spent = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1030"}
    responses.post("https://api.example.test/graphql", json=error("RATE_LIMITED"), headers=spent)
    responses.post("https://api.example.test/graphql", json={"data": {"done": True}})
    assert client_for(naps).mutate(MUTATION, {"id": "x"}) == {"done": True}
    assert naps == [31.0]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (502, "<html>"),
        (200, "<html>"),
        (200, "[]"),
        (200, '{"data": null}'),
        (200, json.dumps(error("SERVICE_UNAVAILABLE"))),
        (200, json.dumps(error(None, "Something went wrong while executing your query."))),
    ],
)
@responses.activate
def test_a_query_is_retried_and_a_mutation_is_in_doubt(status: int, body: str) -> None:
    asked = responses.post("https://api.example.test/graphql", body=body, status=status)
    with pytest.raises(InDoubt):
        client_for([]).mutate(MUTATION, {"id": "x"})
    assert asked.call_count == 1
    naps: list[float] = []
    with pytest.raises(InDoubt):
        client_for(naps).query(VIEWER)
    assert asked.call_count == 1 + 3
    assert len(naps) == 2


@pytest.mark.parametrize(
    "document", [MUTATION, f"  \n{MUTATION}", "subscription { x }", "fragment F on User { id }", ""]
)
def test_a_reader_holds_no_mutation(document: str) -> None:
    with pytest.raises(ValueError, match="not a query"):
        client_for([]).query(document)


def test_a_short_query_is_one_too() -> None:
    assert graphql.request_of("{ viewer { login } }", {}, "query").harmless
    assert not graphql.request_of(MUTATION, {}, "mutation").harmless
    with pytest.raises(ValueError, match="not a mutation"):
        client_for([]).mutate(VIEWER, {})


@responses.activate
def test_what_people_wrote_goes_into_variables_only() -> None:
    asked = responses.post("https://api.example.test/graphql", json={"data": {}})
    hostile = '"}) { x } } mutation { evil }'
    client_for([]).mutate(MUTATION, {"id": hostile})
    sent = json.loads(asked.calls[0].request.body)
    assert sent == {"query": MUTATION, "variables": {"id": hostile}}

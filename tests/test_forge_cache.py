"""What did not change is confirmed and costs nothing; nobody is served what another was answered."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bot.errors import ForgeError, NotFound
from bot.forge.client.cache import Cache
from bot.forge.client.client import Client
from bot.forge.client.failures import Answer
from bot.forge.client.tokens import FixedToken
from bot.forge.client.transport import Transport
from tests.forge_fixtures import NAME, TOKEN, Desk, desk, settings_for
from tests.github_server.exchange import Request as Seen

__all__ = ["desk"]

ISSUE = f"/repos/{NAME}/issues/1"


def client_for(desk: Desk, token: str, cache: Cache) -> Client:
    return Client(Transport(settings_for(desk.server), FixedToken(SecretStr(token)), cache=cache))


def statuses(desk: Desk, path: str = "") -> list[int]:
    return [each.status for each in desk.server.requests if path in each.path]


def test_a_poll_that_finds_nothing_new_is_confirmed_and_not_counted(desk: Desk) -> None:
    reader, _ = desk.open()
    desk.server.comment(NAME, 1, "first")
    token = desk.server.world.tokens[TOKEN]
    first = reader.comments(1, since="2020-01-01T00:00:00Z")
    used = token.used
    assert [reader.comments(1, since="2020-01-01T00:00:00Z") for _ in range(5)] == [first] * 5
    assert statuses(desk, "/comments") == [200] + [304] * 5
    assert token.used == used
    desk.server.comment(NAME, 1, "second")
    assert [each.body for each in reader.comments(1, since="2020-01-01T00:00:00Z")] == ["first", "second"]
    assert statuses(desk, "/comments")[-1] == 200
    assert reader.comments(1, since="2020-01-01T00:00:01Z")  # another question
    assert statuses(desk, "/comments")[-1] == 200


def test_pages_are_confirmed_one_by_one(desk: Desk) -> None:
    for number in range(130):
        desk.server.comment(NAME, 1, str(number))
    client = client_for(desk, TOKEN, Cache())
    once, twice = client.pages(f"{ISSUE}/comments"), client.pages(f"{ISSUE}/comments")
    assert once == twice
    assert len(once) == 130
    assert statuses(desk, "/comments") == [200, 200, 304, 304]


def test_one_credential_is_never_served_with_what_another_may_see(desk: Desk) -> None:
    desk.server.add_repo("octo/secret", {"a": "1\n"}, private=True)
    desk.server.add_token("t0ken-inside", repos=["octo/secret"])
    desk.server.add_token("t0ken-outside", repos=[NAME])
    cache = Cache()
    assert client_for(desk, "t0ken-inside", cache).get("/repos/octo/secret")["private"]
    with pytest.raises(NotFound):
        client_for(desk, "t0ken-outside", cache).get("/repos/octo/secret")
    assert all("if-none-match" not in each.headers for each in desk.server.requests)


def test_an_answer_in_another_form_is_another_answer(desk: Desk) -> None:
    desk.server.open_pull(NAME, {"b": "2\n"}, title="Two")
    client = client_for(desk, TOKEN, Cache())
    path = f"/repos/{NAME}/pulls/2"
    assert client.get(path)["number"] == 2
    assert client.text(path, "application/vnd.github.diff", 1000).startswith("diff --git")
    assert client.get(path)["number"] == 2
    assert statuses(desk, "/pulls/2") == [200, 200, 304]


def test_a_text_that_was_cut_is_not_kept(desk: Desk) -> None:
    client = client_for(desk, TOKEN, Cache())
    path = f"/repos/{NAME}/contents/README.md"
    assert client.text(path, "application/vnd.github.raw+json", 3) == "# S"
    assert client.text(path, "application/vnd.github.raw+json", 30) == "# Sample\n"


def test_half_a_document_is_asked_for_anew_and_not_confirmed(desk: Desk) -> None:
    desk.server.faults.add("GET", "/issues/1", "mangle_after")
    transport = Transport(settings_for(desk.server), FixedToken(SecretStr(TOKEN)))
    assert Client(transport, sleep=lambda seconds: None).get(ISSUE)["number"] == 1
    assert statuses(desk, "/issues/1") == [200, 200]


def test_a_write_is_never_sent_under_a_condition(desk: Desk) -> None:
    client = client_for(desk, TOKEN, Cache())
    client.get(ISSUE)
    client.write("PATCH", ISSUE, {"title": "new"})
    assert "if-none-match" not in desk.server.requests[-1].headers
    assert client.get(ISSUE)["title"] == "new"


def test_a_304_that_nobody_asked_for_is_an_error_and_not_an_empty_answer(desk: Desk) -> None:
    desk.server.faults.add("GET", "/issues/1", "status", status=304)
    with pytest.raises(ForgeError) as caught:
        client_for(desk, TOKEN, Cache()).get(ISSUE)
    assert caught.value.code == "http_304"


def test_a_date_will_do_where_there_is_no_tag() -> None:
    cache = Cache()
    date = "Sat, 01 Jan 2030 00:00:00 GMT"
    cache.keep("t", "/x", {}, "m", Answer(200, {"last-modified": date, "x-ratelimit-remaining": "0"}, "old"))
    kept = cache.find("t", "/x", {}, "m")
    assert kept is not None
    assert kept.conditions == {"If-Modified-Since": date}
    again = kept.confirmed({"x-ratelimit-remaining": "9", "etag": '"new"'})
    assert (again.status, again.text) == (200, "old")
    assert again.headers == {"last-modified": date, "x-ratelimit-remaining": "9", "etag": '"new"'}
    assert "x-ratelimit-remaining" not in kept.confirmed({}).headers  # what was left then is not what is left now


def test_without_tag_and_date_nothing_is_kept_and_the_old_answer_goes() -> None:
    cache = Cache()
    cache.keep("t", "/x", {}, "m", Answer(200, {"etag": '"1"'}, "old"))
    cache.keep("t", "/x", {}, "m", Answer(200, {}, "new"))
    assert cache.find("t", "/x", {}, "m") is None


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 60)), max_size=60))
def test_entries_and_bytes_are_bounded_and_what_is_found_is_the_last_that_was_kept(asked: Any) -> None:
    cache, last = Cache(entries=4, size=100), dict[str, str]()
    for path, size in asked:
        text = path * size
        cache.keep("t", path, {}, "m", Answer(200, {"etag": "1"}, text))
        last[path] = text
        found = {each: kept.answer.text for each in last if (kept := cache.find("t", each, {}, "m"))}
        assert len(found) <= 4
        assert sum(map(len, found.values())) <= 100
        assert all(last[each] == text for each, text in found.items())
        assert found[path] == text


def test_no_token_is_kept_in_the_clear() -> None:
    cache = Cache()
    cache.keep("ghs_secret", "/x", {}, "m", Answer(200, {"etag": "1"}, "text"))
    assert "ghs_secret" not in repr(vars(cache))


def test_the_server_of_the_tests_answers_conditions_as_github_does(desk: Desk) -> None:
    heard: list[Seen] = []
    desk.server.on_request(heard.append)
    client = client_for(desk, TOKEN, Cache())
    client.get(ISSUE)
    client.get(ISSUE)
    assert heard[1].headers["if-none-match"].startswith('W/"')

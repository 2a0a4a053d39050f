"""GitHub's limits -> when requests go, with many threads over one client: nobody asks before the time is over."""

from __future__ import annotations

import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import Any

import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bot.errors import ForgeError
from bot.forge.client.client import Client, last_page
from bot.forge.client.failures import Answer, number_of, seconds_of, wait_of
from bot.forge.client.pace import AT_ONCE, CREATED_A_MINUTE, CREATED_AN_HOUR, Pace, Paces, resource_of
from bot.forge.client.tokens import FixedToken
from bot.forge.client.transport import GRAPHQL, Request, Transport
from bot.forge.forge import open_forge
from bot.forge.reading.reader import GitHubReader
from bot.settings import Settings
from tests.forge_fixtures import NAME, TOKEN, Desk, desk, settings_for

__all__ = ["desk"]

API = "http://api.example.test/api/v3"


class Clock:
    """A time of its own, which only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.naps: list[float] = []
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.now += seconds
            self.naps.append(seconds)


def client_for(clock: Clock) -> Client:
    transport = Transport(Settings(api_url=API), FixedToken(SecretStr(TOKEN)))
    return Client(transport, sleep=clock.sleep, clock=clock, pace=Pace(sleep=clock.sleep, clock=clock))


def served_at(clock: Clock, answers: dict[str, list[tuple[int, dict[str, str], str]]]) -> list[tuple[float, str]]:
    """Each path's answers in turn, the last one for ever; what was asked when."""
    asked: list[tuple[float, str]] = []

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        path = request.url.removeprefix("http://api.example.test").removeprefix("/api/v3").partition("?")[0]
        asked.append((clock.now, path))
        rows = answers.get(path) or [(200, {}, "{}")]
        return rows.pop(0) if len(rows) > 1 else rows[0]

    for method in (responses.GET, responses.POST, responses.PATCH):
        responses.add_callback(method, re.compile("http://api.example.test/.*"), answer)
    return asked


LIMITED = '{"message": "You have exceeded a secondary rate limit."}'


@responses.activate
@pytest.mark.parametrize("status", [403, 429])
def test_a_secondary_limit_silences_reader_and_writer_alike(status: int) -> None:
    clock = Clock()
    asked = served_at(clock, {"/a": [(status, {"Retry-After": "7"}, LIMITED), (200, {}, "{}")]})
    client = client_for(clock)
    start = clock.now
    client.get("/a")
    client.write("POST", "/b", {})
    assert [path for _, path in asked] == ["/a", "/a", "/b"]
    assert asked[1][0] - start >= 7
    assert clock.naps == [7.0]


@responses.activate
def test_a_limit_without_a_time_means_a_minute() -> None:
    clock = Clock()
    served_at(clock, {"/a": [(429, {}, "{}"), (200, {}, "{}")]})
    client_for(clock).get("/a")
    assert clock.naps == [60.0]


@responses.activate
def test_a_primary_limit_silences_its_own_resource_only() -> None:
    clock = Clock()
    spent = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(clock.now) + 3000)}
    asked = served_at(clock, {"/search/issues": [(403, spent, "{}")]})
    client = client_for(clock)
    for _ in range(3):
        with pytest.raises(ForgeError) as caught:
            client.get("/search/issues")
        assert caught.value.code == "rate_limited"
    client.get("/a")
    assert [path for _, path in asked] == ["/search/issues", "/a"]  # what is known to be used up is not asked again
    assert clock.naps == []


@responses.activate
def test_the_last_request_of_a_limit_is_the_last_one() -> None:
    clock = Clock()
    spent = {"x-ratelimit-limit": "60", "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(clock.now) + 30)}
    asked = served_at(clock, {"/a": [(200, spent, "{}"), (200, {}, "{}")]})
    client = client_for(clock)
    client.get("/a")
    client.get("/a")
    assert asked[1][0] - asked[0][0] >= 30


@responses.activate
def test_polls_and_guesses_leave_the_last_part_to_the_work_and_never_wait() -> None:
    clock = Clock()
    low = {"x-ratelimit-limit": "1000", "x-ratelimit-remaining": "99", "x-ratelimit-reset": str(int(clock.now) + 900)}
    asked = served_at(clock, {"/a": [(200, low, "{}"), (429, {"Retry-After": "50"}, "{}")]})
    client = client_for(clock)
    polled = client.as_optional()
    polled.get("/b")
    client.get("/a")
    with pytest.raises(ForgeError) as caught:
        polled.get("/b")
    assert caught.value.code == "rate_reserved"
    clock.now += 901  # the limit is whole again
    polled.get("/b")
    for path in ("/a", "/b"):
        with pytest.raises(ForgeError) as caught:
            polled.get(path)
        assert caught.value.code == "rate_limited"
    assert [path for _, path in asked] == ["/b", "/a", "/b", "/a"]
    assert clock.naps == []


@responses.activate
def test_a_long_upload_stays_below_the_limit_of_points() -> None:
    clock = Clock()
    asked = served_at(clock, {})
    client = client_for(clock)
    for number in range(900):
        client.write("POST", f"/repos/o/r/git/blobs/{number}", {})
    times = [at for at, _ in asked]
    for index, at in enumerate(times):
        in_a_minute = sum(1 for each in times[max(0, index - 200) : index + 1] if each > at - 60)
        assert in_a_minute * 5 <= 900
    assert times[-1] - times[0] >= 240


@responses.activate
def test_what_people_are_told_of_is_made_slowly() -> None:
    clock = Clock()
    asked = served_at(clock, {})
    client = client_for(clock)
    for number in range(CREATED_AN_HOUR):
        client.write("POST", f"/repos/o/r/issues/{number}/comments", {})
    with pytest.raises(ForgeError) as caught:
        client.write("POST", "/repos/o/r/issues/1/comments", {})
    assert caught.value.code == "rate_limited"
    assert len(asked) == CREATED_AN_HOUR
    times = [at for at, _ in asked]
    for index, at in enumerate(times):
        assert sum(1 for each in times[max(0, index - 100) : index + 1] if each > at - 60) <= CREATED_A_MINUTE


def test_many_threads_over_one_client_get_their_own_answers(desk: Desk) -> None:
    for number in range(12):
        desk.server.open_issue(NAME, title=f"title {number}")
    client = Client(Transport(settings_for(desk.server), FixedToken(SecretStr(TOKEN))), sleep=lambda seconds: None)
    under_way, most, lock = Counter[str](), [0], threading.Lock()

    def count(change: int) -> Any:
        def hook(request: Any) -> None:
            with lock:
                under_way["now"] += change
                most[0] = max(most[0], under_way["now"])

        return hook

    desk.server.on_request(count(1))
    desk.server.on_request(count(-1), "after")

    def ask(turn: int) -> None:
        number = turn % 12 + 2
        assert client.get(f"/repos/{NAME}/issues/{number}")["title"] == f"title {number - 2}"

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(ask, range(400)))
    assert 1 < most[0] <= AT_ONCE
    desk.server.faults.add("GET", "/issues/5$", "drop_before", times=2)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(48)))
    blobs = [f"blob {number}".encode().hex() for number in range(60)]
    with ThreadPoolExecutor(8) as pool:
        made = pool.map(
            lambda text: client.write("POST", f"/repos/{NAME}/git/blobs", {"content": text, "encoding": "utf-8"}), blobs
        )
    assert len({each["sha"] for each in made}) == len(blobs)


def test_the_limit_of_one_thread_stops_all_of_them(desk: Desk) -> None:
    """Real threads and real time: after the refusal nothing reaches the server before it said."""
    client = Client(Transport(settings_for(desk.server), FixedToken(SecretStr(TOKEN))))
    desk.server.faults.add("GET", "/issues/1", "secondary_limit", skip=20, retry_after=2)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.get(f"/repos/{NAME}/issues/1"), range(60)))
    asked = desk.server.requests
    refused = [each.at for each in asked if each.status == 403]
    assert len(refused) == 1
    # What was on its way when the refusal came cannot be called back.
    early = [each for each in asked if refused[0] + 0.3 < each.at < refused[0] + 2.0]
    assert early == []
    assert sum(each.at >= refused[0] + 2.0 for each in asked) > 1


def test_runs_of_one_process_share_the_limits_of_one_credential_only(desk: Desk) -> None:
    naps: list[float] = []
    paces = Paces(sleep=naps.append)
    desk.server.add_repo("octo/second", {"a": "1\n"})
    desk.server.add_token("t0ken-of-another")

    def reader_for(name: str, token: str) -> GitHubReader:
        return open_forge(settings_for(desk.server, token), name, paces=paces, sleep=naps.append)[0]

    desk.server.faults.add("GET", "/issues/1", "secondary_limit", retry_after=3000)
    with pytest.raises(ForgeError):
        reader_for(NAME, TOKEN).subject(1)
    asked = len(desk.server.requests)
    with pytest.raises(ForgeError) as caught:
        reader_for("octo/second", TOKEN).revision("main")
    assert caught.value.code == "rate_limited"
    assert len(desk.server.requests) == asked
    assert reader_for("octo/second", "t0ken-of-another").revision("main") is not None
    assert TOKEN not in repr(vars(paces))


@pytest.mark.parametrize(
    ("path", "resource"),
    [("/repos/o/r", "core"), ("/search/code", "code_search"), ("/search/issues", "search"), (GRAPHQL, "graphql")],
)
def test_resources(path: str, resource: str) -> None:
    assert resource_of(Request("GET", path)) == resource


NOW = 1_700_000_000.0


@given(st.text(max_size=40))
def test_any_retry_after_is_a_time_to_wait(text: str) -> None:
    assert seconds_of(text, NOW) >= 0


@given(st.integers(0, 10**6))
def test_retry_after_is_seconds_or_a_date(seconds: int) -> None:
    assert seconds_of(str(seconds), NOW) == seconds
    assert seconds_of(formatdate(NOW + seconds, usegmt=True), NOW) == seconds
    assert seconds_of(formatdate(NOW - seconds, usegmt=True), NOW) == 0


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.sampled_from([200, 403, 404, 429]))
def test_no_header_of_a_limit_breaks_the_reading(left: str, reset: str, after: str, status: int) -> None:
    headers = {"x-ratelimit-remaining": left, "x-ratelimit-reset": reset, "x-ratelimit-limit": left}
    answer = Answer(status, headers | ({"retry-after": after} if after else {}), "")
    wait = wait_of(answer, NOW)
    assert wait is None or wait >= 0
    Pace().heard(Request("GET", "/x"), answer, NOW)


@given(st.integers(0, 10**9), st.integers(-5000, 5000))
def test_the_reset_is_waited_for(start: int, seconds: int) -> None:
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(start + 5000 + seconds)}
    assert wait_of(Answer(403, headers, ""), float(start + 5000)) == max(seconds, 0) + 1


@given(st.text(max_size=30))
def test_numbers_of_headers(text: str) -> None:
    number = number_of(text)
    assert number is None or number == float(text)


@given(st.text(max_size=80))
def test_any_link_header_names_a_page(link: str) -> None:
    assert last_page(link) >= 1


@given(st.integers(1, 10**6), st.integers(1, 100), st.booleans())
def test_the_last_page_is_found_wherever_it_stands(last: int, size: int, first: bool) -> None:
    parts = [f'<{API}/x?per_page={size}&page={last}>; rel="last"', f'<{API}/x?page=2&per_page={size}>; rel="next"']
    assert last_page(", ".join(parts if first else reversed(parts))) == last


def test_waiting_does_not_depend_on_the_time_of_day() -> None:
    """A clock that stands still, as one that was put back: what was slept is over."""
    naps: list[float] = []
    pace = Pace(sleep=naps.append, clock=lambda: 5.0)
    request = Request("GET", "/x")
    pace.hold(request, Answer(429, {}, ""), 9)
    with pace.turn(request, 100) as waited:
        assert waited == 9.0
    with pace.turn(request, 100) as waited:
        assert waited == 0.0
    assert naps == [9.0]

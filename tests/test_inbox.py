"""Deliveries on the disk: taken once, kept through crashes, bounded, and served in order."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.api.schedule import Schedule
from bot.errors import ConfigurationError, SandpiperError
from bot.store import inbox as module
from bot.store.inbox import Delivery, Inbox, InboxFull

ROOT = Path(__file__).resolve().parent.parent


def delivery(name: str = "d-1", **more: object) -> Delivery:
    return Delivery.model_validate({"id": name, "event": "issues", **more})


@pytest.fixture
def box(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path, limit=3)


def test_a_delivery_is_there_for_the_next_process_with_its_very_bytes(tmp_path: Path) -> None:
    body, first = bytes(range(256)) + b"\n{}\n", Inbox(tmp_path)
    sent = delivery(form=True)
    assert first.put(sent, body)
    first.close()
    second = Inbox(tmp_path)
    assert second.waiting() == (sent,)
    assert second.body(sent) == body
    folder = tmp_path / "inbox" / "waiting"
    assert [stat.S_IMODE(each.stat().st_mode) for each in (folder, folder / sent.name)] == [0o700, 0o600]


def test_of_many_senders_at_once_one_is_taken(tmp_path: Path) -> None:
    box = Inbox(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: box.put(delivery(), b"{}"), range(40)))
    assert taken.count(True) == 1
    assert len(box.waiting()) == 1


@pytest.mark.parametrize("end", ["done", "aside"])
def test_what_is_over_stays_known_also_after_a_restart(tmp_path: Path, end: str) -> None:
    box = Inbox(tmp_path)
    box.put(delivery(), b"{}")
    box.begin(delivery())
    if end == "done":
        box.finish(delivery(), "0123 success")
    else:
        box.set_aside(delivery(), "no JSON")
    assert not box.put(delivery(), b"{}")
    box.close()
    again = Inbox(tmp_path)
    assert not again.put(delivery(), b"{}")
    assert again.waiting() == ()
    if end == "aside":
        (reason,) = (tmp_path / "inbox" / "aside").glob("*.reason")
        assert reason.read_text() == "no JSON\n"
        assert reason.with_suffix("").read_bytes().endswith(b"\n{}")


def test_a_full_inbox_takes_nothing_until_something_is_done(box: Inbox) -> None:
    for at in range(3):
        assert box.put(delivery(f"d-{at}"), b"{}")
    with pytest.raises(InboxFull):
        box.put(delivery("d-4"), b"{}")
    assert not box.put(delivery("d-1"), b"{}")
    box.finish(delivery("d-1"))
    assert box.put(delivery("d-4"), b"{}")


def test_bytes_are_bounded_too(tmp_path: Path) -> None:
    box = Inbox(tmp_path, limit_bytes=1000)
    box.put(delivery("a"), b"x" * 900)
    with pytest.raises(InboxFull):
        box.put(delivery("b"), b"x" * 200)


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    box = Inbox(tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        Inbox(tmp_path)
    assert caught.value.code == "inbox_in_use"
    box.close()
    Inbox(tmp_path).close()


def test_a_disk_that_takes_nothing_is_said(tmp_path: Path) -> None:
    box = Inbox(tmp_path)
    for each in (tmp_path / "inbox" / "waiting").iterdir():
        each.unlink()
    (tmp_path / "inbox" / "waiting").rmdir()
    with pytest.raises(SandpiperError) as caught:
        box.put(delivery(), b"{}")
    assert caught.value.code == "inbox_unusable"


def test_begun_is_counted_over_processes(tmp_path: Path) -> None:
    for wanted in (1, 2, 3):
        box = Inbox(tmp_path)
        box.put(delivery(), b"{}")
        assert box.begin(delivery()) == wanted
        box.close()


def test_a_damaged_file_is_laid_aside_and_the_others_are_served(tmp_path: Path) -> None:
    box = Inbox(tmp_path)
    box.put(delivery("a"), b"{}")
    box.put(delivery("b"), b"{}")
    (tmp_path / "inbox" / "waiting" / delivery("a").name).write_bytes(b"\xff\x00")
    assert [each.id for each in box.waiting()] == ["b"]
    assert len(list((tmp_path / "inbox" / "aside").glob("*.reason"))) == 1


def test_what_is_long_over_is_forgotten(tmp_path: Path) -> None:
    box = Inbox(tmp_path)
    for name in ("old", "new"):
        box.put(delivery(name), b"{}")
        box.finish(delivery(name))
    past = (datetime.now(UTC) - module.REMEMBERED - timedelta(days=1)).timestamp()
    os.utime(tmp_path / "inbox" / "done" / delivery("old").name, (past, past))
    box.close()
    again = Inbox(tmp_path)
    assert again.put(delivery("old"), b"{}")
    assert not again.put(delivery("new"), b"{}")


def test_a_process_that_is_killed_while_it_writes_leaves_whole_deliveries_only(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from bot.store.inbox import *\n"
        "box = Inbox(Path(sys.argv[1]), limit=100000)\n"
        "for at in range(100000):\n"
        "    box.put(Delivery(id=str(at), event='issues'), b'x' * 300_000); print(at, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    confirmed = 0
    while confirmed < 20:
        confirmed = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    confirmed = max([confirmed, *map(int, process.stdout.read().split()[:-1])])
    box = Inbox(tmp_path)
    kept = box.waiting()
    assert {str(at) for at in range(confirmed + 1)} <= {each.id for each in kept}
    assert {len(box.body(each)) for each in kept} == {300_000}
    assert list((tmp_path / "inbox" / "waiting").glob(".new-*")) == []


# --- the order of work ------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 2), min_size=1, max_size=12), st.integers(1, 3))
def test_lanes_are_served_in_order_and_one_at_a_time(lanes: list[int], workers: int) -> None:
    schedule, mutex = Schedule(), threading.Lock()
    seen: list[int] = []
    running: set[int] = set()
    for at, _ in enumerate(lanes):
        schedule.add(delivery(str(at)))
    for _ in lanes:
        found = schedule.unsorted()
        assert found is not None
        schedule.sort(found, ("octo/hello", lanes[int(found.id)]))
    clashes: list[int] = []

    def work() -> None:
        while (found := schedule.ready()) is not None:
            lane = lanes[int(found.id)]
            with mutex:
                clashes.extend({lane} & running)
                running.add(lane)
                seen.append(int(found.id))
            with mutex:
                running.discard(lane)
                schedule.remove(found)
                if len(seen) == len(lanes):
                    schedule.close()

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(seen) == list(range(len(lanes)))
    assert clashes == []
    for lane in set(lanes):
        mine = [at for at in seen if lanes[at] == lane]
        assert mine == sorted(mine)


def test_a_postponed_one_comes_again_when_its_time_is_there() -> None:
    schedule = Schedule()
    schedule.add(delivery("a"))
    found = schedule.unsorted()
    assert found is not None
    began = time.monotonic()
    schedule.postpone(found, 0.2)
    assert schedule.counts() == (1, 0)
    assert schedule.unsorted() == found
    assert time.monotonic() - began >= 0.2


def test_who_waits_is_woken_by_the_end() -> None:
    schedule = Schedule()
    got: list[Delivery | None] = []
    thread = threading.Thread(target=lambda: got.append(schedule.ready()))
    thread.start()
    schedule.close()
    thread.join(10)
    assert got == [None]

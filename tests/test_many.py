"""Many sandboxes at once: in order, bounded, one failure beside the others, and nothing left by an interrupt."""

# ruff: noqa: F811 - fixtures

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from bot.errors import SandboxError, TaskError
from bot.protocols import Sandbox
from bot.sandbox.docker.provider import DockerProvider
from bot.sandbox.many import create_many, run_many
from bot.testing.contracts_sandbox import LIMITS, shell, template
from bot.testing.sandbox import FakeProvider, FakeSandbox
from bot.types.sandbox import Template
from bot.types.task import Limits
from tests.sandbox_fixtures import checkout, provider  # noqa: F401 - fixtures

SMALL = Limits(memory_mb=1024)
"""Of which the fake's imaginary machine bears sixteen."""


def plain(number: int, **changes: object) -> Template:
    return Template(run_id=f"{number:016x}", limits=SMALL).changed(**changes)


class Slow(FakeProvider):
    """Takes its time, and counts how many do so at once; an image `broken` can't be had."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.interrupt_at = ""

    def create(self, asked: Template) -> FakeSandbox:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.02)
        try:
            if asked.image == "broken":
                raise SandboxError("image_not_found", "there is no such image")
            if asked.run_id == self.interrupt_at:
                raise KeyboardInterrupt
            with self.lock:
                return super().create(asked)
        finally:
            with self.lock:
                self.now -= 1


def test_order_is_kept_and_one_failure_stops_nobody(tmp_path: Path) -> None:
    provider = Slow(tmp_path)
    templates = [plain(number, image="broken" if number == 3 else "host") for number in range(10)]

    made = create_many(provider, templates, at_once=4)

    assert provider.most == 4
    for number, each in enumerate(made):
        if number == 3:
            assert isinstance(each, SandboxError)
            assert each.code == "image_not_found"
        else:
            assert isinstance(each, FakeSandbox)
            assert each.template.run_id == templates[number].run_id
    assert create_many(provider, []) == ()


def test_an_interrupt_closes_what_was_made(tmp_path: Path) -> None:
    provider = Slow(tmp_path)
    provider.interrupt_at = f"{4:016x}"

    with pytest.raises(KeyboardInterrupt):
        create_many(provider, [plain(number) for number in range(16)], at_once=2)

    assert provider.made
    assert all(each.closed for each in provider.made)
    assert len(provider.made) < 15, "those that had not begun never do"


def test_more_than_the_machine_bears_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    provider = Slow(tmp_path)
    templates = [plain(number) for number in range(15)] + [plain(15, limits=Limits(memory_mb=2048))]
    with pytest.raises(SandboxError) as caught:
        create_many(provider, templates)
    assert (caught.value.code, provider.made) == ("capacity_exceeded", [])
    assert "which is 8" in caught.value.message
    with pytest.raises(SandboxError, match="bears"):
        run_many(provider, templates, lambda sandbox, place: place, at_once=9)
    assert len(create_many(provider, templates, oversubscribe=True)) == 16


def test_work_is_bounded_and_its_results_are_in_order(tmp_path: Path) -> None:
    provider, lock, under_way = Slow(tmp_path), threading.Lock(), [0, 0]

    def work(sandbox: Sandbox, place: int) -> str:
        with lock:
            under_way[0] += 1
            under_way[1] = max(under_way)
        time.sleep(0.02 * (3 - place % 3))
        with lock:
            under_way[0] -= 1
        if place == 1:
            raise TaskError("task_failed", "it can't be done")
        return f"{place} in {sandbox.id[:4]}"

    results = run_many(provider, [plain(number) for number in range(5)], work, at_once=2)

    assert under_way == [0, 2]
    assert isinstance(results[1], TaskError)
    assert [each for each in results if isinstance(each, str)] == [f"{place} in fake" for place in (0, 2, 3, 4)]
    assert all(each.closed for each in provider.made)
    assert run_many(provider, [], work) == ()


def test_all_at_once_where_the_machine_bears_it(tmp_path: Path) -> None:
    meeting = threading.Barrier(8, timeout=20)
    results = run_many(
        Slow(tmp_path), [plain(number) for number in range(8)], lambda _, place: (meeting.wait(), place)[1]
    )
    assert results == tuple(range(8))


def test_an_interrupt_of_the_work_leaves_no_sandbox(tmp_path: Path) -> None:
    provider = Slow(tmp_path)

    def work(sandbox: Sandbox, place: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_many(provider, [plain(number) for number in range(9)], work, at_once=2)
    assert all(each.closed for each in provider.made)


@pytest.mark.docker
def test_side_by_side_they_share_nothing(provider: DockerProvider, checkout: Path) -> None:
    """The same path, the same port, the same process names: no collision, and nobody sees another's."""
    templates = [template(checkout).changed(run_id=f"{number + 900:016x}", limits=LIMITS) for number in range(4)]
    made = create_many(provider, templates, at_once=4, oversubscribe=True)
    sandboxes = [each for each in made if not isinstance(each, SandboxError)]
    try:
        assert len(sandboxes) == len(made)
        listen = (
            "import socket,sys,time; s=socket.socket(); s.bind(('127.0.0.1', 4321)); s.listen(); "
            "open('same','w').write(sys.argv[1]); open('/tmp/same','w').write(sys.argv[1]); time.sleep(60)"
        )
        for number, sandbox in enumerate(sandboxes):
            begun = shell(sandbox, f'python3 -c "{listen}" mine-{number} & until [ -e /tmp/same ]; do sleep 0.05; done')
            assert begun.ok, begun
        for number, sandbox in enumerate(sandboxes):
            seen = shell(sandbox, "cat same /tmp/same /proc/*/cmdline | grep -ao 'mine-[0-9]' | sort -u")
            assert seen.stdout == b"mine-%d\n" % number
    finally:
        for sandbox in sandboxes:
            sandbox.close()

"""Sandboxes made ahead: each is somebody's once, belongs to the run that takes it, and nobody waits for the stock."""

# ruff: noqa: F811 - fixtures

from __future__ import annotations

import itertools
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import docker
import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bot.errors import SandboxError
from bot.protocols import Sandbox
from bot.sandbox.docker.provider import DockerProvider
from bot.sandbox.pool import WarmPool, revision_of, shape_of
from bot.sandbox.stock import Stock
from bot.testing.contracts_sandbox import LIMITS, make_checkout, shell, template
from bot.testing.sandbox import FakeProvider, FakeSandbox
from bot.types.sandbox import Template
from tests.sandbox_fixtures import api, checkout, provider  # noqa: F401 - fixtures

ONE = Template(run_id="1" * 16, limits=LIMITS)
TWO = ONE.changed(run_id="2" * 16)
OTHER = ONE.changed(image="other")


@dataclass
class FakeSpare:
    """A FakeSandbox that waits."""

    sandbox: FakeSandbox
    dead: bool = False
    closed: bool = False

    def alive(self) -> bool:
        return not self.dead

    def adopt(self, asked: Template) -> Sandbox:
        assert not self.closed, "a closed one was handed out"
        self.sandbox.template = asked
        return self.sandbox

    def close(self) -> None:
        self.closed = True
        self.sandbox.close()


@dataclass
class Stocked(FakeProvider):
    """A FakeProvider whose sandboxes can be made ahead; `trouble` is raised instead if there is any."""

    folder: Path
    spares: list[FakeSpare] = field(default_factory=list)
    trouble: Exception | None = None
    tries: int = 0
    unable: bool = False

    def __post_init__(self) -> None:
        super().__init__(self.folder)
        self.one_at_a_time = threading.Lock()

    def create(self, asked: Template) -> FakeSandbox:
        with self.one_at_a_time:
            return super().create(asked)

    def prepare(self, asked: Template) -> FakeSpare | None:
        self.tries += 1
        if self.trouble is not None:
            raise self.trouble
        if self.unable:
            return None
        self.spares.append(FakeSpare(self.create(asked)))
        return self.spares[-1]

    @property
    def cold(self) -> int:
        """Sandboxes that somebody had to wait for."""
        return len(self.made) - len(self.spares)


@pytest.fixture
def stocked(tmp_path: Path) -> Stocked:
    return Stocked(tmp_path)


@pytest.fixture
def pool(stocked: Stocked) -> Iterator[WarmPool]:
    made = WarmPool(stocked, minimum=1, maximum=3)
    yield made
    made.close()


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Return as soon as it is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def ready(stocked: Stocked) -> int:
    return sum(not each.closed for each in stocked.spares)


def test_one_that_waits_is_taken_by_its_run(pool: WarmPool, stocked: Stocked) -> None:
    pool.warm(ONE)
    until(lambda: ready(stocked) == 1)

    taken = pool.create(TWO)

    assert stocked.cold == 0
    assert [each.run_id for each in pool.list() if each.id == taken.id] == [TWO.run_id]
    assert pool.get(taken.id) is taken


def test_without_one_nobody_waits(stocked: Stocked) -> None:
    pool = WarmPool(stocked, minimum=0)

    assert not stocked.spares
    assert pool.create(ONE).health() is None
    assert stocked.cold == 1


def test_what_was_asked_for_once_is_kept_ready(pool: WarmPool, stocked: Stocked) -> None:
    pool.create(ONE)
    until(lambda: ready(stocked) == 1)

    pool.create(TWO)

    assert stocked.cold == 1
    until(lambda: len(stocked.spares) == 2)


def test_one_that_is_nearly_there_is_worth_waiting_for(stocked: Stocked) -> None:
    slow, began, go_on = threading.Event(), threading.Event(), threading.Event()

    def prepare(asked: Template) -> FakeSpare | None:
        made = stocked.prepare(asked)
        if slow.is_set():
            began.set()
            assert go_on.wait(20)
        time.sleep(0.05)
        return made

    stock = Stock(prepare, most=2, age=600, settle=0.0)
    stock.want("key", ONE, 1, pinned=True)
    until(lambda: stock.ready("key") == 1)
    slow.set()
    assert stock.take("key") is not None
    assert began.wait(20)
    assert stock.take("key", patience=0.0) is None, "a new one is as fast"
    threading.Timer(0.2, go_on.set).start()
    assert stock.take("key", patience=20.0) is stocked.spares[-1]
    stock.close()


def test_the_dead_are_dropped_and_the_next_is_tried(pool: WarmPool, stocked: Stocked) -> None:
    pool.warm(ONE, 3)
    until(lambda: ready(stocked) == 3)
    first, second, third = stocked.spares
    first.dead = second.dead = True

    taken = pool.create(TWO)

    assert taken is third.sandbox
    assert stocked.cold == 0
    until(lambda: first.closed and second.closed)


def test_closing_gives_all_back(stocked: Stocked) -> None:
    pool = WarmPool(stocked, maximum=3)
    pool.warm(ONE, 2)
    until(lambda: ready(stocked) == 2)
    taken = pool.create(ONE)

    pool.close()
    pool.close()

    left = [each for each in stocked.spares if not each.closed]
    assert [each.sandbox for each in left] == [taken]
    assert (taken.health(), stocked.closed) == (None, True)
    assert pool.create(ONE).health() is None, "sandboxes can still be made, one by one"


def test_what_goes_wrong_in_the_background_is_told_once(stocked: Stocked, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    clock = itertools.count(0, 0.5).__next__
    stock = Stock(stocked.prepare, most=2, age=600, threads=0, clock=lambda: float(clock()))
    stocked.trouble = SandboxError("docker_unavailable", "no engine answers")
    stock.want("key", ONE, 1, pinned=True)

    steps = sum(stock.step() for _ in range(200))

    assert steps == stocked.tries < 10, "each failure doubles the time to the next try"
    assert [record.message.count("no engine answers") for record in caplog.records] == [1]
    stocked.trouble = None
    until(lambda: stock.step() or stock.unused() == 1)


def test_a_thread_outlives_what_a_provider_raises(pool: WarmPool, stocked: Stocked) -> None:
    stocked.trouble = RuntimeError("a defect")
    pool.warm(ONE)
    until(lambda: stocked.tries == 1)
    stocked.trouble = None

    until(lambda: ready(stocked) == 1)
    assert pool.create(ONE).health() is None
    assert stocked.cold == 0


def test_a_provider_that_can_not_is_left_alone(tmp_path: Path, pool: WarmPool, stocked: Stocked) -> None:
    stocked.unable = True
    pool.warm(ONE)
    until(lambda: stocked.tries == 1)
    assert pool.create(ONE).health() is None
    until(lambda: stocked.warmed == [(ONE, 1)])

    plain = FakeProvider(tmp_path / "plain")
    around = WarmPool(plain)
    around.warm(ONE, 2)
    assert (plain.warmed, around.create(ONE).health()) == ([(ONE, 2)], None)


def test_many_threads_never_get_the_same(stocked: Stocked) -> None:
    pool = WarmPool(stocked, minimum=3, maximum=3)
    pool.warm(ONE, 3)
    taken: list[Sandbox] = []
    lock = threading.Lock()

    def take() -> None:
        for _ in range(10):
            got = pool.create(ONE)
            with lock:
                taken.append(got)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    pool.close()

    assert len({id(each) for each in taken}) == 80
    assert all(each.health() is None for each in taken)


def test_shapes(tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path)
    asked = template(checkout)
    same = asked.changed(run_id="9" * 16, detached=True, limits=LIMITS.changed(minutes=1, usd=0, command_seconds=1))
    assert shape_of(same) == shape_of(asked)
    for other in (
        asked.changed(image="alpine"),
        asked.changed(limits=LIMITS.changed(memory_mb=300)),
        asked.changed(env={"A": "b"}),
        asked.changed(read_only=True),
        asked.changed(trusted=True),
        asked.changed(tmpfs={"/x": 1}),
        asked.changed(checkout=None),
    ):
        assert shape_of(other) != shape_of(asked), other


def test_another_commit_is_another_checkout(tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path / "repository")
    git = ["git", "-C", str(checkout), "-c", "core.hooksPath=/dev/null", "-c", "include.path=/dev/null"]
    subprocess.run([*git, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side")], check=True)
    for place in (checkout, tmp_path / "side"):
        before = revision_of(place)
        assert revision_of(place) == before
        subprocess.run(["git", "-C", str(place), "commit", "-q", "--allow-empty", "-m", "next"], check=True)
        after = revision_of(place)
        assert after != before
        (place / "added").write_text("x")
        subprocess.run(["git", "-C", str(place), "add", "added"], check=True)
        assert revision_of(place) != after


class StockMachine(RuleBasedStateMachine):
    """Any order of asking, taking, time passing, deaths and failures."""

    MOST = 3

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.folder = TemporaryDirectory()
        self.provider = Stocked(Path(self.folder.name))
        self.stock = Stock(self.provider.prepare, most=self.MOST, age=50, threads=0, clock=lambda: self.now)
        self.taken: list[FakeSpare] = []

    @rule(asked=st.sampled_from([ONE, OTHER]), count=st.integers(0, 5), pinned=st.booleans())
    def want(self, asked: Template, count: int, pinned: bool) -> None:
        self.stock.want(asked.image, asked, count, pinned=pinned)

    @rule(asked=st.sampled_from([ONE, OTHER]))
    def take(self, asked: Template) -> None:
        spare = self.stock.take(asked.image)
        if spare is not None:
            assert isinstance(spare, FakeSpare)
            assert not any(spare is each for each in self.taken), "handed out twice"
            assert not spare.closed, "a closed one was handed out"
            assert spare.sandbox.template.image == asked.image
            self.taken.append(spare)

    @rule()
    def work(self) -> None:
        self.stock.step()

    @rule(seconds=st.sampled_from([0.05, 1.0, 30.0, 60.0, 1000.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def fail(self) -> None:
        self.provider.trouble = SandboxError("docker_unavailable", "no engine answers")

    @precondition(lambda self: self.provider.trouble is not None)
    @rule()
    def recover(self) -> None:
        self.provider.trouble = None

    @invariant()
    def never_too_many(self) -> None:
        unused = [each for each in self.provider.spares if not each.closed and each not in self.taken]
        assert len(unused) == self.stock.unused() <= self.MOST

    @invariant()
    def the_taken_are_let_live(self) -> None:
        assert not any(each.closed for each in self.taken)

    def teardown(self) -> None:
        self.provider.trouble = None
        self.now += 1000
        for _ in range(20):
            self.stock.step()
        assert not self.stock.step(), "it never comes to rest"
        self.stock.close()
        assert all(each.closed or each in self.taken for each in self.provider.spares)
        self.folder.cleanup()


TestStock = StockMachine.TestCase
TestStock.settings = hypothesis_settings(max_examples=40, stateful_step_count=30, deadline=None)


# --- with a real engine -----------------------------------------------------------------------------------------------


@pytest.mark.docker
def test_a_container_is_the_run_s_that_takes_it(provider: DockerProvider, checkout: Path, tmp_path: Path) -> None:
    asked = template(checkout).changed(run_id="5" * 16)
    spare = provider.prepare(asked)
    assert spare is not None
    assert spare.folder.name not in {each.id for each in provider.list()}, "nobody's is in no inventory"
    assert provider.get(spare.folder.name) is None

    assert spare.alive()
    taken = spare.adopt(asked.changed(limits=LIMITS.changed(minutes=2), env={"MINE": "yes"}))
    try:
        assert [each.run_id for each in provider.list() if each.id == taken.id] == [asked.run_id]
        assert provider.sweep("0" * 16) == 0, "its container's label still says nobody"
        assert shell(taken, 'cat README.md; echo "$MINE" > mine').stdout == b"hello\n"
        again = provider.get(taken.id)
        assert again is not None
        assert again.read_file("mine") == b"yes\n"
        assert taken.record.warm
        assert [each.path for each in taken.collect(tmp_path / "blobs").files] == ["mine"]
    finally:
        assert provider.sweep(asked.run_id) >= 1, "its run's leftovers are found by its folder"
    assert not spare.folder.exists()
    taken.close()


@pytest.mark.docker
def test_its_time_begins_when_it_is_taken(provider: DockerProvider, api: docker.APIClient) -> None:
    asked = Template(run_id="6" * 16, limits=LIMITS.changed(minutes=0.02))
    spare = provider.prepare(asked)
    assert spare is not None
    time.sleep(2)
    taken = spare.adopt(asked)
    try:
        assert shell(taken, "echo alive").stdout == b"alive\n"
        until(lambda: not api.inspect_container(taken.id)["State"]["Running"])
    finally:
        taken.close()


_MAKER = """
import sys, time
from pathlib import Path
from bot.sandbox.docker.provider import DockerProvider
from bot.types.sandbox import Template
from bot.types.task import Limits
provider = DockerProvider(work=Path(sys.argv[1]))
asked = Template(run_id="7" * 16, limits=Limits(memory_mb=64))
kept, taken = provider.prepare(asked), provider.prepare(asked).adopt(asked)
print(kept.folder.name, taken.id, flush=True)
time.sleep(600)
"""


@pytest.mark.docker
def test_after_a_kill_the_next_sweep_removes_both(api: docker.APIClient, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _MAKER, str(tmp_path)], stdout=subprocess.PIPE) as maker:
        assert maker.stdout is not None
        names = maker.stdout.readline().decode().split()
        maker.kill()
    assert len(names) == 2
    assert all(api.inspect_container(each)["State"]["Running"] for each in names)

    provider = DockerProvider(work=tmp_path)
    provider.sweep()
    provider.close()

    left = {each["Names"][0].removeprefix("/") for each in api.containers(all=True)}
    assert not left & set(names)
    assert not list(tmp_path.glob("sandpiper-*"))


_FORGETFUL = """
import sys, time
from pathlib import Path
from bot.sandbox.docker.provider import DockerProvider
from bot.sandbox.pool import WarmPool
from bot.types.sandbox import Template
from bot.types.task import Limits
pool, asked = WarmPool(DockerProvider(work=Path(sys.argv[1]))), Template(run_id="7" * 16, limits=Limits(memory_mb=64))
pool.warm(asked)
while not pool.ready(asked):
    time.sleep(0.01)
"""


@pytest.mark.docker
def test_a_process_that_forgets_to_close_leaves_nothing(docker_engine: None, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FORGETFUL, str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(tmp_path.glob("sandpiper-*"))


@pytest.mark.docker
def test_the_first_output_comes_at_once(checkout: Path, tmp_path: Path) -> None:
    pool = WarmPool(DockerProvider(work=tmp_path), maximum=2)
    try:
        asked = template(checkout)
        began = time.monotonic()
        pool.create(asked).close()
        cold = time.monotonic() - began
        until(lambda: pool.ready(asked) == 1, 60)
        began = time.monotonic()
        taken = pool.create(asked)
        assert shell(taken, "echo first").stdout == b"first\n"
        warm = time.monotonic() - began
        taken.close()
        assert (taken.record.warm, warm < cold / 3) == (True, True), (warm, cold)
    finally:
        pool.close()
    assert not list(tmp_path.glob("sandpiper-*"))

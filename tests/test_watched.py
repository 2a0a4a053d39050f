"""A watched provider does what the one inside does, and tells every step of it, whatever becomes of the step."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.errors import SandboxError, TaskError
from bot.protocols import Sandbox, SandboxProvider
from bot.sandbox.news import LONGEST, egress_news
from bot.sandbox.watched import SAMPLE_SECONDS, Watched
from bot.testing.contracts_sandbox import RUN_ID, make_checkout, refusal, template
from bot.testing.sandbox import FakeProvider, FakeSandbox, Script, exited
from bot.types.network import EgressRecord
from bot.types.run import Progress
from bot.types.sandbox import ExecRequest, ExecResult, SandboxStats, Template
from bot.types.task import Limits

SCRIPT: Script = {
    ("make",): exited(0, stdout=b"built\n"),
    ("false",): exited(1),
    ("loop",): ExecResult(ending="timed_out", exit_code=124, stderr=b"late"),
    ("boom",): ExecResult(ending="lost", exit_code=137),
}


class News:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.all: list[Progress] = []

    def notify(self, progress: Progress) -> None:
        self.all.append(progress)

    def events(self) -> list[str]:
        return [str(each.facts["event"]) for each in self.all]

    def last(self, event: str) -> dict[str, str | int | float | bool]:
        return dict(next(each.facts for each in reversed(self.all) if each.facts["event"] == event))


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Kit:
    def __init__(self, folder: Path, **options: float) -> None:
        self.news, self.clock, self.fake = News(), Clock(), FakeProvider(folder / "boxes", SCRIPT)
        self.provider: SandboxProvider = Watched(self.fake, self.news, actor="maria", clock=self.clock, **options)

    def create(self, **limits: int) -> Sandbox:
        return self.provider.create(Template(run_id=RUN_ID, env={"HOME": "/x"}, limits=Limits(**limits)))


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


def test_a_life_is_told_step_by_step(kit: Kit, tmp_path: Path) -> None:
    sandbox = kit.provider.create(template(make_checkout(tmp_path / "checkout")))
    assert sandbox.exec(ExecRequest(argv=("make",))).stdout == b"built\n"
    sandbox.write_file("new", b"12345")
    assert sandbox.read_file("new") == b"12345"
    assert "new" in sandbox.list_files()
    sandbox.delete_file("README.md")
    sandbox.pause()
    sandbox.resume()
    changes = sandbox.collect(tmp_path / "blobs")
    sandbox.close()
    assert kit.provider.sweep(RUN_ID) == 0
    assert kit.news.events() == [
        "sandbox_create",
        *("command_start", "command_complete"),
        *("file_write", "file_read", "file_list", "file_delete"),
        *("sandbox_pause", "sandbox_resume"),
        *("sandbox_stats", "sandbox_collect", "sandbox_close", "sandbox_sweep"),
    ]
    assert all(each.stage == "audit" for each in kit.news.all)
    assert all("\n" not in each.text and each.text for each in kit.news.all)
    for facts in (each.facts for each in kit.news.all):
        assert {"event", "at", "action", "actor"} <= set(facts)
        assert facts["actor"] == "maria"
        assert abs(datetime.fromisoformat(str(facts["at"])).timestamp() - time.time()) < 60
    for facts in (each.facts for each in kit.news.all[:-1]):
        assert (facts["sandbox_id"], facts["run_id"], facts["provider"]) == (sandbox.id, RUN_ID, "fake")
    assert kit.news.last("file_write")["bytes"] == kit.news.last("file_read")["bytes"] == 5
    assert kit.news.last("file_delete")["path"] == "README.md"
    collected = kit.news.last("sandbox_collect")
    assert (collected["files"], collected["bytes"], collected["complete"]) == (len(changes.files), 5, True)


def test_a_command_is_told_before_and_after(kit: Kit) -> None:
    sandbox = kit.create()
    request = ExecRequest(argv=("loop",), cwd="src", env={"B_TOKEN": "tops3cret", "A": "x"}, stdin=b"123", seconds=7)
    sandbox.exec(request)
    start, end = kit.news.last("command_start"), kit.news.last("command_complete")
    assert {name: start[name] for name in ("argv", "cwd", "env_names", "stdin_bytes", "limit_seconds")} == {
        "argv": "loop",
        "cwd": "src",
        "env_names": "A B_TOKEN",
        "stdin_bytes": 3,
        "limit_seconds": 7.0,
    }
    assert (end["ok"], end["code"], end["ending"], end["exit_code"]) == (False, "timed_out", "timed_out", 124)
    assert (end["stdout_bytes"], end["stderr_bytes"], end["argv"]) == (0, 4, "loop")
    assert start["command_id"] == end["command_id"]
    sandbox.exec(ExecRequest(argv=("false",)))
    end = kit.news.last("command_complete")
    assert (end["ok"], end["code"], end["exit_code"], end["command_id"]) == (False, "", 1, 2)
    assert "tops3cret" not in "".join(each.model_dump_json() for each in kit.news.all)


def test_what_fails_is_told_and_still_fails(kit: Kit) -> None:
    sandbox = kit.create()
    attempts: list[tuple[Callable[[], object], str, str]] = [
        (lambda: sandbox.read_file("../etc/passwd"), "file_read", "path_outside"),
        (lambda: sandbox.read_file("none"), "file_read", "no_such_file"),
        (lambda: sandbox.delete_file("none"), "file_delete", "no_such_file"),
        (lambda: sandbox.exec(ExecRequest(argv=("make",), cwd="..")), "command_complete", "path_outside"),
    ]
    for attempt, event, code in attempts:
        assert refusal(attempt) == code
        facts = kit.news.last(event)
        assert (facts["ok"], facts["code"]) == (False, code)
    assert kit.news.events()[-2:] == ["command_start", "command_complete"]


def test_a_provider_that_fails_is_told(tmp_path: Path) -> None:
    news = News()
    broken = FakeProvider(tmp_path, error=SandboxError("docker_unavailable", "no engine"))
    provider = Watched(broken, news)
    with pytest.raises(SandboxError):
        provider.create(Template(run_id=RUN_ID))
    facts = news.last("sandbox_create")
    assert (facts["ok"], facts["code"], facts["run_id"]) == (False, "docker_unavailable", RUN_ID)
    assert "sandbox_id" not in facts
    assert "docker_unavailable" in (provider.healthy() or "")


def test_an_interrupt_is_told_too(tmp_path: Path) -> None:
    def interrupt(request: ExecRequest, workspace: Path) -> ExecResult:
        raise KeyboardInterrupt

    news = News()
    sandbox = Watched(FakeProvider(tmp_path, interrupt), news).create(Template(run_id=RUN_ID))
    with pytest.raises(KeyboardInterrupt):
        sandbox.exec(ExecRequest(argv=("make",)))
    assert news.last("command_complete")["code"] == "interrupted"


def test_a_lost_sandbox_is_told_once(kit: Kit) -> None:
    lost, expired = kit.create(), kit.create()
    for _ in range(2):
        assert lost.exec(ExecRequest(argv=("boom",))).ending == "lost"
    kit.fake.made[1].closed = True  # as its wall clock would
    for _ in range(2):
        assert refusal(lambda: expired.exec(ExecRequest(argv=("make",)))) == "sandbox_expired"
    found = [each.facts for each in kit.news.all if each.facts["event"] == "sandbox_lost"]
    assert [(each["sandbox_id"], each["code"]) for each in found] == [
        (lost.id, "sandbox_lost"),
        (expired.id, "sandbox_expired"),
    ]


def test_what_comes_after_the_end_is_no_loss(kit: Kit, tmp_path: Path) -> None:
    sandbox = kit.create()
    sandbox.collect(tmp_path / "blobs")
    assert refusal(lambda: sandbox.exec(ExecRequest(argv=("make",)))) == "sandbox_expired"
    sandbox.close()
    sandbox.close()
    assert "sandbox_lost" not in kit.news.events()
    assert kit.news.events().count("sandbox_close") == 1


def test_samples_are_taken_now_and_then_and_at_the_end(kit: Kit) -> None:
    sandbox = kit.create()
    kit.fake.made[0].used = SandboxStats(memory_mb=12.5, cpu_percent=3.0, pids=2)
    for _ in range(3):
        sandbox.exec(ExecRequest(argv=("make",)))
    assert kit.news.events().count("sandbox_stats") == 0
    kit.clock.now += SAMPLE_SECONDS
    for _ in range(3):
        sandbox.exec(ExecRequest(argv=("make",)))
    assert kit.news.events().count("sandbox_stats") == 1
    facts = kit.news.last("sandbox_stats")
    assert (facts["memory_mb"], facts["cpu_percent"], facts["pids"], facts["sandbox_id"]) == (12.5, 3.0, 2, sandbox.id)
    assert "disk_mb" not in facts
    sandbox.close()
    assert kit.news.events()[-2:] == ["sandbox_stats", "sandbox_close"]


@pytest.mark.parametrize(("share", "warned_at"), [(0.8, 410.0), (0.5, 257.0)])
def test_high_memory_is_warned_once_each_time(tmp_path: Path, share: float, warned_at: float) -> None:
    kit = Kit(tmp_path, memory_share=share)
    sandbox = kit.create(memory_mb=512)
    fake = kit.fake.made[0]

    def after(memory_mb: float) -> int:
        fake.used = SandboxStats(memory_mb=memory_mb)
        kit.clock.now += SAMPLE_SECONDS
        sandbox.exec(ExecRequest(argv=("make",)))
        return kit.news.events().count("memory_high")

    limit = share * 512
    assert [after(each) for each in (limit - 1, limit, warned_at, warned_at + 9, 1.0, warned_at)] == [0, 0, 1, 1, 1, 2]
    warning = next(each for each in kit.news.all if each.facts["event"] == "memory_high")
    assert warning.stage == "sandbox"
    assert "512 MiB" in warning.text
    assert warning.facts["severity"] == "warning"


def test_a_sandbox_that_was_found_is_watched_too(kit: Kit) -> None:
    made = kit.create()
    assert kit.provider.get("none") is None
    found = kit.provider.get(made.id)
    assert found is not None
    found.exec(ExecRequest(argv=("make",)))
    assert kit.news.last("command_complete")["sandbox_id"] == made.id


def test_the_rest_of_the_provider_is_there(kit: Kit) -> None:
    made = kit.create()
    assert [each.id for each in kit.provider.list()] == [made.id]
    assert kit.provider.capacity(Limits(memory_mb=8192)) == 2
    kit.provider.warm(Template(run_id=RUN_ID), 2)
    assert kit.fake.warmed == [(Template(run_id=RUN_ID), 2)]
    assert kit.provider.healthy() is None
    assert made.health() is None
    assert made.stats() == kit.fake.made[0].stats()
    assert made.record.provider == "fake"
    kit.provider.close()
    assert kit.fake.closed


class Broken:
    def notify(self, progress: Progress) -> None:
        raise OSError("the disk is full")


def test_an_observer_that_fails_changes_nothing(tmp_path: Path) -> None:
    sandbox = Watched(FakeProvider(tmp_path, SCRIPT), Broken()).create(Template(run_id=RUN_ID))
    assert sandbox.exec(ExecRequest(argv=("make",))).ok
    with pytest.raises(TaskError):
        sandbox.read_file("none")
    sandbox.close()


def test_long_and_broken_texts_stay_bounded_and_whole(kit: Kit) -> None:
    sandbox = kit.create()
    token = "ghp_" + "a1" * 300
    for argv in ((" ".join(["word"] * 5000),), ("x" * (LONGEST - 20) + token,), ("y" * 100_000,)):
        sandbox.exec(ExecRequest(argv=("sh", "-c", *argv)))
        text = str(kit.news.last("command_start")["argv"])
        assert len(text) <= LONGEST + 1
        assert text.endswith("…")
        assert "ghp_" not in text  # half a credential is one that nobody recognises
    assert refusal(lambda: sandbox.read_file("no\udcff\ndat")) == "no_such_file"
    assert kit.news.last("file_read")["path"] == "no?\ndat"
    assert "\n" not in kit.news.all[-1].text


def test_what_the_proxy_noted_is_told_alike() -> None:
    noted = EgressRecord(
        at=datetime(2026, 1, 2, tzinfo=UTC),
        verdict="denied",
        code="host_not_allowed",
        method="CONNECT",
        host="x.example",
    )
    news = egress_news(noted, sandbox_id="s", run_id=RUN_ID)
    assert news.stage == "audit"
    assert news.text == "egress x.example (host_not_allowed)"
    assert (news.facts["event"], news.facts["ok"], news.facts["verdict"]) == ("egress", False, "denied")
    assert (news.facts["at"], news.facts["sent_bytes"]) == ("2026-01-02T00:00:00.000+00:00", 0)
    assert egress_news(noted.changed(verdict="allowed", code="")).facts["ok"] is True


def test_watching_costs_next_to_nothing(tmp_path: Path) -> None:
    fake = FakeProvider(tmp_path, SCRIPT)
    sandbox = Watched(fake, News()).create(Template(run_id=RUN_ID))
    request = ExecRequest(argv=("make",))

    def cost(one: Sandbox | FakeSandbox) -> float:
        started = time.perf_counter()
        for _ in range(50):
            one.exec(request)
        return (time.perf_counter() - started) / 50

    extra = statistics.median(cost(sandbox) - cost(fake.made[0]) for _ in range(15))
    assert extra < 0.001, f"{extra * 1e6:.0f} us"  # about 60 us; ten times more would show in every command

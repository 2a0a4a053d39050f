"""The audit log keeps what it is told, says when somebody touched it, and raises the alarm."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bot.cli.audit import audit
from bot.deps import Deps
from bot.errors import ConfigurationError
from bot.protocols import Observer
from bot.sandbox.watched import Watched
from bot.settings import Settings
from bot.telemetry.alarm import Alarm
from bot.telemetry.audit import LINE_BYTES, START, AuditLog, audit_path, read_audit, verify
from bot.telemetry.display import watched_by
from bot.testing.contracts_sandbox import refusal
from bot.testing.sandbox import FakeProvider, exited
from bot.types.event import Repository
from bot.types.run import Progress
from bot.types.sandbox import ExecRequest, Template
from bot.types.task import Limits
from bot.wiring import wire

ROOT = Path(__file__).resolve().parent.parent
RUN_ID = "c0ffee00c0ffee00"
SECRET = "correct-horse-battery"


def news(event: str = "command_start", **facts: Any) -> Progress:
    return Progress(stage="audit", text=event, facts={"event": event, "at": "2026-01-02T03:04:05.678+00:00", **facts})


def written(folder: Path, count: int = 5) -> Path:
    """A log of that many lines."""
    path = folder / "audit.jsonl"
    log = AuditLog(path)
    for number in range(count):
        log.notify(news(command_id=number, argv=f"make step-{number}", ok=True, seconds=0.25))
    log.close()
    return path


def first_bad(path: Path) -> int:
    verdict = verify(path)
    return verdict.bad[0].line if verdict.bad else 0


def test_lines_are_chained_private_and_readable(tmp_path: Path) -> None:
    path = written(tmp_path / "state")
    verdict = verify(path)
    records = list(read_audit(path))
    assert (verdict.ok, verdict.lines, verdict.reason) == (True, 5, "")
    assert [each["command_id"] for each in records] == [0, 1, 2, 3, 4]
    assert records[0]["previous"] == START
    assert [each["previous"] for each in records[1:]] == [each["hash"] for each in records[:-1]]
    assert verdict.head == records[-1]["hash"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_news_without_an_event_is_none_of_its_business(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    log.notify(Progress(stage="work", text="make"))
    log.close()
    assert list(tmp_path.iterdir()) == []


def test_another_process_goes_on_with_the_chain(tmp_path: Path) -> None:
    path = written(tmp_path)
    before = path.read_bytes()
    written(tmp_path, 3)
    assert path.read_bytes().startswith(before)
    assert (verify(path).ok, verify(path).lines) == (True, 8)


def tampered(lines: list[bytes], how: str) -> list[bytes]:
    match how:
        case "edited":
            return [*lines[:2], lines[2].replace(b"step-2", b"step-9"), *lines[3:]]
        case "removed":
            return [*lines[:2], *lines[3:]]
        case "moved":
            return [*lines[:2], lines[3], lines[2], lines[4]]
        case "twice":
            return [*lines[:3], *lines[2:]]
        case "cut in the middle":
            return [*lines[:2], lines[2][:40], *lines[3:]]
        case "cut at the end":
            return [*lines[:2], lines[2][:-1]]
        case "begun anew":
            return lines[2:]
        case _:
            return [*lines[:2], b"hello\n", *lines[2:]]


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("edited", 3),
        ("removed", 3),
        ("moved", 3),
        ("twice", 4),
        ("cut in the middle", 3),
        ("cut at the end", 3),
        ("begun anew", 1),
        ("foreign", 3),
    ],
)
def test_the_first_bad_line_is_named(tmp_path: Path, how: str, line: int) -> None:
    path = written(tmp_path)
    path.write_bytes(b"".join(tampered(path.read_bytes().splitlines(keepends=True), how)))
    verdict = verify(path)
    assert not verdict.ok
    assert verdict.bad[0].line == line
    assert f"line {line}: " in verdict.reason


@pytest.fixture(scope="module")
def log_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return written(tmp_path_factory.mktemp("log")).read_bytes()


@given(st.data())
def test_a_change_of_any_byte_is_found(log_bytes: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(log_bytes) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda each: each != log_bytes[at]))
    changed = log_bytes[:at] + bytes([byte]) + log_bytes[at + 1 :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audit.jsonl"
        path.write_bytes(changed)
        assert first_bad(path) == log_bytes[:at].count(b"\n") + 1


@given(st.data())
def test_any_piece_that_is_cut_out_is_found_but_whole_lines_at_the_end(log_bytes: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(log_bytes) - 1))
    end = data.draw(st.integers(start + 1, len(log_bytes)))
    left = log_bytes[:start] + log_bytes[end:]
    head = json.loads(log_bytes.splitlines()[-1])["hash"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audit.jsonl"
        path.write_bytes(left)
        assert verify(path).ok is (log_bytes.startswith(left) and (not left or left.endswith(b"\n")))
        assert not verify(path, head=head).ok


def test_a_missing_end_shows_against_a_remembered_head(tmp_path: Path) -> None:
    path = written(tmp_path)
    head = verify(path).head
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4]))
    assert verify(path).ok  # nobody could know
    verdict = verify(path, head=head)
    assert not verdict.ok
    assert "removed from the end" in verdict.reason
    path.write_bytes(b"".join(lines))
    written(tmp_path, 2)
    assert verify(path, head=head).ok  # it may have grown since
    assert verify(path, head=START).ok


def test_a_line_that_a_crash_cut_off_stays_visible_and_the_chain_goes_on(tmp_path: Path) -> None:
    path = written(tmp_path)
    with path.open("ab") as file:
        file.write(b'{"argv":"half a li')
    written(tmp_path, 2)
    verdict = verify(path)
    assert [each.line for each in verdict.bad] == [6]
    assert verdict.lines == 8
    assert len(list(read_audit(path))) == 7


WRITER = """
import sys
from pathlib import Path
from bot.telemetry.audit import AuditLog
from bot.types.run import Progress
log = AuditLog(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    log.notify(Progress(stage="audit", text="x", facts={"event": "x", "who": sys.argv[2], "number": number}))
"""


def test_processes_and_threads_write_one_chain(tmp_path: Path) -> None:
    path, count = tmp_path / "audit.jsonl", 200
    command = [sys.executable, "-c", WRITER, str(path)]
    others = [subprocess.Popen([*command, str(who), str(count)], cwd=ROOT) for who in range(3)]
    log = AuditLog(path)

    def write(who: str) -> None:
        for number in range(count):
            log.notify(news("x", who=who, number=number))

    threads = [threading.Thread(target=write, args=(f"thread-{who}",)) for who in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.wait(timeout=60) for each in others] == [0, 0, 0]
    verdict = verify(path)
    assert (verdict.ok, verdict.lines) == (True, 5 * count), verdict.reason
    for who in ("0", "1", "2", "thread-0", "thread-1"):
        assert [each["number"] for each in read_audit(path) if each["who"] == who] == list(range(count))


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    path = written(tmp_path)
    size = path.stat().st_size
    script = WRITER.replace("import sys", "import sys, resource, signal")
    limited = f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size + 50},) * 2)"
    script = script.replace("log =", f"signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n{limited}\nlog =")
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), "x", "1"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "audit_log_unusable" in done.stderr
    assert path.stat().st_size == size
    assert verify(path).ok


text = st.text(st.characters(codec=None), max_size=200) | st.sampled_from(["", '"', "\\", "\n", "\u2028", "##[x]"])
values = text.map(lambda each: each.encode("utf-8", "replace").decode()) | st.integers(-(2**53), 2**53) | st.booleans()


@given(st.lists(st.dictionaries(st.sampled_from(["argv", "path", "hash", "previous", "cut", "n"]), values), max_size=5))
def test_whatever_is_told_the_chain_holds(told: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audit.jsonl"
        path.touch()
        log = AuditLog(path)
        for facts in told:
            log.notify(news(**facts))
        log.close()
        assert (verify(path).ok, verify(path).lines) == (True, len(told))
        assert path.read_bytes().isascii()


@pytest.mark.parametrize("piece", ["x", "\u00fc", "\U0001f600", '"'])
def test_a_line_is_bounded_whatever_it_is_told(tmp_path: Path, piece: str) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)
    log.notify(news(**{f"fact{number}": piece * 5_000 for number in range(20)}))
    log.notify(news(argv="short", seconds=float("inf")))
    log.close()
    first, second = path.read_bytes().splitlines()
    assert len(first) < LINE_BYTES
    assert json.loads(first)["cut"] is True
    assert json.loads(first)["fact0"].startswith(piece * 20)
    assert json.loads(second)["seconds"] == "inf"
    assert verify(path).ok


def test_secrets_do_not_get_into_the_log(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, secrets=(SECRET,))
    for _ in range(2):
        log.notify(news(argv=f"curl -H 'X: {SECRET}'", path=SECRET.upper()))
    log.notify(news(argv="git clone https://x:ghp_0123456789abcdef0123456789abcdef0123@example.org/r"))
    log.close()
    data = path.read_text()
    assert "horse" not in data.lower()
    assert "ghp_" not in data
    assert data.count("***") == 5
    assert verify(path).ok


def _folder(place: Path) -> None:
    place.mkdir()


def _pipe(place: Path) -> None:
    os.mkfifo(place)


def _link(place: Path) -> None:
    place.symlink_to(place.parent / "elsewhere")


@pytest.mark.parametrize("make", [_folder, _pipe, _link])
def test_what_is_no_file_is_refused(tmp_path: Path, make: Any) -> None:
    place = tmp_path / "audit.jsonl"
    make(place)
    with pytest.raises(ConfigurationError) as caught:
        AuditLog(place).open()
    assert caught.value.code == "audit_log_unusable"
    assert "SANDPIPER_AUDIT_LOG" in caught.value.hint
    assert not (tmp_path / "elsewhere").exists()


# --- alerts -----------------------------------------------------------------------------------------------------------


class News:
    def __init__(self) -> None:
        self.all: list[Progress] = []

    def notify(self, progress: Progress) -> None:
        self.all.append(progress)

    def alerts(self) -> list[Progress]:
        return [each for each in self.all if each.facts.get("event") == "alert"]


def watchers(folder: Path) -> tuple[News, Observer]:
    """As the product wires them."""
    heard = News()
    told = watched_by(heard, AuditLog(folder / "audit.jsonl"))
    return heard, watched_by(told, Alarm(told))


def test_six_escapes_of_one_run_raise_one_alert(tmp_path: Path) -> None:
    heard, watch = watchers(tmp_path)
    provider = Watched(FakeProvider(tmp_path / "boxes"), watch, actor="mallory")
    sandbox, other = provider.create(Template(run_id=RUN_ID)), provider.create(Template(run_id="0" * 16))
    for count in range(1, 12):
        assert refusal(lambda: sandbox.read_file("../../etc/passwd")) == "path_outside"
        assert len(heard.alerts()) == (count > 5)
    assert refusal(lambda: other.read_file("../x")) == "path_outside"
    (alert,) = heard.alerts()
    assert alert.stage == "sandbox"
    assert (alert.facts["severity"], alert.facts["run_id"], alert.facts["actor"]) == ("high", RUN_ID, "mallory")
    assert [each["count"] for each in read_audit(tmp_path / "audit.jsonl") if each["event"] == "alert"] == [6]
    assert verify(tmp_path / "audit.jsonl").ok


def test_failures_of_ordinary_work_raise_none(tmp_path: Path) -> None:
    heard, watch = watchers(tmp_path)
    fake = FakeProvider(tmp_path / "boxes", {("false",): exited(1)})
    sandbox = Watched(fake, watch).create(Template(run_id=RUN_ID, limits=Limits()))
    for _ in range(20):
        sandbox.exec(ExecRequest(argv=("false",)))
        assert refusal(lambda: sandbox.read_file("none")) == "no_such_file"
    assert heard.alerts() == []


@pytest.mark.parametrize(
    ("facts", "alerts"),
    [
        ({"event": "egress", "ok": False, "verdict": "denied", "code": "host_not_allowed"}, 1),
        ({"event": "egress", "ok": False, "verdict": "denied", "code": "private_address"}, 1),
        ({"event": "egress", "ok": False, "verdict": "denied", "code": "unresolved"}, 0),
        ({"event": "egress", "ok": True, "verdict": "allowed", "code": ""}, 0),
        ({"event": "command_complete", "ok": False, "code": "command_blocked"}, 1),
        ({"event": "command_complete", "ok": False, "code": "timed_out"}, 0),
    ],
)
def test_what_counts_as_an_attempt(facts: dict[str, Any], alerts: int) -> None:
    heard = News()
    alarm = Alarm(heard)
    for _ in range(6):
        alarm.notify(Progress(stage="audit", text="x", facts={"run_id": RUN_ID, **facts}))
    assert len(heard.alerts()) == alerts


def test_runs_are_counted_apart_and_forgotten_in_the_end() -> None:
    heard = News()
    alarm = Alarm(heard)

    def attempts(run_id: str, count: int) -> None:
        for _ in range(count):
            alarm.notify(news("file_read", ok=False, code="path_outside", run_id=run_id))

    attempts("first", 5)
    for number in range(1_000):
        attempts(f"run-{number}", 5)
    attempts("first", 5)
    assert heard.alerts() == []
    attempts("run-999", 1)
    assert len(heard.alerts()) == 1


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SANDPIPER_STATE", str(tmp_path))
    return tmp_path


def invoke(*args: str) -> tuple[int, str]:
    done = CliRunner().invoke(audit, args)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def test_verify_says_what_it_found(state: Path) -> None:
    path = written(state)
    code, output = invoke("verify")
    head = verify(path).head
    assert code == 0
    assert "whole" in output
    assert f"head   {head}" in output
    assert "can't be noticed without --head" in output
    code, output = invoke("verify", str(path), "--head", head, "--json")
    assert (code, json.loads(output)["ok"]) == (0, True)
    path.write_bytes(path.read_bytes().replace(b"step-3", b"step-8"))
    code, output = invoke("verify")
    assert code == 1
    assert "line 4: it was changed" in output
    code, output = invoke("verify", "--json")
    assert (code, json.loads(output)["bad"][0]["line"]) == (1, 4)


def test_show_selects_and_obeys_nobody(state: Path) -> None:
    log = AuditLog(state / "audit.jsonl")
    log.notify(news("command_complete", run_id=RUN_ID, ok=True, argv="make test", exit_code=0))
    log.notify(news("command_complete", run_id="0" * 16, ok=False, argv="x\n::error::owned ##[x]", code="timed_out"))
    log.close()
    code, output = invoke("show")
    assert code == 0
    assert "make test" in output
    assert not any(line.lstrip().startswith("::") or "##[" in line for line in output.splitlines())
    assert "make test" not in invoke("show", "--run", "0000")[1]
    assert "make test" not in invoke("show", "--failed")[1]
    assert [each["run_id"] for each in json.loads(invoke("show", "--limit", "1", "--json")[1])["records"]] == ["0" * 16]
    assert "nothing was recorded" in invoke("show", "--run", "ffff")[1]


def test_a_log_that_is_not_there_is_said(state: Path) -> None:
    for command in ("verify", "show"):
        with pytest.raises(ConfigurationError) as caught:
            invoke(command)
        assert caught.value.code == "no_audit_log"


def test_the_setting_names_the_place(tmp_path: Path) -> None:
    assert audit_path(Settings(state=tmp_path)) == tmp_path / "audit.jsonl"
    assert audit_path(Settings(state=tmp_path, audit_log=tmp_path / "other")) == tmp_path / "other"


# --- as it is wired ---------------------------------------------------------------------------------------------------


def wired(**settings: Any) -> Deps:
    place = Repository(full_name="maria/tidepool", id=1, default_branch="main")
    environ = {"MY_TOKEN": SECRET}
    return wire(Settings(token="t0ken-t0ken", **settings), place, watch=News(), environ=environ, actor="maria")


def test_every_run_has_a_log_and_metrics_where_they_are_asked_for(tmp_path: Path) -> None:
    deps = wired(state=tmp_path / "state", metrics_file=tmp_path / "x.prom")
    assert not (tmp_path / "state").exists()  # nothing happened yet
    deps.watch.notify(news("sandbox_create", ok=True, sandbox_id="s", argv=f"echo {SECRET}"))
    for _ in range(6):
        deps.watch.notify(news("file_read", ok=False, code="path_outside", run_id=RUN_ID))
    events = [each["event"] for each in read_audit(tmp_path / "state" / "audit.jsonl")]
    assert events == ["sandbox_create", *["file_read"] * 6, "alert"]
    assert SECRET not in (tmp_path / "state" / "audit.jsonl").read_text()
    assert b'sandbox_alerts_total{severity="high"} 1.0' in (tmp_path / "x.prom").read_bytes()
    assert isinstance(deps.sandboxes, Watched)


def test_a_log_that_was_asked_for_and_can_not_be_had_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError) as caught:
        wired(state=tmp_path, audit_log=tmp_path / "file" / "audit.jsonl")
    assert caught.value.code == "audit_log_unusable"
    wired(state=tmp_path, audit_log=tmp_path / "audit" / "here.jsonl")
    assert (tmp_path / "audit" / "here.jsonl").exists()

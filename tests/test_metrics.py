"""What sandboxes do -> figures that Prometheus reads, and a dashboard and rules that name them right."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from bot.errors import ConfigurationError, SandboxError
from bot.sandbox.news import egress_news
from bot.sandbox.watched import SAMPLE_SECONDS, Watched
from bot.telemetry.metrics import WRITE_SECONDS, Metrics, MetricsFile
from bot.telemetry.tally import BUCKETS, SERIES
from bot.testing.contracts_sandbox import RUN_ID, refusal
from bot.testing.sandbox import FakeProvider, Script, exited
from bot.types.network import EgressRecord
from bot.types.run import Progress
from bot.types.sandbox import ExecRequest, ExecResult, SandboxStats, Template

ROOT = Path(__file__).resolve().parent.parent
SCRIPT: Script = {("make",): exited(), ("loop",): ExecResult(ending="timed_out", exit_code=124)}
TEMPLATE = Template(run_id=RUN_ID)
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(metrics: Metrics) -> Samples:
    """Name and labels -> value, as Prometheus' own parser reads them."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def names(metrics: Metrics) -> set[str]:
    """Names that a query may use; a histogram's are those of its series."""
    families = text_string_to_metric_families(metrics.render().decode())
    found = set()
    for family in families:
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        found |= {family.name + ending for ending in endings}
    return found


def told(event: str, **facts: Any) -> Progress:
    return Progress(stage="audit", text=event, facts={"event": event, **facts})


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_life_in_figures(tmp_path: Path) -> None:
    metrics, clock, fake = Metrics(), Clock(), FakeProvider(tmp_path / "boxes", SCRIPT)
    provider = Watched(fake, metrics, clock=clock)
    first, second = provider.create(TEMPLATE), provider.create(TEMPLATE)
    fake.made[0].used = SandboxStats(memory_mb=12.5, cpu_percent=97.0, pids=3)
    clock.now += SAMPLE_SECONDS
    for argv in ("make", "make", "loop"):
        first.exec(ExecRequest(argv=(argv,)))
    first.write_file("a", b"123")
    first.read_file("a")
    assert refusal(lambda: second.read_file("../x")) == "path_outside"
    found = samples(metrics)
    of_first = (("id", first.id),)
    assert found["sandbox_created_total", (("provider", "fake"),)] == 2
    assert found["sandbox_active", ()] == 2
    assert found["sandbox_exec_total", (("ending", "exited"),)] == 2
    assert found["sandbox_exec_total", (("ending", "timed_out"),)] == 1
    assert found["sandbox_exec_seconds_count", ()] == 3
    assert found["sandbox_create_seconds_count", ()] == 2
    assert found["sandbox_create_seconds_bucket", (("le", "+Inf"),)] == 2
    assert found["sandbox_memory_usage_mb", of_first] == 12.5
    assert found["sandbox_cpu_percent", of_first] == 97
    assert found["sandbox_pids", of_first] == 3
    assert found["sandbox_last_activity_timestamp", of_first] > 1_700_000_000
    assert found["sandbox_file_bytes_total", (("direction", "written"),)] == 3
    assert found["sandbox_file_bytes_total", (("direction", "read"),)] == 3
    assert found["sandbox_failures_total", (("action", "read_file"), ("code", "path_outside"))] == 1


def test_a_closed_sandbox_leaves_no_series_and_nothing_brings_one_back(tmp_path: Path) -> None:
    metrics = Metrics()
    provider = Watched(FakeProvider(tmp_path / "boxes", SCRIPT), metrics)
    kept = provider.create(TEMPLATE)
    for _ in range(5):
        sandbox = provider.create(TEMPLATE)
        sandbox.exec(ExecRequest(argv=("make",)))
        sandbox.close()
        sandbox.close()
        assert refusal(lambda sandbox=sandbox: sandbox.exec(ExecRequest(argv=("make",)))) == "sandbox_expired"  # type: ignore[misc]
    found = samples(metrics)
    assert {dict(labels)["id"] for _, labels in found if "id" in dict(labels)} == {kept.id}
    assert found["sandbox_active", ()] == 1
    assert found["sandbox_closed_total", (("provider", "fake"),)] == 5


def test_a_provider_that_fails_is_counted(tmp_path: Path) -> None:
    metrics = Metrics()
    provider = Watched(FakeProvider(tmp_path, error=SandboxError("docker_unavailable", "no")), metrics)
    for _ in range(2):
        with pytest.raises(SandboxError):
            provider.create(TEMPLATE)
    found = samples(metrics)
    assert found["sandbox_failures_total", (("action", "create"), ("code", "docker_unavailable"))] == 2
    assert found["sandbox_active", ()] == 0
    assert found["sandbox_create_seconds_count", ()] == 0


def test_egress_alerts_and_losses_are_counted() -> None:
    metrics = Metrics()
    record = EgressRecord(at="2026-01-02T00:00:00Z", verdict="allowed", host="x", sent_bytes=5, received_bytes=70)
    metrics.notify(egress_news(record))
    metrics.notify(egress_news(record.changed(verdict="denied", sent_bytes=1)))
    metrics.notify(told("alert", severity="high"))
    metrics.notify(told("memory_high", severity="warning"))
    metrics.notify(told("sandbox_lost", ok=False, code="sandbox_lost", sandbox_id="x"))
    metrics.notify(Progress(stage="work", text="no event"))
    found = samples(metrics)
    assert found["sandbox_egress_requests_total", (("verdict", "allowed"),)] == 1
    assert found["sandbox_egress_requests_total", (("verdict", "denied"),)] == 1
    assert found["sandbox_egress_bytes_total", (("direction", "sent"),)] == 6
    assert found["sandbox_egress_bytes_total", (("direction", "received"),)] == 140
    assert found["sandbox_alerts_total", (("severity", "high"),)] == 1
    assert found["sandbox_alerts_total", (("severity", "warning"),)] == 1
    assert found["sandbox_lost_total", (("code", "sandbox_lost"),)] == 1


@pytest.mark.parametrize("seconds", [0.0, BUCKETS[0], 0.3, BUCKETS[-1], 1e9])
def test_buckets_hold_what_took_no_longer(seconds: float) -> None:
    metrics = Metrics()
    metrics.notify(told("command_complete", ok=True, seconds=seconds, ending="exited"))
    found = samples(metrics)
    for (name, labels), value in found.items():
        if name == "sandbox_exec_seconds_bucket":
            assert value == (seconds <= float(dict(labels)["le"])), labels
    assert found["sandbox_exec_seconds_sum", ()] == seconds


def test_labels_stay_few_and_inert() -> None:
    metrics = Metrics()
    for number in range(SERIES + 50):
        metrics.notify(told("file_read", ok=False, action="read_file", code=f"code_{number}"))
    metrics.notify(told("file_read", ok=False, action="read_file", code='x"} 1\nevil{a="b'))
    metrics.notify(told("file_read", ok=False, action="read_file", code="ü" * 1000))
    found = {labels: value for (name, labels), value in samples(metrics).items() if name == "sandbox_failures_total"}
    assert len(found) <= SERIES + 2
    assert sum(found.values()) == SERIES + 52
    assert "evil" not in metrics.render().decode()


def test_two_of_them_share_nothing() -> None:
    one, other = Metrics(), Metrics()
    one.notify(told("command_complete", ok=True, ending="exited"))
    assert samples(one) != samples(other)


# --- the file ---------------------------------------------------------------------------------------------------------


def test_the_file_is_replaced_whole_and_not_too_often(tmp_path: Path) -> None:
    path, clock, metrics = tmp_path / "out" / "sandpiper.prom", Clock(), Metrics()
    file = MetricsFile(metrics, path, clock=clock)
    file.notify(told("sandbox_sweep", ok=True, removed=0))
    assert not path.exists()  # nothing that a process which only sweeps could say is worth another one's figures
    file.notify(told("sandbox_create", ok=True, sandbox_id="s", provider="docker"))
    assert b'sandbox_created_total{provider="docker"} 1.0' in path.read_bytes()
    ended = told("command_complete", ok=True, ending="exited", sandbox_id="s")
    first = path.stat().st_ino
    file.notify(ended)
    assert path.stat().st_ino == first
    clock.now += WRITE_SECONDS
    file.notify(ended)
    assert b'sandbox_exec_total{ending="exited"} 2.0' in path.read_bytes()
    file.notify(told("sandbox_close", ok=True, sandbox_id="s", provider="docker"))
    assert b"sandbox_active 0.0" in path.read_bytes()
    assert [each.name for each in path.parent.iterdir()] == ["sandpiper.prom"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_file_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError) as caught:
        Metrics().write_textfile(tmp_path / "file" / "x.prom")
    assert caught.value.code == "metrics_file_unusable"
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigurationError):
        Metrics().write_textfile(tmp_path / "folder")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]


def test_without_the_package_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "prometheus_client.py").write_text("raise ImportError('not here')\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nfrom bot.telemetry.metrics import Metrics\n"
        "from bot.errors import PluginError\ntry:\n    Metrics()\nexcept PluginError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "metrics_not_installed" in done.stdout
    assert "sandpiper-bot[metrics]" in done.stdout


class Gateway(BaseHTTPRequestHandler):
    seen: list[tuple[str, str, bytes]]

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.command, self.path, data))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Tests are quiet."""


@pytest.fixture
def gateway() -> Iterator[tuple[str, list[tuple[str, str, bytes]]]]:
    seen: list[tuple[str, str, bytes]] = []
    server = HTTPServer(("127.0.0.1", 0), type("Here", (Gateway,), {"seen": seen}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", seen
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_push_gateway_gets_the_same(gateway: tuple[str, list[tuple[str, str, bytes]]]) -> None:
    address, seen = gateway
    metrics = Metrics()
    metrics.push(address)
    assert seen == [("PUT", "/metrics/job/sandbox", metrics.render())]


def test_the_example_of_the_page_works(
    tmp_path: Path, gateway: tuple[str, list[tuple[str, str, bytes]]], capsys: pytest.CaptureFixture[str]
) -> None:
    address, seen = gateway
    page = (ROOT / "docs/observing.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    given: dict[str, Any] = {"provider": FakeProvider(tmp_path / "boxes"), "my_watcher": Metrics()}
    exec(example.replace("localhost:9091", address), given)
    given["sandboxes"].create(TEMPLATE)
    assert samples(given["metrics"]) == samples(given["my_watcher"])
    assert "sandbox_active 0.0" in capsys.readouterr().out
    assert len(seen) == 1


# --- what is drawn and what is watched --------------------------------------------------------------------------------

WORDS = re.compile(r"\bsandbox_\w+")


def expressions() -> list[str]:
    dashboard = json.loads((ROOT / "docs/observing/grafana.json").read_text())
    rules = yaml.safe_load((ROOT / "docs/observing/alerts.yml").read_text())
    drawn = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return drawn + [rule["expr"] for group in rules["groups"] for rule in group["rules"]]


def test_every_expression_uses_names_that_are_exported() -> None:
    known = names(Metrics())
    assert len(expressions()) >= 8
    for expression in expressions():
        used = set(WORDS.findall(expression))
        assert used, expression
        assert used <= known, expression


def test_the_rules_are_those_that_were_asked_for() -> None:
    rules = yaml.safe_load((ROOT / "docs/observing/alerts.yml").read_text())["groups"][0]["rules"]
    told_rules = {(each["expr"], each.get("for"), each["labels"]["severity"]) for each in rules}
    assert {
        ("sandbox_memory_usage_mb > 450", "5m", "warning"),
        ("sandbox_cpu_percent > 90", "2m", "warning"),
        ("time() - sandbox_last_activity_timestamp > 3600", "1m", "critical"),
    } <= told_rules
    assert all(each["annotations"]["summary"] and each["alert"].isidentifier() for each in rules)


def test_the_dashboard_has_the_three_panels_and_no_overlap() -> None:
    panels = json.loads((ROOT / "docs/observing/grafana.json").read_text())["panels"]
    assert {"Memory", "CPU", "Active sandboxes"} <= {each["title"] for each in panels}
    assert len({each["id"] for each in panels}) == len(panels)
    assert len({(each["gridPos"]["x"], each["gridPos"]["y"]) for each in panels}) == len(panels)


def test_the_page_names_every_metric_and_every_event(tmp_path: Path) -> None:
    page = (ROOT / "docs/observing.md").read_text(encoding="utf-8")
    families = text_string_to_metric_families(Metrics().render().decode())
    exported = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    assert exported == set(
        re.findall(r"`(sandbox_\w+)`", page[page.index("| metric |") : page.index("A closed sandbox")])
    )
    source = "".join((ROOT / "bot" / place).read_text() for place in ("sandbox/watched.py", "sandbox/news.py"))
    events = set(re.findall(r"(?:say|step|_step|warn)\(\s*\"([a-z_]+)\"", source)) | {"egress", "alert"}
    table = page[page.index("| event |") : page.index("Attempts are")]
    assert events == set(
        re.findall(r"`((?:sandbox|command|file|memory)_\w+|egress|alert)`", table.replace("`verdict`", ""))
    )

"""News of sandboxes -> Prometheus' text format, in a file for its collectors or pushed to a gateway.

The figures belong to this process: a new one begins from zero, as every Prometheus client does. They are kept in a
tally and handed out when they are asked for, so that a closed sandbox leaves no series behind.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bot.errors import ConfigurationError, PluginError
from bot.telemetry.tally import ACTIVE, COUNTERS, GAUGES, HISTOGRAMS, Tally
from bot.types.run import Progress

if TYPE_CHECKING:
    from prometheus_client import Metric

WRITE_SECONDS = 10.0
"""Between two writes of a metrics file, unless a sandbox was made, lost or closed."""
SOON = frozenset({"sandbox_create", "sandbox_close", "sandbox_lost", "alert"})
"""Events that are written at once."""


class Metrics:
    """An Observer that counts. Raises PluginError where the extra `metrics` is not installed."""

    def __init__(self) -> None:
        try:
            from prometheus_client import CollectorRegistry
        except ImportError as error:
            hint = "pip install 'sandpiper-bot[metrics]'"
            raise PluginError(
                "metrics_not_installed", "metrics need the package prometheus-client", hint=hint
            ) from error
        self._lock = threading.Lock()
        self._tally = Tally()
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def notify(self, progress: Progress) -> None:
        """Count it."""
        if "event" in progress.facts:
            with self._lock:
                self._tally.note(progress.facts)

    def render(self) -> bytes:
        """All of it in Prometheus' text format, version 0.0.4."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)

    def write_textfile(self, path: Path) -> None:
        """Replace a file with it, whole: for the textfile collector of node_exporter, which reads names with `.prom`.

        Raises ConfigurationError `metrics_file_unusable`.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            temporary = Path(name)
            try:
                with os.fdopen(number, "wb") as file:
                    file.write(self.render())
                temporary.chmod(0o644)  # another user's exporter reads it; there is no secret in it
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        except OSError as error:
            hint = "name a file that this user may write: SANDPIPER_METRICS_FILE"
            message = f"the metrics file {path} can't be written: {error.strerror or error}"
            raise ConfigurationError("metrics_file_unusable", message, hint=hint) from error

    def push(self, address: str) -> None:
        """Send it to a Prometheus push gateway, under the job `sandbox`. Raises OSError when nobody answers."""
        from prometheus_client import push_to_gateway

        push_to_gateway(address, job="sandbox", registry=self.registry, timeout=10)

    def collect(self) -> list[Metric]:
        """What prometheus_client asks a collector for."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        families: list[Metric] = []
        with self._lock:
            for name, (text, labels) in COUNTERS.items():
                families.append(counter := CounterMetricFamily(name, text, labels=labels))
                for values, count in self._tally.counts[name].items():
                    counter.add_metric(values, count)
            for name, text in HISTOGRAMS.items():
                families.append(histogram := HistogramMetricFamily(name, text))
                histogram.add_metric([], self._tally.times[name].cumulative(), self._tally.times[name].total)
            for name, text in GAUGES.items():
                families.append(gauge := GaugeMetricFamily(name, text, labels=["id"]))
                for sandbox, figures in self._tally.sandboxes.items():
                    if name in figures:
                        gauge.add_metric([sandbox], figures[name])
            active = len(self._tally.active)
        families.append(GaugeMetricFamily(ACTIVE, "Sandboxes that this process has open.", value=active))
        return families


class MetricsFile:
    """An Observer that counts, and keeps a file up to date: at once when a sandbox comes or goes, else now and then."""

    def __init__(self, metrics: Metrics, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics, self._path, self._clock = metrics, path, clock
        self._written: float | None = None

    def notify(self, progress: Progress) -> None:
        """Count it. Raises ConfigurationError `metrics_file_unusable`."""
        self._metrics.notify(progress)
        event = progress.facts.get("event")
        if event is None or (self._written is None and event != "sandbox_create"):
            return  # a process that only sweeps must not replace the figures of one that works
        now = self._clock()
        if event in SOON or self._written is None or now - self._written >= WRITE_SECONDS:
            self._written = now
            self._metrics.write_textfile(self._path)

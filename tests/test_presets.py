"""Presets: the sizes that the documentation promises, nothing without limits, and a word of warning."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import ConfigurationError
from bot.sandbox.presets import PRESETS, overallocation, preset
from bot.types.network import Network
from bot.types.sandbox import Template
from bot.types.task import Limits

RUN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("name", "memory", "cpus", "disk", "seconds", "gpu"),
    [
        ("light", 128, 0.25, 1_024, 300, False),
        ("standard", 512, 1, 1_024, 300, False),
        ("heavy", 2_048, 4, 4_096, 1_800, False),
        ("ml", 8_192, 8, 16_384, 3_600, True),
        ("production", 512, 1, 1_024, 300, False),
    ],
)
def test_sizes(name: str, memory: int, cpus: float, disk: int, seconds: float, gpu: bool) -> None:
    own = Limits(minutes=7, usd=0.5, pids=64)
    made = preset(name).applied(Template(run_id=RUN, limits=own))
    expected = {"memory_mb": memory, "cpus": cpus, "disk_mb": disk, "command_seconds": seconds}
    assert made.limits == own.changed(**expected), "what a preset does not speak of stays"
    assert made.gpu is gpu
    assert made.network.mode == "none"
    assert len(preset(name).description.split()) > 2


def test_a_gpu_that_was_asked_for_stays() -> None:
    assert preset("light").applied(Template(run_id=RUN, gpu=True)).gpu


def test_production_closes_what_was_open() -> None:
    open_wide = Template(run_id=RUN, network=Network(mode="bridge"), env={"A": "1"})
    made = preset("production").applied(open_wide)
    assert made.network.mode == "none"
    assert made.network.bytes_per_second == 10_000_000 // 8
    assert made.tmpfs == {"/tmp": 100}
    assert made.env == {"A": "1"}


def test_an_unknown_one_lists_the_choices() -> None:
    with pytest.raises(ConfigurationError) as raised:
        preset("huge")
    assert raised.value.code == "preset_unknown"
    assert all(name in raised.value.hint for name in PRESETS)


@given(
    st.sampled_from([None, *PRESETS]),
    st.dictionaries(st.sampled_from(["memory_mb", "cpus", "pids", "disk_mb", "minutes"]), st.integers(64, 100)),
)
def test_nothing_is_ever_without_limits(name: str | None, given_limits: dict[str, Any]) -> None:
    template = Template(run_id=RUN, limits=Limits(**given_limits))
    limits = (preset(name).applied(template) if name else template).limits
    assert 0 < limits.memory_mb < 1 << 21
    assert 0 < limits.cpus <= 256
    assert 0 < limits.disk_mb < 1 << 21
    assert 0 < limits.pids <= 65_536
    assert 0 < limits.command_seconds <= 21_600


@pytest.mark.parametrize(
    ("memory", "cpus", "warned"),
    [
        (16_384, 8, "machine has"),
        (512, 9, "machine has"),
        (2_049, 1, "4 times"),
        (512, 4.5, "4 times"),
        (2_048, 4, None),
        (128, 0.25, None),
    ],
)
def test_far_too_much_is_warned_of(memory: int, cpus: float, warned: str | None) -> None:
    said = overallocation(Limits(memory_mb=memory, cpus=cpus), host_memory_mb=8_192, host_cpus=8)
    assert (warned in said) if warned and said else said is None


def test_a_larger_preset_is_a_larger_measure() -> None:
    asked = Limits(memory_mb=8_192, cpus=8)
    assert overallocation(asked, host_memory_mb=32_768, host_cpus=16, than=preset("heavy")) is None
    assert overallocation(asked, host_memory_mb=32_768, host_cpus=16)

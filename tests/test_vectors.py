"""Texts -> vectors that are computed once and kept, whatever becomes of the file."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.offline.encoder import views
from bot.offline.vectors import VectorCache
from bot.offline.weights import Floats


class Counting:
    """An encoder that says how much it was asked."""

    name = "counting"

    def __init__(self, digest: str = "1") -> None:
        self.digest = digest
        self.asked: list[str] = []

    def layers(self, texts: Sequence[str], *, done: Callable[[int], None] = lambda count: None) -> Floats:
        self.asked += texts
        done(len(texts))
        seeds = [int.from_bytes(hashlib.sha256(each.encode("utf-8", "replace")).digest()[:4], "big") for each in texts]
        rows = [np.random.default_rng(seed).normal(size=(7, 384)) for seed in seeds]
        return np.array(rows, np.float32).reshape(len(texts), 7, 384)


def test_a_text_is_encoded_once(tmp_path: Path) -> None:
    path, encoder = tmp_path / "new" / "vectors", Counting()
    cache = VectorCache(path, encoder)
    heard: list[int] = []
    first = cache.views(["a", "b", "a"], done=heard.append)
    assert encoder.asked == ["a", "b"]
    assert sum(heard) == 3
    np.testing.assert_array_equal(first[0], first[2])
    np.testing.assert_allclose(first, views(Counting().layers(["a", "b", "a"])), atol=1e-3)
    cache.save()
    later = Counting()
    np.testing.assert_array_equal(VectorCache(path, later).views(["b", "a"]), first[[1, 0]])
    assert later.asked == []
    assert path.stat().st_size < 2 * 1600 + 500
    VectorCache(path, later).save()  # nothing new: nothing to do
    assert VectorCache(path, Counting("2")).kept == 0, "another encoder's vectors are not compared with these"


def test_the_latest_used_stay(tmp_path: Path) -> None:
    encoder = Counting()
    cache = VectorCache(None, encoder, most=2)
    for text in ("a", "b", "a", "c", "a"):
        cache.views([text])
    assert encoder.asked == ["a", "b", "c"]
    assert cache.kept == 2
    assert VectorCache(None, encoder, most=0).views(["x", "y"]).shape == (2, 2, 384)


@given(at=st.integers(0, 6000), bit=st.integers(0, 7), cut=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, at: int, bit: int, cut: bool) -> None:
    path = tmp_path / "vectors"
    path.unlink(missing_ok=True)
    cache = VectorCache(path, Counting())
    cache.views(["a", "b"])
    cache.save()
    data = bytearray(path.read_bytes())
    at %= len(data)
    data[at] ^= 1 << bit
    path.write_bytes(data[:at] if cut else data)
    found = VectorCache(path, Counting()).views(["a", "c"])
    assert np.isfinite(found).all()


def test_damage_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "vectors"
    path.write_bytes(b"rubbish")
    with caplog.at_level(logging.WARNING):
        assert VectorCache(path, Counting()).kept == 0
    assert "computed again" in caplog.text
    caplog.clear()
    cache = VectorCache(tmp_path / "vectors" / "below a file", Counting())
    cache.views(["a"])
    cache.save()
    assert "can't be kept" in caplog.text

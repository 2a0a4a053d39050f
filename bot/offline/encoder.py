"""Texts -> vectors that lie near each other where the texts mean the same: MiniLM's six layers in numpy.

Source: "BERT: Pre-training of Deep Bidirectional Transformers" (the architecture), "MiniLM" and "Sentence-BERT" (the
weights, and the mean over a text's pieces). Texts of any length are laid end to end, so that nothing is padded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bot.errors import ConfigurationError
from bot.offline.weights import DEPTH, HEADS, PLACES, TYPES, WIDTH, Floats, Weights, find_weights, read_weights
from bot.offline.wordpiece import Wordpiece

NAME = "minilm"
HINT = "run `sandpiper triage encoder --fetch`, or choose `--encoder none`"
BATCH = 1024
"""Pieces that are computed at once: more gains no speed and takes memory."""
CACHED = 65_536
"""Numbers of one step that stay in a processor's cache."""
EPSILON = np.float32(1e-12)
CLASSIFYING = slice(3, 7)
"""Layers that tell the kind of a text; the last alone is trained to tell its subject."""
HEAD = WIDTH // HEADS


@dataclass(frozen=True)
class Dense:
    """A matrix and what is added."""

    weight: Floats
    """Rows are outputs."""
    bias: Floats
    """One for each output."""

    def __call__(self, x: Floats) -> Floats:
        result: Floats = x @ self.weight.T
        result += self.bias
        return result


@dataclass(frozen=True)
class Layer:
    """One of the six: attention and a small network, each added to what came in and normalised."""

    attend: Dense
    """To queries, keys and values at once."""
    project: Dense
    """The heads' outputs put together."""
    attended: Dense
    """Scale and shift of the first normalisation."""
    widen: Dense
    """To the inner width."""
    narrow: Dense
    """Back again."""
    narrowed: Dense
    """Scale and shift of the second."""


class Encoder:
    """Weights that are ready to compute with; about 55 MB in memory."""

    name = NAME

    def __init__(self, weights: Weights) -> None:
        self.digest = weights.digest
        self._weights = weights
        self._wordpiece = Wordpiece(weights.vocabulary)
        self._norm = _pair(weights, "embeddings.LayerNorm")
        self._layers = [_layer(weights, number) for number in range(DEPTH)]
        self._places: Floats = weights.tensors[PLACES] + weights.tensors[TYPES][0]

    def layers(self, texts: Sequence[str], *, done: Callable[[int], None] = lambda count: None) -> Floats:
        """(n, 7, 384): mean over the pieces of a text after the embeddings and after each layer, not normalised.

        `done` hears how many more texts are ready, batch by batch.
        """
        ids = [self._wordpiece.ids(each) for each in texts]
        result = np.zeros((len(texts), DEPTH + 1, WIDTH), np.float32)
        for batch in _batches([len(each) for each in ids]):
            result[batch] = self._run([ids[each] for each in batch])
            done(len(batch))
        return result

    def _run(self, ids: list[list[int]]) -> Floats:
        lengths = np.array([len(each) for each in ids])
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        flat = np.concatenate([np.array(each) for each in ids])
        words = self._weights.words[flat] * self._weights.word_scale[flat][:, None]
        x = _normal(words + np.concatenate([self._places[: len(each)] for each in ids]), self._norm)
        means = [_means(x, starts, lengths)]
        for layer in self._layers:
            x = _through(layer, x, starts, lengths)
            means.append(_means(x, starts, lengths))
        return np.stack(means, axis=1)


def open_encoder(*, path: Path | None = None, state: Path | None = None) -> Encoder | None:
    """The encoder, if its weights are on this machine: `path`, the state folder, or the installed distribution.

    Raises ConfigurationError `encoder_missing` and `weights_damaged`.
    """
    found = find_weights(path, state)
    return None if found is None else Encoder(read_weights(found.data))


def chosen_encoder(
    choice: Literal["auto", "none", "minilm"], *, path: Path | None, state: Path | None
) -> Encoder | None:
    """The encoder that the operator wants: `none` is None, `auto` is None where there are no weights.

    Raises ConfigurationError `encoder_missing` for `minilm` without weights, and what `open_encoder` raises.
    """
    encoder = None if choice == "none" else open_encoder(path=path, state=state)
    if encoder is None and choice == NAME:
        raise ConfigurationError("encoder_missing", "the sentence encoder's weights are not on this machine", hint=HINT)
    return encoder


def views(layers: Floats) -> Floats:
    """(n, 7, 384) -> (n, 2, 384), each of length 1: for telling the kind of a text, and for finding ones like it."""
    kind = unit(unit(layers[:, CLASSIFYING]).mean(axis=1))
    return np.stack([kind, unit(layers[:, -1])], axis=1)


def unit(x: Floats) -> Floats:
    """Vectors of length 1; a zero stays one."""
    result: Floats = x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), np.float32(1e-12))
    return result


def _batches(lengths: Sequence[int]) -> Iterator[NDArray[np.intp]]:
    """Indices of texts that are computed together: like lengths, at most BATCH pieces."""
    order = np.argsort(lengths, kind="stable")
    start = pieces = 0
    for number, index in enumerate(order):
        if pieces and pieces + lengths[index] > BATCH:
            yield order[start:number]
            start, pieces = number, 0
        pieces += lengths[index]
    if len(order):
        yield order[start:]


def _through(layer: Layer, x: Floats, starts: NDArray[np.intp], lengths: NDArray[np.intp]) -> Floats:
    mixed = layer.attend(x)
    heads = np.empty_like(x)
    for start, length in zip(starts, lengths, strict=True):
        span = slice(start, start + length)
        heads[span] = _attention(mixed[span])
    x = _normal(layer.project(heads) + x, layer.attended)
    inner = layer.widen(x)
    _gelu(inner)
    return _normal(layer.narrow(inner) + x, layer.narrowed)


def _attention(mixed: Floats) -> Floats:
    """Queries, keys and values of one text's pieces -> what each piece sees of the others."""
    count = len(mixed)
    queries, keys, values = mixed.reshape(count, 3, HEADS, HEAD).transpose(1, 2, 0, 3)
    result = np.empty((count, HEADS, HEAD), np.float32)
    step = max(1, CACHED // count**2)
    for head in range(0, HEADS, step):
        some = slice(head, head + step)
        scores: Floats = queries[some] @ keys[some].transpose(0, 2, 1)
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        seen: Floats = scores @ values[some]
        seen /= scores.sum(axis=-1, keepdims=True)
        result[:, some] = seen.transpose(1, 0, 2)
    return result.reshape(count, WIDTH)


def _gelu(x: Floats) -> None:
    """x * P(X <= x) for a normal X, in place: max(x, 0) - |x| / 2 * erfc(|x| / sqrt 2).

    erfc by Abramowitz and Stegun 7.1.26, whose error is below 1.5e-7. Row by row block, which stays in the cache.
    """
    for start in range(0, len(x), 16):
        block = x[start : start + 16]
        size = np.abs(block)
        t = 1 / (1 + np.float32(0.3275911 * 0.5**0.5) * size)
        tail = np.float32(1.061405429) * t
        for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
            tail += np.float32(factor)
            tail *= t
        tail *= np.exp(np.float32(-0.5) * size * size)
        tail *= size
        tail *= np.float32(0.5)
        np.maximum(block, 0, out=block)
        block -= tail


def _normal(x: Floats, shape: Dense) -> Floats:
    """Mean 0 and variance 1 in each row, then scaled and shifted."""
    x -= x.mean(axis=1, keepdims=True)
    x /= np.sqrt(np.square(x).mean(axis=1, keepdims=True) + EPSILON)
    x *= shape.weight
    x += shape.bias
    return x


def _means(x: Floats, starts: NDArray[np.intp], lengths: NDArray[np.intp]) -> Floats:
    return (np.add.reduceat(x, starts, axis=0) / lengths[:, None]).astype(np.float32)


def _pair(weights: Weights, name: str) -> Dense:
    return Dense(weights.tensors[f"{name}.weight"], weights.tensors[f"{name}.bias"])


def _layer(weights: Weights, number: int) -> Layer:
    at = f"encoder.layer.{number}"
    query, key, value = (_pair(weights, f"{at}.attention.self.{each}") for each in ("query", "key", "value"))
    scale = np.float32(HEAD**-0.5)  # of the scores, put into the queries
    return Layer(
        attend=Dense(
            np.concatenate([query.weight * scale, key.weight, value.weight]),
            np.concatenate([query.bias * scale, key.bias, value.bias]),
        ),
        project=_pair(weights, f"{at}.attention.output.dense"),
        attended=_pair(weights, f"{at}.attention.output.LayerNorm"),
        widen=_pair(weights, f"{at}.intermediate.dense"),
        narrow=_pair(weights, f"{at}.output.dense"),
        narrowed=_pair(weights, f"{at}.output.LayerNorm"),
    )

"""Past issues -> who is like whom: BM25, fusion and the index, against slow but plain computations."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.errors import ConfigurationError
from bot.offline.bm25 import K1, B, Bm25, counts_of, names_of, words_of
from bot.offline.index import Entry, Hit, Index, load
from bot.offline.ranking import DAMPING, best, fuse, ranks
from bot.offline.tensors import read_tensors, write_tensors
from bot.offline.vectors import VectorCache
from bot.offline.weights import Floats

TEXTS = st.lists(
    st.lists(st.sampled_from(["crash", "open", "file", "save", "menu", "dark"]), min_size=1, max_size=8), max_size=8
)


# --- words and BM25 ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "NullPointerException in getFileStatus()",
            "nullpointerexception null pointer exception in getfilestatu get file statu",
        ),
        ("max_retry_count", "max_retry_count max retry count"),
        ("HTTPServer2 v2.10.3", "httpserver2 http server v2.10.3"),
        ("Crashes on menus, class", "crashe on menu class"),
        ("日本語で落ちる", "日本 本語 語で で落 落ち ちる"),
        ("Straße größer", "straße größer"),
        ("", ""),
    ],
)
def test_identifiers_are_found_whole_and_by_their_parts(text: str, words: str) -> None:
    assert set(words.split()) <= {*words_of(text), "v2.10.3", "2.10.3"}


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_has_words(title: str, body: str) -> None:
    assert all(word and 1 <= count <= 255 for word, count in counts_of(title, body).items())
    assert all(word for word in names_of(title))


def plain_scores(texts: Sequence[dict[str, int]], query: dict[str, int]) -> list[float]:
    """BM25 by its formula, text by text."""
    mean = max(sum(sum(each.values()) for each in texts) / max(len(texts), 1), 1.0)
    result = []
    for text in texts:
        score = 0.0
        for word in query:
            df = sum(word in each for each in texts)
            if word in text:
                damp = K1 * (1 - B + B * sum(text.values()) / mean)
                score += math.log(1 + (len(texts) - df + 0.5) / (df + 0.5)) * text[word] / (text[word] + damp)
        result.append(score)
    return result


@given(TEXTS, st.sets(st.integers(0, 7)), st.lists(st.sampled_from(["crash", "file", "dark", "other"]), max_size=4))
def test_an_index_that_changed_is_as_one_built_at_once(
    texts: list[list[str]], gone: set[int], asked: list[str]
) -> None:
    counts = [dict(counts_of("", " ".join(each))) for each in texts]
    changed = Bm25()
    rows = [changed.add(each) for each in counts]
    for row in gone & set(rows):
        changed.remove(row)
    left = [row for row in rows if row not in gone]
    query = dict(counts_of("", " ".join(asked)))
    expected = plain_scores([counts[row] for row in left], query)
    np.testing.assert_allclose(changed.scores(query)[left], expected, rtol=1e-4, atol=1e-5)
    names, arrays = changed.dump(np.array(left, np.intp))
    again = Bm25()
    again.load(names, arrays)
    np.testing.assert_allclose(again.scores(query), expected, rtol=1e-4, atol=1e-5)
    again.add(counts_of("crash", ""))  # and it goes on growing
    assert len(again) == len(left) + 1


def test_rare_words_weigh_more_and_the_title_most() -> None:
    bm25 = Bm25()
    for title, body in (("the menu", "x"), ("the file", "y"), ("the segfault", "z"), ("a thing", "the segfault w w w")):
        bm25.add(counts_of(title, body))
    scores = bm25.scores(counts_of("the segfault", ""))
    assert list(np.argsort(-scores)[:2]) == [2, 3]
    assert scores[0] == scores[1] > 0
    own = bm25.own(counts_of("the segfault", "z"))
    assert bm25.scores(counts_of("the segfault", "z"))[2] == pytest.approx(own, rel=1e-5)


# --- fusion -----------------------------------------------------------------------------------------------------


def test_equal_scores_have_equal_ranks() -> None:
    assert ranks(np.array([0.1, 0.9, 0.1, 0.5])).tolist() == [3, 1, 3, 2]
    assert ranks(np.array([])).tolist() == []


def test_two_opinions_that_agree_beat_one_that_is_sure() -> None:
    fused = fuse([(1, np.array([9.0, 2.0, 1.0, 0.0])), (1, np.array([0.0, 2.0, 1.0, 3.0]))])
    assert np.argsort(-fused).tolist()[0] == 1
    assert fused[0] == pytest.approx(1 / (DAMPING + 1))
    assert fused[1] == pytest.approx(2 / (DAMPING + 2))


@given(st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.9]), min_size=1, max_size=12), st.integers(0, 14))
def test_the_best_are_the_highest_and_never_a_zero(values: list[float], most: int) -> None:
    scores = np.array(values)
    found = best(scores, scores, most)
    assert scores[found].tolist() == sorted((each for each in values if each > 0), reverse=True)[:most]


# --- the index --------------------------------------------------------------------------------------------------


class Bag:
    """An encoder for tests: a text's vector is the sum of its words' random ones."""

    name, digest = "bag", "1"

    def layers(self, texts: Sequence[str], *, done: Callable[[int], None] = lambda count: None) -> Floats:
        done(len(texts))
        return np.array([[self._vector(each)] * 7 for each in texts], np.float32).reshape(len(texts), 7, 384)

    def _vector(self, text: str) -> Floats:
        words = [each.strip(".").encode("utf-8", "replace") for each in text.lower().split()]
        seeds = [int.from_bytes(hashlib.sha256(each).digest()[:4], "big") for each in words]
        rows = [np.random.default_rng(seed).normal(size=384).astype(np.float32) for seed in seeds or [0]]
        total: Floats = np.sum(rows, axis=0, dtype=np.float32)
        return total


def bags() -> VectorCache:
    return VectorCache(None, Bag())


def filled(vectors: VectorCache | None) -> Index:
    index = Index(vectors)
    index.add(
        [
            Entry("1", "Crash when saving a file", "It ends with a segfault", "2024-01-01T00:00:00Z"),
            Entry("2", "Dark theme for the menu", "Please add one", "2024-01-02T00:00:00Z"),
            Entry("3", "Crash when saving a file", "It ends with a segfault", "2024-01-03T00:00:00+02:00"),
            Entry("4", "Crash when saving a file", "It ends with a segfault", ""),
            Entry("5", "Upgrade netty to 4.1.94", "There is a newer one", "2024-01-04T00:00:00Z"),
            Entry("6", "www.acme.example - page is blank", "Nothing is shown", "2024-01-05T00:00:00Z"),
        ]
    )
    return index


@pytest.fixture(params=["words", "words and meaning"])
def vectors(request: pytest.FixtureRequest) -> VectorCache | None:
    return bags() if request.param != "words" else None


def ids(hits: Sequence[Hit]) -> list[str]:
    return [each.id for each in hits]


def test_only_what_is_strictly_earlier_is_found(vectors: VectorCache | None) -> None:
    index, text = filled(vectors), ("Crash when saving a file", "It ends with a segfault")
    assert set(ids(index.search(*text, most=3))) == {"1", "3", "4"}
    found = index.search(*text, before="2024-01-02T22:00:00Z")  # the very moment of 3, told in another zone
    assert ids(found)[0] == "1"
    assert not {"3", "4"} & set(ids(found))
    assert "3" in ids(index.search(*text, before="2024-01-02T22:00:01Z"))
    assert "1" not in ids(index.search(*text, exclude={"1", "unknown"}))
    assert index.search(*text, before="2024-01-01T00:00:00Z") == ()
    assert index.search(*text, before="some day") == ()
    assert index.search(*text, most=0) == ()
    assert Index(vectors).search(*text) == ()


def test_hints_never_go_in_a_circle(vectors: VectorCache | None) -> None:
    index = Index(vectors)
    entries = [Entry(str(each), "the same words", "", f"2024-01-{1 + each % 3:02d}T00:00:00Z") for each in range(9)]
    index.add(entries)
    points = {each.id: ids(index.search(each.title, "", before=each.created_at, exclude={each.id})) for each in entries}
    times = {each.id: each.created_at for each in entries}
    assert all(times[old] < times[new] for new, olds in points.items() for old in olds)


def test_the_same_words_are_a_candidate_and_others_are_not(vectors: VectorCache | None) -> None:
    index = filled(vectors)
    (first, *rest) = index.search("Crash when saving a file", "It ends with a segfault", exclude={"3", "4"})
    assert (first.id, first.candidate) == ("1", True)
    assert first.score == pytest.approx(1, abs=0.02)
    assert all(0 <= each.score <= 1 and not each.candidate for each in rest)
    assert not any(each.candidate for each in index.search("Printing is slow", "since the last release"))


def test_another_version_or_site_is_another_issue(vectors: VectorCache | None) -> None:
    index = filled(vectors)
    for title, body, same in (
        ("Upgrade netty to 4.1.94", "There is a newer one", True),
        ("Upgrade netty to 4.1.95", "There is a newer one", False),
        ("www.acme.example - page is blank", "Nothing is shown", True),
        ("www.other.example - page is blank", "Nothing is shown", False),
    ):
        assert index.search(title, body, most=1)[0].candidate is same, title


def test_meaning_finds_what_shares_no_rare_word() -> None:
    index = filled(bags())
    assert index.vectors is not None
    alone = index.search("zzz unheard", "of words")
    assert all(0 <= each.score < 0.5 and not each.candidate for each in alone)
    assert Index(None).search("zzz", "") == filled(None).search("zzz", "") == ()


def test_an_issue_that_changed_takes_its_own_place(vectors: VectorCache | None) -> None:
    index = filled(vectors)
    index.add([Entry("2", "Crash when saving a file", "It ends with a segfault", "2024-01-02T00:00:00Z")])
    assert len(index) == 6
    assert "2" in ids(index.search("Crash when saving a file", "", most=4))
    index.remove(["2", "2", "unknown"])
    assert len(index) == 5
    assert "2" not in index
    assert "2" not in ids(index.search("Crash when saving a file dark theme", "", most=9))
    fresh = Index(vectors)
    fresh.add([Entry("1", "Crash when saving a file", "It ends with a segfault", "2024-01-01T00:00:00Z")])
    index.remove(["3", "4", "5", "6"])
    asked = ("saving crash", "with a file")
    assert index.search(*asked) == fresh.search(*asked)


def test_a_dumped_index_is_the_same(vectors: VectorCache | None) -> None:
    index = filled(vectors)
    index.remove(["2"])
    index.add([Entry("7", "Dark menu", "", "2024-02-01T00:00:00Z")])
    data = index.dump()
    again = load(data, vectors)
    for asked in (("Crash saving", "segfault"), ("dark theme menu", ""), ("netty", "")):
        assert again.search(*asked, before="2024-01-20T00:00:00Z") == index.search(
            *asked, before="2024-01-20T00:00:00Z"
        )
        assert set(again.search(*asked)) == set(index.search(*asked))
    assert load(again.dump(), vectors).dump() == again.dump()
    assert len(load(Index(vectors).dump(), vectors)) == 0
    again.add([Entry("8", "Crash", "", "")])
    assert "8" in again


def test_an_index_by_another_encoder_is_stale() -> None:
    for made, read in ((bags(), None), (None, bags())):
        with pytest.raises(ConfigurationError) as caught:
            load(filled(made).dump(), read)
        assert caught.value.code == "index_stale"


@given(st.integers(0, 100_000), st.integers(0, 7), st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_index_is_refused_or_still_works(at: int, bit: int, cut: bool) -> None:
    data = bytearray(DUMPED)
    at %= len(data)
    data[at] ^= 1 << bit
    try:
        index = load(bytes(data[:at] if cut else data), None)
    except ConfigurationError as error:
        if error.code not in ("index_damaged", "index_stale"):
            raise
    else:
        assert not cut
        index.search("Crash when saving a file", "dark theme", before="2025-01-01T00:00:00Z")


@pytest.mark.parametrize(
    "spoil",
    [
        {"sizes": np.array([1, 0, 0, 0, 0, 0], np.uint32)},
        {"numbers": np.zeros(3, np.uint32)},
        {"times": np.zeros(2, np.float64)},
        {"times": np.zeros(6, np.float32)},
        {"head": np.frombuffer(b"[]", np.uint8)},
        {"head": np.frombuffer(b'{"format": 1, "encoder": "", "ids": [1, 2, 3, 4, 5, 6], "words": []}', np.uint8)},
        {"head": np.frombuffer(b'{"format": 1, "encoder": ""}', np.uint8)},
    ],
)
def test_an_index_that_does_not_fit_is_refused(
    spoil: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]],
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(write_tensors({**read_tensors(DUMPED), **spoil}), None)
    assert caught.value.code == "index_damaged"


DUMPED = filled(None).dump()

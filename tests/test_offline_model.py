"""The offline model: what it learns, how it is measured, what it believes without lessons, and how it is kept."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bot.errors import ConfigurationError
from bot.issuetypes import type_of_label
from bot.offline.archive import dump, load
from bot.offline.calibration import SLIPS, bins_of, curve_of, ece, threshold
from bot.offline.features import NAMES, features
from bot.offline.measure import f1_of, macro
from bot.offline.model import Model, fit, judge
from bot.offline.prior import examples, prior
from bot.offline.ridge import ridge
from bot.offline.splits import cuts, few, folds
from bot.offline.targets import MOST_LESSONS, newest, targets_of
from bot.offline.tensors import read_tensors, write_tensors
from bot.offline.text import HEAD, prose, spoken, written
from bot.offline.tfidf import counts, rows, vocabulary
from bot.types.triage import ISSUE_TYPES, IssueType, Lesson

PARTS = ("table", "menu", "parser", "cache", "login page", "exporter", "index", "timeline", "worker", "socket")
TITLES: dict[IssueType, tuple[str, ...]] = {
    "bug": ("{} crashes on save", "{} shows the wrong value", "Error in the {}", "{} is broken since 2.{}"),
    "feature": ("Add filters to the {}", "Support {} in themes", "{}: allow custom colours", "Faster {}"),
    "question": ("How do I configure the {}?", "What does the {} do", "Help with {}", "Is the {} thread safe?"),
}
BODIES: dict[IssueType, tuple[str, ...]] = {
    "bug": (
        "Steps to reproduce: open it twice.\n```\nValueError: no {}\n```",
        "Expected rows, got nothing. Version 1.{}",
    ),
    "feature": ("It would be nice to have this for the {}.", "I propose an option, as other {}s have one."),
    "question": ("I am new and could not find the {} in the docs. Thanks.", "What is the right way to use the {}?"),
}
AREAS = {"table": "area: view", "menu": "area: view", "parser": "area: core", "cache": "area: core"}


def issues(count: int, seed: int = 1, *, labels: dict[IssueType, str] | None = None) -> list[Lesson]:
    """Made-up issues, as many of each type."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        kind = ISSUE_TYPES[number % 3]
        part = chance.choice(PARTS)
        title = chance.choice(TITLES[kind]).format(part, number)
        body = chance.choice(BODIES[kind]).format(part) if chance.random() < 0.8 else f"About the {part}."
        if chance.random() < 0.15:  # a text that says another type
            body = chance.choice(BODIES[chance.choice(ISSUE_TYPES)]).format(part)
        body += f" It is case {number}."
        names = [(labels or {}).get(kind, kind), *([AREAS[part]] if part in AREAS else [])]
        day = f"2024-01-{number % 28 + 1:02}T{number % 24:02}:00:00Z"
        found.append(Lesson(id=str(number), title=title, body=body, created_at=day, labels=tuple(names)))
    return found


class Letters:
    """Stands for the sentence encoder: vectors by how often letters occur."""

    name = "letters"
    mark = "letters 1"

    def views(self, texts: Sequence[str]) -> NDArray[np.float32]:
        result = np.zeros((len(texts), 2, 384), np.float32)
        for number, text in enumerate(texts):
            for letter in text.encode("utf-8", "replace"):
                result[number, :, letter] += 1
        return np.asarray(result / np.maximum(np.linalg.norm(result, axis=-1, keepdims=True), 1), np.float32)


def share_right(model: Model, tested: Sequence[Lesson], vectors: Letters | None = None) -> float:
    right = [judge(model, each.title, each.body, vectors=vectors).type == each.labels[0] for each in tested]
    return sum(right) / len(right)


@pytest.fixture(scope="module")
def learned() -> Model:
    return fit(issues(150))


def test_it_learns_the_types_and_beats_its_own_prior(learned: Model) -> None:
    tested = issues(90, seed=2)
    assert share_right(learned, tested) >= 0.93
    assert share_right(learned, tested) > share_right(fit([]), tested)


def test_what_it_says_of_itself_holds_on_issues_it_has_not_seen(learned: Model) -> None:
    tested = issues(300, seed=3)
    said = learned.measured
    assert said.f1 is not None
    assert said.ece is not None
    assert share_right(learned, tested) == pytest.approx(said.f1, abs=0.05)
    assert said.ece <= 0.1
    assert [each.lessons for each in said.types] == [50, 50, 50]
    assert sum(sum(row.values()) for row in said.confusion.values()) == 150
    assert sum(count for _, _, count in said.bins) == 150


def test_what_it_would_decide_alone_has_the_wanted_error(learned: Model) -> None:
    said = [(judge(learned, each.title, each.body), each.labels[0]) for each in issues(300, seed=4)]
    sure = [posterior.type == truth for posterior, truth in said if posterior.is_sure]
    assert len(sure) / len(said) >= 0.4
    assert 1 - sum(sure) / len(sure) <= 0.06


def test_labels_beyond_the_types_are_learned_and_measured(learned: Model) -> None:
    found = {each.label: each for each in judge(learned, "Error in the parser", "It stops.").labels}
    assert set(found) == {"bug", "feature", "question", "area: view", "area: core"}
    assert found["area: core"].probability > 0.8 > 0.2 > found["area: view"].probability
    measured = {each.label: each for each in learned.measured.labels}
    assert measured["area: core"].f1 > 0.9
    assert measured["area: core"].lessons == sum("area: core" in each.labels for each in issues(150))


def test_a_label_seen_less_than_five_times_is_not_guessed() -> None:
    lessons = issues(30)
    rare = [each.changed(labels=(*each.labels, "rare")) if n < 4 else each for n, each in enumerate(lessons)]
    assert "rare" not in {each.label for each in judge(fit(rare), "any", "").labels}
    often = [each.changed(labels=(*each.labels, "rare")) if n < 5 else each for n, each in enumerate(lessons)]
    assert "rare" in {each.label for each in judge(fit(often), "any", "").labels}


def test_the_same_lessons_in_any_order_give_the_same_bytes() -> None:
    lessons = issues(45)
    assert dump(fit(lessons)) == dump(fit(lessons[::-1])) == dump(fit(lessons))


def test_with_the_encoder_it_learns_what_only_the_encoder_sees() -> None:
    vectors = Letters()
    model = fit(issues(60), vectors=vectors)
    assert model.measured.encoder == "letters"
    assert share_right(model, issues(60, seed=5), vectors) >= 0.85
    alone = judge(model, "Add filters to the menu", "")
    assert alone.type == "feature"
    assert not alone.is_sure
    assert all(not each.is_sure for each in alone.labels)


@pytest.mark.parametrize("vectors", [None, Letters()])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 12, 120])
def test_what_was_kept_judges_as_before(vectors: Letters | None, count: int) -> None:
    model = fit(issues(count), vectors=vectors)
    again = load(dump(model))
    assert again.measured == model.measured
    assert again.mark == model.mark
    for each in issues(30, seed=9):
        assert judge(again, each.title, each.body, vectors=vectors) == judge(
            model, each.title, each.body, vectors=vectors
        )


@settings(max_examples=40, deadline=None)
@given(title=st.text(max_size=60), body=st.text(st.characters(exclude_categories=()), max_size=300))
def test_any_text_gets_probabilities(title: str, body: str) -> None:
    for model in MODELS:
        found = judge(model, title, body)
        assert sum(found.types.values()) == pytest.approx(1)
        assert judge(load(dump(model)), title, body) == found


MODELS = (fit([]), fit(issues(12)))


@pytest.mark.parametrize(
    "text", ["", "x" * 1_000_000, "\ud800" * 10, "😀" * 5000, "\n" * 200_000, "`" * 100_000, "[a](" * 50_000, "\0"]
)
def test_strange_texts_are_judged(learned: Model, text: str) -> None:
    assert sum(judge(learned, text, text).types.values()) == pytest.approx(1)


def test_a_model_of_three_hundred_issues_is_small_and_holds_no_text() -> None:
    data = dump(fit(issues(300), vectors=Letters()))
    assert len(data) < 2_000_000
    assert b"thread safe" not in data
    assert b"could not find" not in data


def test_a_repository_that_labels_only_its_bugs_does_not_make_everything_a_bug() -> None:
    model = fit([each for each in issues(90) if each.labels[0] == "bug"])
    assert judge(model, "How do I change the colour?", "What is the right way? Thanks.").type == "question"
    assert judge(model, "Add an option for colours", "It would be nice.").type == "feature"
    assert judge(model, "x", "").type_threshold is None


def test_few_lessons_prove_no_threshold() -> None:
    assert judge(fit(issues(60)), "x", "").type_threshold is None
    assert judge(fit([]), "x", "").type_threshold is None


ONE_SIDED = [
    *(
        Lesson(id=str(n), title=f"Crash number {n}", created_at=f"2024-01-{n + 1:02}", labels=("bug",))
        for n in range(12)
    ),
    Lesson(id="q", title="Broken", created_at="2024-02-01", labels=("question",)),
]


@pytest.mark.parametrize("vectors", [None, Letters()])
def test_one_lesson_of_a_type_and_none_of_another_leave_the_prior_its_say(vectors: Letters | None) -> None:
    model = fit(ONE_SIDED, vectors=vectors)
    crash, wish = (judge(model, title, "", vectors=vectors) for title in ("Crash at the end", "Add dark mode"))
    assert crash.types["bug"] > 0.75
    assert wish.types["question"] < 0.5
    assert wish.types["feature"] > 0.4
    assert crash.type_threshold is None
    assert wish.type_threshold is None


def test_a_type_without_lessons_is_still_told_by_the_prior_and_one_with_many_learned() -> None:
    lessons = [each for each in issues(300) if each.labels[0] != "feature"]
    model = fit(lessons)
    tested = issues(90, seed=7)
    found = [(judge(model, each.title, each.body), each.labels[0]) for each in tested]
    wishes = [each.type == "feature" for each, truth in found if truth == "feature"]
    others = [each.type == truth for each, truth in found if truth != "feature"]
    assert np.mean(wishes) > 0.5
    assert np.mean(others) > 0.9


def test_nobody_is_surer_than_labels_are_right(learned: Model) -> None:
    sure = [max(judge(learned, each.title, each.body).types.values()) for each in issues(60, seed=8)]
    assert 0.9 < max(sure) <= 1 - SLIPS * 2 / 3
    assert learned.measured.labels
    chances = [each.probability for each in judge(learned, "Error in the parser", "It stops.").labels]
    assert all(SLIPS / 2 <= each <= 1 - SLIPS / 2 for each in chances)


def test_the_mapping_of_labels_to_types_is_obeyed() -> None:
    names: dict[IssueType, str] = {"bug": "rot", "feature": "gelb", "question": "blau"}
    types: dict[str, IssueType] = {name: kind for kind, name in names.items()}
    lessons = issues(60, labels=names)
    assert fit(lessons).measured.types == ()
    measured = fit(lessons, types=types).measured
    assert measured.f1 is not None
    assert measured.f1 > 0.85


def test_a_correction_counts_more_than_another_lesson() -> None:
    one = Lesson(id="a", title="Zebra mode", body="zebra", labels=("question",))
    other = Lesson(id="b", title="Zebra mode", body="zebra.", labels=("bug",))
    plain = judge(fit([*issues(30), one, other]), "Zebra mode", "zebra").types["question"]
    model = fit([*issues(30), one.changed(corrected=True), other])
    assert judge(model, "Zebra mode", "zebra").types["question"] > plain + 0.05
    assert model.measured.corrections == 1


def test_a_refused_type_is_believed_less() -> None:
    odd = Lesson(id="odd", title="Zebra crashes", body="zebra zebra")
    before = judge(fit([*issues(30), odd]), odd.title, odd.body).types["bug"]
    after = judge(fit([*issues(30), odd.changed(refused=("bug",))]), odd.title, odd.body).types["bug"]
    assert after < before


def test_equal_texts_are_learned_once_so_that_nothing_is_measured_on_its_twin() -> None:
    lessons = [
        Lesson(id=str(n), title=f"Crash {n}", labels=("bug",), created_at=f"2026-01-{n:02}") for n in range(1, 9)
    ]
    twins = [each.changed(id=f"twin of {each.id}", labels=("question",), created_at="2025-01-01") for each in lessons]
    assert newest([*twins, *lessons]) == newest(lessons)


def test_only_the_newest_lessons_are_learned_from() -> None:
    many = [Lesson(id=str(n), title=f"t {n}", created_at=f"{2000 + n}") for n in range(MOST_LESSONS + 5)]
    kept = newest(many)
    assert len(kept) == MOST_LESSONS
    assert {each.id for each in many} - {each.id for each in kept} == {"0", "1", "2", "3", "4"}


# --- the prior ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "body", "kind"),
    [
        ("Crash when closing the window", "Steps to reproduce: close it. Segmentation fault.", "bug"),
        ("TypeError: undefined is not a function", "It used to work in 1.2 and is broken since 1.3.", "bug"),
        ("Add dark mode", "It would be nice to have one.", "feature"),
        ("Feature request: export as PDF", "Is your feature request related to a problem?", "feature"),
        ("How to change the port?", "I am new to this. Thanks in advance!", "question"),
        ("Question about licences", "Can I use it at work? I could not find it in the docs.", "question"),
    ],
)
def test_the_prior_decides_obvious_texts(title: str, body: str, kind: str) -> None:
    found = judge(fit([]), title, body)
    assert found.type == kind
    assert found.lessons == 0
    assert not found.is_sure


def test_the_examples_are_as_many_of_each_type_and_the_rules_know_most_of_them() -> None:
    known = examples()
    assert {kind: sum(each[0] == kind for each in known) for kind in ISSUE_TYPES} == dict.fromkeys(ISSUE_TYPES, 80)
    assert len({title for _, title, _ in known}) == len(known)
    found = prior(None).beliefs(
        np.array([features(*each[1:]) for each in known]), np.empty((len(known), 0), np.float32)
    )
    said = [ISSUE_TYPES[each] for each in found.argmax(axis=1)]
    assert np.mean([one == two for one, (two, _, _) in zip(said, known, strict=True)]) > 0.85


# --- the parts ---------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(3, 12))
def test_the_closed_form_equals_leaving_out_one_by_one(seed: int, size: int) -> None:
    chance = np.random.default_rng(seed)
    points = chance.normal(size=(size, 3))
    kernel = points @ points.T + 1
    wanted = chance.normal(size=(size, 2))
    trust = chance.choice([0.0, 0.5, 1.0, 2.0], size)
    trust[0] = 1.0
    found = ridge(kernel, wanted, trust, [0.3])
    for left in range(size):
        if trust[left]:
            others = np.array([n for n in range(size) if n != left and trust[n]], int)
            inner = kernel[np.ix_(others, others)] + np.diag(0.3 / trust[others])
            weights = np.linalg.solve(inner, wanted[others]) if len(others) else np.empty((0, 2))
            np.testing.assert_allclose(found.left_out[left], kernel[left, others] @ weights, atol=1e-6)
    assert not found.weights[trust == 0].any()


def test_the_strength_is_the_one_with_the_least_error_left_out() -> None:
    chance = np.random.default_rng(3)
    points = chance.normal(size=(40, 5))
    wanted = points[:, :1] + chance.normal(size=(40, 1))
    strengths = (0.01, 0.1, 1.0, 10.0, 100.0)
    found = ridge(points @ points.T, wanted, np.ones(40), strengths)
    errors = [
        float(np.square(ridge(points @ points.T, wanted, np.ones(40), [each]).left_out - wanted).sum())
        for each in strengths
    ]
    assert found.strength == strengths[int(np.argmin(errors))]


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.55, 0.55, 1.0])
    right = np.array([True, False, True, True, True])
    low, high = bins_of(confidence, right)
    assert low == pytest.approx((0.55, 1.0, 2))
    assert high == pytest.approx((2.9 / 3, 2 / 3, 3))
    assert ece(confidence, right) == pytest.approx((2 * 0.45 + 3 * 0.3) / 5)
    assert ece(np.empty(0), np.empty(0, bool)) == 0


def test_the_curve_finds_the_scale_by_which_scores_were_made() -> None:
    chance = np.random.default_rng(5)
    scores = chance.normal(size=(4000, 3))
    powers = np.exp(2.0 * scores + [0.0, 0.5, -0.5])
    shares = powers / powers.sum(axis=1, keepdims=True)
    said = np.array([chance.choice(3, p=row) for row in shares])
    curve = curve_of(scores[:, None], np.eye(3)[said])
    assert curve.scale == pytest.approx((2.0,), abs=0.2)
    assert curve.types(scores[:, None]) == pytest.approx(shares, abs=0.06)
    assert curve.types(scores[:, None]).sum(axis=1) == pytest.approx(1)


def test_one_column_is_a_yes_or_no() -> None:
    chance = np.random.default_rng(6)
    scores = chance.normal(size=(4000, 1))
    there = (chance.random(4000) < 1 / (1 + np.exp(-(3 * scores[:, 0] - 2)))).astype(float)
    curve = curve_of(scores[:, None], there[:, None])
    assert curve.scale == pytest.approx((3,), abs=0.3)
    assert curve.chance(np.array([[2 / 3]])) == pytest.approx([0.5], abs=0.06)


@settings(max_examples=60, deadline=None)
@given(sure=st.lists(st.floats(0.34, 1.0), min_size=90, max_size=200), error=st.floats(0.01, 0.3))
def test_above_a_threshold_the_expected_error_is_the_wanted_one(sure: list[float], error: float) -> None:
    confidence = np.array(sure)
    found = threshold(confidence, error)
    if found is not None:
        above = confidence[confidence >= found]
        assert len(above) >= 10
        assert (1 - above).mean() <= error


def test_thresholds_need_lessons() -> None:
    assert threshold(np.full(89, 0.999), 0.05) is None
    found = threshold(np.full(90, 0.999), 0.05)
    assert found is not None
    assert 0.5 < found <= 0.999
    assert threshold(np.full(90, 0.8), 0.05) is None


def test_macro_f1_by_hand() -> None:
    truth, said = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    assert f1_of(truth == 0, said == 0) == pytest.approx((1.0, 0.5, 2 / 3))
    assert macro(truth, said) == pytest.approx((2 / 3 + 0.8) / 2)


def test_weighed_counts_by_hand() -> None:
    texts = [counts("red red blue"), counts("red green"), counts("blue sky")]
    known = vocabulary(texts)
    assert len(known.terms) == 2  # red and blue are in two texts, all else in one
    found = rows(known, texts)
    dense = np.zeros(found.shape)
    for span, block in found.blocks():
        dense[:, span] = block
    weight = 1 + np.log(2)
    order = np.argsort(dense[0])
    assert dense[0][order] == pytest.approx(np.array([1, weight]) / np.hypot(1, weight), abs=1e-6)
    assert found.likeness()[1, 2] == 0
    assert rows(known, [counts("")]).likeness() == pytest.approx(np.zeros((1, 1)))


def test_every_feature_has_a_name_and_is_finite() -> None:
    found = features("Crash: `Foo()` fails?", "Traceback\n```\nat x (a.js:1:2)\n```\nhttps://x.y")
    assert len(found) == len(NAMES) == len(set(NAMES))
    assert np.isfinite(found).all()
    named = dict(zip(NAMES, found, strict=True))
    assert named["title_crash"] == named["title_asks"] == named["title_code"] == 1
    assert named["raw_fences"] > 0
    assert named["body_empty"] == 0


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("bug", "bug"),
        ("Type: Bug", "bug"),
        ("kind/bug", "bug"),
        ("T-Defect", "bug"),
        ("regression", "bug"),
        ("type:feature_request", "feature"),
        ("Enhancement", "feature"),
        ("C-feature", "feature"),
        ("kind: how-to", "question"),
        ("support", "question"),
        ("help wanted", None),
        ("debugger", None),
        ("area: bug tracker", None),
        ("", None),
    ],
)
def test_labels_are_told_by_their_names(label: str, kind: str | None) -> None:
    assert type_of_label(label) == kind


def test_two_types_at_once_teach_none() -> None:
    found = targets_of([Lesson(id="1", title="t", labels=("bug", "feature"))], None)
    assert found.kinds == (None,)
    assert not found.type_trust.any()


def test_texts_for_counting_and_for_encoding() -> None:
    body = "Look <!-- hidden --> at [this](http://a.b/c) `code`\n```py\nx = 1\n```\n- [x] done\nEnd http://d.e"
    assert prose(body) == "Look at this End"
    assert spoken("A  title", body) == "A title. Look at this End"
    assert written("T", "b" * 1000) == "T\n" + "b" * HEAD


# --- splits ------------------------------------------------------------------------------------------------------


def test_folds_measure_each_issue_once_and_keep_the_shares() -> None:
    kinds: list[IssueType | None] = [ISSUE_TYPES[n % 3] for n in range(31)]
    parts = list(folds(kinds, 5, seed=1))
    assert sorted(np.concatenate([tested for _, tested in parts]).tolist()) == list(range(31))
    for learn, tested in parts:
        assert not set(learn) & set(tested)
        assert {kinds[each] for each in tested} == set(ISSUE_TYPES)
    assert all((one[1] == two[1]).all() for one, two in zip(parts, folds(kinds, 5, seed=1), strict=True))


def test_cuts_never_teach_what_comes_later_in_the_same_type() -> None:
    kinds: list[IssueType | None] = [ISSUE_TYPES[n % 3] for n in range(60)]
    times = [f"2024-{(n * 7) % 60:03}" for n in range(60)]
    found = list(cuts(kinds, times, 4))
    assert [len(learn) for learn, _ in found] == [30, 36, 42, 48]
    for learn, tested in found:
        for kind in ISSUE_TYPES:
            last = max(times[each] for each in learn if kinds[each] == kind)
            assert all(times[each] > last for each in tested if kinds[each] == kind)


def test_few_of_each() -> None:
    kinds: list[IssueType | None] = [*["bug"] * 10, *["question"] * 3]  # type: ignore[list-item]
    learn, tested = few(kinds, 5, seed=1)
    assert (len(learn), len(tested)) == (8, 5)


# --- hostile files -----------------------------------------------------------------------------------------------


def broken(**changed: NDArray[np.generic] | None) -> bytes:
    tensors = dict(read_tensors(dump(fit(issues(30)))))
    for name, array in changed.items():
        if array is None:
            del tensors[name]
        else:
            tensors[name] = array
    return write_tensors(tensors)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04 not ours",
        dump(fit(issues(30)))[:-1],
        dump(fit(issues(30))) + b"x",
        broken(terms=None),
        broken(about=None),
        broken(about=np.frombuffer(b"{}", np.uint8)),
        broken(about=np.frombuffer(b"\xff[", np.uint8)),
        broken(words=np.full((3, 6), np.nan, np.float32)),
        broken(signs=np.zeros((30, 2), np.float32)),
        broken(spread=np.zeros(len(NAMES), np.float32)),
        broken(spread=np.full(len(NAMES), np.inf, np.float32)),
        broken(meant=np.zeros((30, 384), np.float16)),
        broken(meant=np.zeros((30, 7), np.float16)),
        broken(by_signs=np.zeros((30, 1), np.float32)),
        broken(by_signs=np.zeros((30, 6), np.float64)),
        broken(by_meaning=np.zeros((30, 6), np.float32)),
        broken(terms=np.array([5, 5], np.uint32), rarity=np.zeros(2, np.float32), words=np.zeros((2, 6), np.float32)),
        broken(terms=np.zeros(200_000, np.uint32)),
        b"\0" * 17_000_000,
    ],
)
def test_a_file_that_is_no_model_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(data)
    assert caught.value.code == "model_damaged"
    assert "triage learn" in caught.value.hint


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bits", [b"\xff\x7b", b"\x00\x7c", b"\x01\x7c", b"\x00\x7e"])
def test_half_floats_that_are_huge_or_no_number_are_refused_without_a_warning(bits: bytes) -> None:
    tensors = dict(read_tensors(dump(fit(issues(12), vectors=Letters()))))
    tensors["meant"] = np.frombuffer(bits * tensors["meant"].size, np.float16).reshape(tensors["meant"].shape)
    with pytest.raises(ConfigurationError) as caught:
        load(write_tensors(tensors))
    assert caught.value.code == "model_damaged"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bits", [b"\x01\x00\x80\x7f", b"\xff\xff\x7f\x7f"])
def test_single_floats_that_are_huge_or_no_number_are_refused_without_a_warning(bits: bytes) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(broken(usual=np.frombuffer(bits * len(NAMES), np.float32)))
    assert caught.value.code == "model_damaged"


def test_a_model_by_another_version_is_told_from_a_damaged_one() -> None:
    about = json.loads(read_tensors(dump(fit([])))["about"].tobytes())
    old = json.dumps(about | {"version": 0}).encode()
    data = dict(read_tensors(dump(fit([])))) | {"about": np.frombuffer(old, np.uint8)}
    with pytest.raises(ConfigurationError) as caught:
        load(write_tensors(data))
    assert caught.value.code == "model_outdated"


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 20_000), byte=st.integers(0, 255))
def test_a_changed_byte_is_refused_or_harmless(place: int, byte: int) -> None:
    data = bytearray(KEPT)
    data[place % len(data)] = byte
    with suppress(ConfigurationError):
        model = load(bytes(data))
        assert sum(judge(model, "Add a menu", "please").types.values()) == pytest.approx(1)


KEPT = dump(MODELS[1])

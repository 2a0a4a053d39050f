"""Answers that models really give, and worse -> always a valid judgement, nearly always the model's own."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.testing.llm import ScriptedLLM
from bot.triage.asking import Unusable
from bot.triage.issues.lenient import objects_in
from bot.triage.issues.question import Ids
from bot.triage.issues.reading import Reading, read_answer, share, truth
from bot.types.model import Message
from bot.types.triage import Neighbour, Triage
from tests.issue_fixtures import FACTS, NEAR, judged, known, said
from tests.malformed_answers import BASES, FAILURES, HOPELESS, lines, spoilt

IDS = Ids(
    labels={f"l{number}": each.name for number, each in enumerate(FACTS.labels, 1)},
    areas=("l3",),
    neighbours={f"n{number}": each for number, each in enumerate(NEAR, 1)},
    files={"f1": "src/reader.py", "f2": "src/writer.py"},
    missing={"m1": "version"},
)
CORPUS = dict(lines())
MEANT = {name: (meant, text) for name, meant, text in spoilt()}


def test_the_corpus_is_large_and_nearly_all_of_it_is_understood() -> None:
    assert len(CORPUS) >= 240
    results = {name: judged([line, said()], knowledge=known()) for name, line in CORPUS.items()}
    for name, found in results.items():
        Triage.model_validate_json(found.model_dump_json()), name
        assert found.by in ("model", "offline"), name
    failed = [name for name, found in results.items() if found.by != "model"]
    assert len(failed) <= len(FAILURES)
    assert all(name.startswith("error") for name in failed), failed


def test_a_repair_that_is_no_better_ends_in_the_offline_answer() -> None:
    for name, line in CORPUS.items():
        llm = ScriptedLLM([line, line], price=0.001)
        found = judged(llm=llm, knowledge=known())
        Triage.model_validate_json(found.model_dump_json())
        assert found.type in ("bug", "feature", "question"), name
        assert found.by == "model" or (found.type == "bug" and "of no help" in found.reason), name
        assert len(llm.heard) <= 2, name


@pytest.mark.parametrize("name", MEANT)
def test_what_was_meant_is_understood_without_a_repair(name: str) -> None:
    meant, text = MEANT[name]
    reading, whole = read_answer(text, IDS), read_answer(json.dumps(meant), IDS)
    assert (reading.type, set(reading.labels)) == (whole.type, set(whole.labels))
    if "cut" not in name and "null" not in name:
        fields = ("priority", "area", "agent_why", "reproduction", "security", "language", "size", "question")
        assert {key: getattr(reading, key) for key in fields} == {key: getattr(whole, key) for key in fields}
        assert reading.summary.split() == whole.summary.split()


@pytest.mark.parametrize("text", HOPELESS, ids=range(len(HOPELESS)))
def test_what_tells_nothing_is_sent_back(text: str) -> None:
    with pytest.raises(Unusable) as error:
        read_answer(text, IDS)
    assert len(str(error.value)) < 150


def test_the_repair_says_what_is_wrong_and_stays_small() -> None:
    llm = ScriptedLLM(["no " * 300_000, said()])
    assert judged(llm=llm).by == "model"
    *_, answer, wish = llm.heard[1]
    assert len(answer.content) == 2_000
    assert "there is no JSON object" in wish.content


def test_only_given_ids_come_out() -> None:
    text = json.dumps(
        {
            "type": "bug",
            "labels": ["bug", "L3", "admin", {"name": "Question", "confidence": 0.2}, "l99"],
            "area": "l1",
            "duplicates": [3, "#4", 99],
            "files": ["src/reader.py", "/etc/passwd"],
            "missing": "everything",
        }
    )
    reading = read_answer(text, IDS)
    assert set(reading.labels) == {"bug", "area: reader"}
    assert reading.area == "", "only a label that names a part is one"
    assert reading.duplicates == {"n1": True, "n2": True, "n3": False}
    assert reading.files == {"f1": True, "f2": False}
    assert reading.missing == {"m1": False}


def test_of_several_answers_the_last_whole_one_counts() -> None:
    feature, bug = json.dumps({"type": "feature", "labels": {}}), json.dumps({"type": "bug", "labels": {}})
    assert read_answer(f"{feature} then {bug}", IDS).type == "bug"
    assert read_answer(f"{feature} then {bug[:-4]}", IDS).type == "feature"
    assert read_answer(bug[:-4], IDS).type == "bug"


@pytest.mark.parametrize(
    ("value", "meaning"),
    [(0.4, 0.4), ("40%", 0.4), (40, 0.4), ("0,4", 0.4), (True, 0.9), ("no", 0.0), ("HIGH", 0.9), (float("nan"), None),
     (float("inf"), None), (-1, None), (101, None), ("many", None), (None, None), ({"score": 1}, 1), ([], None)],
)  # fmt: skip
def test_confidence_in_every_spelling(value: Any, meaning: float | None) -> None:
    assert share(value) == meaning


def test_truth_in_every_spelling() -> None:
    assert [truth(each) for each in (True, "Yes", "true.", 1, 0.8)] == [True] * 5
    assert [truth(no) for no in (False, "n", "0", 0)] == [False] * 4
    unclear: tuple[Any, ...] = (None, "perhaps", float("nan"), {"a": 1})
    assert [truth(said_so) for said_so in unclear] == [None] * 4


def test_texts_are_cleaned_and_cut() -> None:
    text = json.dumps({"type": "bug", "labels": {}, "summary": "a\u200bb\u202e <!-- x --> c\n\nd" + "e" * 900})
    summary = read_answer(text, IDS).summary
    assert summary.startswith("ab c d")
    assert len(summary) == 500


KEYS = [*BASES[0], "l1", "x"]


def test_two_sentences_and_one_question_are_heard() -> None:
    more = {"summary": "It fails, e.g. at 1.2. Then it hangs. And more.", "question": "Which version? Which system?"}
    reading = read_answer(json.dumps({"type": "bug", "labels": {}, **more}), IDS)
    assert reading.summary == "It fails, e.g. at 1.2. Then it hangs."
    assert reading.question == "Which version?"


jsons = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 999) | st.floats() | st.text(max_size=6) | st.just("l1"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(
    st.text(max_size=200)
    | jsons.map(json.dumps)
    | st.dictionaries(st.sampled_from(list(BASES[0])), jsons).map(json.dumps)
)
def test_any_text_is_a_reading_or_unusable(text: str) -> None:
    try:
        reading = read_answer(text, IDS)
    except Unusable:
        return
    assert set(reading.labels) <= set(IDS.labels.values())
    assert set(reading.duplicates) <= set(IDS.neighbours)
    Reading.model_validate_json(reading.model_dump_json())


@given(jsons.filter(lambda value: isinstance(value, dict) and bool(value)), st.integers(0, 400))
def test_objects_survive_and_cut_ones_never_raise(value: dict[str, Any], end: int) -> None:
    text = json.dumps(value)
    assert json.dumps(objects_in(f"So: {text}.")[0].value) == text
    assert all(isinstance(found.value, dict) for found in objects_in(text[:end]))


def test_an_answer_that_was_cut_off_gets_more_room() -> None:
    class Short(ScriptedLLM):
        """Says that it ran out of tokens."""

        room: list[int]

        def complete(self, messages: Any, **more: Any) -> Any:
            self.room = [*getattr(self, "room", []), more["max_tokens"]]
            return super().complete(messages, **more).changed(finish_reason="length")

    llm = Short([Message(role="assistant"), said()])
    assert judged(llm=llm).by == "model"
    assert llm.room == [300, 1_500]


def test_a_neighbour_is_named_by_its_number() -> None:
    ids = Ids(labels={"l1": "bug"}, neighbours={"n1": Neighbour(number=12, title="x", score=0.5)})
    assert read_answer('{"type": "bug", "duplicates": {"#12": false}}', ids).duplicates == {"n1": False}

"""Files of issues -> ranked duplicates, through the command; every bad file has its line named."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bot.__main__ import run

CORPUS: list[dict[str, Any]] = [
    {"id": 1, "title": "Crash when saving a file", "body": "segfault", "created_at": "2024-01-01T00:00:00Z"},
    {"id": "2", "title": "Dark theme for the menu", "body": None, "created_at": "2024-01-02 00:00:00 UTC"},
    {"id": "b-3", "title": "Saving a file crashes", "created_at": "Wed, 03 Jan 2024 00:00:00 +0000", "votes": 3},
    {"id": 4, "title": "Crash when saving a file", "body": "segfault", "created_at": 1704326400},
    {"id": 5, "title": "Crash when saving a file", "body": "segfault"},
]
QUERY: dict[str, Any] = {"id": 4, "title": "Crash when saving a file", "body": "segfault", "created_at": "2024-01-04"}


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDPIPER_STATE", str(tmp_path / "state"))


def write(path: Path, lines: Sequence[object]) -> Path:
    path.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in lines), encoding="utf-8")
    return path


def ask(
    folder: Path, corpus: Sequence[object], queries: Sequence[object], *words: str, encoder: str = "none"
) -> tuple[int, list[str]]:
    """Exit code, and the words of the command."""
    files = [str(write(folder / "corpus.jsonl", corpus)), str(write(folder / "queries.jsonl", queries))]
    command = ["triage", "duplicates", "--corpus", files[0], "--queries", files[1], "--encoder", encoder, *words]
    return run(command), command


def found(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    value = json.loads(capsys.readouterr().out)
    assert isinstance(value, dict)
    return value


def test_earlier_ones_are_ranked_and_never_the_query_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    queries = [QUERY, {**QUERY, "id": 9, "created_at": None}, {**QUERY, "id": "1", "created_at": 1704067200000}]
    code, _ = ask(tmp_path, CORPUS, queries, "--json")
    answer = found(capsys)
    assert code == 0
    assert answer["results"] == {"4": [1, "b-3"], "9": [], "1": []}
    assert answer["candidates"]["4"][0] == 1
    assert answer["encoder"] == "none"
    assert answer["seconds"] >= 0 <= answer["p95_ms"]


def test_a_text_without_a_time_is_said_and_not_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(tmp_path, CORPUS, [QUERY, {**QUERY, "id": 9, "created_at": None}], "--json")[0] == 0
    said = capsys.readouterr()
    assert "1 of 2 queries have no created_at" in said.err
    assert json.loads(said.out)["results"]["9"] == []


def test_recall_is_measured_by_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def of(dataset: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [{**each, "dataset": dataset, "id": f"{dataset}:{each['id']}"} for each in rows]

    corpus = [*of("x", CORPUS[:2]), *of("y", CORPUS)]
    queries = [*of("x", [QUERY]), *of("y", [QUERY]), *of("z", [QUERY])]
    gold = tmp_path / "gold.json"
    gold.write_text(
        json.dumps({"x:4": ["x:2"], "y:4": {"relevant": ["y:b-3"], "canonical": "y:b-3"}, "other": ["y:1"]})
    )
    assert ask(tmp_path, corpus, queries, "--gold", str(gold), "--most", "1", "--json")[0] == 0
    answer = found(capsys)
    assert answer["results"] == {"x:4": ["x:1"], "y:4": ["y:1"], "z:4": []}
    assert (answer["queries"], answer["recall@1"], answer["recall@5"]) == (2, 0.0, 0.5)
    assert answer["datasets"]["x"] == {"queries": 1, "recall@1": 0.0, "recall@5": 0.0, "recall@10": 0.0}
    assert answer["datasets"]["y"]["recall@5"] == 1.0


def test_people_get_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold = tmp_path / "gold.json"
    gold.write_text('{"4": [1]}')
    corpus = [{**CORPUS[0], "title": "Crash when saving a \x1b[31mfile ##[error]"}, *CORPUS[1:]]
    assert ask(tmp_path, corpus, [QUERY], "--gold", str(gold))[0] == 0
    text = capsys.readouterr().out
    assert "candidate" in text
    assert "recall@5" in text
    assert "\x1b" not in text


def test_packed_files_a_mark_at_the_start_and_empty_lines_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = "\ufeff" + "\n\n".join(json.dumps(each) for each in CORPUS)
    packed = tmp_path / "corpus.any"
    packed.write_bytes(gzip.compress(lines.encode()))
    queries = write(tmp_path / "queries", [QUERY])
    words = ["triage", "duplicates", "--corpus", str(packed), "--queries", str(queries), "--encoder", "none", "--json"]
    assert run(words) == 0
    assert found(capsys)["results"]["4"] == [1, "b-3"]


def test_of_an_id_the_last_line_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = [CORPUS[0], {**CORPUS[0], "id": "1", "title": "Dark menu", "body": ""}]
    assert ask(tmp_path, corpus, [QUERY], "--json")[0] == 0
    assert found(capsys)["results"] == {"4": []}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[1]", "no JSON object"),
        ("\udcff{}", "no JSON"),
        ('{"title": "a"}', "`id`"),
        ('{"id": null}', "`id`"),
        ('{"id": true}', "`id`"),
        ('{"id": 1.5}', "`id`"),
        ('{"id": " "}', "`id`"),
        ('{"id": 1, "title": ["a"]}', "`title`"),
        ('{"id": 1, "body": 7}', "`body`"),
        ('{"id": 1, "dataset": 7}', "`dataset`"),
        ('{"id": 1, "created_at": "yesterday"}', "`created_at`"),
        ('{"id": 1, "created_at": NaN}', "`created_at`"),
        ('{"id": 1, "created_at": 1e300}', "`created_at`"),
        ('{"id": 1, "created_at": []}', "`created_at`"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, what: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b'{"id": 7}\n' + line.encode("utf-8", "surrogateescape") + b"\n")
    good = write(tmp_path / "good.jsonl", CORPUS)
    for corpus, queries in ((path, good), (good, path)):
        words = ["triage", "duplicates", "--corpus", str(corpus), "--queries", str(queries), "--encoder", "none"]
        assert run([*words, "--json"]) == 2
        error = found(capsys)["error"]
        assert error["code"] == "texts_invalid"
        assert f"{path}:2" in error["message"]
        assert what in error["message"]
        assert error["hint"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "texts_invalid"),
        (b"\n \n", "texts_invalid"),
        (gzip.compress(b'{"id": 1}\n' * 1000, mtime=0)[:-9], "texts_unreadable"),
        (b"\x1f\x8b rubbish", "texts_unreadable"),
        (None, "texts_unreadable"),
    ],
)
def test_a_file_without_texts_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes | None, code: str
) -> None:
    path = tmp_path / "bad"
    if data is not None:
        path.write_bytes(data)
    words = ["triage", "duplicates", "--corpus", str(path), "--queries", str(path), "--encoder", "none", "--json"]
    assert run(words) == 2
    assert found(capsys)["error"]["code"] == code


@pytest.mark.parametrize("gold", ["", "[]", '{"1": 2}', '{"1": {}}', '{"1": {"relevant": 3}}', "{" * 100_000])
def test_gold_that_is_none_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str], gold: str) -> None:
    path = tmp_path / "gold.json"
    path.write_text(gold)
    assert ask(tmp_path, CORPUS, [QUERY], "--gold", str(path), "--json")[0] == 2
    assert found(capsys)["error"]["code"] == "texts_invalid"


def test_with_the_encoder_the_same_meaning_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = [
        *CORPUS[1:2],
        {"id": 1, "title": "Segmentation fault while writing to disk", "created_at": "2024-01-01"},
        {"id": 6, "title": "Translate the manual", "body": "into French", "created_at": "2024-01-01"},
    ]
    query = {"id": 4, "title": "Program dies on saving", "created_at": "2024-02-01"}
    assert ask(tmp_path, corpus, [query], "--json", encoder="auto")[0] == 0
    answer = found(capsys)
    if answer["encoder"] == "none":
        pytest.skip("the encoder's weights are not installed (they are in the dependency group dev)")
    assert answer["results"]["4"][0] == 1

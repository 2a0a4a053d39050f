"""`sandpiper triage eval`: figures by repository from files of anybody's, and a clear error for any bad file."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bot.cli.triage_eval import evaluate
from bot.errors import SandpiperError
from bot.offline.labelled import read_labelled
from tests.test_offline_model import issues

HEADER = ("repo", "created_at", "label", "title", "body")
Row = Sequence[str]


def made(repository: str, count: int, seed: int, kinds: Sequence[str] = ("bug", "feature", "question")) -> list[Row]:
    found = issues(count, seed)
    return [
        (repository, each.created_at, each.labels[0], each.title, each.body)
        for each in found
        if each.labels[0] in kinds
    ]


def write(path: Path, rows: Sequence[Row], header: Row = HEADER) -> Path:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def run(*words: str | Path) -> dict[str, Any]:
    done = CliRunner().invoke(evaluate, [*map(str, words), "--encoder", "none", "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def fails(*words: str | Path) -> SandpiperError:
    with pytest.raises(SandpiperError) as caught:
        CliRunner().invoke(evaluate, [*map(str, words), "--encoder", "none"], catch_exceptions=False)
    assert caught.value.hint
    return caught.value


def without_times(found: dict[str, Any]) -> dict[str, Any]:
    times = ("fit_seconds", "encode_seconds", "p95_ms")
    return {
        name: {one: without_times(two) for one, two in value.items()} if name == "repositories" else value
        for name, value in found.items()
        if name not in times
    }


def test_figures_by_repository_and_on_average(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", [*made("a/one", 120, 1), *made("b/two", 60, 2)])
    test = write(tmp_path / "test.csv.gz", [*made("a/one", 60, 3), *made("b/two", 30, 4)])
    found = run("--train", train, "--test", test)
    assert "error" not in found, "that key tells that a command failed"
    assert set(found) >= {"mean", "repositories", "ece", "coverage", "wrong", "fit_seconds", "p95_ms", "encoder"}
    one, two = found["repositories"]["a/one"], found["repositories"]["b/two"]
    assert (one["lessons"], one["tested"], one["source"]) == (120, 60, "own")
    assert (two["lessons"], two["tested"]) == (60, 30)
    assert min(one["f1"], two["f1"]) > 0.85
    for figure in ("precision", "recall", "f1"):
        assert found["mean"][figure] == pytest.approx((one[figure] + two[figure]) / 2)
        assert one[figure] == pytest.approx(sum(each[figure] for each in one["types"].values()) / 3)
    assert found["encoder"] == "none"
    assert found["encode_seconds"] == 0
    assert found["fit_seconds"] > 0
    assert 0 < found["p95_ms"] < 1000
    assert without_times(run("--train", train, "--test", test)) == without_times(found)


def test_a_repository_without_lessons_is_judged_by_the_others_and_none_at_all_by_the_prior(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", [*made("a/one", 90, 1), *made("b/two", 90, 2)])
    test = write(tmp_path / "test.csv", made("c/new", 60, 3))
    pooled = run("--train", train, "--test", test)["repositories"]["c/new"]
    assert (pooled["source"], pooled["lessons"]) == ("pooled", 180)
    assert pooled["coverage"] == 0  # what was measured on others proves nothing here
    alone = run("--train", write(tmp_path / "none.csv", []), "--test", test)["repositories"]["c/new"]
    assert (alone["source"], alone["lessons"], alone["coverage"], alone["wrong"]) == ("prior", 0, 0, None)
    assert pooled["f1"] > alone["f1"] > 0.6


def test_labels_are_told_by_name_and_unknown_ones_are_named(tmp_path: Path) -> None:
    names = {"bug": "type: Bug", "feature": "kind/enhancement", "question": "T-support"}
    rows = [(repo, at, names[label], title, body) for repo, at, label, title, body in made("a/one", 90, 1)]
    rows += [("a/one", "", "area: x; bug", "The table crashes on save", ""), ("a/one", "", "wontfix", "Old", "")]
    train = write(tmp_path / "train.csv", rows)
    found = run("--train", train, "--test", train)
    assert found["other_labels"] == ["area: x", "wontfix"]
    assert found["repositories"]["a/one"]["tested"] == 91
    assert found["mean"]["f1"] > 0.9


def test_small_odd_and_foreign_repositories_are_measured_too(tmp_path: Path) -> None:
    rows: list[Row] = [
        *made("a/tiny", 2, 1),
        *made("b/bugs", 60, 2, kinds=("bug",)),
        ("c/odd", "NaN", "bug", "", ""),
        ("c/odd", "", "feature", "NaN", "nan"),
        ("c/odd", "", "question", "\U0001f600" * 50, 'He said "no", then\nleft, "really"'),
        ("c/odd", "2024", "bug", "程序崩溃了", "打开文件时出错 " * 5000),
        ("", "2024", "bug", "no repository", "x" * 300_000),
    ]
    file = write(tmp_path / "all.csv", rows)
    found = run("--train", file, "--test", file)
    assert set(found["repositories"]) == {"a/tiny", "b/bugs", "c/odd", "-"}
    assert set(found["repositories"]["b/bugs"]["types"]) == {"bug"}
    assert found["repositories"]["c/odd"]["tested"] == 4


def test_folds_cuts_and_few_need_no_second_file(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", made("a/one", 90, 1))
    folds = run("--train", train, "--folds", "3", "--repeats", "2")["repositories"]["a/one"]
    assert (folds["tested"], folds["lessons"]) == (180, 60)
    cuts = run("--train", train, "--cuts", "2")["repositories"]["a/one"]
    assert (cuts["tested"], cuts["lessons"]) == (45 + 18, 58)
    few = run("--train", train, "--few", "5", "--repeats", "1")["repositories"]["a/one"]
    assert (few["tested"], few["lessons"]) == (75, 15)
    none = run("--train", train, "--few", "0", "--repeats", "1")["repositories"]["a/one"]
    assert (none["tested"], none["lessons"], none["source"]) == (90, 0, "prior")
    assert folds["f1"] > none["f1"]


def test_people_get_a_table(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", made("a/one", 120, 1))
    test = write(tmp_path / "test.csv", [*made("a/one", 30, 2), *made("c/new\x1b[31m", 30, 2)])
    done = CliRunner().invoke(
        evaluate, ["--train", str(train), "--test", str(test), "--encoder", "none"], catch_exceptions=False
    )
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["repository", "lessons", "tested"]
    assert lines[1].startswith("a/one")
    assert lines[3].startswith("mean")
    assert "judged by those of all others together: c/new" in done.stdout
    assert "\x1b[31m" not in done.stdout


def test_bad_files_have_clear_errors(tmp_path: Path) -> None:
    good = write(tmp_path / "good.csv", made("a/one", 12, 1))
    bad: dict[str, bytes] = {
        "file_empty": b"  \n",
        "columns_missing": b"repo,label,title\na,bug,t\n",
        "not_utf8": ",".join(HEADER).encode() + b"\na,2024,bug,\xff\xfe,b\n",
        "not_csv": ",".join(HEADER).encode() + b"\na,2024,bug,t\n",
        "file_damaged": gzip.compress(good.read_bytes())[:-20],
        "no_types": ",".join(HEADER).encode() + b"\na,2024,chore,t,b\n",
    }
    for code, data in bad.items():
        file = tmp_path / f"{code}.csv"
        file.write_bytes(data)
        assert fails("--train", good, "--test", file).code == code
        if code != "no_types":
            assert fails("--train", file, "--test", good).code == code
    assert fails("--train", tmp_path / "none.csv", "--test", good).code == "file_missing"
    assert fails("--train", tmp_path, "--test", good).code == "file_missing"
    (tmp_path / "plain.csv.gz").write_bytes(good.read_bytes())
    assert fails("--train", tmp_path / "plain.csv.gz", "--test", good).code == "file_damaged"
    open_quote = tmp_path / "quote.csv"
    open_quote.write_text(",".join(HEADER) + '\na,2024,bug,"t,b\n')
    assert fails("--train", open_quote, "--test", good).code == "not_csv"


def test_one_way_of_measuring_has_to_be_chosen(tmp_path: Path) -> None:
    good = write(tmp_path / "good.csv", made("a/one", 12, 1))
    assert fails("--train", good).code == "which_test"
    assert fails("--train", good, "--test", good, "--folds", "3").code == "which_test"


def test_columns_may_stand_in_any_order_with_others_between(tmp_path: Path) -> None:
    header = ("Body", "id", "TITLE", "label", "created_at", "repo ")
    file = write(tmp_path / "x.csv", [("b", "9", "t", "bug|help", "2024", "a/one")], header)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    (lesson,) = read_labelled(file)["a/one"]
    assert (lesson.title, lesson.body, lesson.labels, lesson.created_at) == ("t", "b", ("bug", "help"), "2024")

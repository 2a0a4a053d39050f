"""Real git repositories -> the figures of `sandpiper triage files-eval`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bot.cli.triage_files import files_eval
from bot.errors import ConfigurationError
from bot.forge.local import history
from bot.offline.fileseval import Past, cleaned, is_small_fix, query_of, score

MODULES = {
    "engine/lamp.py": "class Lamp:\n    def switch_on(self): pass\n",
    "engine/parser.py": "def parse_config(text): pass\n",
    "engine/socket.py": "def write_bytes(data): pass\n",
    "engine/colour.py": "def mix_colours(red, blue): pass\n",
    "engine/clock.py": "def tick_seconds(): pass\n",
    "engine/storage.py": "def save_record(row): pass\n",
    "engine/painter.py": "def draw_circle(radius): pass\n",
}
ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "PATH": os.environ["PATH"],
    **{f"GIT_{who}_{what}": "x@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(folder: Path, files: dict[str, str], message: str) -> str:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--cleanup=verbatim", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def repository(folder: Path, *options: str) -> Path:
    folder.mkdir(exist_ok=True)
    git(folder, "init", "--quiet", *options)
    commit(folder, MODULES, "Start")
    commit(folder, {"engine/parser.py": "def parse_config(text): return 1\n"}, "Fix parse_config for empty texts (#12)")
    commit(folder, {"engine/clock.py": "def tick_seconds(): return 1\n"}, "Fix a crash in the clock\n\nCloses #3")
    commit(folder, {"engine/lamp.py": "x = 1\n", "new.py": "y = 2\n"}, "Fix the lamp that never goes on")
    commit(folder, dict.fromkeys(MODULES, "pass\n"), "Fix everything at once")
    commit(folder, {"docs/a.md": "text"}, "Fix a sentence")
    commit(folder, {"engine/painter.py": "z = 3\n"}, "Bump painter, fix its version")
    return folder


def measured(folder: Path, *words: str) -> dict[str, Any]:
    done = CliRunner().invoke(files_eval, [str(folder), "--json", *words], catch_exceptions=False)
    assert done.exit_code == 0
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("options", [(), ("--object-format=sha256",)])
def test_small_fixes_are_found_in_the_tree_before_them(tmp_path: Path, options: tuple[str, ...]) -> None:
    found = measured(repository(tmp_path / "r", *options))
    assert (found["commits"], found["hit@1"], found["hit@5"], found["mrr"]) == (3, 1.0, 1.0, 1.0)
    assert found["subjects"]["hit@5"] == 1.0
    assert found["p95_ms"] > 0
    assert found["seconds"] >= 0


def test_the_newest_fixes_are_taken(tmp_path: Path) -> None:
    assert measured(repository(tmp_path / "r"), "--commits", "2")["commits"] == 2


def test_people_get_a_table(tmp_path: Path) -> None:
    done = CliRunner().invoke(files_eval, [str(repository(tmp_path / "r"))], catch_exceptions=False)
    assert done.stdout.startswith("3 small fixes, ")
    assert "subject alone  1.000  1.000  1.000" in done.stdout


def test_a_bare_repository_a_worktree_and_a_folder_below_are_repositories_too(tmp_path: Path) -> None:
    folder = repository(tmp_path / "r")
    git(folder, "clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    git(folder, "worktree", "add", "--quiet", str(tmp_path / "tree"))
    for place in (tmp_path / "bare.git", tmp_path / "tree", folder / "engine"):
        assert measured(place)["commits"] == 3


def test_the_fix_itself_is_not_searched(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    folder.mkdir()
    git(folder, "init", "--quiet")
    commit(folder, {"a.py": "one\n", "zebra.py": "stripes\n"}, "Start")
    commit(folder, {"a.py": "quagga = 1\n"}, "Fix the quagga with stripes")
    assert measured(folder)["hit@1"] == 0.0


def test_odd_names_links_and_large_files_do_no_harm(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    folder.mkdir()
    git(folder, "init", "--quiet")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\n\t.py")).write_text("def odd(): pass\n")
    (folder / "link.py").symlink_to("/etc/passwd")
    commit(
        folder,
        {"a b.py": "def plain(): pass\n", "big.py": "word " * 100_000, '"q".py': "def quoted(): pass\n"},
        "Start",
    )
    commit(folder, {"a b.py": "def plain(): return 1\n", '"q".py': "x\n"}, "Fix plain and quoted")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\n\t.py")).write_text("def odd(): return 1\n")
    commit(folder, {}, "Fix the odd one")
    assert measured(folder)["hit@1"] == 1.0


def code_of(folder: Path) -> tuple[str, str]:
    with pytest.raises(ConfigurationError) as caught:
        CliRunner().invoke(files_eval, [str(folder)], catch_exceptions=False)
    return caught.value.code, caught.value.hint


def test_what_can_not_be_measured_is_said_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "file").write_text("")
    assert code_of(tmp_path / "nope")[0] == "not_a_checkout"
    assert code_of(tmp_path / "file")[0] == "not_a_checkout"
    assert code_of(tmp_path / "plain")[0] == "not_a_checkout"
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "--quiet")
    assert code_of(tmp_path / "empty")[0] == "no_commits"
    commit(tmp_path / "empty", {"a.py": "x"}, "Start")
    assert code_of(tmp_path / "empty")[0] == "no_small_fixes"
    folder = repository(tmp_path / "r")
    git(folder, "clone", "--quiet", "--depth=1", folder.as_uri(), str(tmp_path / "shallow"))
    code, hint = code_of(tmp_path / "shallow")
    assert code == "no_small_fixes"
    assert "--unshallow" in hint


def test_nothing_that_the_repository_names_is_run(tmp_path: Path) -> None:
    folder = repository(tmp_path / "r")
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\necho ran >> {tmp_path / 'ran'}\ncat\n")
    trap.chmod(0o755)
    (folder / ".gitattributes").write_text("* diff=trap filter=trap\n")
    for name in ("core.fsmonitor", "core.pager", "core.sshCommand", "core.editor", "gpg.program", "diff.external",
                 "diff.trap.textconv", "diff.trap.command", "filter.trap.smudge", "filter.trap.clean"):  # fmt: skip
        git(folder, "config", name, str(trap))
    git(folder, "config", "log.showSignature", "true")
    git(folder, "config", "core.hooksPath", str(tmp_path))
    assert measured(folder)["commits"] == 3
    assert not (tmp_path / "ran").exists()


def test_a_partial_clone_is_not_fetched_from(tmp_path: Path) -> None:
    folder = repository(tmp_path / "r")
    git(folder, "config", "uploadpack.allowFilter", "true")
    git(folder, "clone", "--quiet", "--bare", "--filter=blob:none", folder.as_uri(), str(tmp_path / "partial.git"))
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\necho ran >> {tmp_path / 'ran'}\n")
    trap.chmod(0o755)
    git(tmp_path / "partial.git", "config", "remote.origin.uploadpack", str(trap))
    done = CliRunner().invoke(files_eval, [str(tmp_path / "partial.git")])
    assert isinstance(done.exception, ConfigurationError)
    assert done.exception.code == "history_unreadable"
    assert not (tmp_path / "ran").exists()


def test_changes_have_their_letter_and_a_rename_is_two(tmp_path: Path) -> None:
    folder = repository(tmp_path / "r")
    (folder / "engine" / "lamp.py").rename(folder / "engine" / "torch.py")
    sha = commit(folder, {"README": "x"}, "Rename")
    place = history.open_history(folder)
    assert sorted(history.changes(place, [sha])[sha]) == [
        ("README", "A"),
        ("engine/lamp.py", "D"),
        ("engine/torch.py", "A"),
    ]
    assert next(history.commits(place, most=1)).message == "Rename\n"


@pytest.mark.parametrize(
    ("message", "small"),
    [
        ("Fix the lamp", True),
        ("fix(core): lamp", True),
        ("Lamp goes on again\n\nCloses #12", True),
        ("Add a lamp (#12)", False),
        ("Fix typo", False),
        ("docs: fix the lamp", False),
        ("Bump lamp to fix it", False),
        ('Revert "Fix the lamp"', False),
        ("", False),
    ],
)
def test_what_a_small_fix_is_called(message: str, small: bool) -> None:
    assert is_small_fix(message) == small


def test_a_message_becomes_a_report() -> None:
    message = (
        "Fix the lamp (#12)\n\nIt was dark, see https://example.com/1 and acme/lamp#3.\n\n"
        "Fixes #4\nSigned-off-by: X <x@example.com>\nCo-authored-by: Y <y@example.com>\n"
    )
    assert cleaned(message) == ("Fix the lamp", "It was dark, see and .")


def test_only_small_changes_of_programs_count() -> None:
    past = Past("a", "b", "Fix the lamp")
    one = query_of(past, [("a.py", "M"), ("tests/test_a.py", "M"), ("b.py", "A")])
    assert one is not None
    assert one.files == {"a.py"}
    assert query_of(past, [("tests/test_a.py", "M")]) is None
    assert query_of(past, [("new.py", "A")]) is None
    assert query_of(past, [(f"{at}.py", "M") for at in range(4)]) is None
    assert query_of(past, [("a.py", "M"), *((f"docs/{at}.md", "M") for at in range(20))]) is None


def test_figures_are_counted_by_place() -> None:
    found = score([(1, 1.0), (2, 1.0), (6, 1.0), (0, 5.0)])
    assert (found.hit1, found.hit5) == (0.25, 0.5)
    assert found.mrr == pytest.approx((1 + 1 / 2 + 1 / 6) / 4)

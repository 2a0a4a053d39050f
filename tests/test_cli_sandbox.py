"""`sandpiper sandbox` -> output, exit codes and what is left, mostly without an engine; the page for users is run."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.__main__ import run
from bot.cli.sandbox import COMMANDS
from bot.cli.sandbox_doctor import advice_of
from bot.cli.sandbox_view import duration, ending_words, hint_for, one_line
from bot.sandbox.bubblewrap.provider import BubblewrapProvider
from bot.types.sandbox import ExecResult
from bot.types.task import Limits
from bot.types.value import Ending

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "sandbox.md").read_text(encoding="utf-8")
OPEN = ("--provider", "local", "--unisolated")
"""No isolation, and nothing to wait for: what is tested here is the command line."""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SANDPIPER_STATE", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "state"
    assert run(["sandbox", "stop", "--all", "--force"]) == 0
    assert not list((tmp_path / "state" / "sandboxes").glob("sandpiper-*"))


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    (folder / "README.md").write_text("hello\n")
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    return folder


def sandbox(*words: str, stdin: bytes = b"", **environ: str) -> subprocess.CompletedProcess[bytes]:
    """The program in a process of its own, in this folder."""
    variables = {name: os.environ[name] for name in ("PATH", "SANDPIPER_STATE", "HOME")}
    command = [sys.executable, "-m", "bot", "sandbox", *words]
    variables["PYTHONPATH"] = str(ROOT)
    return subprocess.run(command, input=stdin, capture_output=True, env={**variables, **environ}, timeout=120)


def answer(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    """What a command prints with `--json`."""
    capsys.readouterr()
    at = 1 if words[0] == "exec" else words.index("--") if "--" in words else len(words)
    assert run(["sandbox", *words[:at], "--json", *words[at:]]) == code
    value = json.loads(capsys.readouterr().out)
    assert isinstance(value, dict)
    return value


# --- run ----------------------------------------------------------------------------------------------------------


def test_bytes_come_through_and_the_exit_code_too() -> None:
    script = "cat; printf '\\377\\0' >&2; exit 7"
    done = sandbox(
        "run", *OPEN, "--empty", "--quiet", "--stdin", "--", "sh", "-c", script, stdin=b"\x00\xff::debug::\n"
    )
    assert (done.returncode, done.stdout) == (7, b"\x00\xff::debug::\n")
    assert b"\xff\x00" in done.stderr
    assert b"no isolation" in done.stderr, "said also to those who want it quiet"


def test_in_a_job_no_line_is_a_command() -> None:
    script = "echo '::set-output name=a::b'; echo '##[error]x' >&2"
    done = sandbox("run", *OPEN, "--empty", "--", "sh", "-c", script, GITHUB_ACTIONS="true")
    assert not re.search(rb"(?m)^\s*::|##\[", done.stdout + done.stderr)
    assert b"set-output" in done.stdout


def test_changes_are_shown_and_kept_and_the_checkout_stays(
    repository: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    script = "echo more >>README.md; mkdir d; echo x >d/new; chmod +x d/new; ln -s /etc/passwd link"
    words = ("run", *OPEN, "--keep-changes", str(tmp_path / "kept"), "--diff", "--", "sh", "-c", script)
    assert run(["sandbox", *words]) == 0
    told = capsys.readouterr().err
    assert "changed: 2 files, +2 -0 lines" in told or "changed: 3 files" in told
    assert "M README.md  +1 -0" in told
    assert "+more" in told
    assert (tmp_path / "kept" / "README.md").read_text() == "hello\nmore\n"
    assert os.access(tmp_path / "kept" / "d" / "new", os.X_OK)
    assert not (tmp_path / "kept" / "link").exists()
    assert (repository / "README.md").read_text() == "hello\n"
    assert run(["sandbox", *words]) == 2, "a folder that holds something is not written over"


def test_a_time_out_is_124_with_words_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    assert run(["sandbox", "run", *OPEN, "--empty", "--seconds", "0.3", "--", "sleep", "60"]) == 124
    assert time.monotonic() - began < 30
    told = capsys.readouterr().err
    assert "timed out" in told
    assert "--seconds" in told


def test_json_has_result_record_and_changes(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("run", *OPEN, "--empty", "--env", "A=b=c", "--", "sh", "-c", 'echo "$A"; echo x >y; exit 3')
    value = answer(capsys, *words, code=3)
    assert value["result"]["stdout"] == "b=c\n"
    assert (value["result"]["ending"], value["result"]["exit_code"]) == ("exited", 3)
    assert value["record"]["provider"] == "local"
    assert value["record"]["notes"]
    assert [each["path"] for each in value["changes"]["files"]] == ["y"]


MISTAKES = [
    (("run", "--provider", "local", "--empty", "true"), "local_not_allowed"),
    (("run", "--provider", "docker", "--unisolated", "--empty", "true"), "bad_option"),
    (("run", "true"), "no_checkout"),
    (("run", "--empty", "--checkout", ".", "true"), "bad_option"),
    (("run", "--empty", "--memory", "1k", "true"), "bad_option"),
    (("run", "--empty", "--memory", "lots", "true"), "usage"),
    (("run", "--empty", "--allow", "10.0.0.1/8", "true"), "bad_option"),
    (("run", "--empty", "--allow", "a.example", "--network", "bridge", "true"), "bad_option"),
    (("run", "--empty", "--run", "XYZ", "true"), "bad_option"),
    (("run", "--empty", "--env", "A", "true"), "bad_option"),
    (("run", "--empty", "--provider", "nobodys", "true"), "plugin_unknown"),
    (("run", "--empty"), "usage"),
    (("create", "--empty", "--allow", "a.example"), "network_unsupported"),
    (("exec", "nothing", "true"), "no_such_sandbox"),
    (("inspect", "nothing"), "no_such_sandbox"),
    (("stop",), "bad_option"),
    (("cp", "a", "b"), "bad_path"),
    (("cp", "nothing:a", "other:b"), "bad_path"),
    (("doctor", "--provider", "local"), "no_isolation"),
]


@pytest.mark.parametrize(("words", "code"), MISTAKES, ids=lambda value: value if isinstance(value, str) else None)
def test_mistakes_have_a_code_and_a_hint(
    words: tuple[str, ...], code: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    assert run(
        ["sandbox", *words, "--json"] if words[-1] != "true" else ["sandbox", words[0], "--json", *words[1:]]
    ) in (1, 2)
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["code"], bool(error["hint"])) == (code, True)


def test_an_engine_that_is_away_is_told_with_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    assert run(["sandbox", "run", "--provider", "docker", "--empty", "--", "true"]) == 3
    assert "docker_unavailable" in capsys.readouterr().err
    assert run(["sandbox", "list"]) == 0
    assert run(["sandbox", "gc"]) == 0, "the other providers are swept all the same"
    assert "docker" in capsys.readouterr().err
    assert run(["sandbox", "doctor", "--provider", "docker"]) == 3


def test_who_asks_for_too_much_is_warned(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sandbox", "run", *OPEN, "--empty", "--memory", "900g", "--", "true"]) == 0
    assert "which is all it can get" in capsys.readouterr().err


# --- sandboxes that stay ------------------------------------------------------------------------------------------


def test_one_that_stays_from_its_making_to_its_end(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    name = answer(capsys, "create", *OPEN, "--empty", "--minutes", "5", "--env", "WHO=me")["id"]
    short = name.removeprefix("sandpiper-")[:8]

    done = sandbox("exec", short, "--", "sh", "-c", 'echo "$WHO"; echo 42 >answer; exit 5')
    assert (done.returncode, done.stdout) == (5, b"me\n")
    assert run(["sandbox", "exec", "--seconds", "0.3", short, "sleep", "60"]) == 124
    assert answer(capsys, "exec", short, "--", "pwd", "-P")["result"]["stdout"].endswith("/tree\n")

    (tmp_path / "tree" / "d").mkdir(parents=True)
    (tmp_path / "tree" / "d" / "a.txt").write_text("a\n")
    assert answer(capsys, "cp", "tree", f"{short}:in")["files"] == 1
    assert run(["sandbox", "cp", f"{short}:in", "out"]) == 0
    assert (tmp_path / "out" / "d" / "a.txt").read_text() == "a\n"
    assert run(["sandbox", "cp", f"{short}:answer", "."]) == 0
    assert (tmp_path / "answer").read_text() == "42\n"

    (listed,) = answer(capsys, "list")["sandboxes"]
    assert (listed["id"], listed["state"], listed["orphan"]) == (name, "running", False)
    facts = answer(capsys, "inspect", short, "--files")
    assert facts["limits"]["minutes"] == 5
    assert facts["health"] is None
    assert facts["files"] == ["answer", "in/d/a.txt"]
    assert facts["env_names"] == ["WHO"]
    assert "me" not in json.dumps(facts["sandbox"])
    (used,) = answer(capsys, "stats", short)["sandboxes"]
    assert used["stats"]["disk_mb"] is not None

    assert run(["sandbox", "pause", short]) == 0
    assert answer(capsys, "list")["sandboxes"][0]["state"] == "paused" or os.geteuid() != 0
    assert run(["sandbox", "resume", short]) == 0
    assert run(["sandbox", "exec", short, "true"]) == 0

    assert answer(capsys, "stop", short, "nobody")["removed"] == [name]
    assert run(["sandbox", "exec", short, "true"]) == 2
    assert answer(capsys, "list")["sandboxes"] == []


def test_a_beginning_that_two_have_names_none(capsys: pytest.CaptureFixture[str]) -> None:
    names = [answer(capsys, "create", *OPEN, "--empty", "--run", "ab" * 8)["id"] for _ in range(2)]
    assert run(["sandbox", "exec", "abab", "true"]) == 2
    assert "ambiguous_id" in capsys.readouterr().err
    assert sorted(answer(capsys, "stop", "--all")["removed"]) == sorted(names)


def test_watching_prints_a_line_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    name = answer(capsys, "create", *OPEN, "--empty")["id"]
    command = [sys.executable, "-m", "bot", "sandbox", "stats", "--watch", "--json", name]
    watching = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert watching.stdout is not None
    looks = [json.loads(watching.stdout.readline()) for _ in range(2)]
    watching.send_signal(signal.SIGINT)
    assert watching.wait(timeout=30) == 0
    assert [each["sandboxes"][0]["id"] for each in looks] == [name, name]
    watching.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_nothing(number: signal.Signals, state: Path) -> None:
    command = [sys.executable, "-m", "bot", "sandbox", "run", *OPEN, "--empty", "--", "sh", "-c", "echo on; sleep 600"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT)
    assert running.stdout is not None
    assert running.stdout.readline() == b"on\n"
    running.send_signal(number)
    assert running.wait(timeout=60) == 130
    running.stdout.close()
    assert list((state / "sandboxes").glob("sandpiper-*")) == []


def test_what_a_killed_process_left_is_found_and_removed(capsys: pytest.CaptureFixture[str], state: Path) -> None:
    command = [sys.executable, "-m", "bot", "sandbox", "run", *OPEN, "--empty", "--", "sh", "-c", "echo on; sleep 600"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT)
    assert running.stdout is not None
    assert running.stdout.readline() == b"on\n"
    (folder,) = (state / "sandboxes").glob("sandpiper-*")
    assert answer(capsys, "gc", "--dry-run")["found"]["local"] == [], "its maker lives"
    assert answer(capsys, "stop", "--all")["kept"] == [folder.name]
    running.kill()
    running.wait()
    running.stdout.close()
    assert answer(capsys, "gc", "--dry-run")["found"]["local"] == [folder.name]
    assert folder.exists()
    swept = answer(capsys, "gc")
    assert swept["found"]["local"] == [folder.name]
    assert swept["removed"] >= 1
    assert not folder.exists()


def test_caches_are_listed_and_cleared(capsys: pytest.CaptureFixture[str], state: Path) -> None:
    folder = state / "caches" / "pip-0123456789abcdef"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "wheel").write_bytes(bytes(100_000))
    (folder / "used").touch()
    (found,) = answer(capsys, "cache", "list")["caches"]
    assert (found["name"], found["bytes"] >= 100_000) == (folder.name, True)
    assert answer(capsys, "cache", "clear", "--older-than", "1")["removed"] == []
    assert answer(capsys, "cache", "clear")["removed"] == [folder.name]


def test_every_step_is_in_the_audit_log(capsys: pytest.CaptureFixture[str], state: Path) -> None:
    assert run(["sandbox", "run", *OPEN, "--empty", "--env", "TOKEN_X=s3cr3t-s3cr3t", "--", "true"]) == 0
    lines = (state / "audit.jsonl").read_text().splitlines()
    events = [json.loads(each)["event"] for each in lines]
    for event in ("sandbox_create", "command_start", "command_complete", "sandbox_collect", "sandbox_close"):
        assert event in events
    assert "s3cr3t-s3cr3t" not in "".join(lines)


# --- words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["oom", "pids", "disk", "timed_out"])
def test_who_ran_out_of_something_is_told_which_option_gives_more(ending: Ending) -> None:
    result, limits = ExecResult(ending=ending, exit_code=137, seconds=2), Limits(memory_mb=512)
    option = re.search(r"--[a-z]+", hint_for(result, limits))
    assert option is not None
    assert option[0] in {"--memory", "--pids", "--disk", "--seconds"}
    assert str({"oom": 512, "pids": 512, "disk": 8192, "timed_out": "timed out"}[ending]) in ending_words(
        result, limits
    )


def test_words_are_short() -> None:
    assert [duration(each) for each in (-1, 59, 61, 3_660, 200_000)] == ["0s", "59s", "1m", "1h01m", "2d07h"]
    assert one_line(("sh", "-c", "a\nb" * 100)).endswith("…")
    assert "\n" not in one_line(("a\nb",))


def test_advice_follows_what_the_engine_says() -> None:
    poor = {"ServerVersion": "18.09.1", "SecurityOptions": [], "Runtimes": {"runc": {}}}
    rich = {
        "ServerVersion": "27.1.0",
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=apparmor", "name=rootless"],
        "Runtimes": {"runc": {}, "runsc": {}},
    }
    assert {each[0] for each in advice_of(poor)} == {"advice"}
    assert {each[0] for each in advice_of(rich)} == {"ok"}


def test_help_names_every_command_and_imports_none_of_them() -> None:
    code = (
        "import sys\nfrom bot.__main__ import run\ncode = run(['sandbox', '--help'])\n"
        "print(code, sorted({'docker', 'rich', 'github', 'bot.sandboxes'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "0 []"
    for name in COMMANDS:
        assert re.search(rf"(?m)^  {name} ", done.stdout)


# --- the page for users -------------------------------------------------------------------------------------------


def test_the_page_names_every_command_and_option_that_it_uses(capsys: pytest.CaptureFixture[str]) -> None:
    for name in re.findall(r"sandpiper sandbox ([a-z]+)", PAGE):
        assert name in COMMANDS, name
    for name in COMMANDS:
        assert re.search(rf"`{name}\b", PAGE), name
    for name in COMMANDS:
        assert run(["sandbox", name, "--help"]) == 0
    helps = capsys.readouterr().out
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) - {"--debug", "--files"}:
        assert option in helps, option


def quick_start(number: int) -> str:
    return list(re.finditer(r"```console\n(.*?)```", PAGE, re.DOTALL))[number][1]


def in_a_shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    place = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = ["sh", "-euc", script]
    variables = {**os.environ, "PATH": place}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=variables, timeout=120)


@pytest.mark.docker
def test_the_quick_start_works(docker_engine: None, tmp_path: Path) -> None:
    first = in_a_shell(quick_start(0), tmp_path)
    assert (first.returncode, first.stdout) == (0, "Hello from sandbox!\n"), first.stderr
    assert "exit code 0" in first.stderr
    assert "removed" in first.stderr
    second = in_a_shell(quick_start(2), tmp_path)
    assert second.returncode == 0, second.stderr
    assert (tmp_path / "answer.txt").read_text() == "42\n"
    assert "/256" in second.stdout
    assert "removed sandpiper-" in second.stdout


@pytest.mark.docker
def test_the_example_in_python_works(docker_engine: None, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "0 42\n" in done.stdout
    assert "added answer.py" in done.stdout
    assert re.search(r"memory [0-9.]+ MiB", done.stdout)


def test_the_doctor_tries_to_break_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    if wrong := BubblewrapProvider(work=tmp_path / "work").healthy():
        pytest.skip(wrong)
    assert run(["sandbox", "doctor", "--provider", "bubblewrap", "--seconds", "120", "--json"]) in (0, 1)
    value = json.loads(capsys.readouterr().out)
    states = {each["state"] for each in value["attempts"]}
    assert value["ok"] == (states <= {"ok", "skipped"})
    assert states <= {"ok", "skipped", "not enforced"}, value["attempts"]
    assert len(value["attempts"]) == 30


@pytest.mark.docker
def test_an_image_that_is_there_is_there(docker_engine: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "pull", "host")["there"] == ["host"]
    done = answer(capsys, "pull", "host", "sandpiper-test-nobody:1/x")
    assert (done["there"], list(done["failed"])) == (["host"], ["sandpiper-test-nobody:1/x"])
    assert run(["sandbox", "pull", "sandpiper-test-nobody:1/x"]) == 3

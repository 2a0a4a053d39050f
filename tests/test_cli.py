"""Words on a command line -> output and exit codes, in real processes where the process is what is tested."""

from __future__ import annotations

import array
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest

from bot import __version__
from bot.__main__ import run
from bot.cli.faults import explain, report
from bot.cli.init import find_templates
from bot.cli.root import COMMANDS
from bot.cli.triage import COMMANDS as TRIAGE
from bot.errors import Cancelled, ConfigurationError, ForgeError, TaskError
from bot.forge.events.parsing import parse_event
from bot.settings import Settings
from bot.store.folder import FolderStore
from bot.types.run import Run

ROOT = Path(__file__).resolve().parent.parent
SECRET = "ghs_" + "x1Y2" * 120


def call(*words: str, stdin: str = "", cwd: Path = ROOT, **environ: str) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own, with nothing of this one's environment but the path."""
    variables = {"PATH": os.environ["PATH"], "HOME": str(cwd), **environ}
    command = [sys.executable, "-I", "-m", "bot", *words]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, cwd=cwd, env=variables, timeout=120)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SANDPIPER_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    value = json.loads(capsys.readouterr().out)
    assert isinstance(value, dict)
    return value


# --- help, errors, exit codes -------------------------------------------------------------------------------------


def test_help_lists_the_commands_and_imports_nothing_of_them() -> None:
    code = (
        "import sys\nfrom bot.__main__ import run\ncode = run(['--help'])\n"
        "heavy = {'litellm', 'docker', 'github', 'rich', 'yaml', 'bot.errors', 'pydantic'} & set(sys.modules)\n"
        "print(code, sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    *text, last = done.stdout.splitlines()
    assert last == "0 []"
    shown = "\n".join(text)
    for name, entry in COMMANDS.items():
        assert (entry.summary in shown) is not entry.hidden, name


def test_help_is_there_at_once() -> None:
    """The whole table is bench/startup.py's; here the limit, with the least of a few rounds against other load."""

    def least(*words: str) -> float:
        times = []
        for _ in range(7):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-I", *words], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
            times.append(time.perf_counter() - started)
        return min(times)

    assert least("-m", "bot", "--help") <= 1.5 * least("-c", "import click, pydantic")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_has_json(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    text = capsys.readouterr().out
    if name in ("config", "runs", "action", "audit", "sandbox", "app", "triage"):
        return  # groups: their commands have it
    if name == "serve":
        return  # it has no result: all that it says is a log, which is JSON already
    assert "--json" in text


@pytest.mark.parametrize(
    "words",
    [
        *(["config", "schema"], ["config", "check"], ["config", "show"], ["runs", "list"], ["app", "create"]),
        *(["triage", name] for name in TRIAGE),
    ],
)
def test_commands_of_groups_have_json(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "--help"]) == 0
    assert "--json" in capsys.readouterr().out


def test_commands_without_a_model_do_not_import_litellm(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom bot.__main__ import run\n"
        "codes = [run(words.split()) for words in ('config schema', 'config show', 'runs list', 'init --list')]\n"
        "print(codes, 'litellm' in sys.modules, 'docker' in sys.modules)"
    )
    environ = {"PATH": os.environ["PATH"], "SANDPIPER_STATE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=environ
    )
    assert done.stdout.splitlines()[-1] == "[0, 0, 0, 0] False False"


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["nope"], ["--nope"], ["run"], ["init", "--nope"], ["handle", "--event", "issues", "/nope"]]
)
def test_a_wrong_call_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 2
    caught = capsys.readouterr()
    assert caught.out == ""
    assert "[usage]" in caught.err
    assert run([*words, "--json"]) == 2
    assert set(answer(capsys)["error"]) == {"code", "message", "hint"}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TaskError("x", "m"), 1),
        (ConfigurationError("x", "m"), 2),
        (ForgeError("x", "m"), 3),
        (Cancelled("x", "m"), 130),
        (click.Abort(), 130),
        (click.UsageError("m"), 2),
    ],
)
def test_the_kind_of_an_error_is_the_exit_code(error: Exception, code: int) -> None:
    assert explain(error, debug=False)[1] == code


def test_a_secret_in_an_error_is_hidden(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDPIPER_TOKEN", "correct-horse-battery")
    error = ForgeError("x", "said correct-horse-battery\n::error::y", hint=f"try {SECRET}")
    report(error, ["run"])
    text = capsys.readouterr().err
    assert "correct-horse" not in text
    assert SECRET[:20] not in text
    assert not any(line.lstrip().startswith("::") for line in text.splitlines())
    report(error, ["run", "--json"])
    assert answer(capsys)["error"]["message"].startswith("said ***")


def test_a_defect_leaves_a_traceback_that_only_its_owner_can_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(RuntimeError("a defect"), ["run", "--json"]) == 1
    error = answer(capsys)["error"]
    assert error["code"] == "internal_error"
    path = Path(error["message"].rpartition("the traceback is in ")[2])
    try:
        assert "RuntimeError: a defect" in path.read_text(encoding="utf-8")
        assert path.stat().st_mode & 0o077 == 0
    finally:
        path.unlink()
    assert report(RuntimeError("a defect"), ["--debug", "run"]) == 1
    assert "RuntimeError: a defect" in capsys.readouterr().err


def test_a_wrong_setting_names_its_variable() -> None:
    done = call("runs", "list", SANDPIPER_MAX_USD="much")
    assert done.returncode == 2
    assert "SANDPIPER_MAX_USD" in done.stderr


def waiting_bytes(pipe: int) -> int:
    """How much of what was written nobody has read yet."""
    size = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, size)
    return size[0]


def test_an_interrupt_ends_with_130(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bot", "handle", "--event", "issues", "-"]
    environ = {**os.environ, "HOME": str(tmp_path)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=environ) as process:
        assert process.stdin is not None
        os.write(process.stdin.fileno(), b"{")
        deadline = time.monotonic() + 60
        while waiting_bytes(process.stdin.fileno()) and time.monotonic() < deadline:
            time.sleep(0.05)  # once it has taken the first byte it waits for the next, which never comes
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said


# --- init ---------------------------------------------------------------------------------------------------------


def test_init_installs_a_workflow_and_says_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "--path", str(tmp_path), "--policy"]) == 0
    text = capsys.readouterr().out
    workflow = tmp_path / ".github" / "workflows" / "sandpiper.yml"
    assert workflow.read_text(encoding="utf-8") == find_templates()["sandpiper"].read_text(encoding="utf-8")
    assert "gh secret set" in text
    assert run(["config", "check", str(tmp_path / ".github" / "bot.yml")]) == 0
    assert sorted(each.name for each in tmp_path.rglob("*") if each.is_file()) == ["bot.yml", "sandpiper.yml"]


def test_init_uses_the_action_that_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pin = f"acme/sandpiper@{'a' * 40}"
    assert run(["init", "--path", str(tmp_path), "--template", "two-jobs", "--action", pin]) == 0
    text = (tmp_path / ".github" / "workflows" / "sandpiper-two-jobs.yml").read_text(encoding="utf-8")
    assert (text.count(f"uses: {pin}"), "0" * 40 in text) == (2, False)
    assert "not released" not in capsys.readouterr().out
    assert run(["init", "--path", str(tmp_path), "--action", "acme/sandpiper@main"]) == 2
    assert "no_such_action" in capsys.readouterr().err


def test_init_overwrites_nothing_unless_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workflow = tmp_path / ".github" / "workflows" / "sandpiper.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text("mine\n", encoding="utf-8")
    assert run(["init", "--path", str(tmp_path), "--policy", "--json"]) == 2
    assert answer(capsys)["error"]["code"] == "file_exists"
    assert workflow.read_text(encoding="utf-8") == "mine\n"
    assert not (tmp_path / ".github" / "bot.yml").exists()
    assert run(["init", "--path", str(tmp_path), "--force", "--json"]) == 0
    assert answer(capsys)["written"] == [str(workflow)]
    assert workflow.read_text(encoding="utf-8") != "mine\n"


def test_init_does_not_follow_a_link_out_of_the_repository(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine\n", encoding="utf-8")
    target = tmp_path / "repo" / ".github" / "workflows" / "sandpiper.yml"
    target.parent.mkdir(parents=True)
    target.symlink_to(outside)
    assert run(["init", "--path", str(tmp_path / "repo")]) == 2
    assert run(["init", "--path", str(tmp_path / "repo"), "--force"]) == 0
    assert outside.read_text(encoding="utf-8") == "mine\n"
    assert not target.is_symlink()


@pytest.mark.parametrize("name", find_templates())
def test_every_template_can_be_installed(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "--path", str(tmp_path), "--template", name, "--json"]) == 0
    written = [Path(each).name for each in answer(capsys)["written"]]
    assert f"{name}.yml" in written
    if name == "sandpiper-fork":
        assert "sandpiper-fork-request.yml" in written  # it follows that one, and alone would never run


def test_an_unknown_template_names_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "--path", str(tmp_path), "--template", "nope", "--json"]) == 2
    assert "sandpiper-two-jobs" in answer(capsys)["error"]["hint"]


# --- config -------------------------------------------------------------------------------------------------------


def test_every_mistake_is_named_with_file_line_and_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = tmp_path / "bot.yml"
    policy.write_text("version: 1\ntaks: {}\ntasks:\n  build:\n    runtme: command\n", encoding="utf-8")
    assert run(["config", "check", str(policy)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"{policy}:2: taks: ")
    assert lines[1].startswith(f"{policy}:5: tasks.build.runtme: ")
    assert run(["config", "check", str(policy), "--json"]) == 2
    mistakes = answer(capsys)["error"]["mistakes"]
    assert [(each["line"], each["field"]) for each in mistakes] == [(2, "taks"), (5, "tasks.build.runtme")]


def test_the_tasks_of_a_policy_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = tmp_path / "bot.yml"
    policy.write_text("version: 1\ntasks:\n  build:\n    runtime: command\n    commands: [make]\n", encoding="utf-8")
    assert run(["config", "show", str(policy), "--json"]) == 0
    tasks = answer(capsys)["tasks"]
    assert tasks["build"]["commands"] == [["make"]]
    assert "fix" in tasks
    assert run(["config", "show", str(policy)]) == 0
    assert "build" in capsys.readouterr().out


def test_a_missing_policy_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "check", str(tmp_path / "bot.yml"), "--json"]) == 2
    assert answer(capsys)["error"]["code"] == "policy_missing"
    assert run(["config", "check", str(tmp_path), "--json"]) == 2
    assert answer(capsys)["error"]["code"] == "policy_unreadable"


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "schema"]) == 0
    assert "tasks" in answer(capsys)["properties"]


# --- runs ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def recorded(state: Path) -> Run:
    store = FolderStore(state)
    user = {"login": "maria", "id": 7, "type": "User"}
    repository = {"id": 1, "full_name": "maria/tidepool", "default_branch": "main", "owner": user, "name": "tidepool"}
    payload: Mapping[str, Any] = {"action": "started", "repository": repository, "sender": user}
    made = store.open(parse_event("watch", payload, settings=Settings()))
    (store.folder(made.run_id) / "commands.log").write_text("$ make\n::error::x\n", encoding="utf-8")
    return store.save(made.changed(status="completed", conclusion="skipped"))


def test_runs_are_listed_shown_and_their_logs_printed(recorded: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "list"]) == 0
    assert recorded.run_id in capsys.readouterr().out
    assert run(["runs", "list", "--json"]) == 0
    assert [Run.model_validate(each) for each in answer(capsys)["runs"]] == [recorded]
    assert run(["runs", "show", recorded.run_id[:6], "--json"]) == 0
    assert Run.model_validate(answer(capsys)) == recorded
    assert run(["runs", "show", recorded.run_id]) == 0
    assert "skipped" in capsys.readouterr().out
    assert run(["runs", "logs", recorded.run_id]) == 0
    assert capsys.readouterr().out == "$ make\n: :error::x\n"


def test_a_run_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "list", "--json"]) == 0
    assert answer(capsys) == {"runs": []}
    for words in (["runs", "show", "abc"], ["runs", "logs", "../../etc"]):
        assert run([*words, "--json"]) == 2
        assert answer(capsys)["error"]["code"] == "no_such_run"


# --- doctor -------------------------------------------------------------------------------------------------------


def test_doctor_names_what_is_missing_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / ".github").mkdir()
    (tmp_path / ".github" / "bot.yml").write_text("version: 1\ntaks: {}\n", encoding="utf-8")
    done = call(
        *("doctor", "--json", "--repo", "maria/tidepool"),
        cwd=tmp_path,
        DOCKER_HOST="unix:///nowhere/docker.sock",
        SANDPIPER_SANDBOX="docker",
        SANDPIPER_TOKEN=SECRET,
        SANDPIPER_API_URL="http://127.0.0.1:9",
        OPENAI_API_KEY="sk-" + "a1b2" * 10,
    )
    assert done.returncode == 2, done.stderr
    found = {each["name"]: each for each in json.loads(done.stdout)["findings"]}
    assert [name for name, each in found.items() if each["state"] == "missing"] == ["sandbox", "token", "policy"]
    assert all(each["mend"] for each in found.values() if each["state"] == "missing")
    assert "openai" in found["model"]["detail"]
    assert SECRET[4:24] not in done.stdout + done.stderr
    assert "a1b2a1b2" not in done.stdout + done.stderr


def test_doctor_without_anything_says_how_to_get_it(tmp_path: Path) -> None:
    done = call("doctor", cwd=tmp_path, DOCKER_HOST="unix:///nowhere/docker.sock", SANDPIPER_SANDBOX="docker")
    assert done.returncode == 2
    for words in ("missing  token", "missing  model", "SANDPIPER_TOKEN", "ANTHROPIC_API_KEY", "ensure-docker"):
        assert words in done.stdout

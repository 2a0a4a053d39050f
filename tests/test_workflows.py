"""action.yml, the templates and our own workflow -> no complaint of any checker, and the promises that they make."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.cli.init import checking, watching
from bot.forge.events.machines import OWN_WORKFLOW
from bot.forge.events.parsing import INPUTS, PARSERS
from bot.settings import PREFIX, Settings, load_settings

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
ACTION = ROOT / "action.yml"
TEMPLATES = sorted((ROOT / "workflows").glob("*.yml"))
WORKFLOWS = [*TEMPLATES, *sorted((ROOT / ".github" / "workflows").glob("*.yml"))]
PIN = re.compile(r"uses: (?P<action>[\w.-]+/[\w./-]+)@(?P<sha>[0-9a-f]{40}) # v\d+\.\d+\.\d+$")
OURS = "sandpiper-bot/sandpiper"
NOT_SETTINGS = {"mode", "run-folder", "upload-artifacts", "cache"}
"""Inputs that steer the job, not the bot."""
SERVING = {"webhook_secret", "webhook_secret_old", "workers", "inbox_limit"}
"""Settings of the webhook server, which no job starts."""
FIELDS = [field for field in Settings.model_fields if field not in SERVING]
SAMPLES = {"trusted_bots": "41898282, 49699333", "models": "a/b c/d", "max_steps": "7", "phrase": "/other"}
SAMPLES |= {"tokens": "acme=ACME_TOKEN", "app_id": "42", "installation": "7", "mention": "sandpiper"}
SAMPLES |= {"offline": "false", "encoder": "none"}
SAMPLES |= {"pull": "missing", "caches": "false", "private_hosts": "mirror.example.org"}
NUMBERS = {"max_minutes", "max_usd", "max_memory_mb", "max_disk_mb"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)
    return loaded


def steps_of(path: Path) -> list[dict[str, Any]]:
    content = load(path)
    if "runs" in content:
        return list(content["runs"]["steps"])
    return [step for job in content["jobs"].values() for step in job["steps"]]


def check(*argv: str | Path) -> None:
    done = subprocess.run([str(each) for each in argv], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_has_no_complaint() -> None:
    check(BIN / "actionlint", "-shellcheck=", "-pyflakes=", *WORKFLOWS)


def test_zizmor_has_no_finding_of_medium_or_higher() -> None:
    check(BIN / "zizmor", "--offline", "--quiet", "--pedantic", "--min-severity", "medium", ACTION, *WORKFLOWS)


def test_files_match_the_published_schemas() -> None:
    check(BIN / "check-jsonschema", "--builtin-schema", "vendor.github-actions", ACTION)
    check(BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)


def test_the_checkers_would_complain(tmp_path: Path) -> None:
    """A workflow with one mistake for each checker, so that silence above means something."""
    bad = tmp_path / "bad.yml"
    bad.write_text(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    nonsense: 1\n    steps:\n"
        "      - run: echo ${{ github.event.head_commit.message }}\n"
    )
    for argv in (
        [BIN / "actionlint", "-shellcheck=", "-pyflakes=", bad],
        [BIN / "zizmor", "--offline", "--quiet", "--pedantic", "--min-severity", "medium", bad],
        [BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", bad],
    ):
        done = subprocess.run([str(each) for each in argv], capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode != 0, argv


def test_only_triggers_are_excused_from_a_checker() -> None:
    excused = [
        (path.name, line.split("#")[0].strip().split(":")[0], line.partition("ignore")[2])
        for path in [ACTION, *WORKFLOWS]
        for line in path.read_text(encoding="utf-8").splitlines()
        if "zizmor:" in line
    ]
    assert excused == [
        ("sandpiper-ci.yml", "workflow_run", "[dangerous-triggers]"),
        ("sandpiper-fork.yml", "workflow_run", "[dangerous-triggers]"),
        ("sandpiper-two-jobs.yml", "issue_comment", "[dangerous-triggers]"),
        ("sandpiper.yml", "issue_comment", "[dangerous-triggers]"),
    ]


@pytest.mark.parametrize("path", [ACTION, *WORKFLOWS], ids=name_of)
def test_actions_are_pinned_and_scripts_hold_no_expression(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    loose = [line for line in lines if re.search(r"\buses:", line) and not PIN.search(line)]
    assert not loose
    for step in steps_of(path):
        assert "${{" not in step.get("run", "")
        if "checkout@" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] == "false"


@pytest.mark.parametrize("path", WORKFLOWS, ids=name_of)
def test_workflows_start_without_rights_and_end(path: Path) -> None:
    content = load(path)
    assert content["permissions"] == {}
    for job in content["jobs"].values():
        assert int(job["timeout-minutes"]) <= 90
        assert set(job.get("permissions", {}).values()) <= {"read", "write"}
        assert (
            job["concurrency"].get("cancel-in-progress", "false") == "false"
            or "fork-request" in path.name
            or (path.name == "ci.yml")
        ), "a run that is under way is never cancelled by a newer event"


def test_one_version_of_every_action() -> None:
    pins: dict[str, set[str]] = {}
    for path in [ACTION, *WORKFLOWS]:
        for line in path.read_text(encoding="utf-8").splitlines():
            if found := PIN.search(line):
                pins.setdefault(found["action"], set()).add(found["sha"])
    assert OURS in pins
    assert all(len(shas) == 1 for shas in pins.values()), pins


@pytest.mark.parametrize("name", ["sandpiper-two-jobs.yml", "sandpiper-fork.yml"])
def test_no_job_holds_both_rights(name: str) -> None:
    """Proposing reads only; publishing has no model key and no checkout."""
    content = load(ROOT / "workflows" / name)
    proposing, publishing = content["jobs"]["propose"], content["jobs"]["publish"]
    assert set(proposing["permissions"].values()) == {"read"}
    assert "secrets." not in yaml.dump(publishing)
    assert not [step for step in publishing["steps"] if "checkout@" in step["uses"]]
    assert publishing["steps"][-1]["with"]["mode"] == "publish"
    if name == "sandpiper-fork.yml":
        assert "secrets." not in yaml.dump(content)
        assert publishing["permissions"]["contents"] == "read"


def test_fork_requests_have_nothing_to_steal() -> None:
    content = load(ROOT / "workflows" / "sandpiper-fork-request.yml")
    assert "permissions" not in content["jobs"]["request"]
    assert "secrets." not in yaml.dump(content)
    assert content["name"] in load(ROOT / "workflows" / "sandpiper-fork.yml")["on"]["workflow_run"]["workflows"]


def test_filters_speak_of_the_default_phrase_and_prefix() -> None:
    for name in ("sandpiper.yml", "sandpiper-two-jobs.yml"):
        job = next(iter(load(ROOT / "workflows" / name)["jobs"].values()))
        assert f"startsWith(github.event.comment.body, '{Settings().phrase}')" in job["if"]
        assert f"startsWith(github.event.review.body, '{Settings().phrase}')" in job["if"]
        assert f"startsWith(github.event.label.name, '{Settings().label_prefix}')" in job["if"]


def test_every_event_that_is_acted_on_has_a_template() -> None:
    """And no template waits for an event that would start nothing."""
    waited: set[tuple[str, str]] = set()
    for path in TEMPLATES:
        for name, how in load(path)["on"].items():
            types = how.get("types", ["*"]) if isinstance(how, dict) else ["*"]
            waited |= {(name, "*" if name == "repository_dispatch" else each) for each in types}
    # A pull request's other moments come from people with and without rights: sandpiper-fork-request.yml has them.
    assert waited <= set(PARSERS)
    missing = {name for name, _ in PARSERS} - {name for name, _ in waited}
    assert missing == {"pull_request_target", "check_suite"}, "one is dangerous, the other starts no workflow"


def test_mending_checks_stays_in_this_repository() -> None:
    content = load(ROOT / "workflows" / "sandpiper-ci.yml")
    (job,) = content["jobs"].values()
    assert "head_repository.full_name == github.repository" in job["if"]
    assert "head_sha" in job["concurrency"]["group"]
    assert content["on"]["workflow_run"]["workflows"] == ["CI"]


def test_init_names_the_repositorys_own_checks(tmp_path: Path) -> None:
    (tmp_path / "b.yml").write_text('name: "Build: [all]"\non: [push]\njobs: {}\n')
    (tmp_path / "a.yaml").write_text("on:\n  pull_request: {types: [opened]}\njobs: {}\n")
    (tmp_path / "nightly.yml").write_text("name: Nightly\non: {schedule: [{cron: 1 1 * * *}]}\n")
    (tmp_path / "sandpiper.yml").write_text("name: Sandpiper\non: pull_request\n")
    (tmp_path / "broken.yml").write_text("on: [")
    (tmp_path / "odd.yml").write_text("- on: push")
    checks = checking(tmp_path)
    assert checks == [".github/workflows/a.yaml", "Build: [all]"]
    template = (ROOT / "workflows" / "sandpiper-ci.yml").read_text(encoding="utf-8")
    assert watching(template, []) == template
    filled = tmp_path / "filled.yml"
    filled.write_text(watching(template, checks), encoding="utf-8")
    assert load(filled)["on"]["workflow_run"]["workflows"] == checks


def test_our_own_workflows_are_known_by_their_path() -> None:
    for path in TEMPLATES:
        assert OWN_WORKFLOW.fullmatch(f".github/workflows/{path.name}"), path.name
    assert not OWN_WORKFLOW.fullmatch(".github/workflows/ci.yml")


def test_dispatch_asks_for_what_the_door_reads() -> None:
    assert set(load(ROOT / "workflows" / "sandpiper-dispatch.yml")["on"]["workflow_dispatch"]["inputs"]) == set(INPUTS)


def test_templates_use_inputs_that_exist() -> None:
    inputs = load(ACTION)["inputs"]
    for path in TEMPLATES:
        for step in steps_of(path):
            if step.get("uses", "").startswith(OURS):
                assert set(step.get("with", {})) <= set(inputs), path.name


def test_inputs_are_the_settings() -> None:
    inputs = set(load(ACTION)["inputs"])
    assert inputs - NOT_SETTINGS == {field.replace("_", "-") for field in FIELDS}


def test_every_input_reaches_its_setting() -> None:
    """The run step's `env`, with inputs put in, is read by the same function that the door calls."""
    env = next(step for step in steps_of(ACTION) if step.get("id") == "run")["env"]
    for field in FIELDS:
        assert env[PREFIX + field.upper()] == f"${{{{ inputs.{field.replace('_', '-')} }}}}"
        text = SAMPLES.get(field, "64" if field in NUMBERS else "true" if field == "dry_run" else "some/thing")
        given = load_settings({PREFIX + field.upper(): text, "RUNNER_TEMP": "/t"})
        assert getattr(given, field) != getattr(load_settings({"RUNNER_TEMP": "/t"}), field), field


def test_empty_inputs_leave_the_defaults() -> None:
    empty = {PREFIX + field.upper(): "" for field in Settings.model_fields}
    assert load_settings({**empty, "RUNNER_TEMP": "/t"}) == load_settings({"RUNNER_TEMP": "/t"})


def test_outputs_are_those_of_the_run_step() -> None:
    outputs = load(ACTION)["outputs"]
    names = "conclusion run_id branch_name pr_number pr_url comment_url cost_usd artifacts_dir structured_output"
    assert set(outputs) == set(names.split())
    assert all(each["value"] == f"${{{{ steps.run.outputs.{name} }}}}" for name, each in outputs.items())


def test_finalising_happens_whatever_happened() -> None:
    steps = steps_of(ACTION)
    finalise = next(step for step in steps if step["name"] == "Finalise")
    assert finalise["if"].startswith("always()")
    assert steps.index(finalise) > steps.index(next(step for step in steps if step.get("id") == "run"))


@pytest.mark.parametrize("path", [ACTION, *WORKFLOWS], ids=name_of)
def test_scripts_are_sound_bash(path: Path) -> None:
    for step in steps_of(path):
        if "run" in step:
            done = subprocess.run(["bash", "-n"], input=step["run"], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr


def test_python_is_always_isolated() -> None:
    """`-I`: nothing is imported because it lies in the working folder or is named by a variable."""
    for step in steps_of(ACTION):
        for call in re.findall(r"\"?\$(?:PYTHON|python|name|\{?UV_PROJECT_ENVIRONMENT)\S*\"? .*", step.get("run", "")):
            if re.search(r" -[cm] ", call):
                assert " -I " in call, call


def test_the_installer_is_pinned_by_hash() -> None:
    words = (ROOT / "scripts" / "uv.txt").read_text(encoding="utf-8").split("\n", 1)[1].split()
    words = [word for word in words if word != "\\"]
    assert re.fullmatch(r"uv==\d+\.\d+\.\d+", words[0])
    assert len(words) >= 3
    assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", word) for word in words[1:])


def test_the_image_is_slim_and_runs_without_rights() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    stages = re.findall(r"^FROM (\S+)", text, re.M)
    final = text[text.rindex("\nFROM ") :]
    assert len(stages) == 2
    assert all(re.fullmatch(r"python:3\.\d+-slim-\w+", stage) for stage in stages)
    assert re.search(r"^USER 1000:1000$", final, re.M)
    assert final.index("\nUSER") > final.rindex("\nRUN"), "nothing runs as root after the switch"
    assert re.search(r'^ENTRYPOINT \["sandpiper"\]$', final, re.M)
    assert re.search(r'^CMD \["--help"\]$', final, re.M)
    syncs = re.findall(r"uv sync .*", text)
    assert syncs
    assert all("--frozen" in each and "--no-dev" in each for each in syncs)
    copied = {word for line in re.findall(r"^COPY (?!--from)(.*)", text, re.M) for word in line.split()[:-1]}
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").split() if line.startswith("!")}
    assert copied == kept, "the build context holds what is copied, and nothing else"
    assert all((ROOT / each).exists() for each in copied)


def test_hooks_before_a_commit_are_those_of_lint() -> None:
    hooks = [hook for repo in load(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    tools = {hook["entry"].split()[0] for hook in hooks}
    assert tools == {f".venv/bin/{name}" for name in ("ruff", "mypy", "actionlint", "zizmor")}
    assert all((ROOT / tool).exists() for tool in tools)

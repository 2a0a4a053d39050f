"""The documents keep their word: links lead somewhere, examples work, names exist."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest
import yaml

from bot.cli.root import COMMANDS
from bot.cli.triage import COMMANDS as TRIAGE
from bot.triage.policy import parse_policy
from bot.triage.policy_shape import RESERVED, Apply, Moment, Policy, TaskEntry, Then, TriagePolicy, When
from bot.triage.tasks import builtin_tasks
from bot.types.task import OPTIONS, Limits
from bot.types.value import OutputKind, Permission

ROOT = Path(__file__).resolve().parent.parent
DOCS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (path.name, text)
        for path in DOCS
        for kind, text in BLOCK.findall(path.read_text(encoding="utf-8"))
        if kind == language
    ]


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_lead_to_files(path: Path) -> None:
    text = BLOCK.sub("", path.read_text(encoding="utf-8"))
    targets = [each for each in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in each]
    missing = [each for each in targets if not (path.parent / each).exists()]
    assert not missing


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_paths_that_are_named_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"`((?:bot|tests|scripts|workflows|docs)/[\w./-]+\.\w+)`", text)
    assert not [each for each in named if not (ROOT / each).exists()]


@pytest.mark.parametrize(("name", "text"), blocks("yaml"))
def test_policy_examples_are_policies(name: str, text: str) -> None:
    assert isinstance(yaml.safe_load(text), dict)
    parse_policy(text.encode(), name)


@pytest.mark.parametrize(("name", "text"), blocks("toml"))
def test_toml_examples_parse(name: str, text: str) -> None:
    assert tomllib.loads(text), name


def test_commands_that_are_shown_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for path in DOCS:
        text = path.read_text(encoding="utf-8")
        for command in re.findall(r"(?<![\w/-])sandpiper ([a-z]+)(?= |`|$)", text, re.MULTILINE):
            if command in {"init", "config", "doctor", "run", "runs", "handle", "demo", "audit", "sandbox"}:
                assert command in COMMANDS, f"{path.name}: sandpiper {command}"
        for target in re.findall(r"`make ([a-z]+)`|^make ([a-z]+)", text, re.MULTILINE):
            name = target[0] or target[1]
            assert re.search(rf"^{name}:", makefile, re.MULTILINE) or name in {"generate", "test"}, (
                f"{path.name}: {name}"
            )


def test_the_policy_page_names_every_field_and_every_word() -> None:
    page = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
    table = page[page.index("| field |") : page.index("A command is text")]
    told = set(re.findall(r"`([\w-]+)`", page))
    assert set(TaskEntry.model_fields) - told == set()
    assert set(get_args(OutputKind)) | set(get_args(Permission)) <= set(re.findall(r"`(\w+)`", table))
    assert set(builtin_tasks()) | set(get_args(Moment)) | set(Policy.model_fields) <= told
    sizes = {"output_bytes", "changed_files", "changed_bytes"}
    assert set(Limits.model_fields) - sizes <= told
    triage = set(re.findall(r"`([\w.]+)`", page[page.index("## Triage") : page.index("## What the operator decides")]))
    fields = {*TriagePolicy.model_fields, *When.model_fields, *Then.model_fields}
    assert {*fields, *(f"apply.{name}" for name in Apply.model_fields)} <= triage


def test_the_page_of_triage_names_every_command() -> None:
    page = (ROOT / "docs" / "triage.md").read_text(encoding="utf-8")
    assert set(TRIAGE) == set(re.findall(r"sandpiper triage ([a-z-]+)", page))


def test_the_page_of_commands_names_every_verb_and_option() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    verbs = page[page.index("## Verbs") : page.index("## Options")]
    assert {*builtin_tasks(), *RESERVED} <= set(re.findall(r"`([\w-]+)[^`]*`", verbs))
    assert set(OPTIONS) == set(re.findall(r"`?--(\w+)=", page[page.index("## Options") : page.index("## What never")]))


def test_the_readme_tells_the_exit_codes() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for code in ("0", "1", "2", "3", "130"):
        assert f"| {code} |" in readme


def test_help_of_every_command_is_there() -> None:
    for words in [*((name,) for name in COMMANDS), *(("triage", name) for name in TRIAGE)]:
        done = subprocess.run(
            [sys.executable, "-m", "bot", *words, "--help"], capture_output=True, text=True, check=True, cwd=ROOT
        )
        assert "Usage:" in done.stdout


def test_agents_md_stays_short_and_the_tour_is_one_sitting() -> None:
    assert len((ROOT / "AGENTS.md").read_text(encoding="utf-8").splitlines()) <= 60
    assert len((ROOT / "docs" / "tour.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_the_tests_that_the_security_page_names_exist() -> None:
    named = re.findall(r"`(test_\w+)::(test_\w*)`", (ROOT / "docs" / "security.md").read_text(encoding="utf-8"))
    assert len(named) > 40
    missing = []
    for file, name in named:
        path = ROOT / "tests" / f"{file}.py"
        if not path.exists() or not re.search(rf"^def {name}", path.read_text(encoding="utf-8"), re.MULTILINE):
            missing.append(f"{file}::{name}")
    assert not missing

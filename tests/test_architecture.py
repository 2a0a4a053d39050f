"""The source tree -> complaints: arrows that point the wrong way, cycles, and files that grew too large."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BOT = ROOT / "bot"

VALUES = {"types", "errors"}
SEAMS = VALUES | {"protocols", "settings", "marks", "redaction", "blobs", "links", "visible", "diffs", "issuetypes"}
ALLOWED: dict[str, set[str]] = {
    "types": set(),
    "errors": {"types"},
    "protocols": VALUES,
    "settings": VALUES,
    "marks": VALUES,
    "blobs": VALUES,
    "links": VALUES,
    "diffs": VALUES,
    "visible": VALUES,
    "issuetypes": VALUES,
    "redaction": VALUES | {"settings"},
    "forge": SEAMS,
    "llm": SEAMS,
    "sandbox": SEAMS,
    "store": SEAMS,
    "languages": SEAMS,
    "offline": SEAMS,
    "past": SEAMS | {"store"},
    "learning": SEAMS | {"past", "offline", "store"},
    "telemetry": SEAMS,
    "triage": SEAMS,
    "agent": SEAMS,
    "plugins": VALUES,
    "stop": SEAMS | {"forge"},
    "deps": SEAMS,
    "execution": SEAMS | {"deps", "stop", "forge", "store"},
    "publishing": SEAMS | {"deps", "forge", "triage"},
    "answering": SEAMS | {"deps", "publishing", "forge"},
    "backlog": SEAMS | {"deps", "triage", "store", "learning", "publishing", "llm"},
    "pipeline": SEAMS | {"deps", "answering", "execution", "publishing", "triage", "forge", "store"},
    "sandboxes": SEAMS | {"plugins", "sandbox", "telemetry"},
    "wiring": SEAMS | {"deps", "plugins", "forge", "llm", "sandboxes", "store", "telemetry", "learning"},
}
"""Room -> rooms that it may import besides itself. The doors may import everything but the test kit."""
DOORS = {"action", "action_handover", "action_runner", "cli", "api", "__main__"}
ONLY_IN = {
    "github": "forge",
    "prometheus_client": "telemetry",
    "docker": "sandbox",
    "litellm": "llm",
    "fastapi": "api",
    "starlette": "api",
    "uvicorn": "api",
    "numpy": "offline",
    "re2": "triage",
}

MAX_FILE, MAX_FUNCTION, MAX_METHODS, MAX_PROTOCOL = 400, 50, 10, 7

FILES = sorted(BOT.rglob("*.py"))


def room_of(path: Path) -> str:
    first = path.relative_to(BOT).parts[0]
    return first.removesuffix(".py")


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(tree: ast.AST) -> Iterator[tuple[ast.stmt, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node, node.module


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(BOT)))
def test_arrows_point_down(path: Path) -> None:
    room, wrong = room_of(path), []
    for node, name in imports_of(parse(path)):
        parts = name.split(".")
        if parts[0] in ONLY_IN and room != ONLY_IN[parts[0]]:
            wrong.append(f"line {node.lineno}: {parts[0]} is imported only in bot/{ONLY_IN[parts[0]]}")
        if parts[0] != "bot" or len(parts) < 2 or parts[1] == room:
            continue
        if parts[1] == "testing" and room != "testing":
            wrong.append(f"line {node.lineno}: the test kit is never imported by the product")
        elif room not in DOORS | {"testing", "__init__"} and parts[1] not in ALLOWED[room]:
            wrong.append(f"line {node.lineno}: {room} may not import {name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(BOT)))
def test_files_stay_small_and_say_what_they_are(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree, wrong = parse(path), []
    if not ast.get_docstring(tree):
        wrong.append("the first line says what the file turns into what")
    if len(text.splitlines()) > MAX_FILE:
        wrong.append(f"{len(text.splitlines())} lines, more than {MAX_FILE}")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            if size > MAX_FUNCTION:
                wrong.append(f"line {node.lineno}: {node.name} has {size} lines, more than {MAX_FUNCTION}")
            wrong += [
                f"line {inner.lineno}: our own code is imported at the top of the file"
                for inner, name in imports_of(node)
                if name.split(".")[0] == "bot"
            ]
        if isinstance(node, ast.ClassDef):
            methods = [each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
            protocol = any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases)
            limit = MAX_PROTOCOL if protocol else MAX_METHODS
            if len(methods) > limit:
                wrong.append(f"line {node.lineno}: {node.name} has {len(methods)} methods, more than {limit}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(BOT)))
def test_no_shell_strings_and_no_vague_names(path: Path) -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "manager", "base", "core", "context", "misc"}
    assert path.stem not in vague
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert name not in {"os.system", "os.popen", "subprocess.getoutput"}, f"line {node.lineno}: {name}"
            assert not any(
                each.arg == "shell" and not (isinstance(each.value, ast.Constant) and each.value.value is False)
                for each in node.keywords
            ), f"line {node.lineno}: a shell reads this command"


def test_rooms_have_no_import_cycles() -> None:
    graph: dict[str, set[str]] = {}
    known = {module_of(path) for path in FILES}
    for path in FILES:
        graph[module_of(path)] = {name for _, name in imports_of(parse(path)) if name in known}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail[trail.index(module) :], module))
        if module in done:
            return
        for each in graph[module]:
            visit(each, (*trail, module))
        done.add(module)

    for module in graph:
        visit(module, ())


def test_package_files_hold_only_a_docstring() -> None:
    for path in BOT.rglob("__init__.py"):
        rest = parse(path).body[1:]
        allowed = path.parent == BOT and all(isinstance(each, ast.Assign) for each in rest)
        assert not rest or allowed, f"{path.relative_to(ROOT)}: import from the file that defines a thing"


def test_importing_the_doors_stays_cheap() -> None:
    """The help text and the gate answer in milliseconds: nothing heavy is imported before it is used."""
    code = "import sys, bot.__main__; print([m for m in ('litellm', 'docker', 'github', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"

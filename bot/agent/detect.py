"""A checkout -> the commands that test or lint it, by the files that projects of each kind have."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any, Literal

from bot.errors import TaskError
from bot.protocols import Sandbox
from bot.types.value import Argv

Purpose = Literal["test", "lint"]
Commands = tuple[Argv, ...]

MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
"""In the order in which GNU make looks for them."""
MAKE_TARGETS: dict[Purpose, tuple[str, ...]] = {"test": ("test", "check"), "lint": ("lint",)}
PYTEST_FILES = ("pytest.ini", "conftest.py", "tests/conftest.py")
LOCKS = (("pnpm-lock.yaml", "pnpm"), ("yarn.lock", "yarn"))
"""Lock file -> the program that runs a package's scripts; npm without any."""
NPM_PLACEHOLDER = "no test specified"
"""What `npm init` writes where there is no test."""

_RULE = re.compile(r"^([A-Za-z0-9_.%/ -]{1,200}?)[ \t]*::?(?![:=])", re.MULTILINE)


def detect(sandbox: Sandbox, purpose: Purpose) -> Commands:
    """Commands for that purpose, empty when no rule fits; the first kind of project that fits is taken."""
    for rule in (_make, _python, _package_json, _cargo, _go):
        if commands := rule(sandbox, purpose):
            return commands
    return ()


def _make(sandbox: Sandbox, purpose: Purpose) -> Commands:
    for name in MAKEFILES:
        if (text := _read(sandbox, name)) is not None:
            targets = {word for match in _RULE.finditer(text) for word in match[1].split()}
            return tuple(("make", target) for target in MAKE_TARGETS[purpose] if target in targets)[:1]
    return ()


def _python(sandbox: Sandbox, purpose: Purpose) -> Commands:
    text = _read(sandbox, "pyproject.toml")
    tool = _mapping(_parsed(tomllib.loads, text).get("tool"))
    if purpose == "test":
        uses_pytest = "pytest" in tool or (text is not None and "pytest" in text)
        if uses_pytest or any(_read(sandbox, name) is not None for name in PYTEST_FILES):
            return (("python3", "-m", "pytest"),)
        return ()
    ruff = "ruff" in tool or any(_read(sandbox, name) is not None for name in ("ruff.toml", ".ruff.toml"))
    mypy = "mypy" in tool or _read(sandbox, "mypy.ini") is not None
    found = (("ruff", "check", "."),) if ruff else ()
    return (*found, ("mypy", *(() if _mapping(tool.get("mypy")).get("files") else (".",)))) if mypy else found


def _package_json(sandbox: Sandbox, purpose: Purpose) -> Commands:
    scripts = _mapping(_parsed(json.loads, _read(sandbox, "package.json")).get("scripts"))
    script = scripts.get(purpose)
    if not isinstance(script, str) or NPM_PLACEHOLDER in script:
        return ()
    program = next((name for lock, name in LOCKS if _read(sandbox, lock) is not None), "npm")
    return ((program, "run", purpose),)


def _cargo(sandbox: Sandbox, purpose: Purpose) -> Commands:
    if _read(sandbox, "Cargo.toml") is None:
        return ()
    return (("cargo", "test"),) if purpose == "test" else (("cargo", "clippy", "--all-targets"),)


def _go(sandbox: Sandbox, purpose: Purpose) -> Commands:
    if _read(sandbox, "go.mod") is None:
        return ()
    return (("go", "test", "./..."),) if purpose == "test" else (("go", "vet", "./..."),)


def _read(sandbox: Sandbox, path: str) -> str | None:
    """A file of the checkout; None when there is none, or none that a rule could read."""
    try:
        return sandbox.read_file(path).decode("utf-8", "replace")
    except TaskError:
        return None


def _parsed(parse: Callable[[str], Any], text: str | None) -> Mapping[str, Any]:
    try:
        return _mapping(parse(text)) if text is not None else {}
    except (ValueError, RecursionError):  # a file that its own tools could not read either says nothing
        return {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

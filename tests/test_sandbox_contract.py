"""The Docker provider keeps the contract of all sandboxes, with namespaces of its own and with a donor's."""

# ruff: noqa: E402, F811 - the checks' assertions are shown in full; fixtures

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

_GROUPS = ("closed", "collected", "commands", "endings", "files", "inventory", "shapes", "vitals")
_CHECKS = {f"bot.testing.contracts_{group}" for group in _GROUPS}
pytest.register_assert_rewrite(*(_CHECKS - sys.modules.keys()))

from bot.protocols import Sandbox, SandboxProvider
from bot.sandbox.docker.provider import DockerProvider
from bot.testing.contracts_closed import CLOSED
from bot.testing.contracts_endings import ENDINGS, ENDINGS_ISOLATED, ENDINGS_LIMITED
from bot.testing.contracts_given import ProviderCheck, SandboxCheck, named, template
from bot.testing.contracts_provider import provider_contract
from bot.testing.contracts_sandbox import sandbox_contract
from bot.types.sandbox import ExecRequest
from tests.sandbox_fixtures import api, checkout, provider, sandbox, warm_provider, warm_sandbox  # noqa: F401 - fixtures

pytestmark = pytest.mark.docker
WARM = named((*ENDINGS, *ENDINGS_ISOLATED, *ENDINGS_LIMITED, *CLOSED))
"""What may differ where the container's own process takes the commands, in a donor's namespaces."""


@pytest.mark.parametrize("check", [pytest.param(check, id=name) for name, check in sandbox_contract()])
def test_sandbox(check: SandboxCheck, sandbox: Sandbox) -> None:
    check(sandbox)


@pytest.mark.parametrize("check", [pytest.param(check, id=name) for name, check in WARM])
def test_warm_sandbox(check: SandboxCheck, warm_sandbox: Sandbox) -> None:
    check(warm_sandbox)


@pytest.mark.parametrize("check", [pytest.param(check, id=name) for name, check in provider_contract()])
def test_provider(check: ProviderCheck, provider: SandboxProvider, checkout: Path, tmp_path: Path) -> None:
    check(provider, checkout, tmp_path / "blobs")


NAMES = ("pause", "found", "apart", "closed_meanwhile", "stats_grow", "wall_clock", "read_only", "isolated")


@pytest.mark.parametrize("name", NAMES)
def test_warm_provider(name: str, warm_provider: DockerProvider, checkout: Path, tmp_path: Path) -> None:
    warm_provider.warm(template(checkout), 2)
    dict(provider_contract())[name](warm_provider, checkout, tmp_path / "blobs")


few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)
SPECIAL = ("PATH", "PWD", "OLDPWD", "SHLVL", "_", "HOME")
VARIABLES: st.SearchStrategy[str] = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True)
SHOW = "import os, sys; sys.stdout.buffer.write(b'\\0'.join(os.environb[each.encode()] for each in sys.argv[1:]))"


@few
@given(st.lists(WORDS, max_size=8), st.binary(max_size=5000))
def test_any_argument_and_any_input(sandbox: Sandbox, words: list[str], data: bytes) -> None:
    said = sandbox.exec(ExecRequest(argv=("printf", r"%s\0", "first", *words), output_bytes=10**6))
    assert said.stdout == b"".join(word.encode() + b"\0" for word in ("first", *words))
    assert sandbox.exec(ExecRequest(argv=("cat",), stdin=data)).stdout == data


@few
@given(st.dictionaries(VARIABLES.filter(lambda name: name not in SPECIAL), WORDS, min_size=1, max_size=5))
def test_any_variable(sandbox: Sandbox, env: dict[str, str]) -> None:
    said = sandbox.exec(ExecRequest(argv=("python3", "-c", SHOW, *env), env=env))
    assert said.stdout == "\0".join(env.values()).encode()


PARTS = st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=40)


@few
@given(st.lists(PARTS.filter(lambda part: part not in (".", "..", ".git")), min_size=1, max_size=4), st.binary())
def test_any_file(sandbox: Sandbox, parts: list[str], data: bytes) -> None:
    path = "/".join(("any", *parts))
    sandbox.write_file(path, data)
    assert sandbox.read_file(path) == data
    assert sandbox.list_files("any") == (path,)
    sandbox.delete_file("any")

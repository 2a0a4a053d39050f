"""The Docker provider keeps the contract of all sandboxes."""

# ruff: noqa: F811 - fixtures

from __future__ import annotations

from pathlib import Path

import pytest

from bot.protocols import Sandbox, SandboxProvider
from bot.testing.contracts_given import ProviderCheck, SandboxCheck
from bot.testing.contracts_provider import provider_contract
from bot.testing.contracts_sandbox import sandbox_contract
from tests.sandbox_fixtures import api, checkout, provider, sandbox  # noqa: F401 - fixtures

pytestmark = pytest.mark.docker


@pytest.mark.parametrize("check", [pytest.param(check, id=name) for name, check in sandbox_contract()])
def test_sandbox(check: SandboxCheck, sandbox: Sandbox) -> None:
    check(sandbox)


@pytest.mark.parametrize("check", [pytest.param(check, id=name) for name, check in provider_contract()])
def test_provider(check: ProviderCheck, provider: SandboxProvider, checkout: Path, tmp_path: Path) -> None:
    check(provider, checkout, tmp_path / "blobs")

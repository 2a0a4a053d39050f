"""A provider that really works here -> what the tests of bubblewrap share; skipped, with the reason, where it can't."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.sandbox.bubblewrap.provider import BubblewrapProvider
from bot.sandbox.living import LivingSandbox
from bot.testing.contracts_given import make_checkout, template


@pytest.fixture(scope="session")
def bubblewrap(tmp_path_factory: pytest.TempPathFactory) -> BubblewrapProvider:
    """One for a whole worker."""
    provider = BubblewrapProvider(work=tmp_path_factory.mktemp("bubblewrap"))
    if wrong := provider.healthy():
        pytest.skip(wrong)
    return provider


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pristine checkout that no test may write."""
    return make_checkout(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="session")
def wrapped(bubblewrap: BubblewrapProvider, tree: Path) -> Iterator[LivingSandbox]:
    """A living sandbox for checks that leave it usable."""
    made = bubblewrap.create(template(tree))
    yield made
    made.close()

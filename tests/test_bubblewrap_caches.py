"""Downloads that outlive a sandbox of bubblewrap: who may write them, who only thinks so, and when they are free."""

# ruff: noqa: F811 - fixtures

from __future__ import annotations

from pathlib import Path

import pytest

from bot.sandbox.bubblewrap.provider import BubblewrapProvider
from bot.sandbox.caches import stored, trim
from bot.testing.contracts_given import make_checkout, shell, template
from bot.types.sandbox import Template
from tests.bubblewrap_fixtures import bubblewrap  # noqa: F401 - a fixture

WRITE = 'echo "$1" > "$UV_CACHE_DIR/$1" && ls "$UV_CACHE_DIR"'


@pytest.fixture
def provider(bubblewrap: BubblewrapProvider, tmp_path: Path) -> BubblewrapProvider:
    return BubblewrapProvider(work=tmp_path / "work")


@pytest.fixture
def trusted(tmp_path: Path) -> Template:
    (tmp_path / "checkout").mkdir()
    tree = make_checkout(tmp_path / "checkout")
    (tree / "uv.lock").write_text("version = 1\n")
    return template(tree).changed(cache_scope="R_1", trusted=True)


def test_a_strangers_writes_die_with_the_sandbox(provider: BubblewrapProvider, trusted: Template) -> None:
    """The trusted run's stay, and nobody but that repository's runs sees them."""
    for wanted, name, seen in (
        (trusted, "first", b"first\n"),
        (trusted.changed(trusted=False), "strange", b"first\nstrange\n"),
        (trusted.changed(trusted=False), "stranger", b"first\nstranger\n"),
        (trusted.changed(cache_scope="R_2"), "fork", b"fork\n"),
        (trusted, "second", b"first\nsecond\n"),
    ):
        made = provider.create(wanted)
        try:
            assert shell(made, WRITE, name).stdout == seen
            assert shell(made, 'rm "$UV_CACHE_DIR"/*; kill -9 -1' if name == "strange" else "true").exit_code >= 0
            assert shell(made, 'ls "$UV_CACHE_DIR"').stdout == (b"" if name == "strange" else seen), "also revived"
            assert shell(made, "echo $UV_OFFLINE").stdout == b"1\n", "there is no network"
        finally:
            made.close()


def test_one_writes_at_a_time_and_none_is_cleared_in_use(
    provider: BubblewrapProvider, trusted: Template, tmp_path: Path
) -> None:
    first = provider.create(trusted)
    try:
        second = provider.create(trusted)
        try:
            shell(second, WRITE, "second")
            assert shell(first, WRITE, "first").stdout == b"first\n", "the second one has a view"
            assert trim(tmp_path / "caches", 0) == ()
        finally:
            second.close()
    finally:
        first.close()
    third = provider.create(trusted)
    try:
        assert shell(third, WRITE, "third").stdout == b"first\nthird\n", "it writes again"
    finally:
        third.close()
    names = [each.name for each in stored(tmp_path / "caches")]
    assert list(trim(tmp_path / "caches", 0)) == names
    assert len(names) == 1


def test_where_no_overlay_can_be_it_is_read_only(trusted: Template, tmp_path: Path, bubblewrap: object) -> None:
    """A work folder whose name can't stand in mount options."""
    provider = BubblewrapProvider(work=tmp_path / "odd, name" / "work")
    for wanted, done in ((trusted, True), (trusted.changed(trusted=False), False)):
        made = provider.create(wanted)
        try:
            assert shell(made, WRITE, "file").ok is done
            assert shell(made, 'cat "$UV_CACHE_DIR/file"').stdout == b"file\n"
        finally:
            made.close()

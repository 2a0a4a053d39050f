"""A name in, an adapter out; a wrong name lists the choices."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from bot.errors import PluginError
from bot.plugins import BUILTIN, load_adapter, names_of


def test_every_built_in_name_has_an_adapter() -> None:
    for kind, names in BUILTIN.items():
        for name in names:
            assert callable(load_adapter(kind, name))


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(PluginError, match="teleport") as caught:
        load_adapter("sandboxes", "teleport")
    assert "docker" in caught.value.hint


def test_an_installed_package_brings_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "acme_boxes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-boxes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[sandpiper.sandboxes]\nacme = acme_boxes:Provider\nbroken = acme_missing_module:Provider\n"
    )
    (tmp_path / "acme_boxes.py").write_text("class Provider:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    assert "acme" in names_of("sandboxes")
    assert load_adapter("sandboxes", "acme") is sys.modules["acme_boxes"].Provider
    with pytest.raises(PluginError) as caught:
        load_adapter("sandboxes", "broken")
    assert caught.value.code == "plugin_not_importable"
    assert "acme-boxes" in caught.value.hint

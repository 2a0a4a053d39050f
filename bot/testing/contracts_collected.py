"""What is left of a sandbox when it is dead, as checks: what changed, whole or said to be cut, and nothing odd."""

import stat
import time
from pathlib import Path

from bot.protocols import SandboxProvider
from bot.testing.contracts_given import LIMITS, ProviderCheck, shell, template
from bot.types.sandbox import Changes


def _collected(provider: SandboxProvider, checkout: Path, blobs: Path, script: str) -> Changes:
    sandbox = provider.create(template(checkout))
    try:
        result = shell(sandbox, script)
        assert result.ok, result
        return sandbox.collect(blobs)
    finally:
        sandbox.close()


def _kinds(changes: Changes) -> dict[str, str]:
    return {each.path: each.kind for each in changes.files}


def _snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    found = {}
    for file in sorted(folder.rglob("*")):
        status = file.lstat()
        data = file.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[str(file)] = (status.st_mode, status.st_uid, data)
    return found


def _changes(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """Added, modified, deleted, mode, moved; the checkout stays as it was to the last bit."""
    before = _snapshot(checkout)
    script = """
    echo changed > README.md; echo new > src/new.py; rm src/a.py; chmod -x run.sh; mv docs/old docs/new
    cp src/b.py b2 && mv b2 src/b.py; rm link; echo hidden > .git/evil; echo x > vendor/other/.git/evil
    """
    changes = _collected(provider, checkout, blobs, script)
    assert _kinds(changes) == {
        "README.md": "modified",
        "src/new.py": "added",
        "src/a.py": "deleted",
        "run.sh": "modified",
        "docs/old/x.md": "deleted",
        "docs/old/y.md": "deleted",
        "docs/new/x.md": "added",
        "docs/new/y.md": "added",
        "link": "deleted",
    }
    assert changes.complete
    by_path = {each.path: each for each in changes.files}
    readme, script_file, link = by_path["README.md"], by_path["run.sh"], by_path["link"]
    assert readme.old is not None
    assert readme.new is not None
    assert (blobs / readme.old.digest).read_bytes() == b"hello\n"
    assert (blobs / readme.new.digest).read_bytes() == b"changed\n"
    assert [each.mode for each in (script_file.old, script_file.new) if each] == ["100755", "100644"]
    assert link.old is not None
    assert (link.old.mode, (blobs / link.old.digest).read_bytes()) == ("120000", b"README.md")
    assert _snapshot(checkout) == before


def _ignored(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """What the repository leaves out stays out, by its own rules and not by those of the sandbox."""
    script = """
    mkdir -p build deep; echo x > build/out; echo x > deep/a.log; echo x > kept.log; echo x > plain.txt
    echo 'plain.txt' >> .gitignore; ln -s /etc/passwd build/link; git add -A -f . 2>/dev/null; true
    """
    changes = _collected(provider, checkout, blobs, script)
    assert _kinds(changes) == {"kept.log": "modified", "plain.txt": "added", ".gitignore": "modified"}
    assert changes.skipped == ()


def _replaced(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """A folder made anew, a file in place of a folder, a folder in place of a file, and nothing for what came back."""
    script = """
    rm -r docs/old && mkdir docs/old && echo z > docs/old/z.md
    rm -r src && echo file > src; rm README.md && mkdir README.md && echo in > README.md/inner
    cp -p run.sh keep && rm run.sh && mv keep run.sh
    """
    assert _kinds(_collected(provider, checkout, blobs, script)) == {
        "docs/old/x.md": "deleted",
        "docs/old/y.md": "deleted",
        "docs/old/z.md": "added",
        "src/a.py": "deleted",
        "src/b.py": "deleted",
        "src": "added",
        "README.md": "deleted",
        "README.md/inner": "added",
    }


def _special_files(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """Noted, never opened, never followed."""
    script = """
    ln -s /etc/passwd l1; ln -s ../../x l2; ln -s none l3; ln -s l4 l4; ln -s /etc l5; ln -sfn /etc/shadow src/a.py
    mkfifo fifo; python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('sock')"; echo fine > fine
    """
    changes = _collected(provider, checkout, blobs, script)
    assert _kinds(changes) == {"fine": "added"}
    links = [f"{path}: symlink" for path in ("l1", "l2", "l3", "l4", "l5", "src/a.py")]
    assert changes.skipped == ("fifo: FIFO", *links[:5], "sock: socket", links[5])


def _odd_names(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """Names that mean different things to different readers are not taken, and are shown safely."""
    script = r"""
    touch "$(printf 'new\nline')" "$(printf 'esc\033[31m')" "$(printf 'bad\377')" "$(printf 'no\342\200\213width')"
    touch 'a b' 'ü'
    mkdir sub && mkdir sub/.git sub/.GIT && touch sub/.git/config sub/.GIT/config
    """
    changes = _collected(provider, checkout, blobs, script)
    assert set(_kinds(changes)) == {"a b", "ü"}
    assert len(changes.skipped) == 6
    assert all(line.isprintable() and line.isascii() for line in changes.skipped)


def _bombs(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """Too much is not taken, quickly, and said."""
    started = time.monotonic()
    huge = _collected(provider, checkout, blobs, "truncate -s 20G sparse || truncate -s 1G sparse; echo x > small")
    assert (_kinds(huge), huge.complete) == ({"small": "added"}, False)
    many = _collected(provider, checkout, blobs, "i=0; while [ $i -lt 200 ]; do : > f$i; i=$((i+1)); done")
    assert (len(many.files), many.complete) == (LIMITS.changed_files, False)
    deep = _collected(provider, checkout, blobs, "i=0; while [ $i -lt 200 ]; do mkdir d; cd d; i=$((i+1)); done; : > f")
    assert (deep.files, deep.complete) == ((), False)
    assert sum(file.stat().st_size for file in blobs.iterdir()) < LIMITS.changed_bytes
    assert time.monotonic() - started < 60


COLLECTED: tuple[ProviderCheck, ...] = (_changes, _ignored, _replaced, _special_files, _odd_names, _bombs)
"""Of every provider."""

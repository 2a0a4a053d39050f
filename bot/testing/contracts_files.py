"""What file operations of a sandbox do, as checks: round trips, names, links, refusals by name, and git's history."""

from concurrent.futures import ThreadPoolExecutor

from bot.protocols import Sandbox
from bot.testing.contracts_given import SECRET, SandboxCheck, refusal, shell
from bot.types.sandbox import ExecRequest


def _root(sandbox: Sandbox) -> str:
    return sandbox.exec(ExecRequest(argv=("pwd", "-P"))).stdout.decode().rstrip("\n")


def _files(sandbox: Sandbox) -> None:
    """Round trip, folders made, mode as asked."""
    data = bytes(range(256)) * 5000
    sandbox.write_file("new/deep/file.bin", data)
    assert sandbox.read_file("new/deep/file.bin") == data
    assert sandbox.read_file(f"{_root(sandbox)}/README.md") == b"hello\n"
    sandbox.write_file("new/tool", b"#!/bin/sh\necho ran\n", executable=True)
    sandbox.write_file("new/tool", b"#!/bin/sh\necho again\n")
    assert sandbox.exec(ExecRequest(argv=("./new/tool",))).stdout == b"again\n"
    sandbox.write_file("new/tool", b"", executable=False)
    assert sandbox.read_file("new/tool") == b""
    assert shell(sandbox, "test -x new/tool").exit_code == 1
    assert shell(sandbox, "stat -c %a new new/deep/file.bin").stdout == b"755\n644\n", "nobody else may write"


def _large_files(sandbox: Sandbox) -> None:
    """As large as asked for, to the byte; one byte more is refused."""
    data = bytes(1_000_000) + b"end"
    sandbox.write_file("large", data)
    assert sandbox.read_file("large", max_bytes=len(data)) == data
    assert refusal(lambda: sandbox.read_file("large", max_bytes=len(data) - 1)) == "file_too_large"
    assert refusal(lambda: sandbox.read_file("large", max_bytes=0)) == "file_too_large"
    sandbox.write_file("large", b"")
    assert sandbox.read_file("large", max_bytes=0) == b""
    sandbox.delete_file("large")


def _files_side_by_side(sandbox: Sandbox) -> None:
    """Many at once, each its own."""

    def one(number: int) -> bytes:
        sandbox.write_file(f"many/{number}/file", b"%d" % number * 1000)
        return sandbox.read_file(f"many/{number}/file")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(24))) == [b"%d" % number * 1000 for number in range(24)]
    assert len(sandbox.list_files("many")) == 24
    sandbox.delete_file("many")


def _bad_paths(sandbox: Sandbox) -> None:
    """Refused before anything is opened."""
    outside = ("/etc/shadow", "/proc/self/environ", "../x", "src/../../x", f"{_root(sandbox)}/../etc/passwd")
    for path in (*outside, "a\0b", "", "/", f"{_root(sandbox)}x/y", "x/" * 3000, "\udc80"):
        assert refusal(lambda path=path: sandbox.read_file(path)) == "path_outside", path  # type: ignore[misc]
        assert refusal(lambda path=path: sandbox.write_file(path, b"")) == "path_outside", path  # type: ignore[misc]
        assert refusal(lambda path=path: sandbox.list_files(path)) == "path_outside", path  # type: ignore[misc]
        assert refusal(lambda path=path: sandbox.delete_file(path)) == "path_outside", path  # type: ignore[misc]


def _links_out(sandbox: Sandbox) -> None:
    """A link never leads a file operation out of the workspace."""
    shell(sandbox, "mkdir -p out; ln -sf /etc/passwd out/file; ln -sfn /tmp out/folder; ln -sf /tmp/none out/dangling")
    for path in ("out/file", "out/folder/x", "out/dangling"):
        assert refusal(lambda path=path: sandbox.read_file(path)) != "done", path  # type: ignore[misc]
        assert refusal(lambda path=path: sandbox.write_file(path, b"w")) == "path_outside", path  # type: ignore[misc]
    assert refusal(lambda: sandbox.read_file("out/file")) == "path_outside"
    assert refusal(lambda: sandbox.list_files("out/folder")) == "path_outside"
    assert refusal(lambda: sandbox.delete_file("out/folder/x")) in ("path_outside", "no_such_file")
    assert sandbox.read_file("link") == b"hello\n", "links inside are fine"
    sandbox.delete_file("out")


def _no_files(sandbox: Sandbox) -> None:
    """Said by name, and without a hang."""
    shell(sandbox, "mkfifo pipe; truncate -s 1G sparse; ln -s loop loop; ln -s /dev/zero device")
    assert refusal(lambda: sandbox.read_file("nothing/here")) == "no_such_file"
    assert refusal(lambda: sandbox.list_files("nothing")) == "no_such_file"
    assert refusal(lambda: sandbox.read_file("src")) == "not_a_file"
    assert refusal(lambda: sandbox.read_file(".")) == "not_a_file"
    assert refusal(lambda: sandbox.read_file("pipe")) == "not_a_file"
    assert refusal(lambda: sandbox.read_file("loop")) in ("not_a_file", "no_such_file")
    assert refusal(lambda: sandbox.read_file("device")) == "path_outside"
    assert refusal(lambda: sandbox.read_file("sparse")) == "file_too_large"
    assert refusal(lambda: sandbox.write_file("src", b"")) == "not_writable"
    assert refusal(lambda: sandbox.write_file(".", b"")) == "not_writable"
    assert refusal(lambda: sandbox.write_file("pipe", b"")) == "not_writable"
    assert refusal(lambda: sandbox.write_file("README.md/x", b"")) == "not_writable"
    shell(sandbox, "rm pipe sparse loop device")


def _listing(sandbox: Sandbox) -> None:
    """Files below a folder, without git's own."""
    assert sandbox.list_files("src") == ("src/a.py", "src/b.py")
    every = sandbox.list_files()
    assert {"README.md", "docs/old/x.md", "link"} <= set(every)
    assert not any(".git" in path.split("/") for path in every)
    assert every == tuple(sorted(every))
    assert len(sandbox.list_files(limit=2)) == 2
    assert sandbox.list_files(limit=0) == ()


def _closed_folders(sandbox: Sandbox) -> None:
    """A folder that nobody may enter hides its own files, not those beside it."""
    shell(sandbox, "mkdir -p closed/in; echo x > closed/in/file; echo x > closed/beside; chmod 0 closed/in")
    assert sandbox.list_files("closed")[0] == "closed/beside"
    shell(sandbox, "chmod 700 closed/in")
    sandbox.delete_file("closed")


def _names(sandbox: Sandbox) -> None:
    """Names are arguments, whatever they look like."""
    for name in ("-rf", "a b", "$(touch x)", "'q\"", "new\nline", "ünï", "*", "-", "--help", "~", "\\n", " "):
        sandbox.write_file(f"names/{name}", name.encode())
        assert sandbox.read_file(f"names/{name}") == name.encode()
        assert f"names/{name}" in sandbox.list_files("names")
        sandbox.delete_file(f"names/{name}")
        assert sandbox.list_files("names") == ()
    sandbox.delete_file("names")


def _delete(sandbox: Sandbox) -> None:
    """A file, a folder with all it holds, a link but not what it leads to."""
    shell(
        sandbox, "mkdir -p gone/deep; echo x > gone/deep/file; ln -s ../README.md gone/link; ln -s ../src gone/folder"
    )
    sandbox.delete_file("gone/link")
    sandbox.delete_file("gone/folder")
    assert sandbox.read_file("README.md") == b"hello\n"
    assert sandbox.list_files("src") == ("src/a.py", "src/b.py")
    sandbox.delete_file("gone/deep/file")
    assert sandbox.list_files("gone") == ()
    sandbox.delete_file("gone")
    assert refusal(lambda: sandbox.list_files("gone")) == "no_such_file"


def _delete_refused(sandbox: Sandbox) -> None:
    """What is not there, and the workspace itself."""
    assert refusal(lambda: sandbox.delete_file("no-such")) == "no_such_file"
    assert refusal(lambda: sandbox.delete_file("no/such")) == "no_such_file"
    for path in (".", "./", _root(sandbox), "src/.."):
        assert refusal(lambda path=path: sandbox.delete_file(path)) in ("not_writable", "path_outside")  # type: ignore[misc]
    assert sandbox.read_file("README.md") == b"hello\n"


def _history(sandbox: Sandbox) -> None:
    """Git works, without a quarrel about who owns what."""
    log = sandbox.exec(ExecRequest(argv=("git", "log", "--format=%s")))
    assert (log.stdout, log.stderr) == (b"first\n", b"")
    assert shell(sandbox, "git status --porcelain=v1 --untracked-files=no -- src README.md").ok


def _no_credentials(sandbox: Sandbox) -> None:
    """Nothing that anybody left in the checkout's `.git` or beside it."""
    found = shell(sandbox, 'grep -rs "$1" . "$HOME"', SECRET)
    assert SECRET.encode() not in found.stdout
    assert shell(sandbox, "git remote -v; git config --local --get-regexp 'http|include|credential|hook'").stdout == b""
    assert shell(sandbox, "ls .git/hooks .git/credentials .netrc 2>/dev/null").stdout == b""


FILES: tuple[SandboxCheck, ...] = (
    *(_files, _large_files, _files_side_by_side, _bad_paths, _links_out, _no_files, _listing, _closed_folders, _names),
    *(_delete, _delete_refused, _history, _no_credentials),
)
"""Of every provider."""

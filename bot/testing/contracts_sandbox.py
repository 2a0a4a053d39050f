"""What every sandbox does, as checks: run them on an adapter of your own.

`sandbox_contract()` gives checks for one living sandbox over `make_checkout` with LIMITS, all may use the same one;
bot.testing.contracts_provider has those that need sandboxes of their own. A check raises AssertionError.
"""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from bot.errors import SandboxError, TaskError
from bot.protocols import Sandbox
from bot.types.sandbox import ExecRequest, ExecResult, Template
from bot.types.task import Limits

LIMITS = Limits(minutes=5, memory_mb=256, pids=64, cpus=2, changed_bytes=1_000_000, changed_files=50)
RUN_ID = "c0ffee00c0ffee00"
SECRET = "s3cr3t-canary-of-the-checkout"  # noqa: S105 - planted
SandboxCheck = Callable[[Sandbox], None]


def make_checkout(folder: Path) -> Path:
    """A small repository with everything that has to be kept apart; `.git` is full of credentials and traps."""
    files = {
        "README.md": "hello\n",
        "src/a.py": "A = 1\n",
        "src/b.py": "B = 2\n",
        "docs/old/x.md": "x\n",
        "docs/old/y.md": "y\n",
        "run.sh": "#!/bin/sh\n",
        ".gitignore": "*.log\nbuild/\n",
        "kept.log": "tracked although ignored\n",
    }
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("README.md")
    _git(folder, "init", "-q", "-b", "main")
    _git(folder, "add", "-f", ".")
    _git(folder, "commit", "-q", "-m", "first")
    git = folder / ".git"
    with (git / "config").open("a") as config:
        config.write(f'[remote "origin"]\n\turl = https://x:{SECRET}@example.org/r\n[include]\n\tpath = ../inc\n')
        config.write(f'[http "https://example.org/"]\n\textraheader = AUTHORIZATION: basic {SECRET}\n')
    (git / "hooks" / "post-checkout").write_text(f"#!/bin/sh\necho {SECRET}\n")
    (git / "hooks" / "post-checkout").chmod(0o755)
    (git / "credentials").write_text(SECRET)
    (folder / ".netrc").write_text(f"machine example.org password {SECRET}\n")
    nested = folder / "vendor" / "other"
    nested.mkdir(parents=True)
    _git(nested, "init", "-q", "-b", "main")
    (nested / ".git" / "config").write_text(f'[remote "origin"]\n\turl = https://x:{SECRET}@example.org/o\n')
    return folder


def _git(folder: Path, *args: str) -> None:
    environ = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.templateDir=")
    subprocess.run(["git", *identity, *args], cwd=folder, env=environ, check=True, capture_output=True)
    (folder / ".git" / "hooks").mkdir(exist_ok=True)


def template(checkout: Path, *, limits: Limits = LIMITS, run_id: str = RUN_ID) -> Template:
    """For sandboxes that the checks below may use."""
    return Template(run_id=run_id, checkout=str(checkout), env={"FROM_TEMPLATE": "yes"}, limits=limits)


def shell(sandbox: Sandbox, script: str, *args: str, seconds: float = 60, output_bytes: int = 100_000) -> ExecResult:
    """Run a script of the test's."""
    argv = ("sh", "-c", script, "sh", *args)
    return sandbox.exec(ExecRequest(argv=argv, seconds=seconds, output_bytes=output_bytes))


def sandbox_contract() -> list[tuple[str, SandboxCheck]]:
    """Checks for a living sandbox. Each leaves it usable."""
    checks = (
        *(_streams, _arguments, _standard_input, _environment, _missing_program, _signals, _long_output, _live_output),
        *(_time_out, _background, _closed_streams, _cancel, _memory, _processes, _files, _bad_paths, _links_out),
        *(_no_files, _listing, _names, _history, _no_credentials, _no_network, _where_to_write),
    )
    return [(check.__name__.strip("_"), check) for check in checks]


def _streams(sandbox: Sandbox) -> None:
    """Streams apart, any bytes, the command's own code."""
    result = shell(sandbox, r"printf 'out\000\377'; printf err >&2; exit 7")
    assert (result.ending, result.exit_code) == ("exited", 7)
    assert (result.stdout, result.stderr, result.dropped_bytes) == (b"out\0\xff", b"err", 0)
    assert not result.ok


def _arguments(sandbox: Sandbox) -> None:
    """No shell between the caller and the program."""
    words = ("$(id)", "`id`", "a b", "", "*", "-n", "x\ny", "é'\"\\")
    result = sandbox.exec(ExecRequest(argv=("printf", "%s|", *words)))
    assert result.stdout.decode() == "".join(f"{word}|" for word in words)


def _standard_input(sandbox: Sandbox) -> None:
    """All of it, then its end, also while output comes back."""
    data = bytes(range(256)) * 8192
    result = sandbox.exec(ExecRequest(argv=("cat",), stdin=data, output_bytes=len(data), seconds=60))
    assert result.stdout == data
    assert shell(sandbox, "cat; echo end").stdout == b"end\n", "no input is an empty input"
    assert sandbox.exec(ExecRequest(argv=("true",), stdin=data)).ok, "unread input is no error"


def _environment(sandbox: Sandbox) -> None:
    """The template's and the request's variables, a home, and nothing of the host's."""
    os.environ["SANDPIPER_CONTRACT_CANARY"] = "canary"
    try:
        request = ExecRequest(argv=("env",), env={"EXTRA": "1 2"}, cwd="src")
        seen = dict(line.split("=", 1) for line in sandbox.exec(request).stdout.decode().splitlines())
        everywhere = shell(sandbox, "cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'").stdout
    finally:
        del os.environ["SANDPIPER_CONTRACT_CANARY"]
    assert seen["FROM_TEMPLATE"] == "yes"
    assert seen["EXTRA"] == "1 2"
    assert seen["HOME"] not in (os.environ.get("HOME"), "/")
    expected = {"PATH", "HOME", "USER", "LOGNAME", "LANG", "TERM", "TMPDIR", "PWD", "HOSTNAME", "SHLVL", "OLDPWD", "_"}
    assert set(seen) <= expected | {"FROM_TEMPLATE", "EXTRA"}
    assert b"canary" not in everywhere
    assert sandbox.exec(ExecRequest(argv=("pwd",), cwd="src")).stdout == b"/workspace/src\n"


def _missing_program(sandbox: Sandbox) -> None:
    """As a shell says it."""
    result = sandbox.exec(ExecRequest(argv=("no-such-program",)))
    assert (result.ending, result.exit_code, result.stdout) == ("exited", 127, b"")
    assert b"no-such-program" in result.stderr


def _signals(sandbox: Sandbox) -> None:
    """Killed is not exited."""
    result = shell(sandbox, "kill -9 $$")
    assert (result.ending, result.exit_code) == ("killed", 137)


def _long_output(sandbox: Sandbox) -> None:
    """Head and tail stay, the middle is counted."""
    script = "echo first; head -c 5000000 /dev/zero; echo last; head -c 3000000 /dev/zero >&2"
    result = shell(sandbox, script, output_bytes=10_000)
    assert result.stdout.startswith(b"first\n")
    assert result.stdout.endswith(b"last\n")
    assert len(result.stdout) == len(result.stderr) == 10_000
    assert result.dropped_bytes == 8_000_011 - 20_000


def _live_output(sandbox: Sandbox) -> None:
    """Seen while it comes."""
    seen: list[tuple[str, bytes, float]] = []
    request = ExecRequest(argv=("sh", "-c", "echo one; sleep 1; echo two >&2"))
    sandbox.exec(request, on_output=lambda stream, data: seen.append((stream, data, time.monotonic())))
    assert [each[:2] for each in seen] == [("stdout", b"one\n"), ("stderr", b"two\n")]
    assert seen[1][2] - seen[0][2] > 0.5


def _time_out(sandbox: Sandbox) -> None:
    """A result; what the command started is gone with it, daemons and the deaf included; what it said is kept."""
    script = "trap '' TERM INT; setsid sh -c 'trap \"\" TERM; while :; do sleep 98765; done' & echo said; sleep 98765"
    started = time.monotonic()
    result = shell(sandbox, script, seconds=1)
    assert time.monotonic() - started < 20
    assert (result.ending, result.exit_code, result.stdout) == ("timed_out", 124, b"said\n")
    assert shell(sandbox, "cat /proc/*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c '[9]8765'").stdout == b"0\n"


def _background(sandbox: Sandbox) -> None:
    """A child that holds the streams open holds nobody up."""
    started = time.monotonic()
    result = shell(sandbox, "sleep 30 & echo started")
    assert (result.ok, result.stdout) == (True, b"started\n")
    assert time.monotonic() - started < 15


def _closed_streams(sandbox: Sandbox) -> None:
    """The end of the output is not the end of the command."""
    assert shell(sandbox, "exec >&- 2>&-; sleep 1; exit 9").exit_code == 9


def _cancel(sandbox: Sandbox) -> None:
    """A person's stop ends a command at once."""
    started = time.monotonic()
    request = ExecRequest(argv=("sleep", "98766"), seconds=60)
    result = sandbox.exec(request, cancelled=lambda: time.monotonic() - started > 0.5)
    assert (result.ending, result.exit_code) == ("cancelled", 137)
    assert time.monotonic() - started < 15


def _memory(sandbox: Sandbox) -> None:
    """Named, and survived."""
    result = sandbox.exec(ExecRequest(argv=("sh", "-c", "x=xxxxxxxx; while :; do x=$x$x; done"), seconds=60))
    assert result.ending == "oom"
    assert result.exit_code != 0
    assert shell(sandbox, "echo fine").stdout == b"fine\n"


def _processes(sandbox: Sandbox) -> None:
    """A fork bomb is named and stopped."""
    result = shell(sandbox, "i=0; while [ $i -lt 200 ]; do sleep 20 & i=$((i+1)); done; wait", seconds=5)
    assert result.ending in ("pids", "timed_out")
    bomb = shell(sandbox, "bomb() { bomb | bomb & }; bomb; sleep 30", seconds=3)
    assert bomb.ending in ("pids", "timed_out")
    sandbox.exec(ExecRequest(argv=("sleep", "60"), seconds=0.5))  # the time-out clears what the bomb left
    assert shell(sandbox, "echo fine").stdout == b"fine\n"


def _files(sandbox: Sandbox) -> None:
    """Round trip, folders made, mode as asked."""
    data = bytes(range(256)) * 5000
    sandbox.write_file("new/deep/file.bin", data)
    assert sandbox.read_file("new/deep/file.bin") == data
    assert sandbox.read_file("/workspace/README.md") == b"hello\n"
    sandbox.write_file("new/tool", b"#!/bin/sh\necho ran\n", executable=True)
    sandbox.write_file("new/tool", b"#!/bin/sh\necho again\n")
    assert sandbox.exec(ExecRequest(argv=("./new/tool",))).stdout == b"again\n"
    sandbox.write_file("new/tool", b"", executable=False)
    assert sandbox.read_file("new/tool") == b""
    assert shell(sandbox, "test -x new/tool").exit_code == 1


def refusal(call: Callable[[], object]) -> str:
    """Code of the error that a call ends with, `done` if none."""
    try:
        call()
    except (TaskError, SandboxError) as error:
        return error.code
    return "done"


def _bad_paths(sandbox: Sandbox) -> None:
    """Refused before anything is opened."""
    for path in ("/etc/shadow", "/proc/self/environ", "../x", "src/../../x", "/workspace/../etc/passwd", "a\0b", ""):
        assert refusal(lambda path=path: sandbox.read_file(path)) == "path_outside", path  # type: ignore[misc]
        assert refusal(lambda path=path: sandbox.write_file(path, b"")) == "path_outside", path  # type: ignore[misc]
        assert refusal(lambda path=path: sandbox.list_files(path)) == "path_outside", path  # type: ignore[misc]
    assert refusal(lambda: sandbox.exec(ExecRequest(argv=("pwd",), cwd="/etc"))) == "path_outside"


def _links_out(sandbox: Sandbox) -> None:
    """A link never leads a file operation out of the workspace."""
    shell(sandbox, "mkdir -p out; ln -sf /etc/passwd out/file; ln -sfn /tmp out/folder; ln -sf /tmp/none out/dangling")
    for path in ("out/file", "out/folder/x", "out/dangling"):
        assert refusal(lambda path=path: sandbox.read_file(path)) != "done", path  # type: ignore[misc]
        assert refusal(lambda path=path: sandbox.write_file(path, b"w")) == "path_outside", path  # type: ignore[misc]
    assert refusal(lambda: sandbox.read_file("out/file")) == "path_outside"
    assert refusal(lambda: sandbox.list_files("out/folder")) == "path_outside"
    assert sandbox.read_file("link") == b"hello\n", "links inside are fine"


def _no_files(sandbox: Sandbox) -> None:
    """Said by name, and without a hang."""
    shell(sandbox, "mkfifo pipe; truncate -s 1G sparse")
    assert refusal(lambda: sandbox.read_file("nothing/here")) == "no_such_file"
    assert refusal(lambda: sandbox.list_files("nothing")) == "no_such_file"
    assert refusal(lambda: sandbox.read_file("src")) == "not_a_file"
    assert refusal(lambda: sandbox.read_file("pipe")) == "not_a_file"
    assert refusal(lambda: sandbox.read_file("sparse")) == "file_too_large"
    assert refusal(lambda: sandbox.write_file("src", b"")) == "not_writable"
    assert refusal(lambda: sandbox.write_file("pipe", b"")) == "not_writable"
    assert refusal(lambda: sandbox.write_file("README.md/x", b"")) == "not_writable"
    shell(sandbox, "rm pipe sparse")


def _listing(sandbox: Sandbox) -> None:
    """Files below a folder, without git's own."""
    assert sandbox.list_files("src") == ("src/a.py", "src/b.py")
    every = sandbox.list_files()
    assert {"README.md", "docs/old/x.md", "link"} <= set(every)
    assert not any(".git" in path.split("/") for path in every)
    assert every == tuple(sorted(every))
    assert len(sandbox.list_files(limit=2)) == 2


def _names(sandbox: Sandbox) -> None:
    """Names are arguments, whatever they look like."""
    for name in ("-rf", "a b", "$(touch x)", "'q\"", "new\nline", "ünï", "*"):
        sandbox.write_file(f"names/{name}", name.encode())
        assert sandbox.read_file(f"names/{name}") == name.encode()
        assert f"names/{name}" in sandbox.list_files("names")
    shell(sandbox, "rm -r names")


def _history(sandbox: Sandbox) -> None:
    """Git works, without a quarrel about who owns what."""
    log = sandbox.exec(ExecRequest(argv=("git", "log", "--format=%s")))
    assert (log.stdout, log.stderr) == (b"first\n", b"")
    assert shell(sandbox, "git status --porcelain=v1 --untracked-files=no -- src README.md").ok


def _no_credentials(sandbox: Sandbox) -> None:
    """Nothing that anybody left in the checkout's `.git` or beside it."""
    found = shell(sandbox, 'grep -rs "$1" /workspace "$HOME" /tmp /etc; ls -A "$HOME" /home', SECRET)
    assert SECRET.encode() not in found.stdout
    assert shell(sandbox, "git remote -v; git config --get-regexp 'http|include|credential|hook'").stdout == b""
    assert shell(sandbox, "ls .git/hooks .git/credentials .netrc").stdout == b""


def _no_network(sandbox: Sandbox) -> None:
    """Nothing but a loopback of its own."""
    assert shell(sandbox, "ls /sys/class/net").stdout == b"lo\n"
    assert shell(sandbox, "cat /proc/net/route | wc -l").stdout.strip() == b"1"


def _where_to_write(sandbox: Sandbox) -> None:
    """The workspace, the home and /tmp; nowhere else, and not as root."""
    result = shell(sandbox, 'touch "$HOME/x" /tmp/x /workspace/x && rm "$HOME/x" /tmp/x x')
    assert result.ok, result
    result = shell(
        sandbox, "for f in / /etc /usr /usr/bin /home /root /opt /var /run; do touch $f/x 2>/dev/null && echo $f; done"
    )
    assert result.stdout == b""
    assert shell(sandbox, "id -u").stdout.strip() != b"0"

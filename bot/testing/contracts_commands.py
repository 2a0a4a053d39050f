"""What commands in a sandbox do, as checks: bytes in, bytes out, side by side, and nothing taken for something else."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from bot.protocols import Sandbox
from bot.testing.contracts_given import SandboxCheck, refusal, shell
from bot.types.sandbox import ExecRequest

_MB = 1_000_000


def _streams(sandbox: Sandbox) -> None:
    """Streams apart, any bytes, the command's own code."""
    result = shell(sandbox, r"printf 'out\000\377'; printf err >&2; exit 7")
    assert (result.ending, result.exit_code) == ("exited", 7)
    assert (result.stdout, result.stderr, result.dropped_bytes) == (b"out\0\xff", b"err", 0)
    assert not result.ok
    assert result.seconds > 0


def _arguments(sandbox: Sandbox) -> None:
    """No shell between the caller and the program."""
    words = ("$(id)", "`id`", "a b", "", "*", "-n", "x\ny", "é'\"\\", "~", "#", "&& exit 3", "!!", "\t", "{a,b}")
    result = sandbox.exec(ExecRequest(argv=("printf", "%s|", *words)))
    assert result.stdout.decode() == "".join(f"{word}|" for word in words)


def _long_arguments(sandbox: Sandbox) -> None:
    """Many and long ones arrive; what the kernel refuses is the command's failure, not ours."""
    words = tuple(f"{number:0100}" for number in range(1000))
    result = sandbox.exec(ExecRequest(argv=("printf", "%s", "x" * 100_000, *words), output_bytes=_MB))
    assert result.stdout.decode() == "x" * 100_000 + "".join(words)
    assert sandbox.exec(ExecRequest(argv=("true", "x" * 4_000_000))).exit_code in (1, 2, 126)
    assert shell(sandbox, "echo fine").stdout == b"fine\n"


def _standard_input(sandbox: Sandbox) -> None:
    """All of it, then its end, also while output comes back."""
    data = bytes(range(256)) * 8192
    result = sandbox.exec(ExecRequest(argv=("cat",), stdin=data, output_bytes=len(data), seconds=60))
    assert result.stdout == data
    assert shell(sandbox, "cat; echo end").stdout == b"end\n", "no input is an empty input"
    assert shell(sandbox, "read -r line; echo $?").stdout == b"1\n"


def _unread_input(sandbox: Sandbox) -> None:
    """Input that nobody reads, or only the beginning of which is read, is no error and reaches no later command."""
    data = b"echo evil\n" * (10 * _MB // 10)
    assert sandbox.exec(ExecRequest(argv=("true",), stdin=data)).ok
    assert sandbox.exec(ExecRequest(argv=("head", "-c", "5"), stdin=data)).stdout == b"echo "
    assert sandbox.exec(ExecRequest(argv=("wc", "-c"), stdin=data)).stdout.strip() == b"10000000"
    assert sandbox.exec(ExecRequest(argv=("cat",))).stdout == b""


def _environment(sandbox: Sandbox) -> None:
    """The template's and the request's variables, a home, and nothing of the host's."""
    os.environ["SANDPIPER_CONTRACT_CANARY"] = "canary"
    try:
        request = ExecRequest(argv=("env",), env={"EXTRA": "1 2"}, cwd="src")
        seen = dict(line.split("=", 1) for line in sandbox.exec(request).stdout.decode().splitlines())
    finally:
        del os.environ["SANDPIPER_CONTRACT_CANARY"]
    assert seen["FROM_TEMPLATE"] == "yes"
    assert seen["EXTRA"] == "1 2"
    assert seen["HOME"] not in (os.environ.get("HOME"), "/")
    expected = {"PATH", "HOME", "USER", "LOGNAME", "LANG", "TERM", "TMPDIR", "PWD", "HOSTNAME", "SHLVL", "OLDPWD", "_"}
    assert set(seen) <= expected | {"FROM_TEMPLATE", "EXTRA"}
    assert sandbox.exec(ExecRequest(argv=("env",), env={"FROM_TEMPLATE": "no"})).stdout.count(b"FROM_TEMPLATE=no") == 1
    assert b"EXTRA" not in sandbox.exec(ExecRequest(argv=("env",))).stdout, "of one command only"


def _odd_variables(sandbox: Sandbox) -> None:
    """Values are data; names that no shell could have are refused."""
    odd = {
        "A": "x\ny",
        "B": "'\"`$(id)`\\",
        "C": "",
        "D": " é=\t",
        "IFS": "x",
        "PS4": "$(id)",
        "UID": "7",
        "OPTIND": "z",
    }
    script = 'import os,sys; sys.stdout.buffer.write(b"|".join(os.environb[n.encode()] for n in sys.argv[1:]))'
    result = sandbox.exec(ExecRequest(argv=("python3", "-c", script, *odd), env=odd))
    assert result.stdout.decode() == "|".join(odd.values()), result
    for name in ("", "A B", "A=B", "1A", "A-B", "é", "A\n", "$(id)"):
        refused = refusal(lambda name=name: sandbox.exec(ExecRequest(argv=("true",), env={name: ""})))  # type: ignore[misc]
        assert refused == "bad_variable", name


def _no_nul(sandbox: Sandbox) -> None:
    """What no program can be given is refused, not cut."""
    assert refusal(lambda: sandbox.exec(ExecRequest(argv=("printf", "a\0b")))) == "bad_argument"
    assert refusal(lambda: sandbox.exec(ExecRequest(argv=("true",), env={"A": "\0"}))) == "bad_argument"


def _folder(sandbox: Sandbox) -> None:
    """Where a command runs; a missing folder is its failure, said in words."""
    root = sandbox.exec(ExecRequest(argv=("pwd",))).stdout.decode().strip()
    assert sandbox.exec(ExecRequest(argv=("pwd",), cwd="src")).stdout.decode() == f"{root}/src\n"
    assert sandbox.exec(ExecRequest(argv=("pwd",), cwd=f"{root}/docs/old")).stdout.decode() == f"{root}/docs/old\n"
    for missing in ("no/such", "README.md"):
        result = sandbox.exec(ExecRequest(argv=("echo", "ran"), cwd=missing))
        assert (result.exit_code, result.stdout) == (126, b"")
        assert missing.encode() in result.stderr
    assert refusal(lambda: sandbox.exec(ExecRequest(argv=("pwd",), cwd="/etc"))) == "path_outside"
    assert refusal(lambda: sandbox.exec(ExecRequest(argv=("pwd",), cwd="../.."))) == "path_outside"


def _missing_program(sandbox: Sandbox) -> None:
    """As a shell says it."""
    result = sandbox.exec(ExecRequest(argv=("no-such-program",)))
    assert (result.ending, result.exit_code, result.stdout) == ("exited", 127, b"")
    assert b"no-such-program" in result.stderr
    for denied in ("./README.md", "./src"):
        result = sandbox.exec(ExecRequest(argv=(denied,)))
        assert (result.ending, result.exit_code, result.stdout) == ("exited", 126, b""), denied


def _exit_codes(sandbox: Sandbox) -> None:
    """As the command chose them; above 128 they may stand for a signal, and are still the same number."""
    for code in (0, 1, 2, 3, 64, 77, 124, 125, 126, 127, 128, 130, 137, 143, 153, 200, 254, 255):
        result = shell(sandbox, f"exit {code}")
        assert result.exit_code == code
        assert result.ok == (code == 0)
        if code not in (137, 153):
            assert result.ending == "exited", code


def _signals(sandbox: Sandbox) -> None:
    """128 + the signal that ended it, never 0; killed is not exited."""
    killed = shell(sandbox, "kill -9 $$")
    assert (killed.ending, killed.exit_code) == ("killed", 137)
    for number in (1, 2, 3, 6, 10, 11, 13, 14, 15):
        result = shell(sandbox, f"kill -{number} $$; echo survived")
        assert (result.exit_code, result.stdout) == (128 + number, b""), number


def _default_signals(sandbox: Sandbox) -> None:
    """No signal is ignored or blocked from the start, so that Ctrl-C handlers and broken pipes work as ever."""
    text = sandbox.exec(ExecRequest(argv=("cat", "/proc/self/status"))).stdout.decode()
    masks = dict(line.split(":\t", 1) for line in text.splitlines() if line.startswith("Sig"))
    assert int(masks["SigIgn"], 16) & 0x7FFF_FFFF == 0, masks
    assert int(masks["SigBlk"], 16) == 0, masks
    script = (
        "import os, signal\ntry:\n os.kill(os.getpid(), 2)\n signal.pause()\nexcept KeyboardInterrupt: print('caught')"
    )
    assert sandbox.exec(ExecRequest(argv=("python3", "-c", script), seconds=20)).stdout == b"caught\n"
    assert shell(sandbox, "yes | head -n 1", seconds=20).stdout == b"y\n"


def _umask(sandbox: Sandbox) -> None:
    """New files can be read by everybody and written by their owner."""
    assert shell(sandbox, "umask; : > masked; stat -c %a masked; rm masked").stdout == b"0022\n644\n"


def _no_output(sandbox: Sandbox) -> None:
    """None, and none without its end of line, and neither runs into the next command's."""
    nothing = sandbox.exec(ExecRequest(argv=("true",)))
    assert (nothing.ok, nothing.stdout, nothing.stderr) == (True, b"", b"")
    assert sandbox.exec(ExecRequest(argv=("printf", "no end"))).stdout == b"no end"
    assert sandbox.exec(ExecRequest(argv=("printf", "\n\n"))).stdout == b"\n\n"
    assert shell(sandbox, "head -c 65536 /dev/zero").stdout == bytes(65536), "as much as a pipe holds"
    assert sandbox.exec(ExecRequest(argv=("true",))).stdout == b""


def _binary_output(sandbox: Sandbox) -> None:
    """Any bytes on both streams at once."""
    data = bytes(range(256)) * 40
    result = sandbox.exec(ExecRequest(argv=("sh", "-c", "tee /dev/stderr"), stdin=data, output_bytes=len(data)))
    assert result.stdout == result.stderr == data


def _lookalikes(sandbox: Sandbox) -> None:
    """Output that looks like anybody's protocol is output."""
    frames = b"".join(bytes([kind, 0, 0, 0]) + (4).to_bytes(4, "big") + b"fake" for kind in (0, 1, 2, 3))
    tokens = b"ready\npong\n0\nend\nk\n\0\x04\x03" + b"".join(b"%08x 0\n" % number for number in (0, 1, 0xDEADBEEF))
    lines = b'\n::set-output name=x::y\nEOF\n__EXIT__0\n\x1b]0;x\x07{"exit_code": 0}\n'
    data = frames + tokens + lines
    result = sandbox.exec(ExecRequest(argv=("sh", "-c", "tee /dev/stderr; exit 5"), stdin=data))
    assert (result.exit_code, result.stdout, result.stderr) == (5, data, data)


def _long_output(sandbox: Sandbox) -> None:
    """Head and tail stay, the middle is counted."""
    script = "echo first; head -c 5000000 /dev/zero; echo last; head -c 3000000 /dev/zero >&2"
    result = shell(sandbox, script, output_bytes=10_000)
    assert result.stdout.startswith(b"first\n")
    assert result.stdout.endswith(b"last\n")
    assert len(result.stdout) == len(result.stderr) == 10_000
    assert result.dropped_bytes == 8_000_011 - 20_000
    none = shell(sandbox, "echo out; echo err >&2", output_bytes=0)
    assert (none.stdout, none.stderr, none.dropped_bytes) == (b"", b"", 8)


def _both_streams(sandbox: Sandbox) -> None:
    """10 MB of each, written in turns: every byte, in its stream's order."""
    script = """
import os
for number in range(2500):
    for stream in (1, 2):
        data = b"%07d\\n" % (number * stream) * 512
        while data:
            data = data[os.write(stream, data):]
"""
    result = sandbox.exec(ExecRequest(argv=("python3", "-c", script), output_bytes=11 * _MB, seconds=60))
    assert result.ok, result.stderr[:200]
    for stream, seen in ((1, result.stdout), (2, result.stderr)):
        assert seen == b"".join(b"%07d\n" % (number * stream) * 512 for number in range(2500))


def _live_output(sandbox: Sandbox) -> None:
    """Seen while it comes."""
    seen: list[tuple[str, bytes, float]] = []
    request = ExecRequest(argv=("sh", "-c", "echo one; sleep 1; echo two >&2"))
    sandbox.exec(request, on_output=lambda stream, data: seen.append((stream, data, time.monotonic())))
    assert [each[:2] for each in seen] == [("stdout", b"one\n"), ("stderr", b"two\n")]
    assert seen[1][2] - seen[0][2] > 0.5


def _listener_fails(sandbox: Sandbox) -> None:
    """Whoever listens may fail: the command ends with it, and the sandbox stays usable."""

    def listen(stream: str, data: bytes) -> None:
        raise ZeroDivisionError(stream, data)

    started = time.monotonic()
    try:
        sandbox.exec(ExecRequest(argv=("sh", "-c", "echo now; exec sleep 61.25")), on_output=listen)
    except ZeroDivisionError:
        pass
    else:
        raise AssertionError("the listener's error was lost")
    assert time.monotonic() - started < 30
    assert shell(sandbox, "cat /proc/*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c '[6]1.25'").stdout == b"0\n"


def _background(sandbox: Sandbox) -> None:
    """A child that holds the streams open holds nobody up, and lives on."""
    started = time.monotonic()
    result = shell(sandbox, "(sleep 2; echo late; touch lived) & echo started")
    assert (result.ok, result.stdout) == (True, b"started\n")
    assert time.monotonic() - started < 1.9
    assert shell(sandbox, "while [ ! -e lived ]; do sleep 0.1; done; rm lived; echo mine").stdout == b"mine\n"


def _closed_streams(sandbox: Sandbox) -> None:
    """The end of the output is not the end of the command."""
    assert shell(sandbox, "exec >&- 2>&-; sleep 0.5; exit 9").exit_code == 9
    assert shell(sandbox, "exec <&-; echo fine").stdout == b"fine\n"


def _side_by_side(sandbox: Sandbox) -> None:
    """Eight at once, again and again: each has its own output, code, input and folder."""

    def one(number: int) -> None:
        for turn in range(5):
            script = 'cat; i=0; while [ $i -lt 200 ]; do echo "$1"; echo "$1" >&2; i=$((i+1)); done; exit "$2"'
            name = f"{number}-{turn}-"
            argv = ("sh", "-c", script, "sh", name, str(number + 1))
            result = sandbox.exec(ExecRequest(argv=argv, stdin=name.encode(), seconds=60))
            assert result.exit_code == number + 1
            assert result.stdout == name.encode() + f"{name}\n".encode() * 200
            assert result.stderr == f"{name}\n".encode() * 200

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(one, number) for number in range(8)]:
            done.result()


def _slow_beside(sandbox: Sandbox) -> None:
    """A slow one holds nobody up, and files can be read while it writes them."""
    results = []
    script = 'i=0; while [ ! -e enough ]; do i=$((i+1)); echo "step $i" >> progress; sleep 0.05; done; echo "$i"'
    thread = threading.Thread(target=lambda: results.append(shell(sandbox, script, seconds=60)))
    thread.start()
    try:
        seen: set[bytes] = set()
        until = time.monotonic() + 30
        while len(seen) < 3 and time.monotonic() < until:
            if shell(sandbox, "test -e progress").ok:
                seen.add(sandbox.read_file("progress"))
    finally:
        sandbox.write_file("enough", b"")
        thread.join(60)
    assert len(seen) == 3, "no progress was seen while it ran"
    assert int(results[0].stdout) >= 3
    shell(sandbox, "rm progress enough")


def _many(sandbox: Sandbox) -> None:
    """A batch of commands in one sandbox; orphans that they leave are buried."""
    for number in range(200):
        result = shell(sandbox, "(true & true &) ; (sleep 0.01 &) >/dev/null 2>&1; echo $1", str(number))
        assert result.stdout == b"%d\n" % number
    until = time.monotonic() + 15
    while (left := _zombies(sandbox)) > 1 and time.monotonic() < until:
        time.sleep(0.05)
    assert left <= 1


def _zombies(sandbox: Sandbox) -> int:
    """Of the task's user."""
    script = """
    for status in /proc/[0-9]*/status; do grep -q "^Uid:.$(id -u)" $status && cat $status; done 2>/dev/null |
        grep -c '^State:.Z'
    """
    return int(shell(sandbox, script).stdout)


COMMANDS: tuple[SandboxCheck, ...] = (
    *(_streams, _arguments, _long_arguments, _standard_input, _unread_input, _environment, _odd_variables, _no_nul),
    *(_folder, _missing_program, _exit_codes, _signals, _default_signals, _umask, _no_output, _binary_output),
    *(_lookalikes, _long_output, _both_streams, _live_output, _listener_fails, _background, _closed_streams),
    *(_side_by_side, _slow_beside, _many),
)
"""Of every provider."""

"""How commands in a sandbox end when they don't end by themselves, as checks: in time, with all that they started."""

import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from bot.protocols import Sandbox
from bot.testing.contracts_given import SandboxCheck, shell
from bot.types.sandbox import ExecRequest, ExecResult


def _mark() -> str:
    """A number of seconds that nobody else sleeps."""
    return f"9{secrets.randbelow(10**6):06}.5"


def _running(sandbox: Sandbox, mark: str) -> int:
    """Processes that have the mark among their arguments."""
    script = """
    mark=$1$2 count=0
    for file in /proc/[0-9]*/cmdline; do
        case "$(tr '\\0' ' ' 2>/dev/null < "$file")" in *"$mark"*) count=$((count+1));; esac
    done 2>/dev/null
    echo $count
    """
    return int(shell(sandbox, script, mark[:3], mark[3:]).stdout)


def _time_out(sandbox: Sandbox) -> None:
    """A result; what the command started is gone with it, daemons and the deaf included; what it said is kept."""
    mark = _mark()
    script = f"""
    trap '' TERM INT HUP; setsid sh -c 'trap "" TERM; while :; do sleep {mark}; done' &
    (setsid sh -c '(setsid sleep {mark} >/dev/null 2>&1 <&- &)' &); nohup sleep {mark} >/dev/null 2>&1 &
    sh -c 'kill -STOP $$; sleep {mark}' & echo said; sleep {mark}
    """
    started = time.monotonic()
    result = shell(sandbox, script, seconds=1)
    assert time.monotonic() - started < 20
    assert (result.ending, result.exit_code, result.stdout) == ("timed_out", 124, b"said\n")
    assert _running(sandbox, mark) == 0


def _after_a_time_out(sandbox: Sandbox) -> None:
    """The sandbox is as it was: files, folders, the next command; and again."""
    sandbox.write_file("kept/by", b"it")
    for _ in range(3):
        assert shell(sandbox, "cd kept; sleep 60", seconds=0.2).ending == "timed_out"
        assert sandbox.read_file("kept/by") == b"it"
        assert shell(sandbox, "pwd -P; exit 4").exit_code == 4
    sandbox.delete_file("kept")


def _no_time(sandbox: Sandbox) -> None:
    """However short, it is a time-out and not the sandbox's end."""
    for seconds in (1e-9, 0.0005, 0.01):
        result = sandbox.exec(ExecRequest(argv=("sleep", "60"), seconds=seconds))
        assert (result.ending, result.exit_code) == ("timed_out", 124), seconds
    assert shell(sandbox, "echo fine").stdout == b"fine\n"


def _others_end_too(sandbox: Sandbox) -> None:
    """A time-out ends the commands beside it, which says so of them; those that come later run."""
    with ThreadPoolExecutor(4) as pool:
        others = [pool.submit(shell, sandbox, "sleep 60; exit 0") for _ in range(3)]
        time.sleep(0.5)
        assert shell(sandbox, "sleep 60", seconds=0.5).ending == "timed_out"
        ended = [each.result(timeout=30) for each in others]
    assert {(each.ending, each.exit_code) for each in ended} == {("killed", 137)}
    assert shell(sandbox, "echo fine").stdout == b"fine\n"


def _time_outs_at_once(sandbox: Sandbox) -> None:
    """Several at the same time, with others beginning meanwhile: each has an ending of its own, nobody waits long."""
    results: list[ExecResult] = []
    started = time.monotonic()

    def hurried(number: int) -> None:
        for turn in range(3):
            result = shell(sandbox, "sleep 60", seconds=0.1 + 0.05 * ((number + turn) % 3))
            results.append(result)

    threads = [threading.Thread(target=hurried, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        assert shell(sandbox, "echo between", seconds=30).ending in ("exited", "killed")
    for thread in threads:
        thread.join(60)
    assert {each.ending for each in results} <= {"timed_out", "killed"}
    assert len(results) == 12
    assert time.monotonic() - started < 45
    assert shell(sandbox, "echo fine").stdout == b"fine\n"


def _cancel(sandbox: Sandbox) -> None:
    """A person's stop ends a command at once, and all that it started."""
    started, mark = time.monotonic(), _mark()
    request = ExecRequest(argv=("sh", "-c", f"setsid sleep {mark} & sleep {mark}"), seconds=60)
    result = sandbox.exec(request, cancelled=lambda: time.monotonic() - started > 0.5)
    assert (result.ending, result.exit_code) == ("cancelled", 137)
    assert time.monotonic() - started < 15
    assert _running(sandbox, mark) == 0


def _own_group(sandbox: Sandbox) -> None:
    """A command that signals its whole process group reaches nobody else."""
    for signal in (2, 15, 9):
        result = shell(sandbox, f"kill -{signal} 0; sleep 60", seconds=20)
        assert result.ending in ("exited", "killed")
        assert result.exit_code == 128 + signal
        assert shell(sandbox, "echo fine").stdout == b"fine\n"


def _kill_all(sandbox: Sandbox) -> None:
    """Every signal to everything it may reach is the end of the command, and not of the sandbox."""
    sandbox.write_file("survivor", b"file")
    for signal in (15, 1, 2):
        assert shell(sandbox, f"kill -{signal} -1; exit 7", seconds=20).exit_code == 7, "all but itself"
        assert shell(sandbox, "cat survivor").stdout == b"file"
    mark = _mark()
    for _ in range(2):
        result = shell(sandbox, f"kill -9 -1; sleep {mark}", seconds=20)
        assert (result.ending, result.exit_code) == ("killed", 137)
        assert _running(sandbox, mark) == 0
        assert shell(sandbox, "cat survivor").stdout == b"file"
    sandbox.delete_file("survivor")


def _kill_all_beside(sandbox: Sandbox) -> None:
    """Also while others run and begin: what was killed says so, what comes later runs."""
    with ThreadPoolExecutor(4) as pool:
        others = [pool.submit(shell, sandbox, "sleep 60", seconds=50) for _ in range(3)]
        time.sleep(0.3)
        shell(sandbox, "kill -9 -1; sleep 60", seconds=20)
        assert {each.result(timeout=50).ending for each in others} == {"killed"}
        assert [each.stdout for each in pool.map(lambda _: shell(sandbox, "echo fine"), range(4))] == [b"fine\n"] * 4


_OURS = "for p in /proc/[0-9]*; do grep -qsa [/]driver $p/cmdline && pid=${p#/proc/} && "


def _stopped_shell(sandbox: Sandbox) -> None:
    """Whatever takes our commands may be halted by the task: time-outs still hold."""
    mark = _mark()
    result = shell(sandbox, f"{_OURS} kill -STOP $pid; done; setsid sleep {mark} & sleep {mark}", seconds=1)
    assert result.ending == "timed_out"
    assert _running(sandbox, mark) == 0


def _dead_shell(sandbox: Sandbox) -> None:
    """Or killed, with a daemon left behind that nobody would end then."""
    mark = _mark()
    result = shell(sandbox, f"setsid sleep {mark} & {_OURS} kill -9 $pid; done; sleep {mark}", seconds=1)
    assert result.ending in ("timed_out", "killed")
    assert shell(sandbox, "sleep 60", seconds=0.2).ending in ("timed_out", "killed"), "its end may come a little later"
    assert _running(sandbox, mark) == 0


def _memory(sandbox: Sandbox) -> None:
    """Named, and survived."""
    result = sandbox.exec(ExecRequest(argv=("sh", "-c", "x=xxxxxxxx; while :; do x=$x$x; done"), seconds=60))
    assert result.ending == "oom"
    assert result.exit_code != 0
    assert shell(sandbox, "echo fine").stdout == b"fine\n"
    assert shell(sandbox, "exit 3").ending == "exited", "an earlier end is not this one's"


def _memory_of_many(sandbox: Sandbox) -> None:
    """Also when many small processes take it together."""
    script = "import sys, time; x = bytearray(30_000_000); time.sleep(1)"
    bomb = 'i=0; while [ $i -lt 12 ]; do python3 -c "$1" & i=$((i+1)); done; wait; exit 1'
    result = shell(sandbox, bomb, script, seconds=60)
    assert result.ending in ("oom", "timed_out")
    sandbox.exec(ExecRequest(argv=("sleep", "60"), seconds=0.2))
    assert shell(sandbox, "echo fine").stdout == b"fine\n"


def _processes(sandbox: Sandbox) -> None:
    """A fork bomb is named and stopped."""
    result = shell(sandbox, "i=0; while [ $i -lt 200 ]; do sleep 20 & i=$((i+1)); done; wait", seconds=5)
    assert result.ending in ("pids", "timed_out")
    bomb = shell(sandbox, "bomb() { bomb | bomb & }; bomb; sleep 30", seconds=3)
    assert bomb.ending in ("pids", "timed_out")
    sandbox.exec(ExecRequest(argv=("sleep", "60"), seconds=0.5))  # the time-out clears what the bomb left
    assert shell(sandbox, "echo fine").stdout == b"fine\n"


def _process_limit(sandbox: Sandbox) -> None:
    """A command that ends because it may have no more processes says so, and what it left can be ended."""
    script = """
import os, sys, time
try:
    while True:
        if os.fork() == 0:
            os.setsid(); time.sleep(60); os._exit(0)
except OSError:
    sys.exit(9)
"""
    result = sandbox.exec(ExecRequest(argv=("python3", "-c", script), seconds=30))
    assert (result.ending, result.exit_code) == ("pids", 9)
    assert sandbox.exec(ExecRequest(argv=("sleep", "60"), seconds=1)).exit_code != 0
    assert shell(sandbox, "sleep 60", seconds=0.5).exit_code != 0
    assert shell(sandbox, "echo fine").stdout == b"fine\n"


def _one_file(sandbox: Sandbox) -> None:
    """One file can't be larger than a file may be; open files and core dumps are bounded too."""
    assert sandbox.exec(ExecRequest(argv=("truncate", "-s", "900G", "huge"))).ending == "disk"
    shell(sandbox, "rm -f huge")
    words = shell(sandbox, "ulimit -n; ulimit -c; ulimit -f").stdout.split()
    assert int(words[0]) <= 1 << 20
    assert words[1] == b"0"
    assert words[2] != b"unlimited"
    script = "import os\nfiles = []\nwhile True: files.append(os.dup(1))"
    assert sandbox.exec(ExecRequest(argv=("python3", "-c", script), seconds=30)).exit_code == 1


ENDINGS: tuple[SandboxCheck, ...] = (
    *(_time_out, _after_a_time_out, _no_time, _others_end_too, _time_outs_at_once, _cancel, _own_group),
)
"""Of every provider."""
ENDINGS_ISOLATED: tuple[SandboxCheck, ...] = (_kill_all, _kill_all_beside, _stopped_shell, _dead_shell)
"""Of those where a process of the task's reaches nothing but the sandbox: they send signals to all that they can."""
ENDINGS_LIMITED: tuple[SandboxCheck, ...] = (_memory, _memory_of_many, _processes, _process_limit, _one_file)
"""Of those that bound memory and processes."""

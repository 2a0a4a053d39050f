"""The channel alone, over plain shells of this machine: bytes, deaths on both sides, floods, forgeries. No engine."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.sandbox.channel.command import ChannelDown, Command, Raw
from bot.sandbox.channel.pipes import Pipes, make_channel

ROOT = Path(__file__).resolve().parent.parent
SHELLS = {
    "sh": ("sh",),
    "bash": ("bash", "--posix"),
    "busybox": ("busybox", "sh"),
}


@dataclass
class Inside:
    """A driver, its folder, and our side of it."""

    folder: Path
    shell: tuple[str, ...]
    pipes: Pipes
    driver: subprocess.Popen[bytes]

    def run(self, script: str, seconds: float = 20, stdin: bytes = b"", output_bytes: int = 100_000) -> Raw:
        argv = ("sh", "-c", script)
        command = Command(argv=argv, cwd="/", seconds=seconds, stdin=stdin, output_bytes=output_bytes)
        return self.pipes.run(command)

    def start(self) -> None:
        """A driver, in a session of its own, whose workers are those of the same shell."""
        bin_folder = self.folder.parent / "bin"
        if not bin_folder.exists():
            bin_folder.mkdir()
            script = f'#!/bin/sh\nexec {" ".join((shutil.which(self.shell[0]) or "", *self.shell[1:]))} "$@"\n'
            (bin_folder / "sh").write_text(script)
            (bin_folder / "sh").chmod(0o755)
        env = {"PATH": f"{bin_folder}:/usr/bin:/bin"}
        self.driver = subprocess.Popen([*self.shell, f"{self.folder}/driver"], env=env, start_new_session=True)

    def workers(self) -> set[int]:
        """Process numbers of the workers that serve this folder."""
        return {
            int(each.name)
            for each in Path("/proc").iterdir()
            if each.name.isdigit() and _reads(each) == str(self.folder) and int(each.name) != self.driver.pid
        }


def _reads(process: Path) -> str:
    """The folder that a worker works in."""
    try:
        return os.readlink(process / "cwd") if b"worker" in (process / "cmdline").read_bytes() else ""  # noqa: PTH115
    except OSError:
        return ""


@pytest.fixture(params=SHELLS)
def inside(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Inside]:
    shell = SHELLS[request.param]
    if shutil.which(shell[0]) is None:
        pytest.skip(f"there is no {shell[0]}")
    folder = tmp_path / "channel"
    make_channel(folder, str(folder), kill=False)  # `kill -9 -1` would reach this very test
    with subprocess.Popen(["true"]) as first:
        made = Inside(folder, shell, Pipes(folder), first)
    made.start()
    assert made.pipes.ping(10)
    yield made
    made.pipes.close()
    for pid in made.workers():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    made.driver.kill()
    made.driver.wait()


def test_bytes_codes_and_folders(inside: Inside) -> None:
    raw = inside.run(r"cat; printf '\000\377no end'; echo err >&2; pwd; exit 7", stdin=b"in\0put")
    assert (raw.exit_code, raw.stop, raw.stdout) == (7, None, b"in\0put\0\xffno end/\n")
    assert raw.stderr == b"err\n"
    missing = inside.pipes.run(Command(argv=("true",), cwd=f"{inside.folder}/none"))
    assert missing.exit_code == 126
    assert b"none" in missing.stderr


def test_scripts_and_variables(inside: Inside) -> None:
    env = {"A": "x'y\n\"$(id)", "UID": "7", "IFS": "x"}
    raw = inside.pipes.run(Command(argv=("env", "-0"), env=env))
    assert {f"{name}={value}".encode() for name, value in env.items()} <= set(raw.stdout.split(b"\0"))
    ours = Command(script='printf "%s|" "$@"; exit 3', argv=("a b", "-n", "*", ""))
    raw = inside.pipes.run(ours)
    assert (raw.exit_code, raw.stdout) == (3, b"a b|-n|*||")


def test_signals_are_as_ever(inside: Inside) -> None:
    cat = shutil.which("cat") or ""  # a shell of its own may ignore what it does not pass on
    masks = dict(line.split(b":\t") for line in inside.run(f"exec {cat} /proc/self/status").stdout.splitlines())
    assert int(masks[b"SigIgn"], 16) & 0x7FFF_FFFF == 0
    for number in (2, 13, 15):
        assert inside.run(f"kill -{number} $$; echo survived").exit_code == 128 + number
    for number in (2, 15):
        assert inside.run(f"kill -{number} 0; echo survived").exit_code == 128 + number
        assert inside.run("echo fine").stdout == b"fine\n"
    assert inside.run("kill -9 $$").exit_code == 137


def test_many_at_once(inside: Inside) -> None:
    def one(number: int) -> bytes:
        return inside.run(f"for i in 1 2 3 4 5; do echo {number}; done; sleep 0.0{number % 10}; echo end").stdout

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(40))) == [b"%d\n" % number * 5 + b"end\n" for number in range(40)]
    time.sleep(0.2)
    assert len(inside.workers()) <= 5, "no more wait than are of use"


def test_a_long_stream(inside: Inside) -> None:
    raw = inside.run("head -c 30000000 /dev/zero & head -c 20000000 /dev/zero >&2; wait", output_bytes=1000)
    assert (raw.exit_code, len(raw.stdout), len(raw.stderr), raw.dropped) == (0, 1000, 1000, 50_000_000 - 2000)


def test_a_child_that_holds_the_streams(inside: Inside) -> None:
    started = time.monotonic()
    raw = inside.run("(sleep 1; echo late; sleep 1; echo > " + f"{inside.folder.parent}/lived) & echo now")
    assert (raw.stdout, time.monotonic() - started < 0.9) == (b"now\n", True)
    assert [inside.run("echo next").stdout for _ in range(3)] == [b"next\n"] * 3
    until = time.monotonic() + 10
    while not (inside.folder.parent / "lived").exists():
        assert time.monotonic() < until, "it was killed by what it had to say"
        inside.run("sleep 0.1")


def test_a_worker_that_dies(inside: Inside) -> None:
    raw = inside.run("kill -9 $PPID; sleep 30")
    assert (raw.exit_code, raw.stop) == (None, None)
    assert inside.run("echo fine").stdout == b"fine\n"
    for pid in inside.workers():  # while it waits
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.1)
    assert inside.run("echo fine").stdout == b"fine\n"


def test_a_driver_that_dies(inside: Inside) -> None:
    inside.driver.kill()
    inside.driver.wait()
    assert not inside.pipes.ping(5)
    for pid in inside.workers():
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.1)
    started = time.monotonic()
    with pytest.raises(ChannelDown):
        inside.run("true")
    with pytest.raises(ChannelDown):
        inside.pipes.end_commands()
    assert time.monotonic() - started < 2, "known at once"
    inside.start()
    inside.pipes.renew()
    assert inside.pipes.ping(10)
    assert inside.run("echo fine").stdout == b"fine\n"


def test_a_driver_that_does_not_read(inside: Inside) -> None:
    inside.driver.send_signal(signal.SIGSTOP)
    try:
        assert not inside.pipes.ping(0.2)
        raw = inside.run("true", seconds=0.3)
        assert (raw.exit_code, raw.stop) == (None, "timed_out"), "there was no worker in that time"
    finally:
        inside.driver.send_signal(signal.SIGCONT)
    assert inside.run("echo fine").stdout == b"fine\n"


def test_no_time_at_all(inside: Inside) -> None:
    for seconds in (0.0, 1e-9, 0.001):
        assert inside.run("sleep 5", seconds=seconds).stop == "timed_out"
    assert inside.run("echo fine").stdout == b"fine\n"


def test_two_sides(inside: Inside) -> None:
    """Another process at the same folder, at the same time."""
    code = """
import sys
from pathlib import Path
from bot.sandbox.channel.command import Command
from bot.sandbox.channel.pipes import Pipes
pipes = Pipes(Path(sys.argv[1]))
for number in range(30):
    assert pipes.run(Command(argv=("echo", str(number)))).stdout == b"%d\\n" % number
assert pipes.ping(5)
pipes.close()
print("fine")
"""
    words = [sys.executable, "-c", code, str(inside.folder)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        while other.poll() is None:
            assert inside.run("echo mine").stdout == b"mine\n"
        assert other.communicate()[0] == "fine\n"


def test_a_side_that_dies(inside: Inside) -> None:
    """Killed in the middle of a command: what served it goes too, once the command is done."""
    code = """
import os, signal, sys, threading
from pathlib import Path
from bot.sandbox.channel.command import Command
from bot.sandbox.channel.pipes import Pipes
pipes = Pipes(Path(sys.argv[1]))
assert pipes.run(Command(argv=("true",))).exit_code == 0
kill = lambda stream, data: os.kill(os.getpid(), signal.SIGKILL)
pipes.run(Command(argv=("sh", "-c", "echo now; sleep 0.3; echo gone"), on_output=kill))
"""
    before = inside.workers()
    done = subprocess.run([sys.executable, "-c", code, str(inside.folder)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    until = time.monotonic() + 10
    while inside.workers() - before:
        assert time.monotonic() < until, "a worker waits for nobody"
        time.sleep(0.05)
    assert inside.run("echo fine").stdout == b"fine\n"


def test_forged_statuses(inside: Inside) -> None:
    """What the task writes into our pipes is not the end of its command, and is no error of ours."""
    forge = f"""
    cd {inside.folder}
    for status in *.status; do
        for line in '00000000 0' ready pong 'x y z' '' '99999999999 1' '0 0 0'; do echo "$line" 1<> $status; done
        head -c 20000 /dev/urandom 1<> $status
    done
    exit 5
    """
    raw = inside.run(forge)
    assert (raw.exit_code, raw.stop) == (5, None)
    assert [inside.run(f"exit {code}").exit_code for code in (0, 1, 6)] == [0, 1, 6]


def test_flooded_pipes(inside: Inside) -> None:
    """A task that fills every pipe gets an error or a time-out, in time; afterwards a fresh driver works."""
    flood = f"""
    cd {inside.folder}
    for pipe in *.turn control; do (timeout 5 head -c 100000 /dev/zero 1<> $pipe &) 2>/dev/null; done
    sleep 0.3
    """
    inside.run(flood)
    started = time.monotonic()
    for _ in range(2):
        with contextlib.suppress(ChannelDown):
            assert inside.run("echo fine", seconds=1).stop in ("timed_out", None)
    with contextlib.suppress(ChannelDown):
        inside.pipes.end_commands()
    assert time.monotonic() - started < 15
    inside.driver.kill()
    inside.driver.wait()
    time.sleep(0.1)
    inside.pipes.renew()
    inside.start()
    inside.pipes.renew()
    assert inside.pipes.ping(10)
    assert inside.run("echo fine").stdout == b"fine\n"


def test_a_stop_that_is_asked_for(inside: Inside) -> None:
    asked = threading.Event()
    threading.Timer(0.3, asked.set).start()
    raw = inside.pipes.run(Command(argv=("sleep", "5"), cancelled=asked.is_set))
    assert (raw.exit_code, raw.stop) == (None, "cancelled")
    raw = inside.pipes.run(Command(argv=("sleep", "5"), full=lambda: True))
    assert (raw.exit_code, raw.stop) == (None, "disk")


def _open_in(folder: Path) -> int:
    """Files of that folder that this process has open."""
    count = 0
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            count += os.readlink(each).startswith(f"{folder}/")  # noqa: PTH115
    return count


def _pipes_in(folder: Path) -> set[str]:
    """Here late shells may make plain files, where a sandbox sees the folder read-only."""
    return {each.name for each in folder.iterdir() if each.is_fifo()}


def test_nothing_is_left_open(inside: Inside) -> None:
    """Neither files of ours nor files in the folder, however often."""
    inside.run("true")
    before, names = _open_in(inside.folder), len(_pipes_in(inside.folder))
    for _ in range(30):
        inside.run("cat; echo x; echo y >&2", stdin=b"z")
        inside.pipes.ping(5)
        inside.run("sleep 5", seconds=0.005)
    inside.run("true")
    assert _open_in(inside.folder) <= before + 17, "streams of children that live on are kept, up to 16"
    assert len(_pipes_in(inside.folder)) <= names + 4
    inside.pipes.close()
    inside.pipes.close()
    # A command that was given up before it began makes files of its own, here where it may write into the folder.
    left = {each.name for each in inside.folder.iterdir() if each.is_fifo() or "." not in each.name}
    assert left == {"alive", "control", "driver", "worker"}
    with pytest.raises(ChannelDown):
        inside.run("true")

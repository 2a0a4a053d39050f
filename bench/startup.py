"""How long `sandpiper --help` takes -> a table, against the floor of importing click and pydantic.

Usage: python bench/startup.py [rounds]      every command once a round, so that a busy machine slows all of them alike
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

LIMIT = 1.5
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import click, pydantic": ["-c", "import click, pydantic"],
    "sandpiper --help": ["-m", "bot", "--help"],
    "sandpiper --version": ["-m", "bot", "--version"],
    "sandpiper runs list": ["-m", "bot", "runs", "list"],
    "sandpiper config schema": ["-m", "bot", "config", "schema"],
}


def main() -> int:
    """Measure and print; 1 when the help text is slower than the limit."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(rounds + 1):
        for name, words in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, "-I", *words], check=True, stdout=subprocess.DEVNULL)
            if number:  # the first round warms the disk's cache
                times[name].append((time.perf_counter() - started) * 1000)
    floor = statistics.median(times["import click, pydantic"])
    print(f"{'command':<26}{'min ms':>9}{'median ms':>11}{'p90 ms':>9}{'ratio':>8}")
    for name, each in times.items():
        median = statistics.median(each)
        p90 = sorted(each)[int(len(each) * 0.9)]
        print(f"{name:<26}{min(each):>9.1f}{median:>11.1f}{p90:>9.1f}{median / floor:>8.2f}")
    ratio = statistics.median(times["sandpiper --help"]) / floor
    print(f"\nsandpiper --help takes {ratio:.2f} x the floor; the limit is {LIMIT}")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())

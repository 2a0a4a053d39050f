"""The demo's repository, as text: a small tide calendar with one stale generated file and one real bug."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

README = """\
# tidepool

A tide calendar for one harbour. `make generate` turns `data/tides.csv` into `tidepool/table.py`,
`make test` runs the tests.
"""

MAKEFILE = """\
generate:
\tpython3 tools/generate.py data/tides.csv tidepool/table.py

check-generated:
\tpython3 -m unittest -v tests.test_table

test:
\tpython3 -m unittest -v tests.test_clock
"""

TIDES = """\
day,time,metres
mon,04:12,3.91
mon,10:35,0.72
tue,05:02,4.05
tue,11:21,0.58
wed,05:49,4.11
wed,12:04,0.51
"""

STALE_TABLE = '''\
"""High and low water, generated from data/tides.csv. Do not edit: run `make generate`."""

TIDES = [
    ("mon", "04:12", 3.91),
    ("mon", "10:35", 0.72),
]
'''

GENERATE = '''\
"""data/tides.csv -> tidepool/table.py"""

import csv
import sys

HEAD = \'"""High and low water, generated from data/tides.csv. Do not edit: run `make generate`."""\\n\\nTIDES = [\\n\'


def render(rows):
    lines = [f\'    ("{row["day"]}", "{row["time"]}", {float(row["metres"]):.2f}),\\n\' for row in rows]
    return HEAD + "".join(lines) + "]\\n"


if __name__ == "__main__":
    source, target = sys.argv[1:]
    with open(source, newline="") as file:
        text = render(csv.DictReader(file))
    with open(target, "w") as file:
        file.write(text)
    print(f"wrote {target}: {text.count('(')} tides")
'''

TEST_TABLE = """\
import csv
import unittest

from tidepool.table import TIDES


class TableTest(unittest.TestCase):
    def test_the_table_holds_every_row_of_the_data(self):
        with open("data/tides.csv", newline="") as file:
            rows = [(row["day"], row["time"], float(row["metres"])) for row in csv.DictReader(file)]
        self.assertEqual(TIDES, rows)
"""

CLOCK = '''\
"""Minutes since midnight, as people read them."""


def clock(minutes):
    """385 -> "6:25"."""
    return f"{minutes // 60}:{minutes % 60}"


def until(now, then):
    """Minutes from one time of the day to the next occurrence of another."""
    return (then - now) % (24 * 60)
'''

TEST_CLOCK = """\
import unittest

from tidepool.clock import clock, until


class ClockTest(unittest.TestCase):
    def test_two_digits(self):
        self.assertEqual(clock(385), "6:25")

    def test_one_digit(self):
        self.assertEqual(clock(425), "7:05")

    def test_over_midnight(self):
        self.assertEqual(until(23 * 60, 60), 120)
"""

POLICY = """\
# What the bot may do here. Read from the default branch only.
version: 1
tasks:
  regenerate:
    description: Regenerate tidepool/table.py from the data
    runtime: command
    commands: [make generate]
    verify: [make check-generated]
    outputs: [comment, patch, branch, pull_request]
    limits: {minutes: 5, memory_mb: 512}
  fix:
    verify: [make test]
    limits: {minutes: 10, usd: 0.50}
"""

FILES: Mapping[str, bytes] = MappingProxyType(
    {
        path: text.encode()
        for path, text in {
            ".github/bot.yml": POLICY,
            ".gitignore": "__pycache__/\n",
            "Makefile": MAKEFILE,
            "README.md": README,
            "data/tides.csv": TIDES,
            "tests/__init__.py": "",
            "tests/test_clock.py": TEST_CLOCK,
            "tests/test_table.py": TEST_TABLE,
            "tidepool/__init__.py": "",
            "tidepool/clock.py": CLOCK,
            "tidepool/table.py": STALE_TABLE,
            "tools/generate.py": GENERATE,
        }.items()
    }
)
"""Path -> contents."""

STALE_TITLE = "The table stops on Monday"
STALE_BODY = """\
`data/tides.csv` has the whole week since yesterday, but the calendar still ends on Monday.
I think somebody forgot to run the generator.
"""

BUG_TITLE = "7:5 instead of 7:05"
BUG_BODY = """\
The calendar prints times with a single digit for the minutes:

```
>>> clock(425)
'7:5'
```

Expected `7:05`. Two-digit minutes are fine.
"""

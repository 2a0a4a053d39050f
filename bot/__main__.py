"""The words of a command line -> a command that runs, and the process's exit code."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from bot.cli.root import sandpiper


def run(words: Sequence[str]) -> int:
    """Run one command; every error ends here, as a message and an exit code."""
    try:
        code = sandpiper.main(list(words), prog_name="sandpiper", standalone_mode=False)
    except Exception as error:  # noqa: BLE001 - the one place where this door turns any error into an exit code
        # By name, not at the top: it needs the error tree and with it all values, which `--help` has no time for.
        faults = importlib.import_module("bot.cli.faults")
        return int(faults.report(error, words))
    return code if isinstance(code, int) else 0


def main() -> None:
    """The program `sandpiper`."""
    # Read when numpy is loaded. Its matrices here are small: threads that wait for each other cost ten times the work.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

"""Tables and texts of rich -> standard output: drawn on a terminal, plain and inert where a job's log is read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console

from bot.telemetry.display import is_log
from bot.telemetry.lines import inert

if TYPE_CHECKING:
    from rich.console import RenderableType

LOG_WIDTH = 140
"""Columns of a log, which has no width of its own."""


def draw(parts: Iterable[RenderableType]) -> None:
    """Print them below each other."""
    console = Console(highlight=False)
    if not is_log(console, os.environ):
        for part in parts:
            console.print(part)
        return
    console = Console(highlight=False, width=LOG_WIDTH, no_color=True)
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    for line in captured.get().splitlines():
        sys.stdout.write(inert(line).rstrip().encode(encoding, "replace").decode(encoding) + "\n")
    sys.stdout.flush()

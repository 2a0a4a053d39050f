"""What was typed after `--max-usd` -> a ceiling that holds: a finite number of US dollars, and none below zero."""

from __future__ import annotations

import math
from typing import Any

import click


class Dollars(click.FloatRange):
    """A float from 0 on. `nan` is refused: no price is above it, so it would be no ceiling at all."""

    name = "usd"

    def __init__(self) -> None:
        super().__init__(min=0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is no number of US dollars.", param, ctx)
        return found

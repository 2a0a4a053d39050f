"""Outputs -> a list that says what would have been published: the writer of every dry run."""

from __future__ import annotations

from pathlib import Path

from bot.types.output import Output, Receipt


class DryRunWriter:
    """A ForgeWriter that only remembers, in the order of the calls."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []

    def apply(self, output: Output, *, blobs: Path, doubt: bool = False) -> Receipt:
        """Remember the output; the receipt has no address, because nothing was written."""
        self.outputs.append(output)
        return Receipt(key=output.key, kind=output.kind)

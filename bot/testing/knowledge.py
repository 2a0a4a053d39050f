"""Given values -> Knowledge that says them: a fake for tests, which remembers what it was asked."""

from __future__ import annotations

from dataclasses import dataclass, field

from bot.errors import SandpiperError
from bot.types.triage import Measured, Neighbour, Posterior, RelevantFile

EVEN = Posterior(types={"bug": 0.4, "feature": 0.3, "question": 0.3})
"""What somebody says who knows nothing."""


@dataclass
class FakeKnowledge:
    """Implements Knowledge. With `damage` every question raises it."""

    says: Posterior = EVEN
    near: tuple[Neighbour, ...] = ()
    places: tuple[RelevantFile, ...] = ()
    measures: Measured = Measured()  # noqa: RUF009 - a frozen value
    damage: SandpiperError | None = None
    asked: list[str] = field(default_factory=list)
    """Names of the questions, in their order."""

    def posterior(self, title: str, body: str) -> Posterior:
        """The given one."""
        self._ask("posterior")
        return self.says

    def neighbours(self, title: str, body: str, *, number: int | None = None, most: int = 5) -> tuple[Neighbour, ...]:
        """The given ones, without the issue itself and later ones."""
        self._ask("neighbours")
        return tuple(each for each in self.near if number is None or each.number < number)[:most]

    def files(self, title: str, body: str, *, most: int = 5) -> tuple[RelevantFile, ...]:
        """The given ones."""
        self._ask("files")
        return self.places[:most]

    def measured(self) -> Measured:
        """The given measure."""
        self._ask("measured")
        return self.measures

    def _ask(self, name: str) -> None:
        self.asked.append(name)
        if self.damage is not None:
            raise self.damage

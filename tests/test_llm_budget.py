"""A run that is killed and gone on with spends what is left of its budget, not the whole of it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from bot.errors import ModelError
from bot.llm.budget import Budget, BudgetExceeded, spent_by
from bot.testing.llm import ScriptedLLM, call
from bot.types.model import Message

ASKED = [Message(role="user", content="Do it")]


def priced(price: float) -> ScriptedLLM:
    return ScriptedLLM([call("shell", {"command": "true"})] * 9, price=price)


def test_what_was_spent_before_counts(tmp_path: Path) -> None:
    journal = tmp_path / "spent.txt"
    first = Budget(priced(0.25), 0.6, journal)
    first.complete(ASKED)
    second = Budget(priced(0.25), 0.6, journal)
    assert second.spent == pytest.approx(0.25)
    second.complete(ASKED)
    with pytest.raises(BudgetExceeded):
        Budget(priced(0.25), 0.6, journal).complete(ASKED)


class Killed(BaseException):
    """The process dies while the model answers."""


def killed(messages: Sequence[Message]) -> Message:
    raise Killed


def test_an_answer_that_nobody_heard_is_paid_all_the_same(tmp_path: Path) -> None:
    journal = tmp_path / "spent.txt"
    with pytest.raises(Killed):
        Budget(ScriptedLLM([killed], price=0.4), 1.0, journal).complete(ASKED)
    assert spent_by(journal) == pytest.approx(0.4)


def test_a_model_that_did_not_answer_costs_nothing(tmp_path: Path) -> None:
    journal = tmp_path / "spent.txt"
    with pytest.raises(ModelError):
        Budget(ScriptedLLM([ModelError("model_down", "no")], price=0.4), 1.0, journal).complete(ASKED)
    assert spent_by(journal) == pytest.approx(0.0)


def test_a_journal_that_was_cut_is_read(tmp_path: Path) -> None:
    journal = tmp_path / "spent.txt"
    journal.write_bytes(b"0.5\n0.25\nnan\n\xff\n1e-")
    assert spent_by(journal) == pytest.approx(0.75)
    assert spent_by(tmp_path / "none") == 0.0

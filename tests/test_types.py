"""The vocabulary: frozen, closed, the same after a round trip through JSON."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import bot.types
from bot.types.event import Actor, Event, Other, Repository
from bot.types.result import Usage
from bot.types.run import Run, run_id_of
from bot.types.sandbox import ExecResult
from bot.types.value import Value


def event(identity: str = "1", name: str = "owner/name") -> Event:
    return Event(
        id=identity,
        name="issues",
        repository=Repository(full_name=name, default_branch="main"),
        actor=Actor(login="maria", id=1),
        trigger=Other(reason="test"),
    )


def every_value() -> list[type[Value]]:
    modules = [importlib.import_module(f"bot.types.{each.name}") for each in pkgutil.iter_modules(bot.types.__path__)]
    found = {item for module in modules for item in vars(module).values() if isinstance(item, type)}
    return sorted((each for each in found if issubclass(each, Value)), key=lambda each: each.__name__)


@pytest.mark.parametrize("kind", every_value())
def test_every_field_says_what_it_means(kind: type[Value]) -> None:
    assert kind.__doc__
    silent = [name for name, field in kind.model_fields.items() if not field.description and name != "kind"]
    assert not silent


@pytest.mark.parametrize("kind", every_value())
def test_values_are_frozen_and_closed(kind: type[Value]) -> None:
    assert kind.model_config["frozen"]
    assert kind.model_config["extra"] == "forbid"


def test_a_copy_is_validated() -> None:
    assert Usage(steps=1).changed(steps=2).steps == 2
    with pytest.raises(ValidationError):
        Usage().changed(steps="many")
    with pytest.raises(ValidationError):
        Usage().changed(unknown=1)


@given(st.binary(max_size=200), st.integers(0, 255))
def test_bytes_survive_json(data: bytes, code: int) -> None:
    before = ExecResult(ending="exited", exit_code=code, stdout=data, stderr=data[::-1])
    assert ExecResult.model_validate_json(before.model_dump_json()) == before


def test_a_run_survives_json() -> None:
    run = Run(run_id=run_id_of(event()), event=event())
    assert Run.model_validate_json(run.model_dump_json()) == run


def test_one_event_has_one_run() -> None:
    assert run_id_of(event()) == run_id_of(event(name="Owner/Name"))
    assert run_id_of(event()) != run_id_of(event("2"))
    before, after = (event(name=name) for name in ("owner/name", "owner/renamed"))
    numbered = [run_id_of(each.changed(repository=each.repository.changed(id=7))) for each in (before, after)]
    assert numbered[0] == numbered[1] != run_id_of(before)
    assert run_id_of(event()) != run_id_of(event(name="owner/other"))


def test_an_exit_code_counts_only_when_the_command_chose_it() -> None:
    assert ExecResult(ending="exited", exit_code=0).ok
    assert not ExecResult(ending="timed_out", exit_code=0).ok
    assert not ExecResult(ending="exited", exit_code=1).ok

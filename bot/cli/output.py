"""Values and texts -> standard output, as JSON for programs or as lines for people; both are inert in a job log."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click
from pydantic import BaseModel

from bot.telemetry.lines import inert

Function = TypeVar("Function", bound=Callable[..., Any])


def json_option(function: Function) -> Function:
    """The option `--json`, which every command has."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(function)


def say(text: str = "", *, err: bool = False) -> None:
    """Print lines that may hold a stranger's text."""
    for line in text.splitlines() or [""]:
        click.echo(inert(line), err=err)


def table(rows: Iterable[Sequence[str]]) -> str:
    """Rows in columns, as wide as their widest cell."""
    cells = [[" ".join(each.split()) for each in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)


def print_json(value: BaseModel | Mapping[str, Any]) -> None:
    """Print a value as one JSON object. `##[` is spelled with an escape: GitHub's runner would obey it in a log."""
    text = json.dumps(plain(value), indent=2)
    click.echo(text.replace("##[", "##\\u005b"))


def plain(value: Any) -> Any:
    """Our values as what JSON knows."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value

"""Bytes of `.github/bot.yml` -> data with the line of every field, and mistakes in place of surprises.

YAML is read node by node: keys are the text that stands there (YAML 1.1 reads the key `on` as true), a key that
comes twice is a mistake, and aliases and tags are refused, so that a small file can't become a large value.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from pydantic import BaseModel

from bot.errors import Mistake

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
Path = tuple[str | int, ...]

_SCALARS = {"null", "bool", "int", "float", "str"}
_PREFIX = "tag:yaml.org,2002:"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, ten times faster, where it was built


class Bad(Exception):
    """A place in the file and what is wrong there; ends the reading of the file."""

    def __init__(self, line: int, message: str, field: str = "") -> None:
        super().__init__(message)
        self.line, self.message, self.field = line, message, field


def read(data: bytes, file: str) -> tuple[Any, dict[Path, int], list[Mistake]]:
    """The file's data, the line of each field, and the mistakes that YAML itself shows."""
    lines: dict[Path, int] = {(): 1}
    mistakes: list[Mistake] = []
    try:
        if len(data) > MAX_BYTES:
            raise Bad(1, f"the file has {len(data)} bytes, at most {MAX_BYTES} are read")
        node = _compose(data)
        value = {} if node is None or node.tag == f"{_PREFIX}null" else _value(node, (), lines, mistakes, file)
    except Bad as bad:
        return {}, lines, [Mistake(file=file, line=bad.line, field=bad.field or "(file)", message=bad.message)]
    return value, lines, mistakes


def _compose(data: bytes) -> yaml.Node | None:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Bad(data[: error.start].count(b"\n") + 1, "the file is not UTF-8") from None
    try:
        _scan(text)
        node: yaml.Node | None = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Bad(mark.line + 1 if mark else 1, f"this is no YAML: {error.problem or error.context}") from None
    except yaml.YAMLError:  # a character that YAML does not allow; its error has no line
        raise Bad(1, "this is no YAML: it holds characters that YAML does not allow") from None
    return node


def _scan(text: str) -> None:
    """Refuse what could make the file larger or deeper than it looks, before anything is built from it."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise Bad(line, "aliases (*name) are not read; use `extends` to share fields between tasks")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        if depth > MAX_DEPTH:
            raise Bad(line, f"nested deeper than {MAX_DEPTH} levels")
        if documents > 1:
            raise Bad(line, "one document is read, here a second one begins")


def _value(node: yaml.Node, path: Path, lines: dict[Path, int], mistakes: list[Mistake], file: str) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if not isinstance(node, yaml.ScalarNode) and node.tag.removeprefix(_PREFIX) not in ("seq", "map"):
        raise Bad(node.start_mark.line + 1, "tags (!name) are not read", dotted(path))
    if isinstance(node, yaml.SequenceNode):
        return [_value(each, (*path, index), lines, mistakes, file) for index, each in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, lines, mistakes, file)
    return _scalar(node)


def _mapping(
    node: yaml.MappingNode, path: Path, lines: dict[Path, int], mistakes: list[Mistake], file: str
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise Bad(line, "a key must be plain text", dotted(path))
        name = key.value
        if name in result:
            message = f"`{name}` is here for the second time, the first is in line {lines[(*path, name)]}"
            mistakes.append(Mistake(file=file, line=line, field=dotted((*path, name)), message=message))
            continue
        lines[(*path, name)] = line
        result[name] = _value(value, (*path, name), lines, mistakes, file)
    return result


def _scalar(node: yaml.Node) -> Any:
    kind = node.tag.removeprefix(_PREFIX)
    line = node.start_mark.line + 1
    if kind == "timestamp":
        return node.value
    if kind not in _SCALARS:
        raise Bad(line, "tags (!name) are not read")
    try:
        constructor = yaml.constructor.SafeConstructor()
        return constructor.construct_object(node)
    except (ValueError, OverflowError, yaml.YAMLError):
        raise Bad(line, f"this is no {kind}") from None


def dotted(path: Sequence[str | int]) -> str:
    """A field's path as people write it: `tasks.fix.commands[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "(file)"


def line_of(path: Path, lines: Mapping[Path, int]) -> int:
    """The line of a field, or of the nearest one around it."""
    while path not in lines:
        path = path[:-1]
    return lines[path]


def fields_at(model: type[BaseModel], path: Sequence[str | int]) -> tuple[str, ...]:
    """Names of the fields that may stand at that place, empty where any name may."""
    found: tuple[type[BaseModel], ...] = (model,)
    for part in path:
        steps: list[type[BaseModel]] = []
        for each in found:
            field = each.model_fields.get(str(part))
            if field is not None:
                steps.extend(_models_in(field.annotation))
        found = tuple(steps) or found  # an index or a free name: the models inside the container stay
    return tuple(name for each in found for name in each.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for argument in getattr(annotation, "__args__", ()) or ():
        yield from _models_in(argument)

"""Bytes of `.github/bot.yml` -> Policy, or PolicyError: each mistake with file, line, field and the closest right word.

The shape is in bot.triage.policy_shape, the reading of YAML in bot.triage.policy_file.
"""

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pathspec import GitIgnoreSpec
from pydantic import ValidationError

from bot.errors import Mistake, PolicyError
from bot.triage.patterns import fault_of
from bot.triage.policy_file import Path, dotted, fields_at, line_of, read
from bot.triage.policy_shape import RESERVED, Policy, When, policy_schema
from bot.triage.tasks import builtin_tasks

__all__ = ["Policy", "closest", "digest_of", "parse_policy", "policy_schema"]


def parse_policy(data: bytes | None, path: str = ".github/bot.yml") -> Policy:
    """The policy in a file's bytes; None (no file) and an empty file mean the built-in tasks. Raises PolicyError."""
    value, lines, mistakes = read(data or b"", path)
    if not mistakes or value:
        mistakes.extend(_shape_mistakes(value, lines, path))
    if mistakes:
        raise PolicyError(sorted(mistakes, key=lambda each: each.line))
    policy = _validate(value)
    wrong = list(_meaning_mistakes(policy))
    if wrong:
        raise PolicyError([_mistake(path, lines, where, message) for where, message in wrong])
    return policy


def digest_of(data: bytes | None) -> str:
    """SHA-256 of a policy file, empty for none: what the gate pins."""
    return "" if data is None else hashlib.sha256(data).hexdigest()


def closest(word: str, choices: Sequence[str]) -> str:
    """`; did you mean ...?`, or the choices where none is close."""
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    if near:
        return f"; did you mean `{near[0]}`?"
    return f"; known are {', '.join(choices[:20])}" if choices else ""


def _validate(value: Any) -> Policy:
    """Strict as JSON is, so that parser and schema agree: no text where a number is due, lists for tuples."""
    return Policy.model_validate_json(json.dumps(value), strict=True)


def _mistake(file: str, lines: Mapping[Path, int], where: Path, message: str) -> Mistake:
    return Mistake(file=file, line=line_of(where, lines), field=dotted(where), message=message)


def _shape_mistakes(value: Any, lines: Mapping[Path, int], file: str) -> Iterator[Mistake]:
    if not isinstance(value, dict):
        yield _mistake(file, lines, (), "the file must hold fields, like `tasks:`")
        return
    try:
        _validate(value)
    except ValidationError as error:
        for each in error.errors(include_url=False):
            where = tuple(part for part in each["loc"] if part != "[key]")
            yield _mistake(file, lines, _known(where, lines), _message(each, where))


def _known(where: Path, lines: Mapping[Path, int]) -> Path:
    """The place without what pydantic adds behind the last part that stands in the file."""
    for end in range(len(where), 0, -1):
        if where[:end] in lines:
            rest = where[end:]
            return where if all(isinstance(part, str) for part in rest) and len(rest) == 1 else where[:end]
    return where


def _message(error: Any, where: Path) -> str:
    kind, given = error["type"], error.get("input")
    if kind == "extra_forbidden":
        return f"there is no such field{closest(str(where[-1]), fields_at(Policy, where[:-1]))}"
    if kind == "literal_error":
        choices = [word.strip("' ") for word in error["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return f"{_shown(given)} is not possible here{closest(str(given), choices)}"
    if kind in ("string_type", "model_type", "dict_type", "tuple_type", "mapping_type", "bool_type"):
        return {
            "string_type": f"text is needed, not {_shown(given)}: put it in quotes",
            "tuple_type": "a list is needed: write [one, two], or lines that begin with `-`",
            "bool_type": "true or false is needed",
        }.get(kind, "fields are needed here, like `name: value`")
    if kind == "string_pattern_mismatch":
        return f"{_shown(given)} does not have the form {error['ctx']['pattern']}"
    return str(error["msg"])


def _shown(value: Any) -> str:
    text = repr(value) if value is not None else "nothing"
    return text if len(text) <= 60 else text[:57] + "..."


def _meaning_mistakes(policy: Policy) -> Iterator[tuple[Path, str]]:
    """What the shape alone can't tell: names that must exist, circles, rules that do nothing."""
    names = sorted({*builtin_tasks(), *policy.tasks})
    for name, entry in policy.tasks.items():
        if name in RESERVED:
            yield ("tasks", name), f"`{name}` is a word of the bot's own, a task needs another name"
        if entry.extends is not None and entry.extends not in names:
            yield ("tasks", name, "extends"), f"there is no such task{closest(entry.extends, names)}"
        elif _is_circle(name, policy):
            yield ("tasks", name, "extends"), "this task extends itself"
    for moment, tasks in policy.on.items():
        for task in tasks:
            if task not in names:
                yield ("on", moment), f"there is no task `{task}`{closest(task, names)}"
    for index, rule in enumerate(policy.triage.rules):
        if not rule.when.model_fields_set:
            yield ("triage", "rules", index, "when"), "a condition is needed; `title: '*'` holds for all"
        if not rule.then.model_fields_set:
            yield ("triage", "rules", index, "then"), "a consequence is needed: labels, comment or task"
        if rule.then.task is not None and rule.then.task not in names:
            where: Path = ("triage", "rules", index, "then", "task")
            yield where, f"there is no such task{closest(rule.then.task, names)}"
        for part, message in _when_mistakes(rule.when):
            yield ("triage", "rules", index, "when", *part), message
    yield from _label_mistakes(policy)


def _when_mistakes(when: When) -> Iterator[tuple[Path, str]]:
    """Patterns that nothing can be compared with."""
    for pattern in when.matches or ():
        if fault := fault_of(pattern):
            yield _place("matches", when.matches, pattern), f"this is no pattern that RE2 reads: {fault}"
    for pattern in when.paths or ():
        if _is_no_path(pattern):
            yield _place("paths", when.paths, pattern), f"no path fits the pattern {_shown(pattern)}"
    if when.paths and when.subject == "issue":
        yield ("paths",), "an issue changes no paths: leave out `paths`, or say `subject: pull_request`"


def _place(field: str, patterns: Sequence[str] | None, pattern: str) -> Path:
    """A lone pattern may stand there without a list around it."""
    return (field, patterns.index(pattern)) if patterns and len(patterns) > 1 else (field,)


def _is_no_path(pattern: str) -> bool:
    try:
        return not any(each.include is not None for each in GitIgnoreSpec.from_lines([pattern]).patterns)
    except ValueError:
        return True


def _label_mistakes(policy: Policy) -> Iterator[tuple[Path, str]]:
    """Labels that are named where only those of the list count."""
    listed = policy.triage.labels
    for name in policy.triage.apply.thresholds if policy.triage.apply and listed else ():
        if name not in listed:
            where: Path = ("triage", "apply", "thresholds", name)
            yield where, f"`{name}` is not among `triage.labels`{closest(name, list(listed))}"


def _is_circle(name: str, policy: Policy) -> bool:
    seen = {name}
    entry = policy.tasks.get(name)
    while entry is not None and entry.extends is not None and entry.extends in policy.tasks:
        if entry.extends == name:
            return not (name in builtin_tasks() and len(seen) == 1)
        if entry.extends in seen:
            return False  # a circle further up, which is that task's mistake
        seen.add(entry.extends)
        entry = policy.tasks[entry.extends]
    return False

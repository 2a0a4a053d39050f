"""`.github/bot.yml` -> Policy and tasks; every mistake with its line; parser and JSON schema agree."""

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pathspec import GitIgnoreSpec

from bot.errors import Mistake, PolicyError
from bot.triage.globs import any_matches, found_in, matches
from bot.triage.policy import Policy, parse_policy, policy_schema
from bot.triage.policy_shape import RESERVED
from bot.triage.tasks import builtin_tasks, tasks_of

SCHEMA = Draft202012Validator(policy_schema())


class _Loader(yaml.SafeLoader):
    """YAML as editors read it: version 1.2, where `on` is a word."""


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, regexp) for tag, regexp in found if "bool" not in tag]
    for letter, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), ["t", "f"])

GOOD = [
    "version: 1",
    "tasks: {}",
    "tasks: {fix: {}}",
    "tasks: {fix: {prompt: , verify: [make test, [sh, -c, 'a && b'], 'pytest -k \"a b\"']}}",
    "tasks: {regen: {runtime: command, commands: ['make gen'], outputs: [comment, patch, branch, pull_request]}}",
    "tasks: {deep: {extends: fix, limits: {minutes: 1.5, usd: 0, steps: 3}, image: python, env: {A_b: '1'}}}",
    "tasks: {a: {extends: b}, b: {extends: fix, permission: triage, subjects: [issue], protected: ['/docs']}}",
    "on: {opened: triage, synchronize: [test, lint], upstream: review}",
    "triage: {labels: [bug, help wanted], actions: [labels, comment], model: false}",
    "triage: {labels: {bug: it is broken, 'area: ui': ''}}",
    "triage: {rules: [{when: {title: crash}, then: {labels: [bug]}}]}",
    "triage: {rules: [{when: {body: ['*x*', y], author: 'a?', subject: issue}, then: {task: fix, comment: Hi}}]}",
    "on: {assigned: fix, review_requested: [review], ci_failed: fix-ci, schedule: run}",
    "tasks: {fix: {symlinks: true, reports: ['**/junit.xml'], outputs: [comment, review]}}",
    "protected: ['/deploy/**', '*.lock']",
    "conventions: docs/agents.md",
    "conventions: [A.md, B.md]",
    "limits: {minutes: 5, memory_mb: 512}",
]
BAD = [
    "version: 2",
    "version: '1'",
    "verson: 1",
    "- version",
    "tasks: []",
    "tasks: {Fix: {}}",
    "protected: '*.lock'",
    "protected: ['']",
    "on: {scheduled: fix}",
    "tasks: {fix: {symlinks: 'yes'}}",
    "tasks: {fix: {reports: junit.xml}}",
    "tasks: {fix: [a]}",
    "tasks: {fix: {permission: writer}}",
    "tasks: {fix: {verify: make test}}",
    "tasks: {fix: {verify: ['']}}",
    "tasks: {fix: {verify: [[]]}}",
    "tasks: {fix: {verify: [[1]]}}",
    "tasks: {fix: {outputs: [merge]}}",
    "tasks: {fix: {limits: {minutes: 0}}}",
    "tasks: {fix: {limits: {minutes: '5'}}}",
    "tasks: {fix: {limits: {steps: 1.5}}}",
    "tasks: {fix: {limits: {usd: true}}}",
    "tasks: {fix: {limits: {hours: 1}}}",
    "tasks: {fix: {env: {'A-b': x}}}",
    "tasks: {fix: {env: {A: 1}}}",
    "tasks: {fix: {labels: ['']}}",
    "on: {open: fix}",
    "on: {opened: []}",
    "on: {opened: Fix}",
    "triage: {labels: [1]}",
    "triage: {labels: {bug: 1}}",
    "triage: {labels: [' bug']}",
    "triage: {actions: [close]}",
    "triage: {model: 'no'}",
    "triage: {rules: [{when: {title: x}}]}",
    "triage: {rules: [{when: {}, then: {labels: [a]}}]}",
    "triage: {rules: [{when: {title: x}, then: {}}]}",
    "triage: {rules: [{when: {title: []}, then: {labels: [a]}}]}",
    "triage: {rules: [{when: {regex: x}, then: {labels: [a]}}]}",
    "conventions: /etc/passwd",
    "conventions: []",
    "limits: {pids: 1}",
]


@pytest.mark.parametrize("text", GOOD)
def test_good_files_are_good_for_parser_and_schema(text: str) -> None:
    assert not list(SCHEMA.iter_errors(yaml.load(text, Loader=_Loader)))
    policy = parse_policy(text.encode())
    assert Policy.model_validate_json(policy.model_dump_json()) == policy
    tasks_of(policy)


@pytest.mark.parametrize("text", BAD)
def test_bad_files_are_bad_for_parser_and_schema(text: str) -> None:
    assert list(SCHEMA.iter_errors(yaml.load(text, Loader=_Loader)))
    with pytest.raises(PolicyError):
        parse_policy(text.encode())


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(policy_schema())
    assert policy_schema()["$schema"].endswith("2020-12/schema")
    assert policy_schema()["properties"]["tasks"]["description"]


def mistakes(text: str | bytes) -> list[Mistake]:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(PolicyError) as caught:
        parse_policy(data, "bot.yml")
    found = list(caught.value.mistakes)
    assert all(each.file == "bot.yml" and each.line >= 1 and each.message for each in found)
    assert caught.value.exit_code == 2
    return found


def test_every_mistake_is_listed_with_line_field_and_closest_word() -> None:
    text = """version: 1
tasks:
  fix:
    verfy: [make test]
    permission: writer
    limits:
      minuts: 5
      usd: much
  Bad name: {}
  regen:
    commands:
      - make a && make b
      - 'open
  regen: {}
on:
  openned: fix
triage:
  labels: {bug: 1}
  rules:
    - when: {titel: x}
      then: {labels: [bug]}
"""
    found = {each.field: (each.line, each.message) for each in mistakes(text.replace("'open", '"\'open"'))}
    expected = {
        "tasks.fix.verfy": (4, "did you mean `verify`?"),
        "tasks.fix.permission": (5, "did you mean `write`?"),
        "tasks.fix.limits.minuts": (7, "did you mean `minutes`?"),
        "tasks.fix.limits.usd": (8, "number"),
        "tasks.Bad name": (9, "form"),
        "tasks.regen.commands[0]": (12, "`&&`"),
        "tasks.regen.commands[1]": (13, "no closing quotation"),
        "tasks.regen": (14, "second time, the first is in line 10"),
        "on.openned": (16, "did you mean `opened`?"),
        "triage.labels.bug": (18, "quotes"),
        "triage.rules[0].when.titel": (20, "did you mean `title`?"),
    }
    assert set(found) == set(expected)
    for field, (line, part) in expected.items():
        assert found[field][0] == line, field
        assert part in found[field][1], field


@pytest.mark.parametrize(
    ("text", "line", "field", "part"),
    [
        ("tasks:\n  a: {extends: fxi}", 2, "tasks.a.extends", "did you mean `fix`?"),
        ("tasks:\n  a: {extends: b}\n  b: {extends: a}", 2, "tasks.a.extends", "extends itself"),
        ("tasks:\n  a: {extends: a}", 2, "tasks.a.extends", "extends itself"),
        ("tasks:\n  help: {}", 2, "tasks.help", "another name"),
        ("on:\n  opened: traige", 2, "on.opened", "did you mean `triage`?"),
        ("triage:\n rules:\n - when: {title: x}\n   then: {task: fxi}", 4, "triage.rules[0].then.task", "`fix`"),
    ],
)
def test_meaning(text: str, line: int, field: str, part: str) -> None:
    first = mistakes(text)[0]
    assert (first.line, first.field) == (line, field)
    assert part in first.message


@pytest.mark.parametrize(
    ("data", "line", "part"),
    [
        (b"a: &x [1]\nb: *x", 2, "aliases"),
        (b"a: !!python/object/apply:os.system [id]", 1, "tags"),
        (b"version: 1\ntasks: {fix: {prompt: !secret x}}", 2, "tags"),
        (b"version: 1\n---\nversion: 1", 2, "second"),
        (b"version: 1\ntasks: [}", 2, "YAML"),
        (b"version: 1\n\tx: 1", 2, "YAML"),
        (b"version: 1\n\xff", 2, "UTF-8"),
        (b"version: 1\nx: \x07", 1, "YAML"),
        (b"[" * 1_000, 1, "nested"),
        (b"{a: " * 30, 1, "nested"),
        (b"? [a]\n: 1", 1, "key"),
        (b"#" * 300_000, 1, "bytes"),
        (b"version: 1\ntasks: {fix: {limits: {steps: " + b"9" * 5_000 + b"}}}", 2, "int"),
    ],
)
def test_hostile_and_broken_yaml(data: bytes, line: int, part: str) -> None:
    found = mistakes(data)
    assert any(part in each.message for each in found), found
    assert found[0].line == line


@pytest.mark.parametrize("data", [None, b"", b"# nothing\n", b"\xef\xbb\xbfversion: 1", b"---\n"])
def test_nothing_means_the_built_in_tasks(data: bytes | None) -> None:
    assert tasks_of(parse_policy(data)) == builtin_tasks()
    assert set(builtin_tasks()) == {"fix", "fix-ci", "test", "lint", "explain", "review", "triage", "run"}


def test_an_entry_changes_only_the_fields_it_gives() -> None:
    text = """
limits: {minutes: 9, usd: 1}
tasks:
  fix: {verify: [make test], limits: {usd: 3}}
  quick: {extends: fix, prompt: Be quick., limits: {minutes: 2}}
  regen: {runtime: command, commands: [make gen]}
"""
    tasks = tasks_of(parse_policy(text.encode()))
    fix, built_in = tasks["fix"], builtin_tasks()["fix"]
    assert fix.verify == (("make", "test"),)
    assert (fix.prompt, fix.outputs) == (built_in.prompt, built_in.outputs)
    assert (fix.limits.usd, fix.limits.minutes, fix.limits.steps) == (3, 9, built_in.limits.steps)
    quick = tasks["quick"]
    assert (quick.name, quick.prompt, quick.verify) == ("quick", "Be quick.", fix.verify)
    assert (quick.limits.minutes, quick.limits.usd) == (2, 3)
    assert tasks["regen"].limits.minutes == 9
    assert tasks["regen"].permission == "write"
    assert tasks["lint"].limits.minutes == 9


def test_what_the_repository_protects_no_task_opens() -> None:
    text = """
protected: [/deploy/**, secret.txt]
tasks: {fix: {protected: ['docs/**', '!/deploy/**']}, own: {extends: fix}}
"""
    tasks = tasks_of(parse_policy(text.encode()))
    assert {task.protected[-2:] for task in tasks.values()} == {("/deploy/**", "secret.txt")}
    assert tasks["own"].protected == tasks["fix"].protected == ("docs/**", "!/deploy/**", "/deploy/**", "secret.txt")
    assert GitIgnoreSpec.from_lines(tasks["fix"].protected).match_file("deploy/key")


def test_the_undocumented_is_not_there() -> None:
    """Built-in tasks say what they do, and names of moments are no names of tasks."""
    assert all(task.description for task in builtin_tasks().values())
    for word in RESERVED:
        assert "another name" in mistakes(f"tasks: {{{word}: {{}}}}")[0].message


yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["version", "tasks", "fix", "on", "opened", "triage", "labels", "rules", "limits", "usd"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(yaml_values)
def test_any_yaml_is_a_policy_or_a_list_of_mistakes(value: Any) -> None:
    try:
        parse_policy(yaml.safe_dump(value).encode())
    except PolicyError as error:
        if error.mistakes:
            return
        raise


@given(st.binary(max_size=60))
def test_any_bytes_are_a_policy_or_a_list_of_mistakes(data: bytes) -> None:
    try:
        parse_policy(data)
    except PolicyError as error:
        if error.mistakes:
            return
        raise


@given(yaml_values)
def test_what_the_parser_takes_the_schema_takes(value: Any) -> None:
    try:
        parse_policy(json.dumps(value).encode())
    except PolicyError:
        return
    assert value is None or not list(SCHEMA.iter_errors(value))


@pytest.mark.parametrize(
    ("pattern", "text", "whole", "inside"),
    [
        ("crash", "It CRASHES", False, True),
        ("a*c", "abbbc", True, True),
        ("a?c", "abc", True, True),
        ("a?c", "ac", False, False),
        ("*", "", True, True),
        ("a*b*c", "a1b2c", True, True),
        ("a*b*c", "a1c2b", False, False),
        ("[ab]", "a", False, False),
        ("renovate*", "renovate[bot]", True, True),
        ("**x", "x", True, True),
    ],
)
def test_globs(pattern: str, text: str, whole: bool, inside: bool) -> None:
    assert matches(pattern, text) is whole
    assert any_matches(["nothing like it", pattern], text) is whole
    assert found_in(["nothing like it", pattern], text) is inside


@pytest.mark.timeout(20)
def test_hostile_globs_cost_little() -> None:
    assert not found_in(["a*" * 100 + "b"], "a" * 100_000)
    assert not found_in(["?*" * 99 + "b"], "a" * 100_000)

"""The built-in tasks, and what a policy makes of them: Policy -> tasks by name."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from bot.triage.policy_shape import Policy, TaskEntry
from bot.types.task import Limits, Task
from bot.types.value import OutputKind


def prompt(name: str) -> str:
    """The text of bot/triage/prompts/<name>.md."""
    return resources.files("bot.triage").joinpath("prompts", f"{name}.md").read_text(encoding="utf-8").strip()


@cache
def builtin_tasks() -> Mapping[str, Task]:
    """Tasks that every repository has. `test` and `lint` without commands: the sandbox's files decide what to run."""
    tasks = (
        _changing("fix", "fix what the issue describes and open a draft pull request"),
        Task(name="test", description="run the tests and report", runtime="command", outputs=("comment", "check")),
        Task(name="lint", description="run the linters and report", runtime="command", outputs=("comment", "check")),
        Task(
            name="explain",
            description="explain the issue, the change, or the code in question",
            prompt=prompt("explain"),
            outputs=("comment",),
        ),
        Task(
            name="review",
            description="review the pull request",
            prompt=prompt("review"),
            subjects=("pull_request",),
            outputs=("comment", "review"),
        ),
        _changing("fix-ci", "mend what made the checks of the pull request fail").changed(subjects=("pull_request",)),
        Task(
            name="triage",
            description="label the issue by the repository's rules",
            runtime="triage",
            permission="triage",
            outputs=("comment", "labels"),
            limits=Limits(minutes=5, steps=2, usd=0.1),
        ),
        _changing("run", "do what the text behind the command says"),
    )
    return {task.name: task for task in tasks}


def _changing(name: str, description: str) -> Task:
    """A task for the agent that may propose changes to code."""
    outputs: tuple[OutputKind, ...] = ("comment", "patch", "branch", "pull_request")
    return Task(name=name, description=description, prompt=prompt(name), outputs=outputs)


def tasks_of(policy: Policy) -> Mapping[str, Task]:
    """Every task of the repository by name: the built-in ones, changed and joined by the policy's."""
    tasks = (_resolve(name, policy) for name in dict.fromkeys((*builtin_tasks(), *policy.tasks)))
    # The repository's own come last: of gitignore patterns the last that fits counts, so no task opens what they close.
    return {task.name: task.changed(protected=(*task.protected, *policy.protected)) for task in tasks}


def _resolve(name: str, policy: Policy) -> Task:
    """The task of that name. The policy was checked: `extends` names a task and makes no circle."""
    entry = policy.tasks.get(name, TaskEntry())
    parent = entry.extends or name
    if parent in policy.tasks and parent != name:
        start = _resolve(parent, policy)
    else:
        start = builtin_tasks().get(parent, Task(name=name))
        start = start.changed(limits=_limits(start.limits, policy.limits))
    given = _given(entry)
    if entry.limits is not None:
        given["limits"] = _limits(start.limits, entry.limits)
    return start.changed(name=name, **given)


def _given(entry: TaskEntry) -> dict[str, Any]:
    """The fields that the file gives; null means not given."""
    fields = entry.model_fields_set - {"extends", "limits"}
    return {name: getattr(entry, name) for name in fields if getattr(entry, name) is not None}


def _limits(start: Limits, given: Limits) -> Limits:
    return start.changed(**{name: getattr(given, name) for name in given.model_fields_set})

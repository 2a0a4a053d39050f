"""`.github/bot.yml`: the shape of a repository's policy, as a type, and as a JSON schema for editors.

The file is read from the default branch only. Everything in it is optional: an empty file, and none at all, mean the
built-in tasks. bot.triage.policy turns bytes into this type and names every mistake.
"""

import shlex
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from bot.types.network import HostPattern
from bot.types.task import Limits
from bot.types.triage import IssueType
from bot.types.value import Argv, OutputKind, Permission, SubjectKind, Value

RESERVED = ("help", "status", "stop", "retry", "undo", "approve")
"""Words that people type behind the phrase and that are no tasks."""

SHELL_WORDS = ("&&", "||", "|", ";", "&", ">", ">>", "<", "2>&1")
Moment = Literal[
    "opened",
    "reopened",
    "edited",
    "synchronize",
    "ready_for_review",
    "upstream",
    "assigned",
    "review_requested",
    "ci_failed",
    "schedule",
]
"""When a task starts without its name being said."""


def _command(value: Any) -> Any:
    """A command in text form is split like a shell would, but no shell ever reads it."""
    if not isinstance(value, str):
        return tuple(value) if isinstance(value, list) else value
    try:
        words = shlex.split(value)
    except ValueError as error:
        raise PydanticCustomError("command_text", "this is no command: {why}", {"why": str(error).lower()}) from None
    if not words:
        raise PydanticCustomError("command_text", "this is no command: it is empty")
    if shell := [word for word in words if word in SHELL_WORDS]:
        text = "no shell reads commands, so `{word}` means nothing: write several commands, or [sh, -c, '...']"
        raise PydanticCustomError("command_text", text, {"word": shell[0]})
    return tuple(words)


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


Line = Annotated[str, StringConstraints(max_length=1_000, pattern=r"^[^\x00\n]*$")]
Prose = Annotated[str, StringConstraints(max_length=20_000, pattern=r"^[^\x00]*$")]
Glob = Annotated[str, StringConstraints(min_length=1, max_length=200)]
_LABEL = {"type": "string", "pattern": r"^\S([^\n]{0,48}\S)?$"}
Label = Annotated[str, StringConstraints(pattern=r"^\S([^\n]{0,48}\S)?$")]
TaskName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
FilePath = Annotated[str, StringConstraints(max_length=200, pattern=r"^[A-Za-z0-9_.][^\x00\\]*$")]
Command = Annotated[
    Argv,
    BeforeValidator(_command),
    WithJsonSchema(
        {
            "description": "A command: text that is split into words, or the list of words. No shell reads either.",
            "anyOf": [
                {"type": "string", "pattern": r"\S"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ],
        }
    ),
]
Commands = Annotated[tuple[Command, ...], Field(max_length=100)]


def _several(item: dict[str, Any], most: int) -> tuple[BeforeValidator, WithJsonSchema]:
    array = {"type": "array", "items": item, "minItems": 1, "maxItems": most}
    return BeforeValidator(_one_or_more), WithJsonSchema({"anyOf": [item, array]})


Globs = Annotated[
    tuple[Glob, ...],
    Field(min_length=1, max_length=50),
    *_several({"type": "string", "minLength": 1, "maxLength": 200}, 50),
]
TaskNames = Annotated[
    tuple[TaskName, ...],
    Field(min_length=1, max_length=10),
    *_several({"type": "string", "pattern": r"^[a-z][a-z0-9_-]{0,39}$"}, 10),
]
FilePaths = Annotated[
    tuple[FilePath, ...],
    Field(min_length=1, max_length=10),
    *_several({"type": "string", "maxLength": 200, "pattern": r"^[A-Za-z0-9_.][^\x00\\]*$"}, 10),
]


Patterns = Annotated[
    tuple[Annotated[str, StringConstraints(min_length=1, max_length=500)], ...],
    Field(min_length=1, max_length=50),
    *_several({"type": "string", "minLength": 1, "maxLength": 500}, 50),
]


class TaskEntry(Value):
    """A task of the repository. One with a built-in task's name changes only the fields it gives."""

    extends: TaskName | None = None
    """Another task, from which every field that is not given here is taken."""
    description: Line | None = None
    """One line for `/bot help`."""
    runtime: Line | None = None
    """Who does it: `builtin` (the agent), `command` (no model), `triage` (no sandbox), or an allowed plugin."""
    prompt: Prose | None = None
    """What the agent is told, before the issue's text."""
    setup: Commands | None = None
    """Commands that prepare the checkout; one that fails ends the run."""
    commands: Commands | None = None
    """What the `command` runtime runs, in order; one that fails ends the run."""
    verify: Commands | None = None
    """Commands run before and after the task, whose results are compared."""
    permission: Permission | None = None
    """The least permission of whoever starts it."""
    subjects: Annotated[tuple[SubjectKind, ...], Field(max_length=2)] | None = None
    """What it may be started on."""
    outputs: Annotated[tuple[OutputKind, ...], Field(max_length=7)] | None = None
    """What it may publish."""
    protected: Annotated[tuple[Glob, ...], Field(max_length=200)] | None = None
    """Paths (gitignore patterns) that it may not touch, on top of those that no task may."""
    symlinks: bool | None = None
    """Whether it may propose symbolic links; those that lead out of the repository never."""
    reports: Annotated[tuple[Glob, ...], Field(max_length=50)] | None = None
    """Test reports (JUnit XML) that its commands write, as gitignore patterns; failures become remarks on lines."""
    labels: Annotated[tuple[Label, ...], Field(max_length=20)] | None = None
    """Labels that it puts on when it succeeds."""
    limits: Limits | None = None
    """What it may use; limits that are not given stay as they are."""
    image: Line | None = None
    """`host`, or a container image among those that the operator allows."""
    model: Line | None = None
    """A model among those that the operator allows."""
    env: Annotated[Mapping[Variable, Prose], Field(max_length=100)] | None = None
    """Plain variables for the sandbox. Never a secret: the file is public."""
    hosts: Annotated[tuple[HostPattern, ...], Field(max_length=100)] | None = None
    """Hosts that the sandbox may reach, among those that the operator allows: `name`, `*.name`, each with `:port` if it
    is not 443. None where this is not given, and never for a fork's code."""


class When(Value):
    """What an issue must be like. Every condition that is given must hold; of its patterns, one.

    Patterns know `*` (any text) and `?` (one character), and upper and lower case are the same.
    """

    title: Globs | None = None
    """Found anywhere in the title."""
    body: Globs | None = None
    """Found anywhere in the first 4,000 characters of the text."""
    author: Globs | None = None
    """The author's whole login."""
    labels: Globs | None = None
    """The whole name of one of its labels."""
    subject: SubjectKind | None = None
    """Issue or pull request."""
    matches: Patterns | None = None
    """Regular expressions (RE2, upper and lower case differ unless `(?i)` is said), found anywhere in title or text."""
    paths: Globs | None = None
    """Paths that the pull request changes, as gitignore patterns: one of them fits one of those. Never on an issue."""


class Then(Value):
    """What a rule does."""

    labels: Annotated[tuple[Label, ...], Field(max_length=20)] = ()
    """Labels to put on."""
    comment: Prose = ""
    """Markdown to say, as it stands here."""
    task: TaskName | None = None
    """A task to start, if whoever opened the issue may start it; the labels are then put on when it succeeds."""


class Rule(Value):
    """One rule of triage; all that hold are applied, and the first task counts."""

    when: Annotated[When, Field(json_schema_extra={"minProperties": 1})]
    """Conditions; at least one."""
    then: Annotated[Then, Field(json_schema_extra={"minProperties": 1})]
    """Consequences; at least one."""


class Apply(Value):
    """The offline model may put labels on by itself, each where its measured error is low enough."""

    error: Annotated[float, Field(ge=0.005, le=0.5)] = 0.05
    """The share of wrong ones that is borne."""
    thresholds: Annotated[Mapping[Label, Annotated[float, Field(ge=0, le=1)]], Field(max_length=100)] = Field(
        default_factory=dict
    )
    """Probabilities from which on a label is put on; measured on the repository's own past where none is given."""


class TriagePolicy(Value):
    """What triage may do."""

    labels: Annotated[
        Mapping[Label, Line],
        Field(max_length=100),
        BeforeValidator(lambda value: dict.fromkeys(value, "") if _are_names(value) else value),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "array", "items": _LABEL, "maxItems": 100},
                    {
                        "type": "object",
                        "propertyNames": _LABEL,
                        "additionalProperties": {"type": "string", "maxLength": 1000, "pattern": r"^[^\x00\n]*$"},
                        "maxProperties": 100,
                    },
                ]
            }
        ),
    ] = Field(default_factory=dict)
    """Labels that the model may choose from, each with a line on what it means; or just their names."""
    actions: Annotated[tuple[Literal["labels", "comment"], ...], Field(max_length=2)] = ("labels",)
    """What may happen on the model's word: put labels on, write a comment with its summary."""
    rules: Annotated[tuple[Rule, ...], Field(max_length=100)] = ()
    """Rules that need no model."""
    model: bool = True
    """Whether a model is asked, where the operator has configured one."""
    offline: bool = True
    """Whether the offline model, which learns from the repository's past, is asked: beside a model, or in its place."""
    apply: Apply | None = None
    """What the offline model may put on by itself; without this section it only proposes."""
    types: Mapping[IssueType, Label] = Field(default_factory=dict)
    """The repository's labels for bugs, features and questions; found by their names where not given."""

    @property
    def named_types(self) -> Mapping[str, IssueType]:
        """Label -> the type that it stands for."""
        return {label: kind for kind, label in self.types.items()}

    @property
    def is_empty(self) -> bool:
        """Whether new issues are left alone: nothing may be put on, and nothing said."""
        return not self.labels and not self.rules and self.apply is None and "comment" not in self.actions


def _are_names(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)


class Policy(Value):
    """What a repository decides about the bot (`.github/bot.yml`)."""

    version: Literal[1] = 1
    """Version of this shape."""
    tasks: Annotated[Mapping[TaskName, TaskEntry], Field(max_length=100)] = Field(default_factory=dict)
    """Tasks, by name."""
    on: Mapping[Moment, TaskNames] = Field(default_factory=dict)
    """What starts by itself: a moment, and the task for it; of several, the first that fits an issue or a pull
    request. With a `triage` section new issues are triaged unless `opened` is given here; whoever assigns the bot gets
    `fix`, whoever asks it for a review `review`, unless `assigned` or `review_requested` is."""
    triage: TriagePolicy = TriagePolicy()
    """Labels and rules for triage."""
    conventions: FilePaths = ("AGENTS.md", "CLAUDE.md")
    """Where the repository's own rules for agents are; the first that exists is read."""
    limits: Limits = Limits()
    """Limits for every task that gives none of its own."""
    protected: Annotated[tuple[Glob, ...], Field(max_length=200)] = ()
    """Paths (gitignore patterns) that no task may touch, on top of a task's own and of those that hold everywhere."""


def policy_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of the policy file, for editors."""
    schema = _closed(Policy.model_json_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Sandpiper's policy"}


def _closed(schema: Any) -> Any:
    """A mapping whose keys have a form takes no other key; JSON Schema wants that said."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    return {**closed, "additionalProperties": False} if "patternProperties" in closed else closed

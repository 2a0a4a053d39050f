"""What a model can do: each tool is one entry of a table, its arguments a type, its place of work the sandbox."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, Field, ValidationError

from bot.agent.edits import replace_once
from bot.agent.limits import Deadline
from bot.agent.text import clean, shorten
from bot.errors import Cancelled, TaskError
from bot.protocols import Cancelled as IsCancelled
from bot.protocols import Sandbox
from bot.types.model import ToolCall, ToolSpec
from bot.types.result import Finding
from bot.types.sandbox import ExecRequest, ExecResult
from bot.types.task import Limits
from bot.types.value import Value
from bot.visible import visible

FINDINGS = 50
"""What one review may hold."""
FINDING_CHARS = 4_000
SUGGESTION_CHARS = 10_000
PATH_CHARS = 1_000
OBSERVATION_CHARS = 16_000
"""What a model sees of a tool's answer."""
SHELL_BYTES = 200_000
"""Kept bytes of each stream of a shell command; the model sees fewer."""
READ_LINES = 400
SEARCH_SECONDS = 60.0
SEARCH_FILES = 300
"""Files that are read one by one where the sandbox has no grep."""
FILE_BYTES = 2_000_000


@dataclass(frozen=True)
class Hands:
    """What tools work with."""

    sandbox: Sandbox
    limits: Limits
    deadline: Deadline
    cancelled: IsCancelled
    reviews: bool = False
    """Whether the work ends with findings."""


class Malformed(Exception):
    """A call that cannot be made; says to the model what is wrong with it."""


class Finished(Exception):
    """The model says that it is done; carries what it says."""

    def __init__(self, said: Finish) -> None:
        super().__init__(said.title)
        self.said = said


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain a NUL character")
    return text


Text = Annotated[str, Field(min_length=1), AfterValidator(_no_nul)]


class Shell(Value):
    """Run a command line with `sh -c` in the root of the repository. Every call starts a new shell."""

    command: Text = Field(max_length=100_000)
    """The command line."""
    seconds: float = Field(default=300, gt=0, le=21_600)
    """Time-out."""


class Read(Value):
    """Read a text file, with line numbers in front of the lines."""

    path: Text
    """Path relative to the root of the repository."""
    first: int = Field(default=1, ge=1)
    """First line to read."""
    lines: int = Field(default=READ_LINES, ge=1, le=5_000)
    """How many lines."""


class Write(Value):
    """Create a file, or replace the whole contents of one."""

    path: Text
    """Path relative to the root of the repository; missing folders are made."""
    content: str
    """The whole contents."""


class Edit(Value):
    """Replace a piece of a file. The old text must occur exactly once, white space included, without line numbers."""

    path: Text
    """Path relative to the root of the repository."""
    old: str = Field(min_length=1)
    """Text that is there, with enough lines around it to be unique."""
    new: str
    """Text to put in its place."""


class Search(Value):
    """Find lines in the files below a folder by an extended regular expression (grep -E)."""

    pattern: Text
    """The expression."""
    path: Text = "."
    """Folder or file to search."""


class Finish(Value):
    """End the work and report."""

    title: str = Field(min_length=1)
    """One line, imperative, at most 70 characters."""
    summary: str = Field(min_length=1)
    """Markdown for the people who read the result."""
    success: bool = True
    """Whether the task was done."""
    structured_output: dict[str, Any] = Field(default_factory=dict)
    """Data, only if the task asks for some."""


def _sound(finding: Finding) -> Finding:
    """A finding that people can read, on a place that may exist."""
    for name, limit in (("path", PATH_CHARS), ("text", FINDING_CHARS), ("suggestion", SUGGESTION_CHARS)):
        if len(getattr(finding, name) or "") > limit:
            raise ValueError(f"{name} must have at most {limit} characters")
    if not visible(finding.text).strip():
        raise ValueError("text must say what goes wrong")
    path = _no_nul(finding.path.strip().removeprefix("./"))
    if not path or path.startswith("/"):
        raise ValueError("path must be relative to the root of the repository")
    if finding.first is not None and finding.first > finding.line:
        raise ValueError("first must not come after line, which is the last one")
    return finding.changed(path=path)


class Report(Finish):
    """End the review and report. Whatever you found goes into `findings`, where people read it at its line."""

    summary: str = Field(min_length=1)
    """One or two sentences of Markdown about the change as a whole; no list of the findings."""
    findings: list[Annotated[Finding, AfterValidator(_sound)]] = Field(default_factory=list, max_length=FINDINGS)
    """What you found, worst first, by lines as they stand in the working tree; empty if you found nothing."""


def _shell(args: Shell, hands: Hands) -> str:
    request = ExecRequest(
        argv=("sh", "-c", args.command),
        seconds=hands.deadline.seconds(min(args.seconds, hands.limits.command_seconds)),
        output_bytes=min(SHELL_BYTES, hands.limits.output_bytes),
    )
    result = _exec(request, hands)
    head = f"exit code {result.exit_code}" + ("" if result.ending == "exited" else f" ({result.ending})")
    parts = [head, clean(result.stdout).rstrip("\n")]
    if result.stderr:
        parts += ["--- stderr", clean(result.stderr).rstrip("\n")]
    return "\n".join(part for part in parts if part)


def _read(args: Read, hands: Hands) -> str:
    data = hands.sandbox.read_file(args.path, max_bytes=FILE_BYTES)
    if b"\x00" in data:
        return f"{args.path} is a binary file of {len(data)} bytes"
    lines = data.decode("utf-8", "replace").split("\n")
    if lines[-1] == "":
        lines.pop()
    chosen = lines[args.first - 1 : args.first - 1 + args.lines]
    body = "\n".join(f"{number}\t{line.rstrip(chr(13))}" for number, line in enumerate(chosen, args.first))
    end = args.first - 1 + len(chosen)
    if not chosen:
        return f"{args.path} has {len(lines)} lines"
    return body if end >= len(lines) else f"{body}\n[{len(lines) - end} more lines]"


def _write(args: Write, hands: Hands) -> str:
    hands.sandbox.write_file(args.path, args.content.encode())
    return f"wrote {args.path}"


def _edit(args: Edit, hands: Hands) -> str:
    data = hands.sandbox.read_file(args.path, max_bytes=FILE_BYTES)
    hands.sandbox.write_file(args.path, replace_once(data, args.old, args.new, args.path))
    return f"edited {args.path}"


def _search(args: Search, hands: Hands) -> str:
    argv = ("grep", "-rnIE", "--exclude-dir=.git", "-e", args.pattern, "--", args.path)
    request = ExecRequest(argv=argv, seconds=hands.deadline.seconds(SEARCH_SECONDS), output_bytes=SHELL_BYTES)
    result = _exec(request, hands)
    if result.stdout:
        return "\n".join(shorten(line, 300) for line in clean(result.stdout).splitlines())
    if result.ending == "exited" and result.exit_code == 1 and not result.stderr:
        return "no line matches"
    if result.exit_code == 2:
        return f"error: {clean(result.stderr).strip()}"
    return _search_by_hand(args, hands)


def _search_by_hand(args: Search, hands: Hands) -> str:
    """Without a grep that understands us: plain text only, since a stranger's expression could run for ever here."""
    found: list[str] = []
    for path in hands.sandbox.list_files(args.path, limit=SEARCH_FILES):
        try:
            text = hands.sandbox.read_file(path, max_bytes=FILE_BYTES).decode("utf-8", "replace")
        except TaskError:
            continue
        lines = enumerate(text.split("\n"), 1)
        found += [f"{path}:{number}:{shorten(line, 300)}" for number, line in lines if args.pattern in line]
    note = f"(no grep here: plain text in the first {SEARCH_FILES} files)"
    return "\n".join([*found, note] if found else [f"no line matches {note}"])


def _finish(args: Finish, hands: Hands) -> str:
    raise Finished(args)


def _exec(request: ExecRequest, hands: Hands) -> ExecResult:
    result = hands.sandbox.exec(request, cancelled=hands.cancelled)
    if result.ending == "cancelled":
        raise Cancelled("cancelled", "The run was stopped by a person.")
    return result


class Tool(NamedTuple):
    """A tool: the type of its arguments, whose docstring describes it, and what it does with them."""

    arguments: type[Value]
    run: Callable[[Any, Hands], str]


TOOLS: Mapping[str, Tool] = MappingProxyType(
    {
        "shell": Tool(Shell, _shell),
        "read": Tool(Read, _read),
        "write": Tool(Write, _write),
        "edit": Tool(Edit, _edit),
        "search": Tool(Search, _search),
        "finish": Tool(Finish, _finish),
    }
)
REVIEW_TOOLS: Mapping[str, Tool] = MappingProxyType({**TOOLS, "finish": Tool(Report, _finish)})
"""The same for a review, which ends with findings."""


def tools_of(*, reviews: bool) -> Mapping[str, Tool]:
    """The table for a task."""
    return REVIEW_TOOLS if reviews else TOOLS


def tool_specs(*, reviews: bool = False) -> tuple[ToolSpec, ...]:
    """The table as a model sees it."""
    return tuple(
        ToolSpec(name=name, description=(tool.arguments.__doc__ or "").strip(), parameters=_schema(tool.arguments))
        for name, tool in tools_of(reviews=reviews).items()
    )


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _schema(arguments: type[Value]) -> dict[str, Any]:
    """The arguments' JSON schema without titles, which only repeat names, and without references to parts of it."""
    schema = arguments.model_json_schema()
    properties = {name: _plain(field, schema.get("$defs", {})) for name, field in schema["properties"].items()}
    return {
        "type": "object",
        "properties": properties,
        "required": schema.get("required", []),
        "additionalProperties": False,
    }


def _plain(schema: Any, parts: Mapping[str, Any]) -> Any:
    """A schema with its references resolved: not every model's provider follows them."""
    if isinstance(schema, list):
        return [_plain(each, parts) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _plain(parts[schema["$ref"].rpartition("/")[2]], parts)
    plain = {name: _plain(value, parts) for name, value in schema.items() if name not in ("title", "properties")}
    if "properties" in schema:  # where `title` may be the name of one
        plain["properties"] = {name: _plain(value, parts) for name, value in schema["properties"].items()}
    return plain


def use(call: ToolCall, hands: Hands) -> str:
    """Do what a model asks for and say what came of it. Raises Malformed, Finished, Cancelled, SandboxError."""
    tools = tools_of(reviews=hands.reviews)
    tool = tools.get(call.name)
    if tool is None:
        raise Malformed(f"there is no tool {visible(call.name)[:60]!r}; there are {', '.join(tools)}")
    arguments = parse(call.arguments, tool.arguments)
    try:
        return shorten(tool.run(arguments, hands) or "(no output)", OBSERVATION_CHARS)
    except TaskError as error:
        return f"error: {error.message}"


def gist(call: ToolCall) -> str:
    """What a call is about, for whoever watches: its first text argument, or all of it when it is malformed."""
    try:
        arguments = json.loads(call.arguments)
    except (ValueError, RecursionError):
        return call.arguments
    texts = [value for value in arguments.values() if isinstance(value, str)] if isinstance(arguments, dict) else []
    return texts[0] if texts else call.arguments


def parse(text: str, arguments: type[Value]) -> Value:
    """JSON text -> arguments. Raises Malformed with all that is wrong."""
    try:
        value = json.loads(text or "{}", parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair passes the parser, but fits no file
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the arguments are not valid JSON: {str(error)[:200]}") from None
    try:
        return arguments.model_validate(value)
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False, include_context=False)
        lines = (f"{'.'.join(map(str, each['loc'])) or 'arguments'}: {each['msg']}" for each in wrong[:10])
        raise Malformed("; ".join(lines)) from None

"""A finished run -> the page that a person reads at the end: the comment, the diff, the branch, where the files lie."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bot.telemetry.display import is_log, shortened
from bot.telemetry.lines import clean, inert, split
from bot.types.decision import Answer, Go
from bot.types.output import Commit, LabelChange, NewIssue, Note, Output, Pull, Reaction, Reply
from bot.types.run import Run

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PATCH = "changes.patch"
"""The artifact that holds the proposal."""
PATCH_LINES = 200
"""Lines of a diff that are shown; the whole is in the artifact."""
BOX = re.compile(r"^> \[!([A-Z]+)\]$")
"""GitHub's alerts, which other readers of Markdown show as they are written."""
COLOURS = {"success": "green", "neutral": "green", "failure": "red", "timed_out": "red", "action_required": "yellow"}


def show_run(
    console: Console,
    run: Run,
    outputs: Sequence[Output] = (),
    *,
    folder: Path | None = None,
    comment: str = "",
) -> None:
    """Print the final view. `outputs` is what was (or would be) published, `folder` holds the run's artifacts.

    `comment` stands in where no output is a note. In a log every line is inert for GitHub's runner.
    """
    from rich.markdown import Markdown

    in_log = is_log(console, os.environ)
    parts = list(_parts(run, outputs, folder, comment, colours=not in_log))
    if not in_log:
        for part in parts:
            console.print(part)
        return
    with console.capture() as captured:
        for part in parts:
            console.print(part, soft_wrap=not isinstance(part, Markdown))  # which soft wrapping would cut off
    encoding = getattr(console.file, "encoding", None) or "utf-8"
    for line in captured.get().splitlines():
        console.file.write(inert(line).rstrip().encode(encoding, "replace").decode(encoding) + "\n")
    console.file.flush()


def _parts(
    run: Run, outputs: Sequence[Output], folder: Path | None, comment: str, *, colours: bool
) -> Iterator[RenderableType]:
    from rich.markdown import Markdown
    from rich.rule import Rule
    from rich.syntax import Syntax
    from rich.text import Text

    notes = [each for each in outputs if isinstance(each, Note)]
    if body := readable(notes[-1].body if notes else comment):
        yield Rule(f"comment on #{notes[-1].number}" if notes else "comment", style="dim")
        # Links are printed, not made clickable: where a stranger's link leads must be seen before it is followed.
        yield Markdown(body, hyperlinks=False)
    if patch := _patch(folder):
        yield Rule("diff", style="dim")
        lines = "\n".join(shortened(split(patch), PATCH_LINES))
        yield Syntax(lines, "diff", theme="ansi_dark", word_wrap=True) if colours else Text(lines)
    yield Rule("run", style="dim")
    for name, value in _facts(run, outputs, folder):
        style = COLOURS.get(run.conclusion or "", "") if name == "run" else ""
        yield Text.assemble((f"{name:<10}", "bold"), (clean(value), style))


def _facts(run: Run, outputs: Sequence[Output], folder: Path | None) -> Iterator[tuple[str, str]]:
    """Names and values, in the order in which people ask for them."""
    yield "run", f"{run.run_id} {run.conclusion or run.status}"
    if run.decision is not None:
        yield "decision", f"{run.decision.kind} ({run.decision.code}): {run.decision.reason}"
    if isinstance(run.decision, Go):
        spec = run.decision.spec
        yield "task", f"{spec.task.name} at {spec.revision.ref} {spec.revision.sha[:12]}"
    if run.failure is not None and (run.decision is None or run.failure.message != run.decision.reason):
        yield "failed", f"{run.failure.message} [{run.failure.code}]"
        if run.failure.hint:
            yield "hint", run.failure.hint
    if isinstance(run.decision, Answer) and run.decision.usage.steps:
        usage = run.decision.usage
        yield "cost", f"{usage.steps} model calls, {usage.usd:.4f} USD"
    if run.result is not None:
        usage = run.result.usage
        cost = f", {usage.steps} model calls, {usage.usd:.2f} USD" if usage.steps else ""
        yield "took", f"{run.result.seconds:.1f} s{cost}"
        for reason in run.result.held:
            yield "held", reason
    for output in outputs:
        yield from _published(output)
    yield from dict.fromkeys((receipt.kind, receipt.url) for receipt in run.receipts if receipt.url)
    if folder is not None and run.result is not None:
        names = ", ".join(each.name for each in run.result.artifacts)
        yield "files", f"{folder}: {names}" if names else str(folder)


def _published(output: Output) -> Iterator[tuple[str, str]]:
    match output:
        case Commit():
            yield "branch", f"{output.branch} on {output.parent[:12]}, changed files: {len(output.files)}"
        case Pull():
            yield "draft", f"{output.title} ({output.head} -> {output.base})"
        case LabelChange():
            words = [f"+{each}" for each in output.add] + [f"-{each}" for each in output.remove]
            yield "labels", " ".join(words)
        case NewIssue():
            yield "issue", output.title
        case Reply():
            yield "reply", f"in a conversation of #{output.number}"
        case Reaction():
            yield "reaction", output.content
        case _:
            pass


def readable(markdown: str) -> str:
    """Markdown as a terminal can show it: no hidden first lines, no control characters, GitHub's boxes as quotes."""
    lines = split(markdown)
    while lines and lines[0].startswith("<!--") and lines[0].rstrip().endswith("-->"):
        lines.pop(0)
    return "\n".join(BOX.sub(lambda found: f"> **{found[1].capitalize()}**\n>", line) for line in lines).strip()


def _patch(folder: Path | None) -> str:
    path = folder / PATCH if folder else None
    return path.read_text(encoding="utf-8", errors="replace") if path and path.is_file() else ""

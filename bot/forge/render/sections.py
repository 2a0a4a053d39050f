"""A run's result -> the sections of the comments, pull requests and summaries that people read.

Every text that somebody else wrote goes through `Prose`, into a code span, or into a fenced block; the only HTML is
ours and never has raw text inside.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from bot.forge.client.addresses import pages_of
from bot.forge.render.markdown import code_block, code_span, escape
from bot.forge.render.sanitize import CUT, clean, sanitize, size
from bot.settings import Settings
from bot.types.output import Receipt
from bot.types.result import CommandReport, Failure, RunResult, Usage
from bot.types.sandbox import Changes, FileChange
from bot.types.task import RunSpec
from bot.types.value import Conclusion, Status

SUMMARY = 20_000
BODY = 52_000
"""Size of a whole text: GitHub takes 65,536, and the hidden state stands in front."""
PATH = 200
OUTPUT_TAIL = 3_000
SHOWN_FILES = 50
OPEN_FILES = 8
SHOWN_COMMANDS = 20
SHOWN_REASONS = 20

HEADLINES: dict[Conclusion, tuple[str, str]] = {
    "success": ("✅", "done"),
    "neutral": ("✅", "done"),
    "failure": ("❌", "failed"),
    "timed_out": ("⏰", "ran out of time"),
    "cancelled": ("⏹️", "stopped"),
    "skipped": ("⏭️", "skipped"),
    "action_required": ("✋", "waits for you"),
}
"""What a person sees first."""


@dataclass(frozen=True)
class Prose:
    """How untrusted text is made safe for one run: who may be mentioned, what may be closed, where links may lead."""

    requester: str = ""
    issue: int | None = None
    repository: str = ""
    server_url: str = ""
    """Where links may lead; nowhere if empty."""

    def text(self, markdown: str, limit: int = SUMMARY) -> str:
        return sanitize(
            markdown,
            requester=self.requester,
            issue=self.issue,
            repository=self.repository,
            server_url=self.server_url,
            limit=limit,
        )

    def line(self, text: str, limit: int = 200) -> str:
        """One line of Markdown from a title or a sentence."""
        words = " ".join(clean(text).split())
        words = words if len(words) <= limit else words[: limit - 1] + "…"
        # Escaped, so that no line becomes a heading or a list; only code spans may stay what they are.
        return self.text(escape(words).replace("\\`", "`"), limit * 3).replace("\n", " ")


def prose_of(spec: RunSpec, settings: Settings) -> Prose:
    """Only the task's own issue may be closed by what it writes."""
    subject = spec.subject
    issue = subject.number if subject and subject.kind == "issue" else None
    return Prose(spec.requester.login, issue, spec.repository.full_name, pages_of(settings, spec.repository))


def headline(spec: RunSpec, status: Status, conclusion: Conclusion | None) -> str:
    """The first line: what and how it stands."""
    name = code_span(spec.task.name)
    if status != "completed" or conclusion is None:
        return f"### ⏳ {name} is {'queued' if status == 'queued' else 'under way'}"
    sign, words = HEADLINES[conclusion]
    return f"### {sign} {name} {words}"


def links(receipts: Sequence[Receipt]) -> str:
    """Where the results are, in one line."""
    names = {"pull": "draft pull request", "review": "review", "commit": "commit", "check": "check"}
    parts = []
    for kind, name in names.items():
        receipt = next((each for each in reversed(receipts) if each.kind == kind), None)
        if receipt is None:
            continue
        label = f"{name} #{receipt.id}" if kind == "pull" and receipt.id else name
        label += f" {receipt.sha[:7]}" if kind == "commit" and receipt.sha else ""
        parts.append(link(label, receipt.url))
    text = " · ".join(parts)
    return f"➡️ {text}" if text else ""


def link(label: str, url: str) -> str:
    """A link of ours; an address that is no web page (a folder on this machine) is shown as code."""
    address = clean(url)
    if urlsplit(address).scheme in ("http", "https") and not set(address) & set(" <>()\n\t"):
        return f"[{escape(label)}]({address})"
    return f"{escape(label)} ({code_span(address)})" if address else escape(label)


def failure_box(failure: Failure, prose: Prose) -> str:
    """What failed and what to do, where it can't be overlooked."""
    text = f"{prose.text(failure.message, 2000) or 'It failed.'}\n\n"
    if failure.hint:
        text += f"**What to do:** {prose.text(failure.hint, 1000)}\n\n"
    return _quoted("CAUTION", text + f"Code: {code_span(failure.code)}")


def held_box(reasons: Sequence[str], prose: Prose) -> str:
    """Why nothing was published, and how a person goes on."""
    lines = [f"- {prose.line(reason, 300)}" for reason in reasons[:SHOWN_REASONS]]
    if len(reasons) > SHOWN_REASONS:
        lines.append(f"- and {len(reasons) - SHOWN_REASONS} more")
    text = "**Nothing was written to the repository.** A person should look at the proposal first:\n\n"
    text += "\n".join(lines)
    text += "\n\nThe whole change is `changes.patch` in the run's artifacts; `git apply changes.patch` takes it over."
    return _quoted("IMPORTANT", text)


def note_box(text: str) -> str:
    """A remark of ours."""
    return _quoted("NOTE", text)


def joined(parts: Sequence[str]) -> str:
    """Sections with blank lines between; one that would make the text too long is left out whole, and that is said."""
    kept, room, dropped = [], BODY, False
    for part in [part for part in parts if part]:
        room -= size(part) + 2
        if room < 0:
            room, dropped = room + size(part) + 2, True
        else:
            kept.append(part)
    return "\n\n".join([*kept, CUT] if dropped else kept)


def _quoted(kind: str, text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in [f"[!{kind}]", *text.strip().split("\n")])


def command_table(reports: Sequence[CommandReport]) -> str:
    """Checks before and after side by side, then the steps of the task itself."""
    checks: dict[tuple[str, ...], dict[str, CommandReport]] = {}
    for report in reports:
        if report.phase in ("before", "after"):
            checks.setdefault(report.argv, {})[report.phase] = report
    parts = []
    if checks:
        rows = ["| Check | Before | After |", "| :-- | :-- | :-- |"]
        for argv, phases in list(checks.items())[:SHOWN_COMMANDS]:
            rows.append(f"| {_cell(argv)} | {_result(phases.get('before'))} | {_result(phases.get('after'))} |")
        parts.append("\n".join(rows))
    # Preparation is worth a reader's time only when it failed.
    steps = [each for each in reports if each.phase == "task" or (each.phase == "setup" and not each.ok)]
    if steps:
        rows = ["| Step | Result |", "| :-- | :-- |"]
        rows += [f"| {_cell(report.argv)} | {_result(report)} |" for report in steps[:SHOWN_COMMANDS]]
        parts.append("\n".join(rows))
    if len(checks) > SHOWN_COMMANDS or len(steps) > SHOWN_COMMANDS:
        parts.append(f"Only the first {SHOWN_COMMANDS} are shown; `commands.log` in the artifacts has all.")
    return "\n\n".join(parts)


def failed_outputs(reports: Sequence[CommandReport]) -> str:
    """The end of what each failing command printed, folded away: the newest of each command, three at the most."""
    newest = {report.argv: report for report in reports}
    parts = []
    for report in [each for each in newest.values() if not each.ok and each.output.strip()][:3]:
        summary = f"Output of <code>{html.escape(_command(report.argv, 120))}</code> ({_ending(report)})"
        parts.append(details(summary, output_block(report.output)))
    return "\n\n".join(parts)


def output_block(text: str, limit: int = OUTPUT_TAIL) -> str:
    """The end of a command's output as a fenced block."""
    text = clean(text).strip("\n")
    if len(text) > limit:
        text = "[...]\n" + text[-limit:].partition("\n")[2]
    return code_block(text, "text")


def details(summary_html: str, markdown: str) -> str:
    """A folded section. GitHub reads Markdown inside only between blank lines."""
    return f"<details>\n<summary>{summary_html}</summary>\n\n{markdown}\n\n</details>"


def file_list(changes: Changes) -> str:
    """What changed, with counts of lines; folded where it is long."""
    if not changes.files:
        return ""
    lines = [f"- {code_span(_path(each.path))} {_count(each)}".rstrip() for each in changes.files[:SHOWN_FILES]]
    if len(changes.files) > SHOWN_FILES:
        lines.append(f"- and {len(changes.files) - SHOWN_FILES} more")
    listing = "\n".join(lines)
    total = totals(changes)
    return f"**{total}**\n\n{listing}" if len(changes.files) <= OPEN_FILES else details(f"<b>{total}</b>", listing)


def totals(changes: Changes) -> str:
    """`3 files changed, +10 −2`."""
    added = sum(each.added or 0 for each in changes.files)
    deleted = sum(each.deleted or 0 for each in changes.files)
    number = len(changes.files)
    return f"{number} file{'' if number == 1 else 's'} changed, +{added} −{deleted}"


def cost_line(usage: Usage, seconds: float) -> str:
    """What it took: steps, tokens, dollars, time; without a model only the time."""
    parts = []
    if usage.steps:
        tokens = usage.input_tokens + usage.output_tokens
        parts = [f"{usage.steps} step{'' if usage.steps == 1 else 's'}", f"{_short(tokens)} tokens"]
        parts += [f"${usage.usd:.2f}" if usage.usd >= 0.005 or not usage.usd else "under $0.01"]
    return " · ".join([*parts, duration(seconds)] if seconds else parts)


def duration(seconds: float) -> str:
    """A time span as people say it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def result_sections(result: RunResult, prose: Prose, *, files: bool = True) -> list[str]:
    """The body of every report on a finished run: after a failure the evidence comes before the words."""
    # A failure's message stands in a box of its own.
    said_already = result.failure is not None and not result.held and result.failure.message == result.summary
    words = [] if said_already else [prose.text(result.summary)]
    evidence = [command_table(result.reports), failed_outputs(result.reports)]
    ordered = (
        [*words, *evidence] if result.conclusion in ("success", "neutral", "action_required") else [*evidence, *words]
    )
    return [*ordered, *([file_list(result.changes), skipped_list(result.changes)] if files else [])]


def skipped_list(changes: Changes) -> str:
    """What was left behind in the sandbox, folded away: a change may be smaller than it looked from inside."""
    lines = [f"- {code_span(_path(line))}" for line in changes.skipped[:SHOWN_FILES]]
    if len(changes.skipped) > SHOWN_FILES:
        lines.append(f"- and {len(changes.skipped) - SHOWN_FILES} more")
    number = len(changes.skipped)
    return details(f"{number} path{'' if number == 1 else 's'} not taken over", "\n".join(lines)) if lines else ""


def _path(path: str) -> str:
    path = clean(path)
    return path if len(path) <= PATH else "…" + path[1 - PATH :]


def _count(change: FileChange) -> str:
    word = {"added": "new", "deleted": "deleted", "modified": ""}[change.kind]
    modes = {blob.mode for blob in (change.old, change.new) if blob}
    word = word or ("mode changed" if len(modes) == 2 and not change.added and not change.deleted else "")
    lines = "" if change.added is None or change.deleted is None else f"+{change.added} −{change.deleted}"
    return ", ".join(part for part in (lines, word) if part)


def _short(number: int) -> str:
    return str(number) if number < 1000 else f"{number / 1000:.1f}k" if number < 1_000_000 else f"{number / 1e6:.1f}M"


def _command(argv: Sequence[str], limit: int = 80) -> str:
    # `sh -c` around a line is noise to a reader.
    words = (
        argv[2:] if len(argv) == 3 and argv[0] in ("sh", "bash", "/bin/sh", "/bin/bash") and argv[1] == "-c" else argv
    )
    line = " ".join(clean(" ".join(words)).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _cell(argv: Sequence[str]) -> str:
    return code_span(_command(argv)).replace("|", "\\|")


def _ending(report: CommandReport) -> str:
    words = {"timed_out": "timed out", "oom": "out of memory", "pids": "too many processes", "disk": "disk full"}
    return f"exit {report.exit_code}" if report.ending == "exited" else words.get(report.ending, report.ending)


def _result(report: CommandReport | None) -> str:
    if report is None:
        return "–"
    return f"{'✅' if report.ok else '❌'} {_ending(report)}, {duration(report.seconds)}"

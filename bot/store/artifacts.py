"""A finished run -> files that a person can read and use, each bounded and without secrets.

changes.patch    what it would change, for `git apply`
report.md        what happened, in words
commands.log     what every command printed
trajectory.json  the conversation with the model
result.json      the result as data
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bot.blobs import read_blob
from bot.errors import SandpiperError
from bot.redaction import find_secrets, redact
from bot.store.diff import is_binary, unified_patch
from bot.types.result import Artifact, CommandReport, Outcome, RunResult
from bot.types.sandbox import Changes, FileChange
from bot.types.task import RunSpec

TEXT_CHARS = 1_000_000
"""Longest text kept in one field; more of it is cut in the middle."""
LOG_CHARS = 10_000_000
"""Longest log or trajectory."""


def write_artifacts(
    folder: Path, spec: RunSpec, result: RunResult, outcome: Outcome, secrets: Sequence[str]
) -> tuple[Artifact, ...]:
    """Write the artifacts into the run's folder, replacing older ones. Changed bytes are read from `folder/blobs`."""
    contents: dict[str, bytes] = {}
    if result.changes.files:
        contents["changes.patch"] = _patch(result, folder / "blobs", secrets)
    contents["report.md"] = _encoded(redact(_report(spec, result), secrets))
    if outcome.reports:
        contents["commands.log"] = _encoded(redact(_log(outcome.reports), secrets))
    if outcome.trajectory:
        contents["trajectory.json"] = _json(_trajectory(outcome.trajectory), secrets)
    contents["result.json"] = _json(result.model_dump(mode="json", exclude={"artifacts"}), secrets)
    return tuple(_write(folder, name, data) for name, data in contents.items())


def _patch(result: RunResult, blobs: Path, secrets: Sequence[str]) -> bytes:
    """The patch, file by file: text is redacted; packed bytes can't be, so a binary with a secret is left out.

    Made-up tokens in the lines around a change must stay, or the patch would not apply; where the guard saw one
    among the added lines, the proposal is held, and here they go.
    """
    parts = []
    for change in result.changes.files:
        if not _holds_bytes(change, blobs):
            text = unified_patch(Changes(files=(change,)), blobs).decode("latin-1")
            # Latin-1 there and back keeps every byte that is not a secret.
            clean = redact(text, _as_latin(secrets), shapes=bool(result.held))
            parts.append(clean.encode("latin-1"))
        elif _names_secret(change, blobs, secrets):
            parts.append(f"# {redact(ascii(change.path), secrets)}: left out, it holds a secret\n".encode())
        else:
            parts.append(unified_patch(Changes(files=(change,)), blobs))
    return b"".join(parts)


def _as_latin(secrets: Sequence[str]) -> tuple[str, ...]:
    """Secrets as they look in bytes that were decoded as Latin-1."""
    return tuple(secret.encode("utf-8", "surrogatepass").decode("latin-1") for secret in secrets)


def _holds_bytes(change: FileChange, blobs: Path) -> bool:
    return any(is_binary(read_blob(blobs, blob)) for blob in (change.old, change.new) if blob)


def _names_secret(change: FileChange, blobs: Path, secrets: Sequence[str]) -> bool:
    texts = [read_blob(blobs, blob).decode("latin-1") for blob in (change.old, change.new) if blob]
    return any(find_secrets(f"{change.path}\n{text}", _as_latin(secrets)) for text in texts)


def _report(spec: RunSpec, result: RunResult) -> str:
    subject = f", {spec.subject.kind.replace('_', ' ')} #{spec.subject.number}" if spec.subject else ""
    usage = result.usage
    lines = [
        f"# {spec.task.name}: {result.conclusion}",
        "",
        f"- Repository: {spec.repository.full_name}{subject}",
        f"- Commit: {spec.revision.sha} ({spec.revision.ref})",
        f"- Asked for by: {spec.requester.login}",
        f"- Run: {spec.run_id}, {result.seconds:.1f} s, {usage.steps} steps, "
        f"{usage.input_tokens + usage.output_tokens} tokens, ${usage.usd:.4f}",
        "",
    ]
    if result.title:
        lines += [f"## {result.title}", ""]
    if result.summary:
        lines += [_cut(result.summary), ""]
    if result.failure:
        lines += ["## Why it failed", "", f"{result.failure.message} [{result.failure.code}]", result.failure.hint, ""]
    lines += _listed("Held for a person", result.held)
    lines += _listed("Commands", [f"{_line(each)}: {_ending(each)}" for each in result.reports])
    lines += _listed("Changed files", [f"{each.path} ({each.kind})" for each in result.changes.files])
    lines += _listed("Not taken over", result.changes.skipped)
    return "\n".join(lines)


def _listed(heading: str, items: Sequence[str]) -> list[str]:
    return [f"## {heading}", "", *(f"- {item}" for item in items), ""] if items else []


def _log(reports: Sequence[CommandReport]) -> str:
    parts, room = [], LOG_CHARS
    for report in reports:
        part = f"$ {_line(report)}    # {report.phase}\n{_cut(report.output).rstrip()}\n[{_ending(report)}]\n\n"
        room -= len(part)
        if room < 0:
            parts.append("[the rest was cut: the log is too long]\n")
            break
        parts.append(part)
    return "".join(parts)


def _line(report: CommandReport) -> str:
    return shlex.join(report.argv)


def _ending(report: CommandReport) -> str:
    how = f"exit {report.exit_code}" if report.ending == "exited" else f"{report.ending}, exit {report.exit_code}"
    return f"{how}, {report.seconds:.1f} s"


def _trajectory(messages: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The conversation; where it is too long, the beginning (the task) and the end (the outcome) stay."""
    kept: list[dict[str, Any]] = []
    room = LOG_CHARS
    for message in reversed(messages[1:]):
        room -= len(json.dumps(message, default=str))
        if room < 0:
            kept.append({"note": f"{len(messages) - 1 - len(kept)} messages were cut here"})
            break
        kept.append(dict(message))
    return [*(dict(message) for message in messages[:1]), *reversed(kept)]


def _json(data: object, secrets: Sequence[str]) -> bytes:
    """JSON without secrets: string by string, so that it stays JSON, and once more as a whole, to be sure."""
    text = json.dumps(_redacted(data, secrets), indent=1, default=str)
    return _encoded(redact(text, secrets) + "\n")


def _redacted(data: object, secrets: Sequence[str]) -> object:
    if isinstance(data, str):
        return redact(_cut(data), secrets)
    if isinstance(data, Mapping):
        return {redact(str(key), secrets): _redacted(value, secrets) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_redacted(value, secrets) for value in data]
    return data


def _cut(text: str) -> str:
    if len(text) <= TEXT_CHARS:
        return text
    half = TEXT_CHARS // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters cut ...]\n{text[-half:]}"


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _write(folder: Path, name: str, data: bytes) -> Artifact:
    """Put the file in place whole; a link that lies there is replaced, never followed."""
    temporary = f".{name}.{os.getpid()}.tmp"
    try:
        where = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            number = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600, dir_fd=where)
            with os.fdopen(number, "wb") as file:
                file.write(data)
            os.replace(temporary, name, src_dir_fd=where, dst_dir_fd=where)
        finally:
            os.close(where)
    except OSError as error:
        message = f"can't write {folder / name}: {error.strerror or error}"
        raise SandpiperError("store_unusable", message, hint="see that the disk has room") from error
    return Artifact(name=name, size=len(data), digest=hashlib.sha256(data).hexdigest())

"""A job of GitHub Actions <-> values: the variables the runner sets, and the lines and files it takes back.

Everything written here may hold a stranger's text. The runner obeys lines on standard output (`::command::` at the
start of a line, `##[command]` anywhere in it), so commands are switched off while the run talks, and files of outputs
are framed by a delimiter that nobody can guess. GitHub's page: "Workflow commands for GitHub Actions".
"""

import contextlib
import secrets as randomness
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from bot.errors import ConfigurationError

SUMMARY_BYTES = 1_000_000
"""The runner drops a step summary of more than 1 MiB."""

BREAKS = frozenset("\0\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")


@dataclass(frozen=True)
class Job:
    """What the runner says about this job."""

    event_name: str
    event_path: Path
    temp: Path
    """Folder that the runner empties after the job."""
    workspace: Path | None
    """Where actions/checkout puts the repository."""
    sha: str
    """The commit that GitHub pinned for every job of this workflow run."""
    run_id: str
    """The workflow run, the same for all its jobs and attempts."""
    attempt: int
    """How often a person started it."""
    output: Path | None
    """File for the step's outputs."""
    summary: Path | None
    """File for the step's summary."""


def read_job(environ: Mapping[str, str]) -> Job:
    """The job that this process belongs to. Raises ConfigurationError `not_in_a_job`."""
    missing = [each for each in ("GITHUB_EVENT_NAME", "GITHUB_EVENT_PATH", "RUNNER_TEMP") if not environ.get(each)]
    if missing:
        raise ConfigurationError(
            "not_in_a_job",
            f"this is no job of GitHub Actions: {', '.join(missing)} not set",
            hint="elsewhere, `sandpiper handle --event NAME PAYLOAD.json` does the same",
        )
    attempt = environ.get("GITHUB_RUN_ATTEMPT", "")
    return Job(
        event_name=environ["GITHUB_EVENT_NAME"],
        event_path=Path(environ["GITHUB_EVENT_PATH"]),
        temp=Path(environ["RUNNER_TEMP"]),
        workspace=_path(environ, "GITHUB_WORKSPACE"),
        sha=environ.get("GITHUB_SHA", ""),
        run_id=environ.get("GITHUB_RUN_ID", ""),
        attempt=int(attempt) if attempt.isascii() and attempt.isdigit() else 1,
        output=_path(environ, "GITHUB_OUTPUT"),
        summary=_path(environ, "GITHUB_STEP_SUMMARY"),
    )


def with_place(payload: Mapping[str, Any], environ: Mapping[str, str]) -> Mapping[str, Any]:
    """The payload with the job's repository where it names none: of a schedule some runners write only the line.

    A schedule always runs on the default branch (page "Events that trigger workflows"), so the job's branch is that.
    """
    if environ.get("GITHUB_EVENT_NAME") != "schedule" or payload.get("repository") is not None:
        return payload
    number = environ.get("GITHUB_REPOSITORY_ID", "")
    place = {
        "full_name": environ.get("GITHUB_REPOSITORY", ""),
        "default_branch": environ.get("GITHUB_REF_NAME", ""),
        "id": int(number) if number.isascii() and number.isdigit() else 0,
    }
    return {**payload, "repository": place}


def newest(folder: Path) -> float:
    """When a file in a folder was last written, in seconds since 1970; 0 where there is none."""
    return max((each.lstat().st_mtime for each in folder.rglob("*") if each.is_file()), default=0.0)


def _path(environ: Mapping[str, str], name: str) -> Path | None:
    return Path(environ[name]) if environ.get(name) else None


def write_outputs(job: Job, outputs: Mapping[str, str]) -> None:
    """Set the step's outputs; a value may hold anything but NUL, which files of variables don't take."""
    if job.output is None:
        return
    with job.output.open("a", encoding="utf-8", errors="replace") as file:
        for name, value in outputs.items():
            delimiter = f"end_{randomness.token_hex(16)}"
            file.write(f"{name}<<{delimiter}\n{_plain(value)}\n{delimiter}\n")


def _plain(value: str) -> str:
    return value.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")


def write_summary(job: Job, markdown: str) -> None:
    """Append to the page of the job, cut at the size that the runner accepts."""
    if job.summary is None:
        return
    text = markdown.encode("utf-8", "replace")[:SUMMARY_BYTES].decode("utf-8", "ignore")
    with job.summary.open("a", encoding="utf-8") as file:
        file.write(text + "\n")


def mask(stream: TextIO, secrets: Iterable[str]) -> None:
    """Have the runner star out each secret, line by line where it has several."""
    for secret in secrets:
        for line in secret.splitlines():
            if line.strip():
                stream.write(f"::add-mask::{_escape(line)}\n")
    stream.flush()


def annotate(stream: TextIO, level: Literal["notice", "warning", "error"], title: str, message: str) -> None:
    """Put a remark on the page of the workflow run. Any text is safe: what could end the command is escaped."""
    safe_title = _escape(title).replace(":", "%3A").replace(",", "%2C")
    stream.write(f"::{level} title={safe_title}::{_escape(message)}\n")
    stream.flush()


def _escape(text: str) -> str:
    """The runner's own escapes; what else some reader takes for the end of a line has none and becomes a blank."""
    text = "".join(" " if each in BREAKS else each for each in text)
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


@contextlib.contextmanager
def commands_stopped(stream: TextIO) -> Iterator[None]:
    """Within the block the runner obeys no line of this step; our own, unguessable word ends that.

    The word is not said when an exception leaves the block: commands then stay off to the end of the step.
    """
    word = randomness.token_hex(16)
    stream.write(f"::stop-commands::{word}\n")
    stream.flush()
    yield
    stream.write(f"\n::{word}::\n")
    stream.flush()

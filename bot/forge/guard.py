"""A proposal -> the reasons why a person must look at it before it is published; none means it may go.

The proposal is held as a whole: half of a change is not what anybody reviewed. Paths are judged in the form in which
any file system or git on any system could read them, not in the form in which they were written.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from pathspec import GitIgnoreSpec

from bot.blobs import read_blob
from bot.errors import TaskError
from bot.links import MODE, Place, link_fault
from bot.redaction import find_secrets, redact
from bot.types.result import Finding, Outcome, RunResult
from bot.types.sandbox import Changes, FileChange
from bot.types.task import RunSpec

PROTECTED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("decides what runs with the repository's rights", (".github", "action.yml", "action.yaml")),
    (
        "decides what another service runs with the repository's secrets",
        (
            *(".circleci", ".gitlab-ci.yml", ".travis.yml", ".buildkite", ".drone.yml", ".woodpecker*", ".semaphore"),
            *("azure-pipelines.yml", "bitbucket-pipelines.yml", "appveyor.yml", "jenkinsfile"),
        ),
    ),
    ("decides who must review", ("codeowners",)),
    (
        "decides what git fetches or runs",
        (".gitmodules", ".gitattributes", ".lfsconfig", ".gitconfig", ".githooks", ".husky"),
    ),
    ("is what agents are told", ("agents.md", "claude.md", "gemini.md", ".cursorrules", ".cursor", ".claude")),
    ("is run by editors without being asked", (".vscode", ".devcontainer", ".envrc", ".mcp.json")),
)
"""What no task may change, with the reason; gitignore patterns over folded paths."""

LONGEST_PATH = 4096
LONGEST_NAME = 255
_GIT_FOLDER = re.compile(r"\.git|git~\d+")
_SHORT_NAME = re.compile(r"gi[0-9a-z]{0,4}~\d+")
"""Names that Windows makes up for `.gitmodules` and its like."""
_LEFT_OUT = ": symlink"
"""How the collector's note about a link ends that was not taken."""


def hold_reasons(
    spec: RunSpec, changes: Changes, blobs: Path, secrets: Sequence[str], *, policy: str = ".github/bot.yml"
) -> tuple[str, ...]:
    """Why these changes must wait for a person, a sentence each; `policy` is the path of the repository's policy."""
    limits = spec.task.limits
    reasons: list[str] = []
    if not changes.complete:
        reasons.append("not everything that the sandbox changed could be collected, so the change is incomplete")
    if len(changes.files) > limits.changed_files:
        reasons.append(f"{len(changes.files)} files are changed; this task may change {limits.changed_files}")
    total = sum(each.new.size for each in changes.files if each.new)
    if total > limits.changed_bytes:
        reasons.append(f"the changed files hold {total:,} bytes; this task may write {limits.changed_bytes:,}")
    reasons += _path_reasons(spec, changes, policy)
    reasons += _link_reasons(spec, changes, blobs)
    # Beyond the limits the proposal is held anyway: reading it would only cost memory.
    if total <= limits.changed_bytes:
        for change in changes.files:
            reasons += _content_reasons(change, blobs, secrets)
    # A path can be where a secret was hidden: the reason must not publish it.
    return tuple(dict.fromkeys(redact(reason, secrets) for reason in reasons))


def words_of(said: Outcome | RunResult) -> str:
    """All that a model said and people would read: title, summary and findings."""
    found = (each for one in said.findings for each in (one.path, one.text, one.suggestion or ""))
    return "\n".join((said.title, said.summary, *found))


def to_the_letter(findings: Sequence[Finding], secrets: Sequence[str]) -> tuple[Finding, ...]:
    """The findings, without a suggestion that could only be shown redacted: one click would commit the stars."""
    return tuple(
        each.changed(suggestion=None)
        if each.suggestion and redact(each.suggestion, secrets) != each.suggestion
        else each
        for each in findings
    )


def text_reasons(text: str, secrets: Sequence[str]) -> tuple[str, ...]:
    """Why words must not be published as they are."""
    return tuple(f"the text about the change holds what looks like a {name}" for name in find_secrets(text, secrets))


def _path_reasons(spec: RunSpec, changes: Changes, policy: str) -> Iterator[str]:
    builtin = [(why, GitIgnoreSpec.from_lines(patterns)) for why, patterns in PROTECTED]
    own = GitIgnoreSpec.from_lines(spec.task.protected)
    folded_own = GitIgnoreSpec.from_lines([unicodedata.normalize("NFC", each).lower() for each in spec.task.protected])
    seen: dict[tuple[str, ...], str] = {}
    for change in changes.files:
        path, parts = change.path, fold(change.path)
        folded = "/".join(parts)
        if odd := _oddity(path, parts):
            yield f"{shown(path)}: {odd}"
            continue
        yield from (f"{shown(path)}: {why}" for why, patterns in builtin if patterns.match_file(folded))
        if parts == fold(policy):
            yield f"{shown(path)}: decides what this bot may do"
        if own.match_file(path) or folded_own.match_file(folded):
            yield f"{shown(path)}: is protected by this task's policy"
        if change.new is not None:
            other = seen.setdefault(parts, path)
            if other != path:
                yield f"{shown(path)}: is the same file as {shown(other)} on some systems"


def _link_reasons(spec: RunSpec, changes: Changes, blobs: Path) -> Iterator[str]:
    """Links that this task may not make, or that lead where none may; what the checkout has is not known here."""
    for line in changes.skipped:
        if line.endswith(_LEFT_OUT):  # without the link the rest is half of a change
            yield f"{shown(line.removesuffix(_LEFT_OUT))}: is a symbolic link, which this task may not make"
    files = {change.path: change for change in changes.files}
    links = [change for change in changes.files if change.new and change.new.mode == MODE]
    if links and not spec.task.symlinks:
        yield from (f"{shown(each.path)}: is a symbolic link, which this task may not make" for each in links)
        return
    folders = {up for path, change in files.items() if change.new for up in _above(path)}

    def look(path: str) -> Place:
        if path in folders or path not in files:
            return "folder" if path in folders else "unknown"
        new = files[path].new
        return "nothing" if new is None else read_blob(blobs, new) if new.mode == MODE else "file"

    for each in links:
        try:
            fault = link_fault(each.path, read_blob(blobs, each.new), look) if each.new else ""
        except TaskError:
            continue  # said where contents are read
        if fault:
            yield f"{shown(each.path)}: is a symbolic link that {fault}"


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:at]) for at in range(1, len(parts))]


def _oddity(path: str, parts: tuple[str, ...]) -> str:
    """What is wrong with a path as such, empty when nothing is."""
    if any(_GIT_FOLDER.fullmatch(part) for part in parts):
        return "would write into git's own folder"
    if any(_SHORT_NAME.fullmatch(part) for part in parts):
        return "is a short name that may stand for a file of git's own"
    if len(path.encode("utf-8", "replace")) > LONGEST_PATH or any(
        len(part.encode("utf-8", "replace")) > LONGEST_NAME for part in path.split("/")
    ):
        return "has a name that is too long"
    if any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in path):
        return "has invisible characters in its name"
    if not path or path.startswith("/") or any(part in ("", ".", "..") for part in path.split("/")):
        return "is not a plain relative path"
    if "\\" in path or re.match(r"[A-Za-z]:", path):
        return "is a path that leads elsewhere on Windows"
    return ""


def fold(path: str) -> tuple[str, ...]:
    """A path as the most forgiving file system reads it: case, Unicode form, trailing dots, streams, separators."""
    text = unicodedata.normalize("NFKC", path)
    text = "".join(char for char in text if unicodedata.category(char) not in ("Cc", "Cf", "Cs"))
    text = unicodedata.normalize("NFKC", text.casefold())
    parts = []
    for part in text.replace("\\", "/").split("/"):
        name = part.partition(":")[0].strip().rstrip(". ")
        parts.append(name)
    return tuple(name for name in parts if name)


def _content_reasons(change: FileChange, blobs: Path, secrets: Sequence[str]) -> Iterator[str]:
    if change.new is None:
        return
    try:
        new = read_blob(blobs, change.new)
        old = read_blob(blobs, change.old) if change.old is not None else b""
    except TaskError as error:
        yield f"{shown(change.path)}: {error.message}"
        return
    # Latin-1 keeps every byte, so secrets in UTF-16 or inside binaries are seen as well.
    after = f"{change.path}\n{new.decode('latin-1')}"
    if change.old is None:
        names = dict.fromkeys(find_secrets(after, secrets))
    else:
        before = old.decode("latin-1")
        known = set(before.split("\n"))
        added = "\n".join(line for line in after.split("\n") if line not in known)
        # Shapes only in what was added: many repositories have made-up tokens in their tests. Values that we know are
        # looked for in the whole file, because a secret can be put together from lines that are there already.
        was = find_secrets(before, secrets)
        names = dict.fromkeys(find_secrets(added, ()))
        names |= dict.fromkeys(name for name in find_secrets(after, secrets) if name not in was)
    yield from (f"{shown(change.path)}: holds what looks like a {name}" for name in names)


def shown(path: str) -> str:
    """A path for a sentence: printable, and not endless."""
    text = path if path.isprintable() else ascii(path)[1:-1]
    return text if len(text) <= 200 else f"{text[:100]}...{text[-90:]}"

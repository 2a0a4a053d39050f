"""Questions about one repository -> values, by GitHub's REST API with few requests."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, get_args
from urllib.parse import quote

from bot.errors import Conflict, ForgeError, NotFound
from bot.forge.client.client import Reads, bad_answer, shaped
from bot.forge.reading import shapes
from bot.forge.reading.past import PastReader
from bot.forge.reading.refs import BAD_REF, OWN_CHECK, SHA
from bot.protocols import ForgeReader
from bot.types.event import Actor, Comment, Repository, Revision, Subject
from bot.types.result import Annotation, CheckFailure
from bot.types.value import CommentKind, Permission, SubjectKind

COMMENT_PAGES = 10
"""Pages of comments that are read; a conversation with more is read from its end."""
DIFF_LIMIT = 3_000_000
"""Bytes of a diff; the rest is cut off."""
SUMMARY_LIMIT = 4_000
"""Characters of a failed check's own words."""
ANNOTATED, ANNOTATIONS = 5, 30
"""Failed checks whose remarks on lines are read, and how many of each."""


class GitHubReader(PastReader):
    """ForgeReader for one repository on GitHub."""

    def __init__(self, reads: Reads, full_name: str, viewer: Callable[[], Actor]) -> None:
        super().__init__(reads, full_name)
        self._ask_viewer = viewer
        self._viewer: Actor | None = None

    def viewer(self) -> Actor:
        """The account that our token acts as; asked once."""
        if self._viewer is None:
            self._viewer = self._ask_viewer()
        return self._viewer

    def permission(self, actor: Actor) -> Permission:
        """What that account may do here ("Get repository permissions for a user"), `none` if GitHub knows none."""
        if not actor.login or actor.login in (".", ".."):
            return "none"
        try:
            data = self._reads.get(f"{self._path}/collaborators/{quote(actor.login, safe='')}/permission")
        except NotFound:
            return "none"
        # A login can be given up and taken by somebody else between the event and now; an id can't.
        return shaped(permission_of, data) if shaped(id_of, data) == actor.id else "none"

    def subject(self, where: int | str, *, kind: SubjectKind | None = None) -> Subject | None:
        """By number: an issue or pull request. By `owner:branch`: the open pull request from there."""
        if isinstance(where, str):
            return self._pull_from(where)
        try:
            if kind == "pull_request":
                return shaped(shapes.pull, self._reads.get(f"{self._path}/pulls/{where}"))
            data = self._reads.get(f"{self._path}/issues/{where}")
        except NotFound:
            return None
        # A transferred issue redirects into another repository, where a run has no business.
        home = str(data.get("repository_url", "")) if isinstance(data, dict) else ""
        if not home.lower().endswith(self._path.lower()):
            return None
        if "pull_request" not in data:
            return shaped(shapes.issue, data)
        return shaped(shapes.pull, self._reads.get(f"{self._path}/pulls/{where}"))

    def comments(self, number: int, *, kind: CommentKind = "issue", since: str | None = None) -> tuple[Comment, ...]:
        """Oldest first; of more than 1,000 the newest. Reviews come whole: GitHub tells no time of their edits."""
        if kind == "verdict":
            rows = self._reads.pages(f"{self._path}/pulls/{number}/reviews", most=COMMENT_PAGES)
            # A review that its author has not submitted yet has no time, and nobody else may see it.
            return tuple(shaped(shapes.verdict, row) for row in rows if row.get("submitted_at"))
        path = f"{self._path}/{'issues' if kind == 'issue' else 'pulls'}/{number}/comments"
        rows = self._reads.pages(path, {"since": since} if since else None, most=COMMENT_PAGES)
        found = [shaped(lambda row: shapes.comment(row, kind), row) for row in rows]
        return tuple(sorted(found, key=lambda each: (each.created_at, each.id)))

    def file(self, path: str, ref: str) -> bytes | None:
        """A regular file; None for a folder, symlink or submodule. GitHub's limit is 100 MB, ours lies below."""
        if any(part in ("", ".", "..") for part in path.split("/")):
            return None
        try:
            data = self._reads.get(f"{self._path}/contents/{quote(path, safe='/')}", {"ref": ref})
        except NotFound:
            return None
        if not isinstance(data, dict) or data.get("type") != "file":
            return None
        if data.get("encoding") == "none":
            # Above 1 MB the contents come without content; the blob has it.
            data = self._reads.get(f"{self._path}/git/blobs/{shaped(sha_of, data)}")
        return shaped(content_of, data)

    def revision(self, ref: str) -> Revision | None:
        """The commit of a branch, or a full SHA that exists."""
        if BAD_REF.search(ref):
            return None
        try:
            if SHA.fullmatch(ref):
                sha = self._reads.get(f"{self._path}/git/commits/{ref}")
                return shaped(lambda data: Revision(ref=ref, sha=data["sha"]), sha)
            found = self._reads.get(f"{self._path}/git/ref/heads/{quote(ref, safe='/')}")
            return shaped(lambda data: Revision(ref=ref, sha=data["object"]["sha"]), found)
        except (NotFound, Conflict):
            return None  # 409 is what an empty repository answers

    def diff(self, number: int) -> str:
        """Unified diff against the merge base, cut after 3 MB; put together from the files where GitHub refuses it."""
        path = f"{self._path}/pulls/{number}"
        try:
            return self._reads.text(path, "application/vnd.github.diff", DIFF_LIMIT)
        except ForgeError as error:
            if error.code != "http_406":
                raise
        return diff_of(self._reads.pages(f"{path}/files", most=30))[:DIFF_LIMIT]

    def failures(self, sha: str) -> tuple[CheckFailure, ...]:
        """The newest run of each check that failed ("List check runs for a Git reference")."""
        found = self._reads.get(f"{self._path}/commits/{sha}/check-runs", {"filter": "latest", "per_page": 100})
        return tuple(
            check_failure(row, remarks(self._reads, self._path, row) if at < ANNOTATED else ())
            for at, row in enumerate(shaped(failed_rows, found))
        )

    def _pull_from(self, where: str) -> Subject | None:
        owner, colon, branch = where.partition(":")
        if not (owner and colon and branch):
            return None
        rows = self._reads.get(f"{self._path}/pulls", {"head": where, "state": "open", "per_page": 100})
        if not isinstance(rows, list):
            raise bad_answer("pulls")
        # A filter that GitHub does not understand is ignored by it, so each row is looked at.
        return next((shaped(shapes.pull, row) for row in rows if is_from(row, owner, branch)), None)


def spare(reader: ForgeReader) -> ForgeReader:
    """The same reader for polls and guesses: they never wait, and leave the rate limit's last part to the work."""
    if not isinstance(reader, GitHubReader):
        return reader
    return GitHubReader(reader._reads.as_optional(), reader._name, reader.viewer)


def permission_of(data: Mapping[str, Any]) -> Permission:
    """`role_name` where it is one of GitHub's own six, else (a custom role) the level that it is based on."""
    known: tuple[Permission, ...] = get_args(Permission)
    for name in (data.get("role_name"), data["permission"]):
        for level in known:
            if name == level:
                return level
    return "none"


def id_of(data: Mapping[str, Any]) -> int:
    """The account that a permission is of."""
    return int(data["user"]["id"])


def content_of(data: Mapping[str, Any]) -> bytes:
    """Bytes of a `content-file` or a `blob`."""
    if data["encoding"] != "base64":
        raise ValueError(data["encoding"])
    try:
        return base64.b64decode(data["content"])
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def sha_of(data: Mapping[str, Any]) -> str:
    """The SHA of an object."""
    return str(data["sha"])


def is_from(row: Mapping[str, Any], owner: str, branch: str) -> bool:
    """Whether a pull request comes from that branch."""
    head = row.get("head") or {}
    login = (head.get("user") or {}).get("login") or str(head.get("label", "")).partition(":")[0]
    return bool(head.get("ref") == branch and str(login).lower() == owner.lower())


def failed_rows(data: Any) -> tuple[Mapping[str, Any], ...]:
    """Check runs that failed, but for ours."""
    return tuple(
        row
        for row in data["check_runs"]
        if row["conclusion"] in ("failure", "timed_out") and not OWN_CHECK.fullmatch(str(row.get("external_id") or ""))
    )


def check_failure(row: Mapping[str, Any], found: tuple[Annotation, ...]) -> CheckFailure:
    """`check-run`."""
    name, summary = shaped(lambda data: (str(data["name"])[:200], summary_of(data["output"])), row)
    return CheckFailure(name=name, summary=summary, annotations=found)


def remarks(reads: Reads, path: str, row: Mapping[str, Any]) -> tuple[Annotation, ...]:
    """A check's first remarks on lines ("List check run annotations"); many checks say nothing anywhere else."""
    if not (row.get("output") or {}).get("annotations_count"):
        return ()
    number = shaped(lambda data: int(data["id"]), row)
    found = reads.get(f"{path}/check-runs/{number}/annotations", {"per_page": ANNOTATIONS})
    return tuple(shaped(annotation, each) for each in found) if isinstance(found, list) else ()


def annotation(row: Mapping[str, Any]) -> Annotation:
    """`check-annotation`."""
    return Annotation(
        path=str(row["path"])[:500],
        line=max(1, int(row["start_line"])),
        level=row["annotation_level"] or "failure",
        message=str(row.get("message") or "")[:1000],
        title=str(row.get("title") or "")[:200],
    )


def summary_of(output: Mapping[str, Any]) -> str:
    """Title and summary of a check run, cut."""
    parts = (str(output.get(name) or "").strip() for name in ("title", "summary"))
    return "\n".join(part for part in parts if part)[:SUMMARY_LIMIT]


def diff_of(rows: tuple[Any, ...]) -> str:
    """A unified diff from the `diff-entry` rows of a pull request; files without a patch only get their header."""
    parts = []
    for row in rows:
        new = row["filename"]
        old = row.get("previous_filename", new)
        head = f"diff --git a/{old} b/{new}\n"
        if patch := row.get("patch"):
            left = "/dev/null" if row.get("status") == "added" else f"a/{old}"
            right = "/dev/null" if row.get("status") == "removed" else f"b/{new}"
            head += f"--- {left}\n+++ {right}\n{patch}\n"
        parts.append(head)
    return "".join(parts)


def lookup(reads: Reads, full_name: str) -> Repository:
    """The repository under its present name. Raises NotFound."""
    return shaped(shapes.repository, reads.get(f"/repos/{quote(full_name, safe='/')}"))

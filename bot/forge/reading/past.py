"""One repository on GitHub -> its past issues page by page, its labels and its paths, for triage to learn from.

Source: GitHub's GraphQL reference (Issue, IssueTimelineItems) and its REST pages "Labels", "Git trees" and
"Pull requests". In a private repository a token needs `issues: read` for issues and labels, `contents: read` for
paths, `pull-requests: read` for a pull request; in a public one every token may read all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any
from urllib.parse import quote

from bot.errors import Conflict, ForgeError, NotFound
from bot.forge.client.client import Reads, bad_answer, shaped
from bot.forge.events.payloads import GHOST, clean
from bot.forge.reading import shapes
from bot.forge.reading.pull_state import read_pull
from bot.forge.reading.refs import BAD_REF, SHA
from bot.types.event import Subject
from bot.types.pull import PullState
from bot.types.triage import ClosedFor, LabelEvent, LabelInfo, PastIssue

PAGE = 50
"""Issues of a page: with their labels and label events 4,050 nodes (GitHub's limit is 500,000), one point of 5,000."""
BODY_LIMIT = 8_000
"""Characters of an issue's text that are learned from."""
LABEL_PAGES, FILE_PAGES = 10, 30
"""Pages of labels, and of files of a pull request, GitHub's largest."""
PATHS = 100_000
"""Paths of a tree, GitHub's largest."""
PATH_LIMIT = 4_096

ISSUES = (
    """
query($owner: String!, $name: String!, $first: Int!, $after: String, $since: DateTime) {
  repository(owner: $owner, name: $name) { page: issues(
    first: $first, after: $after, orderBy: {field: UPDATED_AT, direction: DESC}, filterBy: {since: $since}
  ) {
    nodes {
      number title body createdAt updatedAt state stateReason(enableDuplicate: true)
      author { ...Who }
      labels(first: 30) { nodes { name } }
      timelineItems(last: 50, itemTypes: [LABELED_EVENT, UNLABELED_EVENT]) { nodes {
        __typename
        ... on LabeledEvent { createdAt actor { ...Who } label { name } }
        ... on UnlabeledEvent { createdAt actor { ...Who } label { name } }
      } }
    }
    pageInfo { hasNextPage endCursor }
  } }
}
"""
    + shapes.WHO
)
"""Of an issue whose labels were changed more often, the newest fifty changes."""
OLDER_ISSUES = ISSUES.replace("(enableDuplicate: true)", "")
"""The same for a server that does not tell duplicates apart."""
BACKLOG = (
    """
query($owner: String!, $name: String!, $first: Int!, $after: String, $since: DateTime) {
  repository(owner: $owner, name: $name) { page: issues(
    first: $first, after: $after, states: OPEN, orderBy: {field: CREATED_AT, direction: ASC}, filterBy: {since: $since}
  ) {
    nodes {
      number title body createdAt updatedAt locked url
      author { ...Who }
      labels(first: 100) { nodes { name } }
    }
    pageInfo { hasNextPage endCursor }
  } }
}
"""
    + shapes.WHO
)

_REASONS: Mapping[str, ClosedFor] = {
    "COMPLETED": "completed",
    "NOT_PLANNED": "not_planned",
    "REOPENED": "reopened",
    "DUPLICATE": "duplicate",
}


class PastReader:
    """ForgePast for one repository on GitHub."""

    def __init__(self, reads: Reads, full_name: str) -> None:
        self._reads, self._name, self._path = reads, full_name, f"/repos/{full_name}"

    def past(self, *, since: str = "", most: int = 1_000, after: str = "") -> Iterator[tuple[PastIssue, ...]]:
        """Changed last first, fifty to a page and request; the next page is asked for when the one before is used."""
        pages = self._issues(ISSUES, since, most, after)
        try:
            first = next(pages, None)
        except ForgeError as error:
            if error.code != "query_rejected":
                raise
            pages = self._issues(OLDER_ISSUES, since, most, after)
            first = next(pages, None)
        for nodes, cursor in chain([first] if first else [], pages):
            found = [shaped(past_issue, node) for node in nodes]
            yield (*found[:-1], found[-1].changed(cursor=cursor)) if found else ()

    def labels(self) -> tuple[LabelInfo, ...]:
        """ "List labels for a repository"."""
        rows = self._reads.pages(f"{self._path}/labels", most=LABEL_PAGES)
        return tuple(shaped(label, row) for row in rows)

    def paths(self, ref: str) -> tuple[str, ...]:
        """ "Get a tree", whole; where GitHub cuts a very large one, what came. Regular files and links."""
        if BAD_REF.search(ref):
            return ()
        try:
            # A name with a slash in it would be taken for a deeper path.
            at = ref if SHA.fullmatch(ref) or "/" not in ref else self._tip(ref)
            data = self._reads.get(f"{self._path}/git/trees/{quote(at, safe='')}", {"recursive": "1"})
        except (NotFound, Conflict):
            return ()  # 409 is what an empty repository answers
        return shaped(paths_of, data)

    def pull_state(self, number: int) -> PullState | None:
        """In one request, and one more for how far the base went on; needs `checks: read` and `statuses: read` too.

        What the token may not see is left out, and the state says that it is not complete.
        """
        return read_pull(self._reads, self._name, number)

    def changed_paths(self, number: int) -> tuple[str, ...]:
        """ "List pull requests files"; both names of a file that was renamed."""
        rows = self._reads.pages(f"{self._path}/pulls/{number}/files", most=FILE_PAGES)
        return tuple(dict.fromkeys(name for row in rows for name in shaped(changed, row)))

    def backlog(self, *, since: str = "") -> Iterator[tuple[Subject, ...]]:
        """Oldest first. By a cursor, so that none is missed when others are closed meanwhile."""
        # GitHub filters by the last change, which is never before the first.
        for nodes, _ in self._issues(BACKLOG, since, None):
            fresh = [node for node in nodes if shaped(created, node) >= since]
            yield tuple(shaped(open_issue, node) for node in fresh)

    def _tip(self, branch: str) -> str:
        data = self._reads.get(f"{self._path}/git/ref/heads/{quote(branch, safe='/')}")
        return shaped(lambda data: str(data["object"]["sha"]), data)

    def _issues(
        self, document: str, since: str, most: int | None, after: str = ""
    ) -> Iterator[tuple[tuple[Any, ...], str]]:
        """The nodes of each page, and the cursor behind it."""
        owner, _, name = self._name.partition("/")
        asked = {"owner": owner, "name": name, "since": since or None}
        left = most
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            found = self._reads.query(document, {**asked, "first": size, "after": after or None})
            page = shaped(lambda data: dict(data["repository"]["page"]), found)
            info = page.get("pageInfo") or {}
            last, after = after, str(info.get("endCursor") or "")
            nodes = shaped(shapes.nodes, page)
            yield nodes, after
            left = None if left is None else left - len(nodes)
            if not info.get("hasNextPage") or not after:
                return
            if after == last:
                raise bad_answer("a cursor that does not move on")


def past_issue(data: Any) -> PastIssue:
    """`Issue` with its label events."""
    changes = (label_event(each) for each in shapes.nodes(data.get("timelineItems")))
    return PastIssue(
        number=int(data["number"]),
        title=clean(str(data["title"])),
        body=clean(str(data.get("body") or ""))[:BODY_LIMIT],
        author=shapes.who(data.get("author")),
        created_at=str(data["createdAt"]),
        updated_at=str(data.get("updatedAt") or ""),
        state="closed" if data["state"] == "CLOSED" else "open",
        closed_for=_REASONS.get(str(data.get("stateReason") or ""), ""),
        labels=names(data),
        label_events=tuple(sorted((each for each in changes if each), key=lambda each: each.at)),
    )


def label_event(data: Any) -> LabelEvent | None:
    """`LabeledEvent` or `UnlabeledEvent`; None where the label is no more."""
    name = (data.get("label") or {}).get("name")
    if not name or data["__typename"] not in ("LabeledEvent", "UnlabeledEvent"):
        return None
    added = data["__typename"] == "LabeledEvent"
    at = str(data["createdAt"])
    return LabelEvent(label=clean(str(name)), added=added, actor=shapes.who(data.get("actor")), at=at)


def open_issue(data: Any) -> Subject:
    """`Issue` as the subject of a run."""
    return Subject(
        kind="issue",
        number=int(data["number"]),
        title=clean(str(data["title"])),
        body=clean(str(data.get("body") or "")),
        locked=bool(data.get("locked")),
        author=shapes.who(data.get("author")) or GHOST,
        labels=names(data),
        url=str(data.get("url") or ""),
        updated_at=str(data.get("updatedAt") or ""),
    )


def names(data: Any) -> tuple[str, ...]:
    """The labels that are on it."""
    return tuple(clean(str(each["name"])) for each in shapes.nodes(data.get("labels")))


def created(data: Any) -> str:
    """When it was opened."""
    return str(data["createdAt"])


def label(row: Any) -> LabelInfo:
    """`label`."""
    return LabelInfo(name=clean(str(row["name"])), description=clean(str(row.get("description") or "")))


def paths_of(data: Any) -> tuple[str, ...]:
    """Files of a `git-tree`."""
    found = (clean(str(row["path"])) for row in data["tree"] if row.get("type") == "blob")
    return tuple(path for path in found if len(path) <= PATH_LIMIT)[:PATHS]


def changed(row: Any) -> tuple[str, ...]:
    """The names in a `diff-entry`."""
    found = (row.get("previous_filename"), row["filename"])
    return tuple(clean(str(each)) for each in found if each)

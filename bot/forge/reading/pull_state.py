"""A pull request on GitHub -> all that decides whether it can be merged: reviews, threads, checks, and its base.

Source: GitHub's GraphQL reference (PullRequest, PullRequestReview, PullRequestReviewThread, CheckRun, StatusContext)
and its REST page "Commits" ("Compare two commits").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal
from urllib.parse import quote

from bot.errors import ForgeError, NotFound
from bot.forge.client.client import Reads, shaped
from bot.forge.events.payloads import GHOST, clean
from bot.forge.reading import shapes
from bot.forge.reading.refs import OWN_CHECK
from bot.types.event import PullInfo, Revision, Subject
from bot.types.pull import CheckState, Mergeable, PullState, ReviewState, ReviewVerdict, ThreadComment, ThreadState

PAGES = 5
"""Pages of threads that are read, 100 to a page."""
WORDS = 20_000
"""Characters of a review or remark that are kept."""
LOOKS = 3
"""How often GitHub is asked whether it merges: it begins to find out when it is asked for the first time."""

THREADS = """
  pageInfo { hasNextPage endCursor }
  nodes {
    id path line isResolved isOutdated
    comments(first: 20) { nodes {
      body createdAt url authorAssociation author { ...Who } pullRequestReview { authorCanPushToRepository }
    } }
  }
"""
STATE = (
    """
query($owner: String!, $name: String!, $number: Int!) {
  repository(owner: $owner, name: $name) { pullRequest(number: $number) {
    number title body state isDraft merged locked url updatedAt
    author { ...Who }
    labels(first: 100) { nodes { name } }
    headRefName headRefOid baseRefName baseRefOid headRepository { nameWithOwner }
    mergeable mergeStateStatus reviewDecision additions deletions changedFiles
    reviews(last: 100) {
      pageInfo { hasPreviousPage }
      nodes { state body submittedAt authorCanPushToRepository author { ...Who } commit { oid } }
    }
    reviewThreads(first: 100) {"""
    + THREADS
    + """}
    commits(last: 1) { nodes { commit { oid statusCheckRollup { contexts(first: 100) {
      pageInfo { hasNextPage }
      nodes {
        __typename
        ... on CheckRun {
          name status conclusion detailsUrl externalId startedAt checkSuite { id }
          isRequired(pullRequestNumber: $number)
        }
        ... on StatusContext { context state targetUrl isRequired(pullRequestNumber: $number) }
      }
    } } } } }
  } }
}
"""
    + shapes.WHO
)
MORE = (
    """
query($owner: String!, $name: String!, $number: Int!, $after: String) {
  repository(owner: $owner, name: $name) { pullRequest(number: $number) {
    reviewThreads(first: 100, after: $after) {"""
    + THREADS
    + """}
  } }
}
"""
    + shapes.WHO
)
MERGES = """
query($owner: String!, $name: String!, $number: Int!) {
  repository(owner: $owner, name: $name) { pullRequest(number: $number) { mergeable mergeStateStatus } }
}
"""

_VERDICTS: Mapping[str, ReviewVerdict] = {
    "APPROVED": "approved",
    "CHANGES_REQUESTED": "changes_requested",
    "COMMENTED": "commented",
    "DISMISSED": "dismissed",
}
_MERGEABLE: Mapping[str, Mergeable] = {"MERGEABLE": "mergeable", "CONFLICTING": "conflicting"}
_DECISIONS: Mapping[str, Literal["approved", "changes_requested", "review_required"]] = {
    "APPROVED": "approved",
    "CHANGES_REQUESTED": "changes_requested",
    "REVIEW_REQUIRED": "review_required",
}


def read_pull(reads: Reads, full_name: str, number: int) -> PullState | None:
    """Its state now, None if there is none. Raises ForgeError."""
    owner, _, name = full_name.partition("/")
    asked = {"owner": owner, "name": name, "number": number}
    try:
        data, hidden = reads.query_part(STATE, asked)
    except NotFound:
        return None
    found = shaped(pull_of, data)
    if found["state"] == "OPEN":
        found |= _merges(reads, asked, found)
    state = shaped(state_of, found)
    threads, whole = _threads(reads, asked, found["reviewThreads"])
    return state.changed(
        threads=threads,
        complete=state.complete and whole and not hidden,
        behind_by=_behind(reads, full_name, state.subject) if found["state"] == "OPEN" else None,
    )


def _merges(reads: Reads, asked: Mapping[str, Any], found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Whether it merges, once GitHub knows; a favour that is not worth a failure."""
    for look in range(1, LOOKS):
        if found.get("mergeable") != "UNKNOWN":
            break
        reads.sleep(float(look))
        try:
            found = shaped(pull_of, reads.query(MERGES, asked))
        except ForgeError:
            break
    return {each: found[each] for each in ("mergeable", "mergeStateStatus") if each in found}


def _threads(reads: Reads, asked: Mapping[str, Any], page: Any) -> tuple[tuple[ThreadState, ...], bool]:
    """All threads, and whether they are all; `page` is the first one."""
    found = [shaped(thread_of, node) for node in shapes.nodes(page)]
    for _ in range(1, PAGES):
        info = shaped(lambda page: dict(page["pageInfo"]), page)
        if not info["hasNextPage"]:
            return tuple(found), True
        data = shaped(pull_of, reads.query(MORE, {**asked, "after": info["endCursor"]}))
        page = data["reviewThreads"]
        found += [shaped(thread_of, node) for node in shapes.nodes(page)]
    return tuple(found), not page["pageInfo"]["hasNextPage"]


def _behind(reads: Reads, full_name: str, subject: Subject) -> int | None:
    """Commits of the base branch that the head lacks; None where that can't be told, such as for an unrelated head."""
    if subject.pull is None:
        return None
    pair = f"{quote(subject.pull.base.ref, safe='')}...{subject.pull.head.sha}"
    try:
        # The first page carries the files, which are not wanted.
        data = reads.get(f"/repos/{full_name}/compare/{pair}", {"per_page": 1, "page": 2})
        return shaped(lambda data: int(data["behind_by"]), data)
    except ForgeError:
        return None


def pull_of(data: Any) -> dict[str, Any]:
    """The `PullRequest` in an answer."""
    return dict(data["repository"]["pullRequest"])


def state_of(data: Any) -> PullState:
    """`PullRequest`, but for its threads."""
    commits = shapes.nodes(data.get("commits"))
    rollup = (commits[-1]["commit"].get("statusCheckRollup") if commits else None) or {}
    contexts, reviews = rollup.get("contexts") or {}, data.get("reviews") or {}
    more = (contexts.get("pageInfo") or {}).get("hasNextPage") or (reviews.get("pageInfo") or {}).get("hasPreviousPage")
    return PullState(
        subject=subject_of(data),
        mergeable=_MERGEABLE.get(str(data.get("mergeable")), "unknown"),
        merge_state=str(data.get("mergeStateStatus") or "unknown").lower(),
        review_decision=_DECISIONS.get(str(data.get("reviewDecision")), ""),
        reviews=newest(shapes.nodes(reviews)),
        checks=checks_of(shapes.nodes(contexts)),
        additions=int(data.get("additions") or 0),
        deletions=int(data.get("deletions") or 0),
        files=int(data.get("changedFiles") or 0),
        updated_at=str(data.get("updatedAt") or ""),
        complete=not more,
    )


def subject_of(data: Any) -> Subject:
    """`PullRequest` as the subject of a run."""
    home = data.get("headRepository") or {}
    pull = PullInfo(
        head=Revision(ref=str(data["headRefName"]), sha=data["headRefOid"]),
        base=Revision(ref=str(data["baseRefName"]), sha=data["baseRefOid"]),
        head_repository=home.get("nameWithOwner"),
        draft=bool(data.get("isDraft")),
        merged=bool(data.get("merged")),
    )
    return Subject(
        kind="pull_request",
        number=int(data["number"]),
        title=clean(str(data["title"])),
        body=clean(str(data.get("body") or "")),
        state="open" if data["state"] == "OPEN" else "closed",
        locked=bool(data.get("locked")),
        author=shapes.who(data.get("author")) or GHOST,
        labels=tuple(clean(str(each["name"])) for each in shapes.nodes(data.get("labels"))),
        pull=pull,
        url=str(data.get("url") or ""),
        updated_at=str(data.get("updatedAt") or ""),
    )


def newest(rows: Iterable[Any]) -> tuple[ReviewState, ...]:
    """Of each person the newest verdict, else the newest words; a later remark takes no verdict back."""
    kept: dict[int | None, ReviewState] = {}
    for row in rows:
        verdict = _VERDICTS.get(str(row["state"]))
        author = shapes.who(row.get("author"))
        body = clean(str(row.get("body") or ""))[:WORDS]
        key = author.id if author else None
        before = kept.get(key)
        if verdict is None or (verdict == "commented" and (not body or (before and before.verdict != "commented"))):
            continue
        kept.pop(key, None)
        kept[key] = ReviewState(
            author=author,
            verdict=verdict,
            body=body,
            at=str(row.get("submittedAt") or ""),
            commit=str((row.get("commit") or {}).get("oid") or ""),
            writer=bool(row.get("authorCanPushToRepository")),
        )
    return tuple(kept.values())


def thread_of(node: Any) -> ThreadState:
    """`PullRequestReviewThread`."""
    line = node.get("line")
    return ThreadState(
        id=str(node["id"]),
        path=clean(str(node.get("path") or "")),
        line=None if line is None else int(line),
        resolved=bool(node.get("isResolved")),
        outdated=bool(node.get("isOutdated")),
        comments=tuple(
            ThreadComment(
                author=shapes.who(each.get("author")),
                body=clean(str(each.get("body") or ""))[:WORDS],
                at=str(each.get("createdAt") or ""),
                url=str(each.get("url") or ""),
                writer=counts(each),
            )
            for each in shapes.nodes(node.get("comments"))
        ),
    )


def counts(comment: Any) -> bool:
    """Whether who wrote a remark may write here: its review knows; where it has none, what the page shows must do."""
    review = comment.get("pullRequestReview")
    if review is not None:
        return bool(review.get("authorCanPushToRepository"))
    return comment.get("authorAssociation") in ("OWNER", "MEMBER", "COLLABORATOR")


def checks_of(rows: Iterable[Any]) -> tuple[CheckState, ...]:
    """Checks and statuses, our own left out. Of a check that ran twice in one suite only the newest run."""
    kept: dict[tuple[str, str], tuple[str, CheckState]] = {}
    for row in rows:
        if OWN_CHECK.fullmatch(str(row.get("externalId") or "")):
            continue
        suite = str((row.get("checkSuite") or {}).get("id") or row["__typename"])
        state, started = check_of(row), str(row.get("startedAt") or "")
        before = kept.get((state.name, suite))
        if before is None or before[0] <= started:
            kept[state.name, suite] = started, state
    return tuple(state for _, state in kept.values())


def check_of(row: Any) -> CheckState:
    """`CheckRun` or `StatusContext`; a status that failed to be made counts as failed."""
    required = bool(row.get("isRequired"))
    if row["__typename"] == "StatusContext":
        said, name = str(row["state"]), clean(str(row["context"]))[:200]
        over = {"SUCCESS": "success", "FAILURE": "failure", "ERROR": "failure"}.get(said, "")
        status: Literal["queued", "in_progress", "completed"] = "completed" if over else "in_progress"
        url = str(row.get("targetUrl") or "")
        return CheckState(name=name, status=status, conclusion=over, required=required, url=url)
    said = str(row["status"])
    # Waiting for an approval, a place or another job is all the same to whoever waits for the check.
    status = "completed" if said == "COMPLETED" else "in_progress" if said == "IN_PROGRESS" else "queued"
    return CheckState(
        name=clean(str(row["name"]))[:200],
        status=status,
        conclusion=str(row.get("conclusion") or "").lower() if said == "COMPLETED" else "",
        required=required,
        url=str(row.get("detailsUrl") or ""),
    )

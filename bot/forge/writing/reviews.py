"""A Review -> one review on a pull request, its remarks on lines of the diff ("Create a review for a pull request").

It only ever comments: it never approves and never requests changes. Before it is written the threads that earlier
reviews of ours opened are read: what stands there already is not said twice, and what is not said any more is resolved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bot.errors import Conflict
from bot.forge.client.client import Client, shaped
from bot.forge.render import sections
from bot.forge.render.markdown import code_span
from bot.forge.render.sanitize import clean
from bot.forge.writing.threads import as_code, end, finding_marker, over, read_threads, standing
from bot.marks import has_marker
from bot.types.event import Actor
from bot.types.output import Receipt, Remark, Review

PAGES = 10
"""Pages of reviews that are searched for ours, from the end."""


class Made(NamedTuple):
    """A review as it stands on GitHub."""

    id: int
    page: str


def publish_review(client: Client, path: str, output: Review, viewer: Callable[[], Actor], *, doubt: bool) -> Receipt:
    """Write it, or keep the one that is there. `path` is `/repos/<owner>/<name>`.

    Also without a doubt it is looked for first: an earlier delivery on another machine may have written it.
    """
    own = viewer().id
    made = _find(client, path, output, own)
    threads = read_threads(client, path, output.number, own)
    known = standing(threads, made.id if made else 0)
    if made is None:
        fresh = tuple(each for each in output.remarks if each.fingerprint not in known)
        made = _make(client, path, output, fresh, own)
    said = frozenset(each.fingerprint for each in output.remarks)
    end(client, path, over(threads, said, made.id))
    stand = len(known & said)
    return Receipt(key=output.key, kind=output.kind, id=made.id, url=made.page, remark=_remark(stand))


def _remark(stand: int) -> str:
    if not stand:
        return ""
    one = stand == 1
    return (
        f"{stand} of the findings {'was' if one else 'were'} said before and {'was' if one else 'were'} not repeated."
    )


def _make(client: Client, path: str, output: Review, remarks: Sequence[Remark], own: int) -> Made:
    """One review. Lines that GitHub does not take, since the branch moved on, cost the places and not the words."""
    try:
        return _post(client, path, output, _body(output, remarks), own)
    except Conflict:
        pass
    flat = {"event": "COMMENT", "body": _flat(output, remarks)}
    try:
        return _post(client, path, output, {**flat, "commit_id": output.sha}, own)
    except Conflict:  # the commit is no longer part of the pull request: the text says which one was meant
        return _post(client, path, output, flat, own)


def _post(client: Client, path: str, output: Review, body: dict[str, Any], own: int) -> Made:
    url = f"{path}/pulls/{output.number}/reviews"
    return client.settle(
        lambda: shaped(_made, client.write("POST", url, body)), lambda: _find(client, path, output, own)
    )


def _body(output: Review, remarks: Sequence[Remark]) -> dict[str, Any]:
    comments = [_comment(each) for each in remarks]
    text = f"{output.marker}\n{output.body}{_missing(output, remarks)}"
    return {"event": "COMMENT", "commit_id": output.sha, "body": text, "comments": comments}


def _missing(output: Review, remarks: Sequence[Remark]) -> str:
    """Where the findings are that the text counts and that this review does not repeat."""
    remark = _remark(len(output.remarks) - len(remarks))
    return f"\n\n<sub>{remark}</sub>" if remark else ""


def _comment(remark: Remark) -> dict[str, Any]:
    body = f"{finding_marker(remark.fingerprint)}\n{remark.body}"
    place: dict[str, Any] = {"path": remark.path, "line": remark.line, "side": "RIGHT"}
    if remark.first is not None and remark.first < remark.line:
        place |= {"start_line": remark.first, "start_side": "RIGHT"}
    return {**place, "body": body}


def _flat(output: Review, remarks: Sequence[Remark]) -> str:
    """The same words without places in the diff, but for those that stand in earlier threads."""
    parts = [output.body]
    for each in remarks:
        lines = f"{each.first}-{each.line}" if each.first else str(each.line)
        parts.append(f"{code_span(f'{clean(each.path)}:{lines}')}\n\n{as_code(each.body)}")
    return f"{output.marker}\n{sections.joined(parts)}{_missing(output, remarks)}"


def _find(client: Client, path: str, output: Review, own: int) -> Made | None:
    """The review of ours with the marker; anybody can copy the marker, only ours counts."""
    rows = client.pages(f"{path}/pulls/{output.number}/reviews", most=PAGES)
    ours = (row for row in rows if (row.get("user") or {}).get("id") == own)
    found = next((row for row in ours if has_marker(str(row.get("body") or ""), output.marker)), None)
    return None if found is None else shaped(_made, found)


def _made(data: Any) -> Made:
    return Made(int(data["id"]), str(data.get("html_url") or ""))

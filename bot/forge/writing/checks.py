"""A Check -> one check run on GitHub that follows the run, with all its annotations ("Create a check run", "Update").

The check run is found by its external id, which is the same in every stage, so that whoever goes on, on whichever
machine, brings the one to its end that somebody else began. Annotations of one request are added to those before,
50 at the most; their number on GitHub tells how many are there.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, NamedTuple

from bot.errors import Conflict, ForgeError
from bot.forge.client.client import Client, shaped
from bot.types.output import Check, Receipt
from bot.types.result import Annotation

BATCH = 50
"""Annotations of one request, GitHub's limit; each further request adds to them."""
TEXT_LIMIT = 65_535
MESSAGE_LIMIT = 16_000
"""Characters of an annotation's message; GitHub takes 64 KB."""
TITLE_LIMIT = 255
FOR_APPS = ("authenticate via a GitHub App", "not accessible by personal access token")
"""What GitHub says to a person's token, a classic and a fine-grained one: no permission of theirs covers checks."""


class Standing(NamedTuple):
    """A check run as it stands on GitHub."""

    id: int
    page: str
    status: str
    conclusion: str | None
    title: str
    sent: int
    """Annotations that it has."""


Known = MutableMapping[str, Standing]
"""External id -> what was written there last, so that the next stage needs no search."""


def publish_check(client: Client, path: str, output: Check, known: Known, *, doubt: bool) -> Receipt:
    """Bring the check run to the stage of `output`. `path` is `/repos/<owner>/<name>`.

    Where GitHub does not take its annotations it goes without them: it must not stay under way for ever.
    Raises ForgeError `checks_need_app` where the token is a person's.
    """
    try:
        there = _brought(client, path, output, known, doubt=doubt)
        return Receipt(key=output.key, kind=output.kind, id=there.id, url=there.page)
    except Conflict:
        if not output.annotations:
            raise
    except ForgeError as error:
        if not any(each in error.message for each in FOR_APPS):
            raise
        hint = "check runs need the job's own token or an App's; take `check` out of the task's outputs"
        raise ForgeError("checks_need_app", error.message, hint=hint) from None
    there = _brought(client, path, output.changed(annotations=()), known, doubt=True)
    remark = "GitHub did not take the check's remarks on lines."
    return Receipt(key=output.key, kind=output.kind, id=there.id, url=there.page, remark=remark)


def _brought(client: Client, path: str, output: Check, known: Known, *, doubt: bool) -> Standing:
    found = (None if doubt else known.get(output.external)) or _find(client, path, output)
    there = found if found and _goes_on(found, output, doubt=doubt) else None
    there = there or _create(client, path, output, after=found.id if found else 0)
    url = f"{path}/check-runs/{there.id}"
    if there.status != output.status:
        there = _advance(client, url, output, there)
    while there.sent < len(output.annotations):
        there = _add(client, url, output, there)
    known[output.external] = there
    return there


def _goes_on(there: Standing, output: Check, *, doubt: bool) -> bool:
    """Not for one that an earlier attempt completed: remarks can't be taken back, so a new attempt has a new one.

    A completed one that was in doubt, or that says the same (another machine was here), is this one.
    """
    if there.status != "completed":
        return True
    same = (there.conclusion, there.title) == (output.conclusion, output.title[:TITLE_LIMIT])
    return output.status == "completed" and (doubt or same)


def _create(client: Client, path: str, output: Check, *, after: int) -> Standing:
    body = {"name": output.name, "head_sha": output.sha, "external_id": output.external, **_stage(output, 0)}

    def find() -> Standing | None:
        found = _find(client, path, output)
        return found if found and found.id > after else None

    return client.settle(lambda: shaped(_standing, client.write("POST", f"{path}/check-runs", body)), find)


def _advance(client: Client, url: str, output: Check, there: Standing) -> Standing:
    """Bring it to another stage, with the next annotations."""

    def find() -> Standing | None:
        now = shaped(_standing, client.get(url))
        return now if now.status == output.status else None

    return client.settle(lambda: _patch(client, url, _stage(output, there.sent)), find)


def _add(client: Client, url: str, output: Check, there: Standing) -> Standing:
    """The next annotations. They add up, so after a lost answer their number is read back."""
    body = {"output": _text(output, there.sent)}

    def find() -> Standing | None:
        now = shaped(_standing, client.get(url))
        return now if now.sent > there.sent else None

    return client.settle(lambda: _patch(client, url, body), find)


def _patch(client: Client, url: str, body: dict[str, Any]) -> Standing:
    return shaped(_standing, client.write("PATCH", url, body))


def _find(client: Client, path: str, output: Check) -> Standing | None:
    """The newest one with this external id."""
    query = {"check_name": output.name, "filter": "all", "per_page": 100}
    rows = shaped(_rows, client.get(f"{path}/commits/{output.sha}/check-runs", query))
    found = [shaped(_standing, row) for row in rows if row.get("external_id") == output.external]
    return max(found, key=lambda each: each.id, default=None)


def _stage(output: Check, sent: int) -> dict[str, Any]:
    conclusion = {"conclusion": output.conclusion} if output.status == "completed" else {}
    return {"status": output.status, **conclusion, "output": _text(output, sent)}


def _text(output: Check, sent: int) -> dict[str, Any]:
    """Words, and the annotations that come after the first `sent`."""
    words = {"title": output.title[:TITLE_LIMIT], "summary": output.summary[:TEXT_LIMIT] or output.title}
    batch = [_annotation(each) for each in output.annotations[sent : sent + BATCH]]
    return words | ({"annotations": batch} if batch else {})


def _annotation(each: Annotation) -> dict[str, Any]:
    body = {
        "path": each.path,
        "start_line": each.line,
        "end_line": each.line,
        "annotation_level": each.level,
        "message": each.message[:MESSAGE_LIMIT] or each.level,
    }
    return body | ({"title": each.title[:TITLE_LIMIT]} if each.title else {})


def _standing(data: Any) -> Standing:
    output = data.get("output") or {}
    return Standing(
        id=int(data["id"]),
        page=str(data.get("html_url") or ""),
        status=str(data["status"]),
        conclusion=data.get("conclusion"),
        title=str(output.get("title") or ""),
        sent=int(output.get("annotations_count") or 0),
    )


def _rows(data: Any) -> list[dict[str, Any]]:
    return list(data["check_runs"])

"""A Check -> a completed check run on GitHub with all its annotations, 50 to a request ("Create a check run")."""

from __future__ import annotations

from typing import Any

from bot.errors import ForgeError
from bot.forge.client import Client, shaped
from bot.types.output import Check, Receipt
from bot.types.result import Annotation

BATCH = 50
"""Annotations of one request, GitHub's limit; each further request adds to them."""
TEXT_LIMIT = 65_535
MESSAGE_LIMIT = 16_000
"""Characters of an annotation's message; GitHub takes 64 KB."""
TITLE_LIMIT = 255


def publish_check(client: Client, path: str, output: Check, *, doubt: bool) -> Receipt:
    """Create the check run, then send the annotations that it lacks. `path` is `/repos/<owner>/<name>`."""
    body = {
        "name": output.name,
        "head_sha": output.sha,
        "external_id": output.external,
        "status": "completed",
        "conclusion": output.conclusion,
        "output": _text(output) | {"annotations": [_annotation(each) for each in output.annotations[:BATCH]]},
    }
    try:
        made = client.settle(
            lambda: client.write("POST", f"{path}/check-runs", body), lambda: _find(client, path, output), doubt=doubt
        )
    except ForgeError as error:
        if "authenticate via a GitHub App" not in error.message:
            raise
        hint = "check runs need the job's own token or an App's; take `check` out of the task's outputs"
        raise ForgeError("checks_need_app", error.message, hint=hint) from None
    run = shaped(_id, made)
    url = f"{path}/check-runs/{run}"
    sent = shaped(_count, made)
    while sent < len(output.annotations):
        sent = _send(client, url, output, sent)
    return Receipt(key=output.key, kind=output.kind, id=run, url=made.get("html_url") or "")


def _send(client: Client, url: str, output: Check, sent: int) -> int:
    """Add the next annotations. They add up, so after a lost answer their number is read back."""
    batch = [_annotation(each) for each in output.annotations[sent : sent + BATCH]]

    def find() -> int | None:
        count = shaped(_count, client.get(url))
        return count if count > sent else None

    def make() -> int:
        client.write("PATCH", url, {"output": _text(output) | {"annotations": batch}})
        return sent + len(batch)

    return client.settle(make, find)


def _find(client: Client, path: str, output: Check) -> Any:
    query = {"check_name": output.name, "filter": "all", "per_page": 100}
    found = client.get(f"{path}/commits/{output.sha}/check-runs", query)
    return next((row for row in shaped(_rows, found) if row.get("external_id") == output.external), None)


def _text(output: Check) -> dict[str, Any]:
    return {"title": output.title[:TITLE_LIMIT], "summary": output.summary[:TEXT_LIMIT] or output.title}


def _annotation(each: Annotation) -> dict[str, Any]:
    body = {
        "path": each.path,
        "start_line": each.line,
        "end_line": each.line,
        "annotation_level": each.level,
        "message": each.message[:MESSAGE_LIMIT] or each.level,
    }
    return body | ({"title": each.title[:TITLE_LIMIT]} if each.title else {})


def _id(data: Any) -> int:
    return int(data["id"])


def _count(data: Any) -> int:
    return int(data["output"]["annotations_count"])


def _rows(data: Any) -> list[dict[str, Any]]:
    return list(data["check_runs"])

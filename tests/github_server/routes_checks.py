"""Routes of check runs."""

from typing import Any

from .call import Call, Route, page
from .exchange import Answer, ApiError, invalid, not_found
from .history import resolve
from .records import CheckRun, now, stamp
from .shapes import app_json, repo_url

REPO = "/repos/{owner}/{repo}"
RUN = f"{REPO}/check-runs/{{check_run_id}}"
TEXT_LIMIT = 65535
ANNOTATIONS = 50


def check_run_json(call: Call, run: CheckRun) -> dict[str, Any]:
    """`check-run`."""
    fields, url = run.fields, f"{repo_url(call.world, call.repo)}/check-runs/{run.id}"
    page_url = f"{call.world.html}/{call.repo.full_name}/runs/{run.id}"
    output = fields.get("output", {})
    return {
        "id": run.id,
        "node_id": f"CR_{run.id}",
        "name": fields["name"],
        "head_sha": run.head_sha,
        "external_id": fields.get("external_id", ""),
        "url": url,
        "html_url": page_url,
        "details_url": fields.get("details_url", page_url),
        "status": fields["status"],
        "conclusion": fields.get("conclusion"),
        "started_at": fields["started_at"],
        "completed_at": fields.get("completed_at"),
        "output": {
            "title": output.get("title"),
            "summary": output.get("summary"),
            "text": output.get("text"),
            "annotations_count": len(run.annotations),
            "annotations_url": f"{url}/annotations",
        },
        "check_suite": {"id": run.id + 1},
        "app": app_json(call.world, run.app),
        "pull_requests": [],
    }


def take(call: Call, run: CheckRun) -> None:
    """Write the fields of a request over those of the run; annotations add up. ApiError 422."""
    body = call.body
    output = body.get("output", {})
    added = output.get("annotations", [])
    if len(added) > ANNOTATIONS:
        raise ApiError(422, "Invalid request.\n\nNo more than 50 items are allowed.")
    for name in ("summary", "text"):
        if len(output.get(name) or "") > TEXT_LIMIT:
            raise invalid("CheckRun", "custom", name, f"{name} exceeds a maximum bytesize of {TEXT_LIMIT}")
    for item in added:
        if item["end_line"] < item["start_line"]:
            raise invalid("CheckRun", "invalid", "annotations")
        if "start_column" in item and item["start_line"] != item["end_line"]:
            raise invalid("CheckRun", "invalid", "annotations")
    done = body.get("status", "completed" if "conclusion" in body else None)
    if done == "completed" and "conclusion" not in body and run.fields.get("conclusion") is None:
        raise invalid("CheckRun", "missing_field", "conclusion")
    run.fields |= {name: value for name, value in body.items() if name != "output"}
    run.fields["output"] = run.fields.get("output", {}) | output
    run.fields.setdefault("started_at", stamp(now()))
    run.fields["status"] = done or run.fields.get("status", "queued")
    if run.fields["status"] == "completed":
        run.fields.setdefault("completed_at", stamp(now()))
    run.annotations += added


def create_check_run(call: Call) -> Answer:
    """Only apps may."""
    app = call.app
    if app is None:
        raise ApiError(403, "You must authenticate via a GitHub App.")
    sha = call.body["head_sha"]
    if not call.repo.git.has(sha, "commit"):
        raise ApiError(422, f"No commit found for SHA: {sha}")
    run = CheckRun(call.world.next_id(), sha, app, {})
    take(call, run)
    call.repo.check_runs.append(run)
    return Answer(201, check_run_json(call, run))


def run_of(call: Call) -> CheckRun:
    """The run that the route names; 404."""
    wanted = call.number("check_run_id")
    run = next((run for run in call.repo.check_runs if run.id == wanted), None)
    if run is None:
        raise not_found()
    return run


def update_check_run(call: Call) -> Answer:
    """By the app that made it."""
    run = run_of(call)
    if call.app is not run.app:
        raise ApiError(403, "Invalid app_id: check runs can only be updated by the app that created them")
    take(call, run)
    return Answer(200, check_run_json(call, run))


def get_check_run(call: Call) -> Answer:
    """One run."""
    return Answer(200, check_run_json(call, run_of(call)))


def list_annotations(call: Call) -> Answer:
    """All that were added."""
    page_url = f"{call.world.html}/{call.repo.full_name}/blob"
    run = run_of(call)
    empty = dict.fromkeys(("start_column", "end_column", "title", "raw_details"))
    return page(
        call,
        run.annotations,
        lambda item: empty | item | {"blob_href": f"{page_url}/{run.head_sha}/{item['path']}"},
    )


def list_for_ref(call: Call) -> Answer:
    """The latest of each name, or all with `filter=all`."""
    sha, query = resolve(call.repo.git, call.params["ref"]), call.request.query
    if sha is None:
        raise ApiError(422, f"No commit found for SHA: {call.params['ref']}")
    found = [
        run for run in call.repo.check_runs
        if run.head_sha == sha
        and query.get("check_name", run.fields["name"]) == run.fields["name"]
        and query.get("status", run.fields["status"]) == run.fields["status"]
    ]  # fmt: skip
    if query.get("filter", "latest") == "latest":
        found = list({(run.app.id, run.fields["name"]): run for run in found}.values())
    return page(call, found[::-1], lambda run: check_run_json(call, run), "check_runs")


ROUTES = [
    Route("POST", f"{REPO}/check-runs", create_check_run, "checks:write"),
    Route("GET", RUN, get_check_run, "checks:read"),
    Route("PATCH", RUN, update_check_run, "checks:write"),
    Route("GET", f"{RUN}/annotations", list_annotations, "checks:read"),
    Route("GET", f"{REPO}/commits/{{ref}}/check-runs", list_for_ref, "checks:read"),
]

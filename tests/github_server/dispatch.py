"""A request -> its route, its checks in GitHub's order (who, where, may, what), its answer."""

import hashlib
import json
import re
import secrets
import traceback
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from . import (
    contract,
    routes_app,
    routes_checks,
    routes_git,
    routes_graphql,
    routes_issues,
    routes_manifest,
    routes_pulls,
    routes_reactions,
    routes_repo,
)
from .auth import authenticate, see
from .call import Call, Route, permit
from .exchange import Answer, ApiError, Request, not_found
from .records import Repo, World
from .routes_app import rate_of

VERSION = re.compile(r"\d{4}-\d{2}-\d{2}")
BY_NUMBER = re.compile(r"/repositories/(\d+)(?=/|$)")
OWNED = re.compile(r"/repos/([^/]+)/([^/]+)(?=/|$)")


@dataclass
class Journal:
    """What went through the server, for tests to assert on."""

    requests: list[Request] = field(default_factory=list)
    git_requests: list[Request] = field(default_factory=list)
    """Clones, fetches and pushes."""
    violations: list[str] = field(default_factory=list)
    """Requests that depart from GitHub's description, and failures inside this server; must stay empty."""
    answer_violations: list[str] = field(default_factory=list)
    """Answers of this server that depart; filled with `check_answers=True`."""
    unknown: list[str] = field(default_factory=list)
    """`METHOD /path` of requests to routes that this server lacks."""


def pattern(template: str) -> re.Pattern[str]:
    """A template of the description as a regular expression; some parameters take slashes."""
    out = ""
    for part in re.split(r"(/?\{\w+\})", template):
        name = part.strip("/{}")
        if not part.endswith("}"):
            out += re.escape(part)
        elif name == "path":  # the root of the repository has none
            out += r"(?:/(?P<path>.*))?"
        else:
            out += f"/(?P<{name}>{'.+' if name in contract.MULTI else '[^/]+'})"
    return re.compile(out)


def literal_first(route: Route) -> tuple[int, list[bool]]:
    """Order in which routes are tried: `/commits/{ref}/status` before `/commits/{ref}`, a word before a parameter."""
    parts = route.template.split("/")
    return -len(parts), [part.startswith("{") for part in parts]


MODULES = (
    routes_app,
    routes_issues,
    routes_manifest,
    routes_reactions,
    routes_pulls,
    routes_git,
    routes_checks,
    routes_repo,
    routes_graphql,
)
EVERY = sorted((route for module in MODULES for route in module.ROUTES), key=literal_first)
TABLE = [(route, pattern(route.template)) for route in EVERY]


def route_of(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The route and its decoded parameters."""
    for route, regex in TABLE:
        found = regex.fullmatch(path) if route.method == method else None
        if found:
            return route, {name: unquote(value or "") for name, value in found.groupdict().items()}
    return None


def canonical(world: World, path: str) -> str:
    """A path by a repository's number, as paging links and redirects use, by its name instead."""
    found = BY_NUMBER.match(path)
    repo = next((one for one in world.repos.values() if found and one.id == int(found[1])), None)
    return f"/repos/{repo.full_name}{path[found.end() :]}" if found and repo else path


def elsewhere(world: World, path: str) -> str:
    """Address of the same resource by the repository's number."""
    found = OWNED.match(path)
    repo = world.repos.get(f"{found[1]}/{found[2]}".lower()) if found else None
    return f"{world.api}/repositories/{repo.id}{path[found.end() :]}" if found and repo else world.api + path


def parse(request: Request) -> None:
    """Read the JSON body; ApiError 400."""
    if not request.raw:
        return
    try:
        request.body = json.loads(request.raw)
    except (ValueError, RecursionError):
        raise ApiError(400, "Problems parsing JSON") from None
    if not isinstance(request.body, dict | list):
        raise ApiError(400, "Body should be a JSON object")


def check(journal: Journal, request: Request, route: Route, params: dict[str, str]) -> list[str]:
    """Hold a request against the description; returns what is wrong with the shape of its body."""
    method, sent = request.method.lower(), bool(request.raw)
    wrong = contract.body_faults(route.template, method, request.body, sent)
    found = contract.parameter_faults(route.template, method, params, request.query) + wrong
    found += contract.strangers(route.template, method, request.body)
    journal.violations += [f"{request.method} {request.path}: {one}" for one in found]
    return wrong


def repo_of(world: World, request: Request, params: dict[str, str]) -> Repo:
    """The repository of a route; ApiError 404, or a redirect when it was renamed."""
    name = f"{params['owner']}/{params['repo']}".lower()
    if name in world.moved:
        rest = request.path.split("/", 4)[4:]
        target = "/".join([f"{world.api}/repositories/{world.moved[name].id}", *rest])
        raise ApiError(307 if request.is_write else 301, "Moved Permanently", None, Location=target)
    if name not in world.repos:
        raise not_found()
    return world.repos[name]


def present(world: World, request: Request, params: dict[str, str], repo: Repo) -> None:
    """Raise where the issue went elsewhere or was deleted, and for writes into an archive."""
    number = params.get("issue_number") or params.get("pull_number") or ""
    if number.isdecimal() and int(number) in repo.gone:
        home = repo.gone[int(number)]
        if home is None:
            raise ApiError(410, "This issue was deleted")
        rest = request.path.split(f"/{number}", 1)[1]
        raise ApiError(
            301, "Moved Permanently", None, Location=f"{world.api}/repositories/{home[0].id}/issues/{home[1]}{rest}"
        )
    if repo.archived and request.is_write:
        raise ApiError(403, "Repository was archived so is read-only.")


def answer(world: World, journal: Journal, request: Request) -> Answer:
    """Carry one request out."""
    if not request.headers.get("user-agent"):
        raise ApiError(
            403,
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent header",
        )
    if not VERSION.fullmatch(request.headers.get("x-github-api-version", "2022-11-28")):
        raise ApiError(400, "Unsupported API version")
    caller = authenticate(world, request.headers.get("authorization"))
    if caller.token is not None:
        request.login, request.token = caller.token.user.login, caller.token.value
    elif caller.app is not None:
        request.login = caller.app.slug
    found = route_of("GET" if request.method == "HEAD" else request.method, canonical(world, request.path))
    if found is None:
        journal.unknown.append(f"{request.method} {request.path}")
        raise not_found()
    route, params = found
    request.operation = f"{route.method} {route.template}"
    repo = repo_of(world, request, params) if "owner" in params else None
    call = Call(world, request, caller, params, repo)
    if repo is not None and caller.app is None:
        see(caller, repo)
        present(world, request, params, repo)
    parse(request)
    # The description is of REST; a document of GraphQL is checked against its own schema.
    wrong = [] if route.template == routes_graphql.PATH else check(journal, request, route, params)
    permit(call, route.need, route.role)
    if wrong:
        raise ApiError(422, "Invalid request.\n\n" + "\n".join(wrong))
    return route.handler(call)


def answered(world: World, journal: Journal, request: Request, check_answers: bool) -> Answer:
    """The answer to a request, errors included, with the headers that every answer carries."""
    try:
        made = answer(world, journal, request)
    except ApiError as error:
        made = error.answer()
    except Exception:  # noqa: BLE001 - a mistake of this server must fail the test that met it, not hang it
        journal.violations.append(f"{request.method} {request.path}: {traceback.format_exc()}")
        made = ApiError(500, "Server Error").answer()
    if check_answers and request.operation is not None and not request.operation.endswith(routes_graphql.PATH):
        method, template = request.operation.split()
        found = contract.answer_faults(template, method.lower(), made.status, made.body)
        journal.answer_violations += [f"{request.method} {request.path}: {one}" for one in found]
    return conditional(world, request, made)


def conditional(world: World, request: Request, made: Answer) -> Answer:
    """ETag, 304 when the client has it already (which costs nothing of the rate limit), and the counters."""
    token = world.tokens.get(request.token or "")
    headers = {
        "X-GitHub-Request-Id": secrets.token_hex(8).upper(),
        "X-GitHub-Media-Type": "github.v3; format=json",
    }
    if request.method == "GET" and made.status == 200:
        tag = f'W/"{hashlib.sha256(made.wire()).hexdigest()}"'
        headers["ETag"] = tag
        headers["Cache-Control"] = "private, max-age=60, s-maxage=60"
        if tag.removeprefix("W/") in request.headers.get("if-none-match", ""):
            made = Answer(304, None, made.headers)
            if token is not None:
                token.used -= 1
    resource = {"/search": "search", "/graphql": "graphql"}.get(request.path[:8].rstrip("/"), "core")
    rate: dict[str, Any] = rate_of(token) | {"resource": resource}
    headers |= {f"x-ratelimit-{name}": str(value) for name, value in rate.items()}
    if token is not None and token.kind == "pat" and token.permissions is None:
        headers["X-OAuth-Scopes"] = token.scopes
    made.headers = headers | made.headers
    return made

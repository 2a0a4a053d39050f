"""Routes beside the repositories: the caller, rate limits, apps and their tokens, and search."""

import re
import secrets
import shlex
from datetime import timedelta
from typing import Any

from .auth import LEVELS, SUSPENDED, see
from .call import Call, Route, page
from .exchange import Answer, ApiError, invalid, not_found
from .records import App, Issue, Repo, Token, now, stamp
from .shapes import app_json, profile_json, repo_json, user_json
from .shapes_issue import issue_json

LIMIT = 5000
WINDOW = 3600
INSTALLATION = "/app/installations/{installation_id}"


def get_me(call: Call) -> Answer:
    """A person; installations are refused."""
    counts = ("private_gists", "total_private_repos", "owned_private_repos", "disk_usage", "collaborators")
    own = dict.fromkeys(counts, 0) | {"two_factor_authentication": True}
    return Answer(200, profile_json(call.world, call.user) | own)


def get_user(call: Call) -> Answer:
    """Anybody, bots included."""
    user = call.world.users.get(call.params["username"].lower())
    if user is None:
        raise not_found()
    return Answer(200, profile_json(call.world, user))


def rate_of(token: Token | None) -> dict[str, int]:
    """`rate-limit` of a token; the window ends with the hour."""
    limit = LIMIT if token is not None else 60
    used = token.used if token is not None else 0
    reset = int(now().timestamp()) // WINDOW * WINDOW + WINDOW
    return {"limit": limit, "used": used, "remaining": max(limit - used, 0), "reset": reset}


def get_rate_limit(call: Call) -> Answer:
    """Counts for nothing itself."""
    core = rate_of(call.caller.token)
    search = core | {"limit": 30, "used": 0, "remaining": 30}
    return Answer(200, {"resources": {"core": core, "search": search, "graphql": core}, "rate": core})


def installation_json(call: Call, app: App) -> dict[str, Any]:
    """`installation`."""
    url = f"{call.world.api}/app/installations/{app.installation_id}"
    return {
        "id": app.installation_id,
        "account": user_json(call.world, app.owner),
        "access_tokens_url": f"{url}/access_tokens",
        "repositories_url": f"{call.world.api}/installation/repositories",
        "html_url": f"{call.world.html}/settings/installations/{app.installation_id}",
        "app_id": app.id,
        "app_slug": app.slug,
        "target_id": app.owner.id,
        "target_type": "User",
        "permissions": app.granted,
        "events": ["issues", "issue_comment", "pull_request"],
        "created_at": stamp(app.created_at),
        "updated_at": stamp(app.created_at),
        "single_file_name": None,
        "repository_selection": "selected",
        "suspended_by": user_json(call.world, app.owner) if app.suspended_at else None,
        "suspended_at": stamp(app.suspended_at),
    }


def own_app(call: Call) -> App:
    """The app whose JWT this is; 404 for the installation of another."""
    app = call.caller.app
    if app is None or ("installation_id" in call.params and call.number("installation_id") != app.installation_id):
        raise not_found()
    return app


def get_app(call: Call) -> Answer:
    """The app itself."""
    return Answer(200, app_json(call.world, own_app(call)))


def get_installation(call: Call) -> Answer:
    """By its number."""
    return Answer(200, installation_json(call, own_app(call)))


def repo_installation(call: Call) -> Answer:
    """Of one repository; 404 where the app is not installed."""
    app = own_app(call)
    if call.repo.full_name.lower() not in app.repos:
        raise not_found()
    return Answer(200, installation_json(call, app))


def wanted_repos(call: Call, app: App) -> set[str]:
    """Repositories of the new token; ApiError 422 for one that the app is not installed on."""
    names, numbers = call.body.get("repositories"), call.body.get("repository_ids")
    if names is None and numbers is None:
        return set(app.repos)
    by_name = {call.world.repo(name).name.lower(): name for name in app.repos}
    by_number = {call.world.repo(name).id: name for name in app.repos}
    found = [by_name.get(name.lower()) for name in names or ()] + [by_number.get(number) for number in numbers or ()]
    kept = {name for name in found if name is not None}
    if None in found or not kept:
        raise ApiError(
            422,
            "There is at least one repository that does not exist or is not accessible to the parent installation.",
        )
    return kept


def create_token(call: Call) -> Answer:
    """For an hour, never more than the installation has. The value is as long as real ones: about 520 characters."""
    app = own_app(call)
    if app.suspended_at is not None:
        raise ApiError(403, SUSPENDED)
    asked = call.body.get("permissions", app.permissions)
    for name, level in asked.items():
        if LEVELS.index(level) > LEVELS.index(app.granted.get(name, "none")):
            raise ApiError(422, "The permissions requested are not granted to this installation.")
    repos = wanted_repos(call, app)
    value = f"ghs_{app.installation_id}_" + ".".join(secrets.token_urlsafe(size) for size in (60, 220, 96))
    token = Token(value, app.user, "app", asked, repos, app, expires_at=now() + timedelta(hours=1))
    call.world.tokens[value] = token
    narrowed = "repositories" in call.body or "repository_ids" in call.body
    return Answer(
        201,
        {
            "token": value,
            "expires_at": stamp(token.expires_at),
            "permissions": asked | {"metadata": "read"},
            "repository_selection": "selected",
        }
        | (
            {"repositories": [repo_json(call.world, call.world.repo(name)) for name in sorted(repos)]}
            if narrowed
            else {}
        ),
    )


def revoke_token(call: Call) -> Answer:
    """The token that asks."""
    if call.caller.token is not None:
        call.caller.token.revoked = True
    return Answer(204)


def token_repos(call: Call) -> Answer:
    """What the installation token reaches."""
    token = call.caller.token
    every = [
        repo
        for name, repo in sorted(call.world.repos.items())
        if token is not None and (token.repos is None or name in token.repos)
    ]
    return page(call, every, lambda repo: repo_json(call.world, repo, call.caller.user), "repositories")


def visible(call: Call, repo: Repo) -> bool:
    """Whether search shows a repository to the caller."""
    try:
        see(call.caller, repo)
    except ApiError:
        return False
    return True


def matches(repo: Repo, issue: Issue, term: str) -> bool:
    """One term of a query: a qualifier or a word, perhaps negated."""
    if term.startswith("-") and ":" in term:
        return not matches(repo, issue, term[1:])
    name, colon, value = term.partition(":")
    kind = "pr" if issue.pull else "issue"
    known: dict[str, bool] = {
        "repo": value.lower() == repo.full_name.lower(),
        "user": value.lower() == repo.owner.login.lower(),
        "org": value.lower() == repo.owner.login.lower(),
        "is": value in (kind, issue.state, "private" if repo.private else "public"),
        "type": value == kind,
        "state": value == issue.state,
        "label": value.lower() in {label.lower() for label in issue.label_names},
        "author": value.lower().removeprefix("app/") == issue.user.login.lower().removesuffix("[bot]"),
        "head": issue.pull is not None and issue.pull.head_ref == value,
        "base": issue.pull is not None and issue.pull.base_ref == value,
        "in": True,
    }
    if colon and name in known:
        return known[name]
    text = "\n".join([issue.title, issue.body or "", *(comment.body for comment in issue.comments)])
    return re.search(rf"(?<!\w){re.escape(term)}(?!\w)", text, re.IGNORECASE) is not None


def search_issues(call: Call) -> Answer:
    """Words (all must occur), quoted phrases and the common qualifiers; newest first."""
    try:
        terms = shlex.split(call.request.query.get("q", "").replace("'", "\\'"))
    except ValueError:
        terms = []
    if not terms:
        raise invalid("Search", "missing", "q")
    found = [
        (repo, issue) for repo in call.world.repos.values() if visible(call, repo)
        for issue in repo.issues.values() if all(matches(repo, issue, term) for term in terms)
    ]  # fmt: skip
    found.sort(key=lambda pair: pair[1].id, reverse=call.request.query.get("order", "desc") == "desc")
    answer = page(call, found, lambda pair: issue_json(call.world, *pair) | {"score": 1.0}, "items")
    answer.body |= {"incomplete_results": False, "search_type": "lexical"}
    return answer


ROUTES = [
    Route("GET", "/user", get_me, "user"),
    Route("GET", "/users/{username}", get_user, "anyone"),
    Route("GET", "/rate_limit", get_rate_limit, "anyone"),
    Route("GET", "/app", get_app, "app"),
    Route("GET", INSTALLATION, get_installation, "app"),
    Route("POST", f"{INSTALLATION}/access_tokens", create_token, "app"),
    Route("DELETE", "/installation/token", revoke_token, "installation"),
    Route("GET", "/installation/repositories", token_repos, "installation"),
    Route("GET", "/repos/{owner}/{repo}/installation", repo_installation, "app"),
    Route("GET", "/search/issues", search_issues, "anyone"),
]

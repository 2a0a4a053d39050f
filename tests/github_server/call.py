"""A routed request: its world, repository, caller, parameters and body, and the paging that every list shares."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from .auth import Caller, allow
from .exchange import Answer, ApiError, Request, invalid, not_found
from .records import App, Comment, Issue, Pull, Repo, ReviewComment, Role, User, World

Item = TypeVar("Item")
BODY_LIMIT = 65536
TITLE_LIMIT = 256


@dataclass
class Call:
    """What a handler gets."""

    world: World
    request: Request
    caller: Caller
    params: dict[str, str]
    found: Repo | None

    @property
    def repo(self) -> Repo:
        """The repository of the route."""
        assert self.found is not None
        return self.found

    @property
    def body(self) -> dict[str, Any]:
        """The body as an object; empty without one."""
        return self.request.body if isinstance(self.request.body, dict) else {}

    @property
    def user(self) -> User:
        """Who acts."""
        if self.caller.user is None:
            raise ApiError(401, "Requires authentication")
        return self.caller.user

    @property
    def app(self) -> App | None:
        """The app that acts, when the token is one of an installation."""
        return self.caller.token.app if self.caller.token is not None else None

    def number(self, name: str) -> int:
        """A path parameter that is a number; 404 when it is none."""
        if not self.params[name].isdecimal():
            raise not_found()
        return int(self.params[name])

    def accepts(self, kind: str) -> bool:
        """Whether the Accept header asks for a media type such as `raw` or `diff`."""
        wanted = [part.split(";")[0].strip() for part in self.request.headers.get("accept", "").split(",")]
        plain = ("application/vnd.github", "application/vnd.github.v3")
        return any(part.removesuffix("+json") in {f"{name}.{kind}" for name in plain} for part in wanted)


Need = str | Callable[[Call], str]


@dataclass(frozen=True)
class Route:
    """One operation: its method and template in the description, who may call it, what it does.

    `need`: a permission such as `issues:write`; `app` (a JWT), `user`, `installation`, `signed` (any
    token) or `anyone`. `role`: what a
    person must be in the repository.
    """

    method: str
    template: str
    handler: Callable[[Call], Answer]
    need: Need
    role: Role = "read"


def page(call: Call, items: Sequence[Item], shape: Callable[[Item], Any], wrap: str | None = None) -> Answer:
    """One page of a list with GitHub's Link header; `wrap` names the key of lists that come in an object."""
    try:
        size = min(int(call.request.query.get("per_page", "30")), 100)
        at = max(int(call.request.query.get("page", "1")), 1)
    except ValueError:
        size, at = 30, 1
    size = max(size, 1)
    last = max(-(-len(items) // size), 1)
    wanted = {"prev": at - 1, "first": 1} if at > 1 else {}
    wanted |= {"next": at + 1, "last": last} if at < last else {}
    links = ", ".join(f'<{page_url(call, number)}>; rel="{name}"' for name, number in wanted.items())
    rows = [shape(item) for item in items[(at - 1) * size : at * size]]
    body = rows if wrap is None else {"total_count": len(items), wrap: rows}
    return Answer(200, body, {"Link": links} if links else {})


def page_url(call: Call, number: int) -> str:
    """Address of another page: by the repository's number, not its name, as GitHub does."""
    path = call.request.path
    if path.startswith("/repos/") and call.found is not None:
        path = f"/repositories/{call.found.id}/" + "/".join(path.split("/")[4:])
    query = {name: value for name, value in call.request.query.items() if name != "page"}
    return f"{call.world.api}{path.rstrip('/')}?{urlencode(query | {'page': str(number)})}"


def issue_of(call: Call) -> Issue:
    """The issue or pull request that the route names; 404."""
    name = "issue_number" if "issue_number" in call.params else "pull_number"
    issue = call.repo.issues.get(call.number(name))
    if issue is None or (name == "pull_number" and issue.pull is None):
        raise not_found()
    return issue


def pull_of(call: Call) -> tuple[Issue, Pull]:
    """The pull request that the route names; 404."""
    issue = issue_of(call)
    if issue.pull is None:
        raise not_found()
    return issue, issue.pull


def comment_of(call: Call) -> Comment:
    """The conversation comment that the route names; 404."""
    wanted = call.number("comment_id")
    every = (comment for issue in call.repo.issues.values() for comment in issue.comments)
    comment = next((comment for comment in every if comment.id == wanted), None)
    if comment is None:
        raise not_found()
    return comment


def review_comment_of(call: Call) -> tuple[Issue, ReviewComment]:
    """The review comment that the route names, with its pull request; 404."""
    wanted = call.number("comment_id")
    for issue in call.repo.issues.values():
        for comment in issue.pull.comments if issue.pull else ():
            if comment.id == wanted:
                return issue, comment
    raise not_found()


def talk_need(level: str) -> Callable[[Call], str]:
    """Permission for a conversation: that of pull requests will do on a pull request."""

    def need(call: Call) -> str:
        issue = call.repo.issues[comment_of(call).number] if "comment_id" in call.params else issue_of(call)
        return f"{'issues|pull_requests' if issue.pull else 'issues'}:{level}"

    return need


def check_text(resource: str, body: dict[str, Any], required: tuple[str, ...] = ()) -> None:
    """Lengths and blanks of title and body; ApiError 422."""
    for name, limit in (("title", TITLE_LIMIT), ("body", BODY_LIMIT)):
        value = body.get(name)
        if name in required and not (isinstance(value, str) and value.strip()):
            raise invalid(resource, "missing_field" if value is None else "custom", name, f"{name} cannot be blank")
        if isinstance(value, str) and len(value) > limit:
            raise invalid(resource, "custom", name, f"{name} is too long (maximum is {limit} characters)")


def permit(call: Call, need: Need, role: Role) -> None:
    """Raise unless the caller may use the route."""
    kind = need if isinstance(need, str) else need(call)
    if kind == "anyone":
        return
    if kind == "signed":
        if call.caller.token is None:
            raise ApiError(401, "Requires authentication")
        return
    if kind == "app":
        if call.caller.app is None:
            raise ApiError(401, "A JSON web token could not be decoded")
        return
    if kind in ("user", "installation"):
        token = call.caller.token
        if token is None:
            raise ApiError(401, "Requires authentication")
        if (token.kind == "pat") != (kind == "user"):
            raise ApiError(
                403,
                "Resource not accessible by integration"
                if kind == "user"
                else "You must authenticate with an installation access token",
            )
        return
    if call.caller.app is not None:
        raise ApiError(403, "Resource not accessible by integration")
    allow(call.caller, call.repo, kind, role)

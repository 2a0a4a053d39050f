"""One HTTP exchange: the request as recorded, the answer to send, and errors in GitHub's own JSON shape."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

DOCS = "https://docs.github.com/rest"


@dataclass
class Request:
    """A request as it arrived, completed while it is answered."""

    method: str
    path: str
    """Without the base path of an Enterprise server and without the query; still percent-encoded."""
    query: dict[str, str]
    headers: dict[str, str]
    """Names in lower case."""
    raw: bytes
    body: Any = None
    """The parsed JSON, None without a body."""
    login: str | None = None
    """Whose token it was; None for an anonymous request or an unknown token."""
    token: str | None = None
    operation: str | None = None
    """`METHOD /template` of the description; None when the route is unknown."""
    status: int = 0
    """0 until answered."""
    fault: str | None = None
    """Kind of the planted fault that it met."""
    at: float = field(default_factory=time.monotonic)

    @property
    def is_write(self) -> bool:
        """Whether its method may change something."""
        return self.method not in ("GET", "HEAD", "OPTIONS")

    @property
    def reads(self) -> bool:
        """Whether it changes nothing: by its method, a GraphQL document without a mutation, or git's fetch."""
        asks = self.path.endswith("/graphql") and b"mutation" not in self.raw
        return not self.is_write or asks or self.path.endswith("/git-upload-pack")


@dataclass
class Answer:
    """What goes back; a body that is not bytes is sent as JSON."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json; charset=utf-8"
    ends_early: bool = False
    """Whether the connection breaks in the middle of the body."""

    def wire(self) -> bytes:
        """The body as it goes over the wire."""
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class ApiError(Exception):
    """Ends a request with one of GitHub's error answers."""

    def __init__(self, status: int, message: str, errors: list[Any] | None = None, **headers: str) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message
        self.errors = errors
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(self) -> Answer:
        """The answer that GitHub gives for it."""
        body: dict[str, Any] = {
            "message": self.message,
            "documentation_url": DOCS,
            "status": str(self.status),
        }
        if self.errors is not None:
            body["errors"] = self.errors
        return Answer(self.status, body, self.headers)


def not_found() -> ApiError:
    """What GitHub says of everything that is absent or hidden."""
    return ApiError(404, "Not Found")


def invalid(resource: str, code: str, field_name: str | None = None, message: str | None = None) -> ApiError:
    """422 with one entry in `errors`, as "REST API: validation failed" documents it."""
    entry = {"resource": resource, "code": code}
    if field_name is not None:
        entry["field"] = field_name
    if message is not None:
        entry["message"] = message
    return ApiError(422, "Validation Failed", [entry])

"""Clients for the server: plain requests with the status asserted, and a PyGithub that does not throttle itself."""

from typing import Any

import github
import requests

from .server import GitHubServer


class Client:
    """Plain requests with one token."""

    def __init__(self, server: GitHubServer, token: str | None) -> None:
        self.session, self.url = requests.Session(), server.url
        if token is not None:
            self.session.headers["Authorization"] = f"Bearer {token}"

    def __call__(self, method: str, path: str, body: Any = None, status: int = 200, **headers: str) -> Any:
        """The answer's JSON, its status asserted."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.session.request(method, self.url + path, json=body, headers=sent, allow_redirects=False)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if "json" in answer.headers.get("Content-Type", "") else answer.content


def pygithub(server: GitHubServer, token: str, per_page: int = 30) -> github.Github:
    """PyGithub with a token; it neither waits between requests nor repeats them."""
    auth = github.Auth.Token(token)
    return github.Github(
        base_url=server.url,
        auth=auth,
        per_page=per_page,
        retry=None,
        seconds_between_requests=0,
        seconds_between_writes=0,
    )

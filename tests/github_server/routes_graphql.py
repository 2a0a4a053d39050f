"""POST /graphql: the small part of GitHub's public schema that clients of ours use, executed by graphql-core.

Names, arguments, nullability and error types are those of the public schema. A document that it would refuse is a
mistake of the client: it ends as a failure inside this server, which fails the test.
"""

from __future__ import annotations

import functools
from typing import Any

from graphql import GraphQLSchema, build_schema, graphql_sync

from .auth import allow, see
from .call import Call, Route
from .exchange import Answer, ApiError
from .graph_issues import issues
from .graph_nodes import refused, user_node
from .graph_pulls import comment_node, pull_request, refusal, thread_node
from .graph_schema import SCHEMA
from .records import Role
from .threads import Thread, threads_of
from .writes import new_review_comment

PATH = "/graphql"


@functools.cache
def schema() -> GraphQLSchema:
    """The schema, read once."""
    return build_schema(SCHEMA)


def graphql(call: Call) -> Answer:
    """Execute one document; errors of its fields come with status 200, as GitHub sends them."""
    if call.caller.token is None:
        raise ApiError(401, "This endpoint requires you to be authenticated.")
    asked = call.body
    done = graphql_sync(schema(), str(asked.get("query", "")), Root(call), variable_values=asked.get("variables") or {})
    foreign = [error for error in done.errors or () if "type" not in (error.extensions or {})]
    if foreign:
        raise AssertionError(f"GitHub refuses this document: {foreign}")
    body: dict[str, Any] = {"data": done.data}
    if done.errors:
        body["errors"] = [
            {
                "type": (error.extensions or {})["type"],
                "path": error.path,
                "locations": [{"line": each.line, "column": each.column} for each in error.locations or ()],
                "message": error.message,
            }
            for error in done.errors
        ]
    return Answer(200, body)


class Root:
    """The fields of Query and Mutation."""

    def __init__(self, call: Call) -> None:
        self.call = call

    def viewer(self, info: Any) -> dict[str, Any]:
        """The token's account."""
        return user_node(self.call.user)

    def rateLimit(self, info: Any, dryRun: bool) -> dict[str, Any]:
        """Never spent here."""
        return {"cost": 1, "limit": 5000, "remaining": 4999, "resetAt": "2030-01-01T00:00:00Z"}

    def repository(self, info: Any, owner: str, name: str, followRenames: bool) -> Any:
        """A repository that the caller may see."""
        world, full_name = self.call.world, f"{owner}/{name}"
        repo = world.repos.get(full_name.lower()) or (world.moved.get(full_name.lower()) if followRenames else None)
        missing = refused("NOT_FOUND", f"Could not resolve to a Repository with the name '{full_name}'.")
        if repo is None:
            raise missing
        try:
            see(self.call.caller, repo)
        except ApiError as error:
            raise missing if error.status == 404 else refused("FORBIDDEN", error.message) from None

        return {
            "id": f"R_{repo.id}",
            "databaseId": repo.id,
            "name": repo.name,
            "nameWithOwner": repo.full_name,
            "isPrivate": repo.private,
            "pullRequest": lambda info, number: pull_request(self.call, repo, number),
            "issues": lambda info, **args: issues(self.call, repo, args),
        }

    def thread(self, name: str) -> Thread:
        """A thread by its node id."""
        for repo in self.call.world.repos.values():
            for issue in repo.pulls.values():
                for thread in threads_of(repo, issue):
                    if f"PRRT_{thread.first.id}" == name:
                        return thread
        raise refused("NOT_FOUND", f"Could not resolve to a node with the global id of '{name}'")

    def node(self, info: Any, id: str) -> dict[str, Any]:  # noqa: A002
        """A conversation by its id; nothing else is asked for."""
        thread = self.thread(id)
        self.allow(thread, "pull_requests:read", "read")
        return thread_node(self.call, thread)

    def allow(self, thread: Thread, need: str, role: Role) -> None:
        """Raise what GitHub says to who may not."""
        try:
            allow(self.call.caller, thread.repo, need, role)
        except ApiError as error:
            raise refused("FORBIDDEN", error.message) from None

    def addPullRequestReviewThreadReply(self, info: Any, input: dict[str, Any]) -> Any:  # noqa: A002
        """An answer below a conversation; whoever reads may write one, unless it is locked."""
        thread = self.thread(input["pullRequestReviewThreadId"])
        self.allow(thread, "pull_requests:write", "write" if thread.issue.locked else "read")
        if not input["body"].strip():
            raise refused("UNPROCESSABLE", "Body can't be blank")
        first = thread.first
        made = new_review_comment(
            self.call.world, thread.issue, thread.pull, self.call.user, input["body"], first.path, first.line
        )
        made.in_reply_to, made.diff_hunk, made.commit_id = first.id, first.diff_hunk, first.commit_id
        comment = comment_node(self.call, self.thread(f"PRRT_{first.id}"), made)
        return {"clientMutationId": input.get("clientMutationId"), "comment": comment}

    def set_resolved(self, data: dict[str, Any], *, resolved: bool) -> dict[str, Any]:
        """Resolve, or open again; doing it twice is no error."""
        thread = self.thread(data["threadId"])
        if message := refusal(self.call, thread):
            raise refused("FORBIDDEN", message)
        if resolved:
            thread.pull.resolved.setdefault(thread.first.id, self.call.user)
        else:
            thread.pull.resolved.pop(thread.first.id, None)
        return {"clientMutationId": data.get("clientMutationId"), "thread": thread_node(self.call, thread)}

    def resolveReviewThread(self, info: Any, input: dict[str, Any]) -> Any:  # noqa: A002
        """Mark a thread as done."""
        return self.set_resolved(input, resolved=True)

    def unresolveReviewThread(self, info: Any, input: dict[str, Any]) -> Any:  # noqa: A002
        """Open it again."""
        return self.set_resolved(input, resolved=False)

    def minimizeComment(self, info: Any, input: dict[str, Any]) -> Any:  # noqa: A002
        """Fold a review comment away."""
        for repo in self.call.world.repos.values():
            for issue in repo.pulls.values():
                for thread in threads_of(repo, issue):
                    for comment in thread.comments:
                        if f"PRRC_{comment.id}" == input["subjectId"]:
                            try:
                                allow(self.call.caller, repo, "pull_requests:write", "write")
                            except ApiError as error:
                                raise refused("FORBIDDEN", error.message) from None
                            comment.minimized = input["classifier"].lower()
                            return {"minimizedComment": comment_node(self.call, thread, comment)}
        raise refused("NOT_FOUND", f"Could not resolve to a node with the global id of '{input['subjectId']}'")


ROUTES = [Route("POST", PATH, graphql, "signed")]

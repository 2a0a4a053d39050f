"""POST /graphql: the small part of GitHub's public schema that clients of ours use, executed by graphql-core.

Names, arguments, nullability and error types are those of the public schema. A document that it would refuse is a
mistake of the client: it ends as a failure inside this server, which fails the test.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from graphql import GraphQLError, GraphQLSchema, build_schema, graphql_sync

from .auth import allow, see
from .call import Call, Route
from .exchange import Answer, ApiError
from .records import Review, ReviewComment, User, at_least, role_of
from .threads import Thread, threads_of

PATH = "/graphql"
MOST = 100
SCHEMA = """
scalar DateTime
interface Node { id: ID! }
interface Actor { login: String! }
interface Minimizable { isMinimized: Boolean! minimizedReason: String }
type Query {
  viewer: User!
  repository(owner: String!, name: String!, followRenames: Boolean = true): Repository
  rateLimit(dryRun: Boolean = false): RateLimit
}
type Mutation {
  resolveReviewThread(input: ResolveReviewThreadInput!): ResolveReviewThreadPayload
  unresolveReviewThread(input: UnresolveReviewThreadInput!): UnresolveReviewThreadPayload
  minimizeComment(input: MinimizeCommentInput!): MinimizeCommentPayload
}
type RateLimit { cost: Int! limit: Int! remaining: Int! resetAt: DateTime! }
type User implements Node & Actor { id: ID! login: String! databaseId: Int name: String }
type Bot implements Node & Actor { id: ID! login: String! databaseId: Int }
type Repository implements Node {
  id: ID! databaseId: Int name: String! nameWithOwner: String! isPrivate: Boolean!
  pullRequest(number: Int!): PullRequest
}
type PageInfo { endCursor: String hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: String }
type PullRequest implements Node {
  id: ID! number: Int! headRefOid: String!
  reviewThreads(after: String, before: String, first: Int, last: Int): PullRequestReviewThreadConnection!
}
type PullRequestReviewThreadConnection { nodes: [PullRequestReviewThread] pageInfo: PageInfo! totalCount: Int! }
type PullRequestReviewThread implements Node {
  id: ID! isResolved: Boolean! isOutdated: Boolean! isCollapsed: Boolean! path: String! line: Int startLine: Int
  resolvedBy: User viewerCanResolve: Boolean!
  comments(after: String, before: String, first: Int, last: Int, skip: Int): PullRequestReviewCommentConnection!
}
type PullRequestReviewCommentConnection { nodes: [PullRequestReviewComment] pageInfo: PageInfo! totalCount: Int! }
type PullRequestReviewComment implements Node & Minimizable {
  id: ID! databaseId: Int body: String! author: Actor outdated: Boolean! isMinimized: Boolean! minimizedReason: String
  pullRequestReview: PullRequestReview
}
type PullRequestReview implements Node { id: ID! databaseId: Int body: String! }
enum ReportedContentClassifiers { ABUSE DUPLICATE LOW_QUALITY OFF_TOPIC OUTDATED RESOLVED SPAM }
input ResolveReviewThreadInput { clientMutationId: String threadId: ID! }
input UnresolveReviewThreadInput { clientMutationId: String threadId: ID! }
input MinimizeCommentInput { classifier: ReportedContentClassifiers! clientMutationId: String subjectId: ID! }
type ResolveReviewThreadPayload { clientMutationId: String thread: PullRequestReviewThread }
type UnresolveReviewThreadPayload { clientMutationId: String thread: PullRequestReviewThread }
type MinimizeCommentPayload { clientMutationId: String minimizedComment: Minimizable }
"""


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


def refused(kind: str, message: str) -> GraphQLError:
    """An error of one field."""
    return GraphQLError(message, extensions={"type": kind})


def user_node(user: User) -> dict[str, Any]:
    """The account that a token acts as: in `viewer` even a bot is a User, with the suffix in its login."""
    return {"id": f"U_{user.id}", "login": user.login, "databaseId": user.id, "name": None}


def actor_node(user: User) -> dict[str, Any]:
    """An author: a Bot's login has no suffix here, which REST gives it."""
    kind = "Bot" if user.type == "Bot" else "User"
    login = user.login.removesuffix("[bot]")
    return {"__typename": kind, "id": f"{kind}_{user.id}", "login": login, "databaseId": user.id, "name": None}


def connection(name: str, items: Sequence[Any], args: dict[str, Any]) -> dict[str, Any]:
    """One page; without bounds, or with more than 100, GitHub refuses."""
    first, last = args.get("first"), args.get("last")
    if first is None and last is None:
        message = f"You must provide a `first` or `last` value to properly paginate the `{name}` connection."
        raise refused("MISSING_PAGINATION_BOUNDARIES", message)
    size = first if first is not None else last
    assert size is not None
    if size > MOST:
        message = f"Requesting {size} records on the `{name}` connection exceeds the `first` limit of {MOST} records."
        raise refused("EXCESSIVE_PAGINATION", message)
    start = int(args["after"].removeprefix("cursor:")) if args.get("after") else 0
    if first is None:
        start = max(len(items) - size, 0)
    chosen = items[start : start + size]
    end = start + len(chosen)
    info: dict[str, Any] = {"endCursor": f"cursor:{end}", "startCursor": f"cursor:{start}"} if chosen else {}
    info |= {"hasNextPage": end < len(items), "hasPreviousPage": start > 0}
    return {"nodes": chosen, "pageInfo": info, "totalCount": len(items)}


def review_node(review: Review) -> dict[str, Any]:
    """The review that a comment came with."""
    return {"id": f"PRR_{review.id}", "databaseId": review.id, "body": review.body}


def comment_node(thread: Thread, comment: ReviewComment) -> dict[str, Any]:
    """A comment of a thread."""
    return {
        "__typename": "PullRequestReviewComment",
        "id": f"PRRC_{comment.id}",
        "databaseId": comment.id,
        "body": comment.body,
        "author": actor_node(comment.user),
        "outdated": thread.line is None,
        "isMinimized": comment.minimized is not None,
        "minimizedReason": comment.minimized,
        "pullRequestReview": next(
            (review_node(each) for each in thread.pull.reviews if each.id == comment.review_id), None
        ),
    }


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
            allow(self.call.caller, repo, "pull_requests:read", "read")
        except ApiError as error:
            raise missing if error.status == 404 else refused("FORBIDDEN", error.message) from None

        def pull_request(info: Any, number: int) -> Any:
            issue = repo.pulls.get(number)
            if issue is None:
                raise refused("NOT_FOUND", f"Could not resolve to a PullRequest with the number of {number}.")
            nodes = [self.thread_node(thread) for thread in threads_of(repo, issue)]
            return {
                "id": f"PR_{issue.id}",
                "number": number,
                "headRefOid": issue.pull.head_sha if issue.pull else "",
                "reviewThreads": lambda info, **args: connection("reviewThreads", nodes, args),
            }

        return {
            "id": f"R_{repo.id}",
            "databaseId": repo.id,
            "name": repo.name,
            "nameWithOwner": repo.full_name,
            "isPrivate": repo.private,
            "pullRequest": pull_request,
        }

    def thread_node(self, thread: Thread) -> dict[str, Any]:
        """A thread."""
        comments = [comment_node(thread, comment) for comment in thread.comments]
        by = thread.resolved_by
        return {
            "id": f"PRRT_{thread.first.id}",
            "isResolved": by is not None,
            "isOutdated": thread.line is None,
            "isCollapsed": by is not None,
            "path": thread.first.path,
            "line": thread.line,
            "startLine": thread.first.start_line,
            "resolvedBy": user_node(by) if by else None,
            "viewerCanResolve": self.refusal(thread) is None,
            "comments": lambda info, **args: connection("comments", comments, args),
        }

    def refusal(self, thread: Thread) -> str | None:
        """Why the caller may not resolve it: an installation needs the contents too, a person must write or own it."""
        token = self.call.caller.token
        try:
            allow(self.call.caller, thread.repo, "pull_requests:write", "read")
            if token is not None and token.kind != "pat":
                allow(self.call.caller, thread.repo, "contents:write", "write")
            elif self.call.user is not thread.issue.user and not at_least(
                role_of(thread.repo, self.call.user), "write"
            ):
                return f"{self.call.user.login} does not have the correct permissions to execute `ResolveReviewThread`"
        except ApiError as error:
            return error.message
        return None

    def thread(self, name: str) -> Thread:
        """A thread by its node id."""
        for repo in self.call.world.repos.values():
            for issue in repo.pulls.values():
                for thread in threads_of(repo, issue):
                    if f"PRRT_{thread.first.id}" == name:
                        return thread
        raise refused("NOT_FOUND", f"Could not resolve to a node with the global id of '{name}'")

    def set_resolved(self, data: dict[str, Any], *, resolved: bool) -> dict[str, Any]:
        """Resolve, or open again; doing it twice is no error."""
        thread = self.thread(data["threadId"])
        if message := self.refusal(thread):
            raise refused("FORBIDDEN", message)
        if resolved:
            thread.pull.resolved.setdefault(thread.first.id, self.call.user)
        else:
            thread.pull.resolved.pop(thread.first.id, None)
        return {"clientMutationId": data.get("clientMutationId"), "thread": self.thread_node(thread)}

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
                            return {"minimizedComment": comment_node(thread, comment)}
        raise refused("NOT_FOUND", f"Could not resolve to a node with the global id of '{input['subjectId']}'")


ROUTES = [Route("POST", PATH, graphql, "signed")]

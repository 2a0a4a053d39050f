"""Routes of reactions: on an issue, on a comment, on a review comment, the same three operations each."""

from collections.abc import Callable

from .call import Call, Route, comment_of, issue_of, page, review_comment_of, talk_need
from .exchange import Answer, not_found
from .records import Reaction
from .shapes import reaction_json
from .writes import react

REPO = "/repos/{owner}/{repo}"
Find = Callable[[Call], list[Reaction]]


def of_issue(call: Call) -> list[Reaction]:
    """On an issue or pull request."""
    return issue_of(call).reactions


def of_comment(call: Call) -> list[Reaction]:
    """On a conversation comment."""
    return comment_of(call).reactions


def of_review_comment(call: Call) -> list[Reaction]:
    """On a review comment."""
    return review_comment_of(call)[1].reactions


def list_reactions(find: Find) -> Callable[[Call], Answer]:
    """Oldest first, one kind when `content` is given."""

    def handler(call: Call) -> Answer:
        wanted = call.request.query.get("content")
        found = [one for one in find(call) if wanted in (None, one.content)]
        return page(call, found, lambda one: reaction_json(call.world, one))

    return handler


def create_reaction(find: Find) -> Callable[[Call], Answer]:
    """201 when new, 200 when the same user has put it already."""

    def handler(call: Call) -> Answer:
        reaction, new = react(call.world, find(call), call.user, call.body["content"])
        return Answer(201 if new else 200, reaction_json(call.world, reaction))

    return handler


def delete_reaction(find: Find) -> Callable[[Call], Answer]:
    """404 when there is none of that number."""

    def handler(call: Call) -> Answer:
        reactions, wanted = find(call), call.number("reaction_id")
        kept = [one for one in reactions if one.id != wanted]
        if len(kept) == len(reactions):
            raise not_found()
        reactions[:] = kept
        return Answer(204)

    return handler


def pull_need(level: str) -> str:
    """Review comments belong to pull requests."""
    return f"pull_requests:{level}"


ROUTES = [
    route
    for subject, find, need in (
        (f"{REPO}/issues/{{issue_number}}", of_issue, talk_need),
        (f"{REPO}/issues/comments/{{comment_id}}", of_comment, talk_need),
        (f"{REPO}/pulls/comments/{{comment_id}}", of_review_comment, pull_need),
    )
    for route in (
        Route("GET", f"{subject}/reactions", list_reactions(find), need("read")),
        Route("POST", f"{subject}/reactions", create_reaction(find), need("write")),
        Route("DELETE", f"{subject}/reactions/{{reaction_id}}", delete_reaction(find), need("write")),
    )
]

"""Short words -> states of pull requests, for tests of what triage makes of them."""

from __future__ import annotations

from typing import Any

from bot.types.event import Actor, PullInfo, Revision, Subject
from bot.types.pull import CheckState, PullState, ReviewState, ThreadComment, ThreadState

NAME = "octo/hello"
OLD, HEAD = "a" * 40, "b" * 40
AUTHOR = Actor(login="carl", id=1)
MARIA = Actor(login="maria", id=2)
STRANGER = Actor(login="otto", id=3)


def pull(
    *,
    merged: bool = False,
    draft: bool = False,
    state: str = "open",
    home: bool = True,
    title: str = "A change",
    **more: Any,
) -> PullState:
    """One that could be merged, but for what is said."""
    info = PullInfo(
        head=Revision(ref="feature", sha=HEAD),
        base=Revision(ref="main", sha=OLD),
        head_repository=NAME if home else "carl/hello",
        draft=draft,
        merged=merged,
    )
    subject = Subject.model_validate(
        {"kind": "pull_request", "number": 7, "title": title, "state": state, "author": AUTHOR, "pull": info}
    )
    return PullState(subject=subject, **{"mergeable": "mergeable", "merge_state": "clean", **more})


def check(
    name: str = "test", conclusion: str = "success", *, required: bool = False, status: str = "completed"
) -> CheckState:
    """A check run."""
    return CheckState.model_validate({"name": name, "conclusion": conclusion, "required": required, "status": status})


def said(body: str, author: Actor | None = MARIA, *, writer: bool | None = None) -> ThreadComment:
    """A remark; maria may write here."""
    return ThreadComment(author=author, body=body, writer=author == MARIA if writer is None else writer)


def thread(*comments: ThreadComment | str, name: str = "t1", **more: Any) -> ThreadState:
    """A conversation on a line; a text alone is maria's."""
    given = tuple(said(each) if isinstance(each, str) else each for each in comments)
    return ThreadState(id=name, path="app.py", line=3, comments=given, **more)


def review(
    verdict: str, body: str = "", *, author: Actor | None = MARIA, writer: bool = True, commit: str = HEAD
) -> ReviewState:
    """A review, of the newest commit if nothing else is said."""
    return ReviewState.model_validate(
        {"author": author, "verdict": verdict, "body": body, "writer": writer, "commit": commit}
    )

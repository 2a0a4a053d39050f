"""Small payloads, and a forge in memory with a repository that people of every permission visit."""

from collections.abc import Mapping, Sequence
from typing import Any

from bot.errors import ModelError
from bot.forge.events.parsing import parse_event
from bot.protocols import Knowledge
from bot.settings import Settings
from bot.testing.forge import FakeForge, FakeReader
from bot.testing.llm import ScriptedLLM
from bot.triage.decide import decide
from bot.types.decision import Decision
from bot.types.event import Comment, Event, Labeled
from bot.types.triage import IssueType

HEAD, BASE, MAIN, MOVED = "1" * 40, "2" * 40, "3" * 40, "4" * 40
SETTINGS = Settings()
IDS = {"owner": 1, "writer": 2, "triager": 3, "reader": 4, "stranger": 5, "sandpiper[bot]": 900}
LEVELS = {"owner": "admin", "writer": "write", "triager": "triage", "reader": "read"}
EARLY, ASKED, LATE = "2030-01-01T10:00:00Z", "2030-01-01T11:00:00Z", "2030-01-01T12:00:00Z"


def account(login: str, **more: Any) -> dict[str, Any]:
    bot = login.endswith("[bot]")
    return {"login": login, "id": IDS.get(login, 77), "type": "Bot" if bot else "User", **more}


def envelope(sender: str, **more: Any) -> dict[str, Any]:
    repository = {"full_name": "octo/repo", "default_branch": "main", "id": 9, "private": False, "archived": False}
    return {"repository": repository, "sender": account(sender), **more}


def issue(author: str = "stranger", **more: Any) -> dict[str, Any]:
    shape = {"number": 7, "title": "It crashes", "body": "On start.", "state": "open", "locked": False, "labels": []}
    return {**shape, "user": account(author), "updated_at": ASKED, **more}


def pull(author: str = "stranger", *, fork: bool = True, sha: str = HEAD, **more: Any) -> dict[str, Any]:
    home, origin = {"full_name": "octo/repo"}, {"full_name": f"{author}/repo"}
    head = {"ref": "topic", "sha": sha, "repo": origin if fork else home}
    base = {"ref": "main", "sha": BASE, "repo": home}
    return {**issue(author), "head": head, "base": base, "draft": False, "merged": False, **more}


def comment_payload(body: str, sender: str = "writer", action: str = "created", **more: Any) -> dict[str, Any]:
    comment = {"id": 100, "user": account(sender), "body": body, "created_at": ASKED, "updated_at": ASKED}
    return envelope(sender, action=action, issue=issue(), comment=comment, **more)


def commented(body: str, sender: str = "writer", **more: Any) -> Event:
    return parse_event("issue_comment", comment_payload(body, sender, **more), settings=SETTINGS)


def review_commented(body: str, sender: str = "writer", **more: Any) -> Event:
    """A command on a line of a pull request's diff."""
    comment = {"id": 100, "user": account(sender), "body": body, "created_at": ASKED, "updated_at": ASKED}
    payload = envelope(sender, action="created", pull_request=pull(**more), comment=comment)
    return parse_event("pull_request_review_comment", payload, settings=SETTINGS)


def labeled(label: str, sender: str = "writer", **more: Any) -> Event:
    payload = envelope(sender, action="labeled", issue=issue(**more), label={"name": label})
    return parse_event("issues", payload, settings=SETTINGS)


def opened(author: str = "stranger", action: str = "opened", **more: Any) -> Event:
    return parse_event("issues", envelope(author, action=action, issue=issue(author, **more)), settings=SETTINGS)


def pulled(action: str, sender: str = "stranger", *, label: str = "", **more: Any) -> Event:
    payload = envelope(sender, action=action, pull_request=pull(**more), label={"name": label})
    return parse_event("pull_request", payload, settings=SETTINGS)


def dispatched(sender: str = "writer", **inputs: Any) -> Event:
    return parse_event("workflow_dispatch", envelope(sender, inputs=inputs), settings=SETTINGS, delivery="42")


def workflow_run(sender: str = "stranger", **more: Any) -> Event:
    run = {
        "id": 5,
        "name": "CI",
        "event": "pull_request",
        "head_branch": "topic",
        "head_sha": HEAD,
        "head_repository": {"full_name": "stranger/repo"},
        **more,
    }
    return parse_event("workflow_run", envelope(sender, action="completed", workflow_run=run), settings=SETTINGS)


def at_home(**more: Any) -> Event:
    return workflow_run(**{"head_repository": {"full_name": "Octo/Repo"}, "conclusion": "failure", **more})


def check_suite(**more: Any) -> Event:
    suite = {"id": 6, "head_branch": "topic", "head_sha": HEAD, "conclusion": "timed_out", "app": {"name": "Builder"}}
    payload = envelope("writer", action="completed", check_suite={**suite, **more})
    return parse_event("check_suite", payload, settings=SETTINGS, delivery="d")


def verdict(body: str | None, action: str = "submitted", **more: Any) -> Event:
    review = {"id": 300, "user": account("writer"), "body": body, "submitted_at": ASKED, "commit_id": HEAD, **more}
    payload = envelope("writer", action=action, review=review, pull_request=pull("writer", fork=False, updated_at=LATE))
    return parse_event("pull_request_review", payload, settings=SETTINGS)


def repository_dispatch(client_payload: Any, event_type: str = "whatever they like") -> Event:
    payload = envelope("writer", action=event_type, branch="main", client_payload=client_payload)
    return parse_event("repository_dispatch", payload, settings=SETTINGS, delivery="51")


def assigned(login: str, sender: str = "writer", **more: Any) -> Event:
    """An issue that somebody assigned to somebody."""
    payload = envelope(sender, action="assigned", issue=issue(**more), assignee=account(login))
    return parse_event("issues", payload, settings=SETTINGS)


def review_requested(login: str, sender: str = "writer", **more: Any) -> Event:
    """A pull request for whose review somebody asked somebody."""
    payload = envelope(sender, action="review_requested", pull_request=pull(**more), requested_reviewer=account(login))
    return parse_event("pull_request", payload, settings=SETTINGS)


def scheduled() -> Event:
    """As the runner writes it: nobody sent it."""
    payload = {key: value for key, value in envelope("writer", schedule="0 4 * * 1").items() if key != "sender"}
    return parse_event("schedule", payload, settings=SETTINGS, delivery="9")


def forge_for(event: Event, *, policy: str = "", comments: Sequence[Comment] = ()) -> FakeForge:
    """The forge as it was when the event happened: its subject and its comment are there, unchanged."""
    forge = FakeForge(branches={"main": MAIN})
    forge.permissions.update(LEVELS)  # type: ignore[arg-type]  # the words are permissions
    if policy:
        forge.files[".github/bot.yml", "main"] = policy.encode()
    if event.subject:
        forge.subjects[event.subject.number] = event.subject
        if isinstance(event.trigger, Labeled):
            labels = dict.fromkeys((*event.subject.labels, event.trigger.label))
            forge.subjects[event.subject.number] = event.subject.changed(labels=tuple(labels))
        forge.comments[event.subject.number] = list(comments)
        if event.trigger.kind == "comment":
            forge.comments[event.subject.number].append(event.trigger.comment)
    return forge


def no_model(name: str | None) -> ScriptedLLM:
    raise ModelError("asked_too_early", "no model may be asked here")


def judge(
    event: Event,
    forge: FakeForge | None = None,
    *,
    settings: Settings = SETTINGS,
    model: Any = None,
    knowledge: Knowledge | None = None,
) -> Decision:
    reader = FakeReader(forge or forge_for(event))

    def knows(*, error: float = 0.05, types: Mapping[str, IssueType] | None = None) -> Knowledge:
        assert knowledge is not None
        return knowledge

    return decide(event, reader=reader, settings=settings, model=model, knowledge=knows if knowledge else None)

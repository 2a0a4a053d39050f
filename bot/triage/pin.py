"""An accepted task -> RunSpec: every moving thing is read once and pinned, so that later changes change nothing."""

from collections.abc import Sequence

from bot.protocols import ForgeReader
from bot.triage.policy_shape import Policy
from bot.types.decision import Refuse
from bot.types.event import Actor, Comment, Commented, Dispatched, Event, Revision, Subject
from bot.types.result import CheckFailure
from bot.types.run import run_id_of
from bot.types.task import RunSpec, Task
from bot.types.value import Trust

CONVENTIONS_BYTES = 32 * 1024
DISCUSSION_COMMENTS = 100
COMMENT_CHARACTERS = 8_000
DISCUSSION_CHARACTERS = 200_000
"""What a record holds: more than a model reads, so that what is left out is said where its task is worded."""
INSTRUCTION_CHARACTERS = 20_000
FAILURES = 20
CHECK = Actor(login="A check that failed", id=0, type="Bot")
"""Whose words a failure's description is shown as; no account can have this name."""


def pin(
    event: Event,
    task: Task,
    subject: Subject | None,
    *,
    trust: Trust,
    instructions: str,
    policy: Policy,
    digest: str,
    failures: Sequence[CheckFailure] = (),
    reader: ForgeReader,
) -> RunSpec | Refuse:
    """All that a run needs, at the commits that the forge shows now.

    `digest` is the policy file's. `failures` are told with the conversation: what a check says about itself is as
    foreign as what a person says, and nothing that is read as people's words earns more trust.
    """
    found = _revisions(event, subject, reader)
    if found is None:
        return Refuse(code="no_revision", reason="the branch to work on does not exist or has no commit", speak=True)
    revision, base = found
    return RunSpec(
        run_id=run_id_of(event),
        task=task,
        repository=event.repository,
        subject=subject,
        revision=revision,
        base=base,
        requester=event.actor,
        trust=trust,
        instructions=instructions[:INSTRUCTION_CHARACTERS],
        policy_digest=digest,
        conventions=conventions(policy, event.repository.default_branch, reader),
        discussion=(*(discussion(event, subject, reader) if subject else ()), *map(as_comment, failures[:FAILURES])),
    )


def _revisions(event: Event, subject: Subject | None, reader: ForgeReader) -> tuple[Revision, Revision] | None:
    """The commit that the sandbox sees, and the branch that a pull request of ours would go to."""
    if subject is not None and subject.pull is not None:
        base = reader.revision(subject.pull.base.ref) or subject.pull.base
        return subject.pull.head, base
    wanted = event.trigger.ref if isinstance(event.trigger, Dispatched) else None
    base_found = reader.revision(wanted or event.repository.default_branch)
    if base_found is None or base_found.ref == base_found.sha:
        # A commit by its name may be of any fork: GitHub shows them all under this repository's address.
        return None
    return base_found, base_found


def snapshot(event: Event, fresh: Subject) -> Subject:
    """The subject as it is now, with the words that it had when somebody asked."""
    if event.subject is None:
        return fresh
    return fresh.changed(title=event.subject.title, body=event.subject.body)


def conventions(policy: Policy, branch: str, reader: ForgeReader) -> str:
    """The repository's own rules for agents, from the default branch only: a pull request can't bring its own."""
    for path in policy.conventions:
        data = reader.file(path, branch)
        if data is not None:
            return data[:CONVENTIONS_BYTES].decode("utf-8", "replace").replace("\0", "\ufffd")
    return ""


def discussion(event: Event, subject: Subject, reader: ForgeReader) -> tuple[Comment, ...]:
    """What people wrote before the event and left unchanged since then, newest kept, ours left out."""
    trigger = event.trigger.comment if isinstance(event.trigger, Commented) else None
    until = trigger.created_at if trigger else event.subject.updated_at if event.subject else ""
    viewer = reader.viewer().id
    kept: list[Comment] = []
    room = DISCUSSION_CHARACTERS
    for comment in reversed(_all_comments(subject, reader)):
        late = bool(until) and max(comment.created_at, comment.updated_at) > until
        if late or comment.author.id == viewer or (trigger is not None and comment.id == trigger.id):
            continue
        body = comment.body[:COMMENT_CHARACTERS]
        room -= len(body)
        if room < 0 or len(kept) == DISCUSSION_COMMENTS:
            break
        kept.append(comment.changed(body=body))
    return tuple(reversed(kept))


def as_comment(failure: CheckFailure) -> Comment:
    """What a check says about its failure, as one more voice."""
    lines = [f"{each.path}:{each.line}: {each.message}" for each in failure.annotations]
    body = "\n\n".join(part for part in (f"Check: {failure.name}", failure.summary, "\n".join(lines)) if part)
    return Comment(id=0, author=CHECK, body=body[:COMMENT_CHARACTERS])


def _all_comments(subject: Subject, reader: ForgeReader) -> tuple[Comment, ...]:
    """Oldest first; on a pull request those on lines of its diff too."""
    found = reader.comments(subject.number)
    if subject.kind == "issue":
        return found
    return tuple(sorted((*found, *reader.comments(subject.number, kind="review")), key=lambda each: each.created_at))

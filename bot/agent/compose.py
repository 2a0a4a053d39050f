"""RunSpec -> the words a model starts with: what to do, by whose word, and what strangers wrote, marked as theirs."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from importlib import resources

from bot.agent.text import shorten
from bot.types.event import Comment, Subject
from bot.types.model import Message
from bot.types.task import RunSpec
from bot.types.value import Argv
from bot.visible import shown, visible

BODY_CHARS = 20_000
COMMENT_CHARS = 4_000
DISCUSSION_CHARS = 40_000
CONVENTIONS_CHARS = 20_000
INSTRUCTIONS_CHARS = 10_000


def opening(spec: RunSpec, verify: Sequence[Argv]) -> tuple[Message, Message]:
    """The system's message and the task's."""
    system = resources.files("bot.agent").joinpath("prompts", "system.md").read_text(encoding="utf-8")
    return Message(role="system", content=system.strip()), Message(role="user", content=task_text(spec, verify))


def task_text(spec: RunSpec, verify: Sequence[Argv]) -> str:
    """The task, by falling trust: the policy's words, the requester's, the repository's, everybody's."""
    sections = {
        "Task": spec.task.prompt.strip() or spec.task.description.strip() or spec.task.name,
        f"What {spec.requester.login} asks": shorten(visible(spec.instructions).strip(), INSTRUCTIONS_CHARS),
        "Where you are": _place(spec),
        "Verification": _verification(verify),
        "Conventions of this repository": shorten(visible(spec.conventions).strip(), CONVENTIONS_CHARS),
        "Where this comes from": _strangers(spec),
    }
    return "\n\n".join(f"# {heading}\n\n{text}" for heading, text in sections.items() if text)


def _place(spec: RunSpec) -> str:
    lines = [f"The working tree is `{spec.repository.full_name}` at commit {spec.revision.sha}."]
    pull = spec.subject.pull if spec.subject else None
    if pull is not None:
        lines.append(
            f"It is the head of a pull request into `{visible(pull.base.ref)}`. "
            f"`git diff {pull.base.sha}...HEAD` shows what it proposes."
        )
    return "\n".join(lines)


def _verification(verify: Sequence[Argv]) -> str:
    if not verify:
        return ""
    commands = "\n".join(f"    {shlex.join(argv)}" for argv in verify)
    return (
        f"These commands ran before you started and run again when you finish; both results are compared:\n\n{commands}"
    )


def _strangers(spec: RunSpec) -> str:
    if spec.subject is None:
        return ""
    text = "\n\n".join([_subject(spec.subject), *_discussion(spec.discussion)])
    # Nobody can write the line that ends the block into the block: it depends on every character of it.
    boundary = hashlib.sha256(f"{spec.run_id}\n{text}".encode("utf-8", "replace")).hexdigest()[:20]
    return f"BEGIN {boundary}\n{text}\nEND {boundary}"


def _subject(subject: Subject) -> str:
    kind = "Pull request" if subject.kind == "pull_request" else "Issue"
    title = " ".join(visible(subject.title).split())
    body = shorten(shown(subject.body).strip(), BODY_CHARS)
    return f"{kind} #{subject.number} by {subject.author.login}: {title}\n\n{body}".strip()


def _discussion(comments: Sequence[Comment]) -> list[str]:
    """The latest comments that fit, oldest first."""
    kept: list[str] = []
    room = DISCUSSION_CHARS
    for comment in reversed(comments):
        text = f"{comment.author.login} wrote:\n\n{shorten(shown(comment.body).strip(), COMMENT_CHARS)}"
        room -= len(text)
        if room < 0:
            kept.append(f"[{len(comments) - len(kept)} earlier comments left out]")
            break
        kept.append(text)
    return kept[::-1]

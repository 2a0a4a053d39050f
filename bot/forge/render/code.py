"""A result -> the commit and the draft pull request that it deserves. Pure.

What may be written to code is decided here and nowhere else: `publishable`.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from bot.forge.client.addresses import pages_of
from bot.forge.render import sections
from bot.forge.render.markdown import code_span
from bot.forge.render.sanitize import clean, one_line
from bot.marks import RUN_TRAILER
from bot.settings import Settings
from bot.types.output import Commit, Output, Pull
from bot.types.result import RunResult
from bot.types.task import RunSpec

TITLE = 72
"""Characters of a commit's subject line, the custom of git."""
LOCAL = "localhost"
"""Host of the addresses of a forge that is a folder."""
_LOGIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})(?:\[bot\])?")


def publishable(spec: RunSpec, result: RunResult) -> bool:
    """Whether the changes may be written to the repository at all."""
    return (
        spec.trust == "writer"
        and result.conclusion in ("success", "neutral")
        and not result.held
        and result.changes.complete
        and bool(result.changes.files)
    )


def branch_name(spec: RunSpec) -> str:
    """`bot/<task>-<number>-<run>`: the same for every attempt to publish the same run."""
    number = f"{spec.subject.number}-" if spec.subject else ""
    return f"bot/{spec.task.name}-{number}{spec.run_id[:8]}"


def code_outputs(spec: RunSpec, result: RunResult, settings: Settings) -> list[Output]:
    """A commit on the pull request's own branch; or on a new branch of ours, with a draft pull request if allowed."""
    if not publishable(spec, result):
        return []
    allowed, subject = set(spec.task.outputs), spec.subject
    if not {"branch", "pull_request"} & allowed:
        return []
    base = spec.base.ref
    if subject is not None and subject.kind == "pull_request":
        pull = subject.pull
        if pull is None or (pull.head_repository or "").lower() != spec.repository.full_name.lower():
            return []
        if "branch" in allowed and pull.head.ref != spec.repository.default_branch:
            return [_commit(spec, result, settings, pull.head.ref, create=False)]
        base = pull.head.ref
    return _on_a_branch_of_ours(spec, result, settings, base)


def stacked(spec: RunSpec, result: RunResult, *, settings: Settings) -> list[Output]:
    """The same for a pull request whose branch moved on and touched the same files: nothing is forced on it.

    A draft pull request into its branch; empty where the task may not open one.
    """
    pull = spec.subject.pull if spec.subject else None
    if pull is None or "pull_request" not in spec.task.outputs:
        return []
    return _on_a_branch_of_ours(spec, result, settings, pull.head.ref)


def _on_a_branch_of_ours(spec: RunSpec, result: RunResult, settings: Settings, base: str) -> list[Output]:
    commit = _commit(spec, result, settings, branch_name(spec), create=True)
    if "pull_request" not in spec.task.outputs:
        return [commit]
    title, body = title_of(spec, result, 200), _pull_body(spec, result, settings)
    return [commit, Pull(key="pull", head=commit.branch, base=base, title=title, body=body)]


def _commit(spec: RunSpec, result: RunResult, settings: Settings, branch: str, *, create: bool) -> Commit:
    return Commit(
        key="commit-new" if create else "commit",
        branch=branch,
        create=create,
        parent=spec.revision.sha,
        message=_commit_message(spec, result, settings),
        files=result.changes.files,
        rebase=not create,
    )


def title_of(spec: RunSpec, result: RunResult, limit: int) -> str:
    """One plain line about the change: the subject of a commit, the title of a pull request."""
    subject = spec.subject
    issue = subject.number if subject and subject.kind == "issue" else None
    title = one_line(result.title, limit=limit, issue=issue, repository=spec.repository.full_name)
    return title or f"{spec.task.name}: changes for " + (f"#{subject.number}" if subject else spec.base.ref)[:100]


def _commit_message(spec: RunSpec, result: RunResult, settings: Settings) -> str:
    host = urlsplit(pages_of(settings, spec.repository)).hostname or LOCAL
    lines = [title_of(spec, result, TITLE), "", f"{RUN_TRAILER}: {spec.run_id}"]
    person = spec.requester
    if person.id and _LOGIN.fullmatch(person.login):
        lines.append(f"Co-authored-by: {person.login} <{person.id}+{person.login}@users.noreply.{host}>")
    return "\n".join(lines)


def _pull_body(spec: RunSpec, result: RunResult, settings: Settings) -> str:
    prose, subject = sections.prose_of(spec, settings), spec.subject
    parts = []
    if subject is not None:
        parts.append(f"Fixes #{subject.number}" if subject.kind == "issue" else f"For #{subject.number}")
    # The files have a tab of their own in a pull request.
    parts += sections.result_sections(result, prose, files=False)
    parts.append("---")
    cost = sections.cost_line(result.usage, result.seconds)
    run = f"run <code>{spec.run_id}</code>"
    parts.append(f"Made by Sandpiper, task {code_span(spec.task.name)}, asked for by {person_of(spec, settings)}.")
    parts.append(f"<sub>{' · '.join(part for part in (cost, run) if part)}</sub>")
    return sections.joined(parts)


def person_of(spec: RunSpec, settings: Settings) -> str:
    """Who asked, as a link rather than a mention: they know already and need no notification."""
    login = spec.requester.login
    if spec.requester.type != "User" or not _LOGIN.fullmatch(login) or login.endswith("]"):
        return code_span(clean(login))
    pages = pages_of(settings, spec.repository)
    return f"[{login}]({pages}/{login})" if pages else code_span(login)

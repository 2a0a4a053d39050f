"""All open issues of a repository -> a judgement of each, exactly as an event of that issue would get it.

Each judgement is on the disk before the next one is made, and before anything of it is written to the forge: whatever
ends this, the next call goes on where it ended, pays nothing twice and writes nothing twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from bot.deps import Deps, tell
from bot.errors import Cancelled, ForgeError
from bot.llm.budget import Budget
from bot.protocols import Knowledge
from bot.redaction import redact_data
from bot.store.journal import Journal, open_journal
from bot.triage.answers import triage_outputs
from bot.triage.case import known
from bot.triage.gate import granted
from bot.triage.issues.comment import Earlier, digest_of, earlier_of
from bot.triage.issues.facts import RepositoryFacts, facts_of
from bot.triage.issues.judge import judge_issue
from bot.triage.issues.rules import Ruled, by_rules
from bot.triage.issues.triggers import harmless, nameable
from bot.triage.listing import Row
from bot.triage.policy import digest_of as digest_of_file
from bot.triage.policy import parse_policy
from bot.triage.policy_shape import Policy
from bot.triage.tasks import tasks_of
from bot.types.event import Repository, Subject
from bot.types.output import LabelChange, Note, Output
from bot.types.task import Task
from bot.types.triage import Triage
from bot.types.value import Value

VERSION = 1
FAILURES = 5
"""Failures of the forge in a row after which it is not asked any more."""
HOPELESS = frozenset({"unauthorized", "rate_limited"})


class Entry(Value):
    """A line of the journal. Of several about one issue the last one counts."""

    basis: str
    """Digest of policy and judges: what was judged otherwise is judged again."""
    text: str
    """Digest of what was judged."""
    row: Row
    """What became of it."""


@dataclass(frozen=True)
class Basis:
    """What all issues of one call have in common."""

    deps: Deps
    policy: Policy
    task: Task
    facts: RepositoryFacts
    knowledge: Knowledge | None
    purse: Budget | None
    """The model with the money for it."""
    digest: str
    writes: bool
    """Whether anything is written to the forge."""


class Done(NamedTuple):
    """One step."""

    row: Row
    new: bool
    """Whether it was judged now, and not by an earlier call."""


def basis_of(deps: Deps, repository: Repository, *, with_model: bool, usd: float, writes: bool) -> Basis:
    """Read what the repository decides and what was learned of it.

    Raises PolicyError, ForgeError, and ConfigurationError where the policy wants more than the operator allows.
    """
    data = deps.reader.file(deps.settings.policy, repository.default_branch)
    policy = harmless(parse_policy(data, deps.settings.policy), deps.settings.label_prefix)
    task = granted(tasks_of(policy)["triage"], deps.settings)
    wanted = deps.model if with_model and policy.triage.model else None
    purse = Budget(wanted(task.model), usd) if wanted else None
    knowledge = known(deps.knowledge, policy.triage, partial(tell, deps, "decide")) if policy.triage.offline else None
    judges = (VERSION, digest_of_file(data), purse.model if purse else "", knowledge is not None)
    return Basis(
        deps=deps,
        policy=policy,
        task=task,
        facts=nameable(facts_of(deps.reader, repository.default_branch), deps.settings.label_prefix),
        knowledge=knowledge,
        purse=purse,
        digest=hashlib.sha256(repr(judges).encode()).hexdigest()[:16],
        writes=writes,
    )


def journal_of(state: Path, repository: Repository, *, fresh: bool) -> AbstractContextManager[Journal[Entry]]:
    """The journal of a repository's backlog in the state folder."""
    name = repository.full_name.lower()
    path = state / "backlog" / f"{name.replace('/', '__')}.jsonl"
    return open_journal(path, Entry, {"journal": "backlog", "version": VERSION, "repository": name}, fresh=fresh)


def open_issues(deps: Deps, *, since: str = "", limit: int | None = None) -> tuple[Subject, ...]:
    """The open issues, oldest first, at most `limit`. Raises ForgeError."""
    found = (subject for page in deps.reader.backlog(since=since) for subject in page)
    return tuple(islice(found, limit))


def judge_all(basis: Basis, subjects: Sequence[Subject], journal: Journal[Entry]) -> Iterator[Done]:
    """Step by step; ends early where the money is spent, which `basis.purse.over` then says.

    Raises Cancelled, and ForgeError where the forge keeps failing; what was done until then is kept.
    """
    known = {entry.row.number: entry for entry in journal.entries()}
    failures = 0
    for subject in subjects:
        if basis.deps.cancelled():
            raise Cancelled("cancelled", "it was stopped by a signal")
        entry = _still_true(basis, subject, known.get(subject.number))
        new = entry is None
        try:
            if entry is None:
                entry = _judged(basis, subject)
                if basis.purse is not None and basis.purse.over:
                    return
                journal.append(entry)
            if basis.writes and not (entry.row.written or entry.row.left):
                entry = _written(basis, subject, entry, doubt=not new)
                journal.append(entry)
            failures = 0
        except ForgeError as error:
            failures += 1
            if failures >= FAILURES or error.code in HOPELESS:
                raise
            entry = _failed(basis, subject, entry, error)
            journal.append(entry)
        yield Done(entry.row, new)


def _still_true(basis: Basis, subject: Subject, entry: Entry | None) -> Entry | None:
    """What an earlier call found, where it would be found again."""
    if entry is None or entry.row.failure is not None or entry.row.found is None:
        return None
    if (entry.basis, entry.text) != (basis.digest, digest_of(subject, basis.policy)):
        return None
    # A call that was ended while it wrote may have changed the issue itself.
    begun = basis.writes and not entry.row.written and not entry.row.left
    return entry if begun or entry.row.updated_at == subject.updated_at else None


def _judged(basis: Basis, subject: Subject) -> Entry:
    earlier = _earlier(basis, subject)
    ruled = by_rules(subject, basis.policy)
    digest = digest_of(subject, basis.policy)
    asked = earlier is not None and earlier.asked_before(digest)
    found = _found(basis, subject, ruled, asked=asked)
    row = Row(
        number=subject.number,
        title=subject.title,
        updated_at=subject.updated_at,
        labels=subject.labels,
        found=found,
        left=_left(subject, ruled),
    )
    row = _with(row, () if row.left else _outputs(basis, subject, row, ruled, earlier))
    return Entry(basis=basis.digest, text=digest, row=row)


def _found(basis: Basis, subject: Subject, ruled: Ruled, *, asked: bool) -> Triage:
    purse = basis.purse
    if purse is None and basis.knowledge is None:  # as for an event: nobody but the rules is heard
        return Triage(labels=ruled.chosen, reason=ruled.reason)
    return judge_issue(
        subject,
        policy=basis.policy,
        task=basis.task,
        facts=basis.facts,
        knowledge=basis.knowledge,
        model=(lambda name: purse) if purse is not None else None,
        ruled=ruled,
        asked=asked,
    )


def _left(subject: Subject, ruled: Ruled) -> str:
    """Why an event of it would write nothing, or something else."""
    if subject.locked:
        return "the conversation is locked"
    return f"a rule starts the task {ruled.task}, which nobody asked for here" if ruled.task else ""


def _outputs(basis: Basis, subject: Subject, row: Row, ruled: Ruled, earlier: Earlier | None) -> tuple[Output, ...]:
    if row.found is None:
        return ()
    return triage_outputs(
        subject,
        row.found,
        ruled,
        basis.policy,
        earlier=earlier,
        looked=_looks(basis),
        security_policy=basis.facts.security_policy,
    )


def _with(row: Row, outputs: Sequence[Output]) -> Row:
    add = tuple(label for each in outputs if isinstance(each, LabelChange) for label in each.add)
    return row.changed(put_on=add, comment=any(isinstance(each, Note) for each in outputs))


def _earlier(basis: Basis, subject: Subject) -> Earlier | None:
    """What our comment on it remembers. A dry run does without: a question for each issue would be a high price."""
    if not _looks(basis):
        return None
    reader = basis.deps.reader
    return earlier_of(reader.comments(subject.number), reader.viewer().id, subject.number)


def _looks(basis: Basis) -> bool:
    """Whether our earlier comment is looked for, as for an event: somebody but the rules may say something in it."""
    judges = basis.purse is not None or basis.knowledge is not None
    return basis.writes and judges and "comment" in basis.policy.triage.actions


def _written(basis: Basis, subject: Subject, entry: Entry, *, doubt: bool) -> Entry:
    """The same once it stands on the forge. The issue is looked at again first: judging all may have taken hours."""
    deps, row = basis.deps, entry.row
    now = deps.reader.subject(subject.number, kind="issue")
    if now is None or now.state != "open" or digest_of(now, basis.policy) != entry.text:
        return entry.changed(row=row.changed(left="it was changed or closed meanwhile", updated_at=""))
    outputs = _outputs(basis, now, row, by_rules(now, basis.policy), _earlier(basis, now))
    for output in outputs:
        safe = type(output).model_validate(redact_data(output.model_dump(), deps.secrets))
        deps.writer.apply(safe, blobs=deps.settings.state, doubt=doubt)
    kept = tuple(each for each in row.put_on if each in now.labels) if doubt else ()
    row = _with(row, outputs)
    row = row.changed(put_on=tuple(dict.fromkeys((*kept, *row.put_on))))  # an earlier call may have put some on
    if outputs:  # our own change is not one that wants another judgement
        after = deps.reader.subject(subject.number, kind="issue")
        row = row.changed(updated_at=after.updated_at if after else "")
    return entry.changed(row=row.changed(written=True))


def _failed(basis: Basis, subject: Subject, entry: Entry | None, error: ForgeError) -> Entry:
    row = entry.row if entry else Row(number=subject.number, title=subject.title, labels=subject.labels)
    text = digest_of(subject, basis.policy)
    return Entry(basis=basis.digest, text=text, row=row.changed(failure=error.failure()))

"""`sandpiper triage issue OWNER/NAME#N` -> its judgement, and what the repository's policy would do with it.

Nothing is written to the forge, whatever the policy says.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from bot.cli.output import json_option, plain, print_json, say, table
from bot.cli.triage_open import at_repository, place_of
from bot.deps import Deps
from bot.errors import ConfigurationError
from bot.settings import Settings
from bot.triage.answers import triage_outputs
from bot.triage.case import known
from bot.triage.gate import granted
from bot.triage.issues.comment import digest_of, earlier_of
from bot.triage.issues.facts import facts_of
from bot.triage.issues.judge import judge_issue
from bot.triage.issues.rules import by_rules
from bot.triage.issues.triggers import harmless, nameable
from bot.triage.policy import parse_policy
from bot.triage.tasks import tasks_of
from bot.types.event import Repository, Subject
from bot.types.output import LabelChange, Note, Output
from bot.types.triage import Triage


@click.command()
@click.argument("where", metavar="OWNER/NAME#N")
@click.option("--no-model", is_flag=True, help="Ask no language model, even where one is configured.")
@json_option
def issue(where: str, no_model: bool, as_json: bool) -> None:
    """Judge an issue on GitHub, and show what would be done.

    The rules, the offline model and the language model are asked as far as there are any, also where the policy would
    make no use of their word. Nothing is written.
    """
    name, number = place_of(where)
    with at_repository(name) as (deps, repository, settings):
        found, outputs = judged(number, deps, repository, settings, no_model=no_model)
    if as_json:
        print_json({"triage": plain(found), "outputs": plain(outputs)})
        return
    say(table(rows_of(found)))
    say()
    for line in lines_of(outputs):
        say(line)


def judged(
    number: int, deps: Deps, repository: Repository, settings: Settings, *, no_model: bool = False
) -> tuple[Triage, tuple[Output, ...]]:
    """The judgement of an issue, and what would be written. Raises ConfigurationError, PolicyError, ForgeError."""
    branch = repository.default_branch
    subject = _issue(number, deps, repository)
    policy = harmless(parse_policy(deps.reader.file(settings.policy, branch), settings.policy), settings.label_prefix)
    facts, ruled = nameable(facts_of(deps.reader, branch), settings.label_prefix), by_rules(subject, policy)
    earlier = earlier_of(deps.reader.comments(number), deps.reader.viewer().id, number)
    found = judge_issue(
        subject,
        policy=policy,
        task=granted(tasks_of(policy)["triage"], settings),
        facts=facts,
        knowledge=known(deps.knowledge, policy.triage),
        model=None if no_model else deps.model,
        ruled=ruled,
        asked=earlier is not None and earlier.asked_before(digest_of(subject, policy)),
    )
    outputs = triage_outputs(subject, found, ruled, policy, earlier=earlier, security_policy=facts.security_policy)
    return found, outputs


def _issue(number: int, deps: Deps, repository: Repository) -> Subject:
    subject = deps.reader.subject(number)
    if subject is None:
        message = f"there is no issue #{number} in {repository.full_name}"
        raise ConfigurationError("no_such_issue", message, hint="look at its number, and at the repository's name")
    if subject.kind != "issue":
        hint = f"use `sandpiper triage pr {repository.full_name}#{number}`"
        raise ConfigurationError("no_issue", f"#{number} is a pull request", hint=hint)
    return subject


def rows_of(found: Triage) -> Iterator[tuple[str, str]]:
    """Names and values for people; what is empty is left out."""
    labels = (
        f"{each.label} ({each.by}, {each.confidence:.2f}{'' if each.apply else ', proposed'})" for each in found.labels
    )
    flags = [name for name in ("reproduction", "security", "spam") if getattr(found, name)]
    rows = {
        "type": f"{'' if found.type_guessed is None else 'perhaps '}{found.type}" if found.type else "can't be told",
        "labels": ", ".join(labels),
        "priority": found.priority,
        "area": found.area,
        "maybe the same": ", ".join(f"#{each.number} ({each.state})" for each in found.duplicates),
        "maybe solved": f"#{found.fixed_by.number}" if found.fixed_by else "",
        "missing": ", ".join(found.missing),
        "has": ", ".join(flags),
        "language": found.language,
        "size": found.size or "",
        "for an agent": f"{'yes' if found.agent.suitable else 'no'}. {found.agent.reason}".strip(),
        "files": ", ".join(found.files),
        "owners": ", ".join(found.owners),
        "summary": found.summary,
        "question": found.question,
        "judged by": f"{found.by}: {found.reason}",
        "cost": f"{found.usage.usd:.4f} US dollars, {found.usage.steps} calls" if found.usage.steps else "",
    }
    return ((name, value) for name, value in rows.items() if value)


def lines_of(outputs: tuple[Output, ...]) -> Iterator[str]:
    """What would be written."""
    if not outputs:
        yield "The policy lets nothing be written."
    for output in outputs:
        if isinstance(output, LabelChange):
            yield f"Would put on: {', '.join(output.add)}"
        if isinstance(output, Note):
            yield "Would write or edit one comment:"
            yield from (f"  {line}" for line in output.body.splitlines() if not line.startswith("<!--"))

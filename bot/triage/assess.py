"""An issue -> labels and a summary: rules of the policy first, then at most one typed question to a model.

The model has no tools. It answers yes or no for ids that we made, and code maps those to the labels that policy lists:
no word of its answer can become another label, an action or a name. A wrong answer is sent back once.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bot.errors import ConfigurationError, ModelError
from bot.protocols import LLM
from bot.triage.globs import any_matches, found_in
from bot.triage.policy_shape import Policy, Rule
from bot.triage.tasks import prompt
from bot.types.event import Subject
from bot.types.model import Message
from bot.types.result import Usage
from bot.types.task import Task
from bot.types.value import Value
from bot.visible import shown

TEXT_LIMIT = 4_000
"""Characters of the issue's text that the model sees."""

SCAN = 65_536
"""Characters of any text that are looked at; GitHub allows no more."""

SUMMARY_LIMIT = 600
ANSWER_LIMIT = 20_000
"""Characters of an answer that are searched for its JSON object."""


class Assessment(Value):
    """What triage found."""

    labels: tuple[str, ...] = ()
    """Labels that fit, all of them from the policy."""
    comments: tuple[str, ...] = ()
    """Texts of the policy's rules, as they stand there."""
    summary: str = ""
    """A model's words, untrusted; empty unless policy lists the action `comment`."""
    task: str | None = None
    """The task that a rule starts."""
    reason: str
    """Where this comes from, in a sentence."""
    usage: Usage = Usage()
    """What the model cost."""


class Unusable(Exception):
    """A model's answer that is not what was asked for; the message goes back to it."""


def assess(subject: Subject, policy: Policy, task: Task, model: Callable[[str | None], LLM] | None) -> Assessment:
    """Rules, then the model where policy and operator want it. A model that fails leaves the rules' findings."""
    found = by_rules(subject, policy)
    if not policy.triage.model or not policy.triage.actions or not policy.triage.labels:
        return found
    if model is None:
        return found.changed(reason=f"{found.reason}; no model is configured")
    try:
        labels, summary, usage = ask(subject, policy, task, model(task.model))
    except (ModelError, ConfigurationError) as error:
        return found.changed(reason=f"{found.reason}; the model was of no help: {error.code}")
    if "labels" not in policy.triage.actions:
        labels = ()
    return found.changed(
        labels=tuple(dict.fromkeys((*found.labels, *labels))),
        summary=summary if "comment" in policy.triage.actions else "",
        reason=f"{found.reason}; {len(labels)} of {len(policy.triage.labels)} labels by the model, ${usage.usd:.4f}",
        usage=usage,
    )


def by_rules(subject: Subject, policy: Policy) -> Assessment:
    """What the policy's rules say; all that hold are applied, and the first task counts."""
    held = [rule for rule in policy.triage.rules if holds(rule, subject)]
    return Assessment(
        labels=tuple(dict.fromkeys(label for rule in held for label in rule.then.labels)),
        comments=tuple(rule.then.comment for rule in held if rule.then.comment),
        task=next((rule.then.task for rule in held if rule.then.task), None),
        reason=f"{len(held)} of {len(policy.triage.rules)} rules hold",
    )


def holds(rule: Rule, subject: Subject) -> bool:
    """Whether every condition of a rule holds."""
    when = rule.when
    checks = (
        when.title is None or found_in(when.title, subject.title),
        when.body is None or found_in(when.body, subject.body),
        when.author is None or any_matches(when.author, subject.author.login),
        when.labels is None or any(any_matches(when.labels, label) for label in subject.labels),
        when.subject is None or when.subject == subject.kind,
    )
    return all(checks)


def ask(subject: Subject, policy: Policy, task: Task, llm: LLM) -> tuple[tuple[str, ...], str, Usage]:
    """Labels and summary by the model. Raises ModelError, also `over_budget` and `model_answer`."""
    ids = {f"l{number}": name for number, name in enumerate(policy.triage.labels, 1)}
    messages = [_instructions(ids, policy), Message(role="user", content=_issue(subject))]
    usage = Usage()
    for _ in range(min(2, task.limits.steps)):
        if usage.usd + llm.estimate(messages, max_tokens=1_000) > task.limits.usd:
            raise ModelError("over_budget", f"triage may cost {task.limits.usd} US dollars")
        answer = llm.complete(messages, schema=answer_schema(ids, policy), seconds=60, max_tokens=1_000)
        usage = usage.plus(answer.usage)
        try:
            labels, summary = read_answer(answer.message.content, ids)
            return labels, summary, usage
        except Unusable as error:
            again = f"That answer can't be used: {error}. Answer again with the JSON object alone."
            messages = [*messages, answer.message, Message(role="user", content=again)]
    raise ModelError("model_answer", "the model did not answer with the JSON object that it was asked for")


def _instructions(ids: Mapping[str, str], policy: Policy) -> Message:
    lines = (f"- `{key}`: {name}. {policy.triage.labels[name]}".rstrip(". ") for key, name in ids.items())
    return Message(role="system", content=prompt("triage") + "\n\n" + "\n".join(lines))


def _issue(subject: Subject) -> str:
    """JSON delimits: no text inside can end its own string."""
    parts: dict[str, Any] = {
        "kind": subject.kind,
        "title": _seen(subject.title, 500),
        "text": _seen(subject.body, TEXT_LIMIT),
        "labels": [_seen(label, 50) for label in subject.labels[:20]],
    }
    return json.dumps(parts, ensure_ascii=False)


def _seen(text: str, limit: int) -> str:
    """What a person sees of a text, `limit` characters at most."""
    # Comments go from code blocks too: labels, titles and summaries are no Markdown, and a summary is posted.
    return shown(text[:SCAN], code=False).strip()[:limit]


def answer_schema(ids: Mapping[str, str], policy: Policy) -> dict[str, Any]:
    """An object keyed by ids instead of a list of names: a model can't invent a label, nor repeat one."""
    labels = {
        key: {"type": "boolean", "description": f"{name}: {policy.triage.labels[name]}".rstrip(": ")}
        for key, name in ids.items()
    }
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["labels", "summary"],
        "properties": {
            "labels": {
                "type": "object",
                "additionalProperties": False,
                "required": list(labels),
                "properties": labels,
            },
            "summary": {"type": "string"},
        },
    }


def read_answer(text: str, ids: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    """Names of the labels that were answered with true, and the summary. Raises Unusable."""
    for candidate in _objects(text[:ANSWER_LIMIT]):
        labels = candidate.get("labels")
        if not isinstance(labels, dict):
            continue
        if unknown := sorted(set(labels) - set(ids)):
            raise Unusable(f"{len(unknown)} ids are not in the list")
        if not all(isinstance(value, bool) for value in labels.values()):
            raise Unusable("each label needs true or false")
        summary = candidate.get("summary", "")
        if not isinstance(summary, str):
            raise Unusable("`summary` must be text")
        return tuple(name for key, name in ids.items() if labels.get(key)), _seen(summary, SUMMARY_LIMIT)
    raise Unusable("there is no JSON object with `labels` in it")


def _objects(text: str) -> Sequence[dict[str, Any]]:
    """JSON objects in a text that may have prose or fences around them, outermost first."""
    found: list[dict[str, Any]] = []
    decoder, at = json.JSONDecoder(), text.find("{")
    for _ in range(20):
        if at < 0:
            break
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            found.append(value)
        at = text.find("{", end)
    return found

"""A repository with labels, a past and code owners, and one issue in it, for judging in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bot.protocols import Knowledge
from bot.testing.knowledge import FakeKnowledge
from bot.testing.llm import Line, ScriptedLLM
from bot.triage.issues.facts import RepositoryFacts
from bot.triage.issues.judge import judge_issue
from bot.triage.policy import Policy, parse_policy
from bot.triage.tasks import builtin_tasks
from bot.types.event import Actor, Subject
from bot.types.triage import Belief, LabelInfo, Neighbour, Posterior, RelevantFile, Triage

FACTS = RepositoryFacts(
    labels=(
        LabelInfo(name="bug", description="something is broken"),
        LabelInfo(name="question"),
        LabelInfo(name="area: reader", description="reading of files"),
        LabelInfo(name="enhancement", description="something new"),
    ),
    codeowners="*.py @acme/readers\n",
    security_policy="SECURITY.md",
)
NEAR = (
    Neighbour(number=3, title="Reader crashes", state="closed", closed_for="completed", score=0.9, candidate=True),
    Neighbour(number=4, title="Reader is slow", labels=("bug",), score=0.5, candidate=True),
    Neighbour(number=5, title="Docs", score=0.2),
)
PLACES = (RelevantFile(path="src/reader.py", score=3), RelevantFile(path="src/writer.py", score=1))
UNSURE = Posterior(types={"bug": 0.6, "feature": 0.3, "question": 0.1}, type_threshold=0.9, lessons=120)
SURE = Posterior(
    types={"bug": 0.95, "feature": 0.03, "question": 0.02},
    type_threshold=0.9,
    labels=(
        Belief(label="area: reader", probability=0.92, threshold=0.8),
        Belief(label="long gone", probability=0.99, threshold=0.5),
        Belief(label="question", probability=0.3, threshold=0.7),
    ),
    lessons=300,
)
LISTED = "triage: {labels: [bug, question, 'area: reader', enhancement], actions: [labels, comment]}"
TASK = builtin_tasks()["triage"]


def issue(title: str = "Reader crashes on empty files", body: str = "It fails at once.", **more: Any) -> Subject:
    return Subject(kind="issue", number=7, title=title, body=body, author=Actor(login="stranger", id=5), **more)


def policy(text: str = LISTED) -> Policy:
    return parse_policy(text.encode())


def known(says: Posterior = UNSURE, **more: Any) -> FakeKnowledge:
    return FakeKnowledge(says, near=NEAR, places=PLACES, **more)


def said(**more: Any) -> str:
    """A model's answer."""
    return json.dumps({"type": "bug", "labels": {"l1": 0.9}, "priority": "high", "summary": "It crashes.", **more})


def judged(
    script: Sequence[Line] | None = None,
    *,
    text: str = LISTED,
    subject: Subject | None = None,
    knowledge: Knowledge | None = None,
    llm: ScriptedLLM | None = None,
    facts: RepositoryFacts = FACTS,
    asked: bool = False,
    usd: float = 0.1,
) -> Triage:
    """The judgement, with a model only where a script is given."""
    model = llm or (None if script is None else ScriptedLLM(script))
    return judge_issue(
        subject or issue(),
        policy=policy(text),
        task=TASK.changed(limits=TASK.limits.changed(usd=usd)),
        facts=facts,
        knowledge=knowledge,
        model=None if model is None else lambda name: model,
        asked=asked,
    )

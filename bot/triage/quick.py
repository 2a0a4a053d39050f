"""Any text about a project -> category, priority, what to do: by a model, or by rules and the offline model alone.

Rules look for what gives a category away; where they find nothing, the offline model tells bug, feature and the rest.
Their answer is shown to the model, and stands where there is none, or where it fails.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import re2
from pydantic import Field

from bot.protocols import LLM
from bot.triage.asking import Unusable, ask, closed_object
from bot.triage.issues.lenient import objects_in
from bot.triage.issues.pack import one_line, packed
from bot.triage.issues.reading import enum, fold, prose, share
from bot.triage.issues.signals import signals_of
from bot.triage.tasks import prompt
from bot.types.model import Message
from bot.types.result import Usage
from bot.types.task import Limits
from bot.types.triage import PRIORITIES, Posterior, Priority, Probability
from bot.types.value import Value

Category = Literal[
    "bug", "feature", "security", "performance", "documentation", "infrastructure", "dependency", "ci", "other"
]
CATEGORIES: tuple[Category, ...] = get_args(Category)
WORDS = 300
"""Characters of the summary and of the action."""
OUTPUT = 300
"""Tokens of an answer."""
TITLE = 200
TOLD = 0.5
"""Probability above which the offline model's word is more often right than wrong."""
HINTED = 0.6
"""Confidence of rules that found several signs of a category."""
GUESSED = 0.4
"""Confidence of rules that found one sign, or none."""


def _any(*phrases: str) -> Any:
    """Any of these expressions as whole words; RE2, since the text is a stranger's."""
    return re2.compile(rf"(?i)\b(?:{'|'.join(phrases)})\b")


_SIGNS: Mapping[Category, Any] = {
    "ci": _any(
        *(
            "CI",
            "github actions?",
            "workflow (?:run|file|fails?|failed)",
            "pipelines?",
            "jenkins",
            "circleci",
            "travis",
        ),
        *("flaky tests?", "build (?:fails|failed|failing|is broken|job)", "failing checks?", "runner"),
    ),
    "dependency": _any(
        *(r"dependenc(?:y|ies)", "dependabot", "renovate", "bump", "upgrade to", "lock ?file", r"peer dep\w*"),
        *("pinned version", "outdated package", r"incompatible with \w+ [0-9]"),
    ),
    "performance": _any(
        *("slow(?:er|ly|ness)?", "performance", "latency", "memory usage", "high (?:cpu|memory)", "throughput"),
        *(
            "speed up",
            "too long",
            r"takes (?:[\w.]+ )?(?:seconds|minutes|hours|forever)",
            "out of memory",
            "memory leak",
        ),
        r"optimi[sz]e",
    ),
    "documentation": _any(
        *("docs?", "documentation", "readme", "tutorial", "docstrings?", "typo", "spelling", "changelog", "guide"),
        "broken link",
    ),
    "infrastructure": _any(
        *(r"deploy\w*", "kubernetes", "k8s", "helm", "terraform", "docker(?:file| image| compose)?", "servers?"),
        *("production", "staging", "outage", "downtime", "dns", "certificates?", "load balancer", r"provision\w*"),
        "disk space",
    ),
}
"""Words that a category goes by, the most telling category first."""
_CRITICAL = _any(
    *(
        "data loss",
        r"los(?:e|es|ing|t) (?:\w+ ){0,2}data",
        r"corrupt\w*",
        "production (?:is )?down",
        "outage",
        "everyone",
    ),
    *("all users", "can(?:no|')t start at all", "bricked", "urgent", "sev-?[01]", "p0"),
)
_HIGH = _any(
    *(
        r"crash\w*",
        "regression",
        "broken",
        "blocker",
        "blocks",
        "fails?",
        "failing",
        "unusable",
        "segfault",
        "deadlock",
    ),
    *("hang(?:s|ing)?", "p1", "stopped working", "no workaround"),
)
_LOW = _any(
    *("typo", "spelling", "cosmetic", "minor", "nit", "nice to have", "polish", "trivial", "whitespace", "small"),
    *("someday", "p3", "alignment"),
)
_THANKS = re2.compile(r"(?i)^\W*(?:thanks?|thank you|great|awesome|congrat\w*|love|fyi|announc\w*)\b")

ACTIONS: Mapping[Category, str] = {
    "bug": "Reproduce it, then mend it with a test that fails without the mending.",
    "feature": "Decide whether it belongs into the project, and say what would be accepted.",
    "security": "Take it out of the public and follow the project's security policy.",
    "performance": "Measure it first, and keep the measurement as a benchmark.",
    "documentation": "Correct the text where it stands.",
    "infrastructure": "See whether the system is up, then hand it to who runs it.",
    "dependency": "Read the package's changes, then try the new version with all tests.",
    "ci": "Read the log of the first check that failed, and see whether it fails again.",
    "other": "Answer it, or close it if nothing is wanted.",
}


class Quick(Value):
    """A text, sorted."""

    priority: Priority
    """How urgent."""
    category: Category
    """What it is about."""
    summary: str
    """In a sentence: a model's words, or the text's own beginning; cleaned."""
    suggested_action: str
    """What to do next: a model's words, or ours."""
    confidence: Probability
    """How sure that is."""
    by: Literal["rules", "offline", "model"] = Field(default="rules")
    """Who judged: rules, the offline model, or the language model."""
    trouble: str = ""
    """Why the language model was of no help: an error's code; empty where it was, or was not asked."""
    usage: Usage = Usage()
    """What it cost."""


def quick(text: str, *, open_llm: Callable[[], LLM] | None, posterior: Posterior | None, usd: float = 0.05) -> Quick:
    """Sort a text. A model that fails, or would cost more than `usd`, leaves the answer of the rules."""
    found = by_rules(text, posterior)
    if open_llm is None:
        return found
    data = {"text": packed(text), "rules": {"category": found.category, "priority": found.priority}}
    messages = [
        Message(role="system", content=prompt("quick")),
        Message(role="user", content=json.dumps(data, ensure_ascii=False)),
    ]
    heard = ask(
        open_llm, messages, answer_schema(), lambda said: read_answer(said, found),
        limits=Limits(steps=2, usd=usd), most=OUTPUT,
    )  # fmt: skip
    if heard.meaning is None:
        return found.changed(trouble=heard.trouble, usage=heard.usage)
    return heard.meaning.changed(usage=heard.usage)


def by_rules(text: str, posterior: Posterior | None = None) -> Quick:
    """What words and, where they tell nothing, the offline model say."""
    seen = packed(text)
    title, _, body = seen.partition("\n")
    signals = signals_of(title[:TITLE], seen)
    category, confidence, by = _category(title, seen, posterior)
    if signals.security:
        category, confidence, by = "security", HINTED, "rules"
    return Quick(
        priority=_priority(category, seen, question=signals.question),
        category=category,
        summary=one_line(title.lstrip("#>*- ") or body, WORDS) or "It is empty.",
        suggested_action=ACTIONS[category],
        confidence=round(confidence, 3),
        by=by,
    )


def _category(
    title: str, text: str, posterior: Posterior | None
) -> tuple[Category, float, Literal["rules", "offline", "model"]]:
    in_title = next((name for name, sign in _SIGNS.items() if sign.search(title)), None)
    count = {name: len(set(map(str.lower, sign.findall(text)))) for name, sign in _SIGNS.items()}
    best = max(count, key=lambda name: count[name])
    if in_title:
        return in_title, HINTED if count[in_title] > 1 else (HINTED + GUESSED) / 2, "rules"
    if count[best] > 1:
        return best, GUESSED, "rules"
    if posterior is not None and posterior.types.get(posterior.type, 0.0) > TOLD:
        kinds: Mapping[str, Category] = {"bug": "bug", "feature": "feature"}
        return kinds.get(posterior.type, "other"), posterior.types.get(posterior.type, 0.0), "offline"
    signals = signals_of(title[:TITLE], text)
    if signals.bug or signals.stack_trace:
        return "bug", GUESSED, "rules"
    return ("feature" if signals.wish else "other"), GUESSED, "rules"


def _priority(category: Category, text: str, *, question: bool) -> Priority:
    if category == "security" or _CRITICAL.search(text):
        return "critical" if _CRITICAL.search(text) else "high"
    if _THANKS.search(text) or (category == "other" and question):
        return "info"
    if _LOW.search(text[: 2 * TITLE]):
        return "low"
    if category in ("bug", "performance", "infrastructure", "ci") and _HIGH.search(text):
        return "high"
    return "low" if category == "documentation" else "medium"


# --- the model's answer -----------------------------------------------------------------------------------------


def answer_schema() -> dict[str, Any]:
    """JSON schema of the answer."""
    return closed_object(
        {
            "category": {"enum": list(CATEGORIES)},
            "priority": {"enum": list(PRIORITIES)},
            "summary": {"type": "string"},
            "suggested_action": {"type": "string"},
            "confidence": {"type": "number"},
        }
    )


_CATEGORY_WORDS: Mapping[str, Category] = {
    **dict.fromkeys(("defect", "error", "crash", "regression"), "bug"),
    **dict.fromkeys(("enhancement", "feature request", "improvement"), "feature"),
    **dict.fromkeys(("vulnerability",), "security"),
    **dict.fromkeys(("docs", "doc"), "documentation"),
    **dict.fromkeys(("infra", "deployment", "ops"), "infrastructure"),
    **dict.fromkeys(("dependencies", "deps"), "dependency"),
    **dict.fromkeys(("build", "tests", "test", "ci cd", "pipeline"), "ci"),
    **dict.fromkeys(("question", "support", "none", "discussion"), "other"),
}
_PRIORITY_WORDS: Mapping[str, Priority] = {
    **dict.fromkeys(("urgent", "p0", "blocker"), "critical"),
    **dict.fromkeys(("p1", "major"), "high"),
    **dict.fromkeys(("p2", "normal", "moderate"), "medium"),
    **dict.fromkeys(("p3", "minor", "trivial"), "low"),
    **dict.fromkeys(("informational", "none", "p4"), "info"),
}


def read_answer(text: str, otherwise: Quick) -> Quick:
    """What a model meant; what it left out is taken from `otherwise`. Raises Unusable without a category."""
    for each in objects_in(text):
        said = fold(each.value)
        category = enum(said.get("category", said.get("type")), CATEGORIES, _CATEGORY_WORDS)
        if category is None:
            continue
        confidence = share(said.get("confidence"))
        return Quick(
            priority=enum(said.get("priority"), PRIORITIES, _PRIORITY_WORDS) or otherwise.priority,
            category=category,
            summary=prose(said.get("summary"), WORDS) or otherwise.summary,
            suggested_action=prose(said.get("suggested_action", said.get("action")), WORDS) or ACTIONS[category],
            confidence=otherwise.confidence if confidence is None else confidence,
            by="model",
        )
    raise Unusable(f"`category` must be one of {', '.join(CATEGORIES)}")

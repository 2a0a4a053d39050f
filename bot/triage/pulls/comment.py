"""Where a pull request stands -> a comment about it: Markdown in which nothing that a stranger wrote is live."""

from __future__ import annotations

from collections import Counter

from bot.types.pull import FeedbackStatus, PullStatus, PullTriage, Severity

SIGNS: dict[PullStatus, str] = {
    "merged": "🟣",
    "closed": "⚪",
    "blocked": "⛔",
    "needs_ci": "⏳",
    "needs_work": "🛠️",
    "ready_to_merge": "✅",
    "needs_review": "👀",
}
ACTIONS = 8
STATUSES: tuple[FeedbackStatus, ...] = ("unaddressed", "addressed", "wont_fix", "dismissed")
SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low", "info")


def pull_comment(found: PullTriage) -> str:
    """Status, blockers, feedback in numbers, next actions. All sentences are ours, and names in them stand in code.

    What reviewers said is not repeated: it stands in its threads.
    """
    draft = " (draft)" if found.draft else ""
    rows = [
        f"| status | {SIGNS[found.status]} **{found.status.replace('_', ' ')}**{draft} |",
        f"| checks | {found.checks} |",
        f"| size | {found.size} |",
        f"| feedback | {counted(found)} |",
    ]
    parts = ["\n".join(["| | |", "|---|---|", *rows])]
    if found.blockers:
        lines = [f"- `{each.kind}`: {each.text}" for each in found.blockers]
        parts.append("\n".join(["**In the way**", "", *lines]))
    lines = [f"{number}. {each.who}: {each.text}" for number, each in enumerate(found.next_actions[:ACTIONS], 1)]
    parts.append("\n".join(["**Next**", "", *lines]))
    return "\n\n".join(parts)


def counted(found: PullTriage) -> str:
    """The feedback in numbers: by what became of it, and what is open by its weight."""
    if not found.feedback:
        return "none"
    count = Counter(each.status for each in found.feedback)
    whole = ", ".join(f"{count[name]} {name.replace('_', ' ')}" for name in STATUSES if count[name])
    heavy = Counter(each.severity for each in found.feedback if each.status == "unaddressed")
    weights = ", ".join(f"{heavy[name]} {name}" for name in SEVERITIES if heavy[name])
    return f"{whole} ({weights} open)" if weights else whole

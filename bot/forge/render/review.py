"""What a review found, and the diff -> one review with remarks on its lines. Pure.

A finding whose lines are not part of one hunk can't have a comment of its own: it stands in the review's text. The
words of a finding are a model's and are written anew like all such words; its suggestion is code, shown as it is but
for what nobody can see, in a fence that it can't close.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from bot.forge.render import sections
from bot.forge.render.anchors import Hunks, anchors
from bot.forge.render.markdown import code_span
from bot.forge.render.sanitize import clean
from bot.marks import marker
from bot.settings import Settings
from bot.types.output import Remark, Review
from bot.types.result import Finding, RunResult
from bot.types.task import RunSpec
from bot.visible import fence, fenced, visible

REMARKS = 50
"""Remarks of one review; GitHub takes more, people do not."""
TEXT = 6_000
SUGGESTION = 10_000
PATH = 300
WORDS = 2_000
"""Size of a review's text that found nothing."""
SEVERITIES: Mapping[str, str] = {"high": "🔴 High", "medium": "🟠 Medium", "low": "🟡 Low"}

_NO_WORD = re.compile(r"[\W\d_]+")


def review_of(spec: RunSpec, result: RunResult, diff: str, settings: Settings) -> Review | None:
    """The review of a pull request, None where the task makes none, or where it may not be published."""
    subject = spec.subject
    if "review" not in spec.task.outputs or subject is None or subject.pull is None or spec.trust == "anyone":
        return None
    if result.held or result.conclusion not in ("success", "neutral"):
        return None
    prose = sections.prose_of(spec, settings)
    lines = anchors(diff) if result.findings else {}
    remarks: list[Remark] = []
    others: list[Finding] = []
    for finding, fingerprint in zip(result.findings, fingerprints(result.findings), strict=True):
        if len(remarks) < REMARKS and _anchored(finding, lines.get(finding.path, ())):
            remarks.append(_remark(finding, fingerprint, prose))
        else:
            others.append(finding)
    return Review(
        key="review",
        number=subject.number,
        sha=spec.revision.sha,
        marker=marker("review", spec.run_id),
        body=_body(spec, result, others, prose),
        remarks=tuple(remarks),
    )


def fingerprints(findings: Sequence[Finding]) -> tuple[str, ...]:
    """What each finding says, as 16 hexadecimal digits: other lines, numbers, cases or dots do not change it.

    Of several that say the same about one file the n-th, from the top, has a fingerprint of its own.
    """
    said = [f"{each.path}\n{_NO_WORD.sub(' ', each.text.casefold()).strip()}" for each in findings]
    seen: Counter[str] = Counter()
    out = dict.fromkeys(range(len(said)), "")
    for at in sorted(out, key=lambda each: findings[each].line):
        seen[said[at]] += 1
        text = f"{said[at]}\n{seen[said[at]]}"
        out[at] = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
    return tuple(out.values())


def _anchored(finding: Finding, hunks: Hunks) -> bool:
    first = finding.first or finding.line
    return first <= finding.line and any(first in hunk and finding.line in hunk for hunk in hunks)


def _remark(finding: Finding, fingerprint: str, prose: sections.Prose) -> Remark:
    parts = [f"**{SEVERITIES[finding.severity]}**", prose.text(finding.text, TEXT), _suggestion(finding.suggestion)]
    return Remark(
        path=finding.path,
        line=finding.line,
        first=finding.first if finding.first != finding.line else None,
        fingerprint=fingerprint,
        body="\n\n".join(part for part in parts if part),
    )


def _suggestion(text: str | None) -> str:
    """The block that GitHub offers to commit; empty where there is none, or one that could only be given in part.

    Only what was proposed to the letter is offered: with a character in it that must not be shown it is plain code.
    """
    if text is None or len(text) > SUGGESTION:
        return ""
    code = clean(text).removesuffix("\n")
    if visible(text.replace("\r\n", "\n")) != text.replace("\r\n", "\n"):
        return fenced(code) if code else ""
    marks = fence(code)
    return f"{marks}suggestion\n{code}\n{marks}" if code else f"{marks}suggestion\n{marks}"


def _body(spec: RunSpec, result: RunResult, others: Sequence[Finding], prose: sections.Prose) -> str:
    number = len(result.findings)
    if not number:
        return f"{prose.text(result.summary, WORDS) or 'Nothing was found.'}\n\n{_foot(spec)}"
    count = Counter(each.severity for each in result.findings)
    weights = ", ".join(f"{count[name]} {name}" for name in ("high", "medium", "low") if count[name])
    parts = [f"**{number} finding{'' if number == 1 else 's'}**: {weights}."]
    if others:
        parts.append("On lines that the diff does not show:" if len(others) < number else "")
        parts += [_elsewhere(each, prose) for each in others]
    return sections.joined([*parts, _foot(spec)])


def _elsewhere(finding: Finding, prose: sections.Prose) -> str:
    lines = str(finding.line) if finding.first in (None, finding.line) else f"{finding.first}-{finding.line}"
    place = code_span(f"{clean(finding.path)[:PATH]}:{lines}")
    parts = [f"**{SEVERITIES[finding.severity]}** {place}", prose.text(finding.text, TEXT)]
    if finding.suggestion and len(finding.suggestion) <= SUGGESTION:
        code = clean(finding.suggestion).removesuffix("\n")
        parts.append(f"{fence(code)}\n{code}\n{fence(code)}")
    return "\n\n".join(part for part in parts if part)


def _foot(spec: RunSpec) -> str:
    return f"<sub>Commit <code>{spec.revision.sha[:12]}</code> · run <code>{spec.run_id}</code></sub>"

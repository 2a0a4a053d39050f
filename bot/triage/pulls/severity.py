"""What a reviewer wrote -> how much it weighs, by the words that people and review bots use for that.

A word that its author put in front (`nit:`, `**blocking**`, `issue (non-blocking):`, a badge) says it; else the words
of the text do. Code, quotes and what is folded away are not the reviewer's words.

Source: Conventional Comments for labels and decorations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from bot.types.pull import Severity

ORDER: tuple[Severity, ...] = ("critical", "high", "medium", "low", "info")
"""Worst first."""
SCAN = 8_000
"""Characters of a text that are looked at."""

_LABELS: Mapping[str, Severity] = {
    **dict.fromkeys(("critical", "p0", "security", "vulnerability"), "critical"),
    **dict.fromkeys(("blocking", "blocker", "major", "high", "p1", "bug", "error", "must", "required"), "high"),
    **dict.fromkeys(("issue", "todo", "chore", "medium", "moderate", "p2", "warning", "request", "change"), "medium"),
    **dict.fromkeys(("potential issue", "refactor suggestion", "important", "should"), "medium"),
    **dict.fromkeys(("nit", "nits", "nitpick", "typo", "polish", "quibble", "style", "minor", "low", "p3"), "low"),
    **dict.fromkeys(("trivial", "cosmetic", "optional", "suggestion", "formatting", "spelling", "tiny"), "low"),
    **dict.fromkeys(("praise", "question", "thought", "note", "fyi", "info", "nice", "kudos", "aside"), "info"),
}
"""Words that stand for a weight where they stand in front."""
_WORD = "|".join(sorted(map(re.escape, _LABELS), key=len, reverse=True))


def _any(*phrases: str) -> re.Pattern[str]:
    """Any of these expressions as whole words."""
    return re.compile(rf"\b(?:{'|'.join(phrases)})\b", re.IGNORECASE)


_PREFIX = re.compile(
    rf"[\W_]*(?:(?:severity|priority|level)\W+)?(?P<label>{_WORD})(?:[ -](?:priority|severity))?[*_`\])]*"
    rf"(?:\s*[(\[](?P<marks>[\w ,/-]{{1,60}})[)\]])?[*_`]*\s*(?P<end>[:|–—]|- |\n|$|(?<=[*_\]`]))",
    re.IGNORECASE,
)
"""A label in front with its decorations, closed by a colon, a line's end or its own markup."""
_BADGE = re.compile(
    r"!\[\s*(?P<label>[\w ]{2,20}?)(?:[ _-](?:priority|severity|badge))?\s*\]\([^)\s]{0,400}\)", re.IGNORECASE
)
_GRADE = re.compile(
    r"(?:🔴|🟠|🟡|🔵|⚠️|severity\W{1,4}|priority\W{1,4})\s*\**_?"
    r"(?P<label>critical|major|high|medium|minor|low|trivial|info)(?![A-Za-z])"
    r"|\b(?P<named>critical|high|medium|low)[ -](?:priority|severity)\b",
    re.IGNORECASE,
)

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,}).*?(?:^ {0,3}\1[`~]*\s*$|\Z)", re.MULTILINE | re.DOTALL)
_DETAILS = re.compile(r"<details\b.*?(?:</details>|\Z)", re.IGNORECASE | re.DOTALL)
_QUOTED = re.compile(r"^ {0,3}>.*$", re.MULTILINE)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"https?://\S+")
_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,300}>")
_ABOUT = re.compile(
    r"\b(?:typos?|spelling|misspell(?:ed|ing)|grammar|wording|whitespace|capitali[sz]ation)\b[^.!?\n]{0,80}",
    re.IGNORECASE,
)
"""What a slip of the pen stands in is no matter of its weight: `typo in the crash handler`."""
_DENIED = re.compile(
    r"\b(?:no|not|non|never|without|(?:is|does|do|wo|are)n'?t)\b[\s-]+(?:(?:an?|any|really|a real|strictly)\s+)*"
    r"(?:bugs?|security|blocking|blockers?|critical|break\w*|crash\w*|wrong|fail\w*|necessary|required|must)\b"
    r"[^.!?\n,;]{0,30}",
    re.IGNORECASE,
)
_CRITICAL = _any(
    *("security", "insecure", r"vulnerab\w+", "injection", r"inject(?:ed|s)? (?:sql|html|code|commands?)"),
    *("xss", "csrf", "ssrf", "rce", "remote code", "path traversal", "privilege escalation"),
    *(r"data ?loss", r"los(?:e|es|ing) (?:\w+ )?data", r"corrupt(?:s|ed|ion|ing)?"),
    *(r"crash(?:es|ed|ing)?", "segfaults?", "deadlocks?"),
    r"leak(?:s|ed|ing)? (?:\w+ ){0,2}(?:secrets?|credentials?|tokens?|passwords?|keys?)",
    r"hard-?coded (?:secret|password|credential|token|key)s?",
)
_HIGH = _any(
    *("bugs?", "buggy", "must", r"break(?:s|ing)?", "broken", "incorrect", "wrong", "fails?", "failing", r"regress\w*"),
    *("race conditions?", "exceptions?", "panics?", "null pointer", r"undefined behaviou?r", "memory leak"),
    *("never (?:closed|released|freed)", "infinite loop", "off[- ]by[- ]one", "incompatible", "required"),
    *("blocking", "blockers?", r"can(?:'t|not) (?:be )?merged?", "needs? to be (?:fixed|changed)"),
)
_LOW = _any(
    *(r"nit(?:s|pick\w*|ty)?", "styles?", "stylistic", "cosmetic", "minor", "trivial", "pep ?8", "prettier", "linter?"),
    *("typos?", "spelling", r"misspell\w*", "grammar", "wording", r"formatt?(?:ing|ed)?", "whitespace", r"indent\w*"),
    *("naming", "rename", "trailing", "blank line", "line length", r"capitali[sz]\w+", "optional(?:ly)?"),
    *("up to you", "feel free", "your call", "personal preference"),
)
_PRAISE = re.compile(
    r"\b(?:lgtm|looks good|nice|great|awesome|thanks?|thank you|love (?:it|this)|well done|perfect|neat|elegant|clever"
    r"|cool|good (?:catch|job|work|point|idea))\b|👍|🎉|❤|🚀|💯|:\+1:|:tada:",
    re.IGNORECASE,
)
_WISH = _any("please", "but", "however", "though", "should", "could", "would", "can you", "must", "except")
_FORM = re.compile(r"\b(?:formatt?(?:ing|ed)?|typos?|spelling|misspell\w*|whitespace|indentation)\b", re.IGNORECASE)
_SUGGESTION = re.compile(r"^ {0,3}(?:`{3,}|~{3,})suggestion\b", re.MULTILINE)
_BLOCKING = re.compile(r"(?<!non)(?<!non[ -])(?<!not )\bblocking\b", re.IGNORECASE)
_NON_BLOCKING = re.compile(r"\bnon[ -]?blocking\b|\bif-minor\b|\boptional\b", re.IGNORECASE)


def severity_of(text: str) -> Severity:
    """How much a remark weighs; medium where nothing tells."""
    words = own_words(text)
    return _by_label(words) or _by_words(words)


def is_auto(text: str, severity: Severity) -> bool:
    """Whether it can be mended without a person's judgement: the change is written down, or little hangs on it."""
    return bool(_SUGGESTION.search(text[:SCAN])) or severity in ("low", "info") or bool(_FORM.search(own_words(text)))


def is_praise(text: str) -> bool:
    """Whether somebody is only pleased: nothing is wanted."""
    words = own_words(text)
    first = _PREFIX.match(words)
    if first and first["label"].lower() in ("praise", "kudos", "nice"):
        return True
    return bool(_PRAISE.search(words)) and len(words) <= 200 and "?" not in words and not _wants(words)


def own_words(text: str) -> str:
    """A remark without code, quotes, links and what is folded away."""
    text = text[:SCAN].replace("\r\n", "\n")
    for pattern in (_FENCE, _DETAILS, _QUOTED, _CODE):
        text = pattern.sub(" ", text)
    # A badge's address may name the weight in other words than its own.
    text = _BADGE.sub(lambda found: f"**{found['label']}** ", _TAG.sub("", text))
    return _LINK.sub(" ", text).strip()


def lighter(one: Severity, other: Severity) -> Severity:
    """The one that weighs less."""
    return ORDER[max(ORDER.index(one), ORDER.index(other))]


def heavier(one: Severity, other: Severity) -> Severity:
    """The one that weighs more."""
    return ORDER[min(ORDER.index(one), ORDER.index(other))]


def _by_label(words: str) -> Severity | None:
    """What its author says that it weighs, None where nothing is said."""
    head = words[:200]
    first = _PREFIX.match(head)
    grade = _GRADE.search(head)
    named = (grade["label"] or grade["named"]).lower() if grade else ""
    said = _LABELS.get(named) or (_LABELS[first["label"].lower()] if first else None)
    if said is None:
        return None
    marks = (first["marks"] or "").lower() if first else ""
    if _NON_BLOCKING.search(marks):
        return lighter(said, "low")
    if "security" in marks:
        return "critical"
    return heavier(said, "high") if _BLOCKING.search(marks) else said


def _by_words(words: str) -> Severity:
    mild = bool(_NON_BLOCKING.search(words))
    rest = _DENIED.sub(" ", _ABOUT.sub(" ", words))
    if _CRITICAL.search(rest):
        return "critical"
    if mild:
        return "low"
    if _HIGH.search(rest):
        return "high"
    if _LOW.search(words):
        return "low"
    if _PRAISE.search(words) and not _wants(words) and len(words) <= 200:
        return "info"
    return "info" if words.endswith("?") and len(words) <= 400 else "medium"


def _wants(words: str) -> bool:
    """Whether pleasant words lead to a wish."""
    return bool(_WISH.search(words))

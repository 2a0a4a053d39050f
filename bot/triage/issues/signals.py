"""An issue's text -> what it shows by itself: a way to reproduce it, an alarm, its language, how large the work looks.

Rules of thumb that cost nothing and never raise. Patterns are matched by RE2, in time proportional to the text, and
of the text only a bounded beginning is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import re2

from bot.triage.issues.alarms import is_advert, is_dangerous
from bot.triage.issues.language import language_of
from bot.types.triage import IssueType, Size, Suitability
from bot.types.value import Value
from bot.visible import shown

TITLE_LIMIT, BODY_LIMIT = 500, 20_000
"""Characters that are looked at."""
VAGUE = 12
"""Words below which a text without code says too little to work on."""
LONG = 600
"""Words from which on a wish is a large one."""
_FENCE = re2.compile(r"^ {0,3}(```+|~~~+)")
_TRACE = re2.compile(
    r"(?m)Traceback \(most recent call last\)"
    r"|^\s*File \"[^\"\n]+\", line \d+"
    r"|^\s*at [\w$.<>/ \[\]]+\([^()\n]*:\d+(?::\d+)?\)"  # Java, Kotlin, JavaScript
    r"|^\s*at \S+:\d+:\d+\s*$"
    r"|^\s*at .+ in .+:line \d+"  # .NET
    r"|^goroutine \d+ \[|^panic: |panicked at "
    r"|^\s*(?:\[[^\]\n]*\]\s*)?#\d+\s+(?:0x[0-9a-fA-F]+|\S+\.php\(\d+\))"
    r"|\.rb:\d+:in [`'\"]"
    r"|^\s*from \S+:\d+:in "
)
_CALL = re2.compile(
    r"(?m)[A-Za-z_][\w.]*!?\([^\n]*|^\s*(?:\$|>|%|PS .*>) ?[a-z]|^\s*(?:npm|npx|yarn|pip|python3?|go|cargo"
    r"|docker|git|make|cmake|curl|node|java|dotnet|bazel) [\w./-]"
)
_PLAYGROUND = re2.compile(
    r"(?i)https?://(?:[\w-]+\.)*(?:codesandbox\.io|stackblitz\.com|jsfiddle\.net|codepen\.io|plnkr\.co|jsbin\.com"
    r"|gist\.github\.com|replit\.com|repl\.it|colab\.research\.google\.com|play\.golang\.org|go\.dev/play"
    r"|play\.rust-lang\.org|godbolt\.org|dartpad\.dev|dotnetfiddle\.net|playcode\.io|typescriptlang\.org/play)"
    r"|https?://(?:github|gitlab)\.com/[^\s)]*(?:repro|reproduc|minimal|mcve|[-_/]bug)"
)
_STEPS = re2.compile(
    r"(?im)^[ \t#*_-]*(?:\d[.)] *)?(?:steps? (?:to|for) (?:re-?produc\w*|repro)|repro(?:duction)?(?: steps"
    r"| code)?|how to (?:re-?produce|repro)"
    r"|to re-?produce|minimal (?:repro\w*|example)|(?:standalone )?code to re-?produce[^\n]{0,30}"
    r"|what steps will reproduce[^\n]{0,30})\b[ \t:*_?.]*(.*)$"
)
_STEP = re2.compile(r"(?m)^\s*(?:\d{1,2}[.)]|[-*])\s+(\S.*)$")
_NUMBERED = re2.compile(
    r"(?im)^\s*\d{1,2}[.)]\s+(?:then |just |first,? )?(?:open|click|run|install|go to|type|create|add|press"
    r"|navigate|select|set|launch|start"
    r"|execute|clone|call|enter|drag|move|change|write|use|build|compile|download|enable|disable|reload|save"
    r"|copy|paste|make|put|try|close|switch|hover|scroll|have|import)\b"
)
_UNTOUCHED = re2.compile(r"(?i)'\.\.\.'|'\.\.\.\.'|^\s*(?:\.{2,}|…|_no response_|n/?a|-|none)?\s*$|\bsee error\b")
_VERSION = re2.compile(
    r"(?i)\bv?\d{1,4}\.\d{1,4}(?:\.\d{1,6})?\b|\bversions?\b[^\n]{0,20}\d|\b(?:commit|sha"
    r"|rev)\b[^\n]{0,10}[0-9a-f]{7,40}\b|\bnightly\b|\b(?:on|latest) (?:main|master)\b"
)
_BUG = re2.compile(
    r"(?i)\b(?:bug|crash(?:es|ed|ing)?|exceptions?|error|errors|fail(?:s|ed|ing|ure)?|broken|breaks|regression"
    r"|traceback|segfault|panic(?:s|ked)?"
    r"|hangs?|freez(?:es|ing)|wrong|incorrect(?:ly)?|unexpected(?:ly)?|leaks?"
    r"|(?:does|do|did|is|are|was|can)(?:n't|nt| not) (?:work|working|show|showing|load|start|build|compile"
    r"|display|respect|handle)\w*|not working|stopped working)\b"
)
_EXPECTED = re2.compile(
    r"(?i)\b(?:expect\w*|should(?:n't)?|instead|actual(?:ly)?|supposed to|error|exception|crash\w*)\b"
)
_WISH = re2.compile(
    r"(?i)\b(?:feature[ -]?(?:request)?|enhancement|proposal|suggest(?:ion)?|support for|add(?:ing)? (?:an? "
    r"|the )?(?:support|option|ability|way|flag|parameter)"
    r"|would be (?:nice|great|good|useful|helpful)|wish(?:list)?|please (?:add|support|implement|consider)"
    r"|allow(?:ing)? (?:to|users)|it would|i'd (?:like|love)|rfc|roadmap|implement)\b"
)
_ASKS = re2.compile(
    r"(?i)^\W*(?:question|how (?:to|do|can|does|should|would|is)|what(?:'s| is| are| does| should)?|why|where"
    r"|when|which|can (?:i|we|you|someone)|is (?:it|there|this)|are there|does|do (?:i|we|you)|should|could"
    r"|any(?:one| way)|help)\b"
)
_DEBATE = re2.compile(
    r"(?i)\b(?:rfc|discussion|discuss|proposal|roadmap|design|brainstorm\w*|opinions?|thoughts\?|meta|umbrella"
    r"|tracking issue|epic)\b"
)
_TINY = re2.compile(
    r"(?i)\b(?:typos?|misspell\w*|spelling|grammar|broken links?|dead links?|wording|outdated (?:link|docs?)"
    r"|rename|404)\b"
)
_LARGE = re2.compile(
    r"(?i)\b(?:refactor\w*|migrat(?:e|ion|ing)|rewrit\w+|port(?:ing)? to|new (?:backend|platform|architecture)"
    r"|support (?:for )?(?:windows|macos|linux|arm\w*|cuda|wasm))\b"
)
_HUGE = re2.compile(r"(?i)\b(?:epic|roadmap|redesign|umbrella|tracking issue|rfc|re-?architect\w*|meta[ -]issue)\b")
_TASK = re2.compile(r"(?m)^\s*[-*] \[[ xX]\] ")
_ADDRESS = re2.compile(r"https?://\S+|www\.\S+|\S+@\S+\.\S+|!?\[[^\]\n]*\]\([^)\n]*\)")
_INLINE = re2.compile(r"`[^`\n]*`|<[^>\n]{1,200}>")


class Parts(NamedTuple):
    """An issue's text, taken apart."""

    title: str
    """The title, as a reader sees it."""
    text: str
    """The whole body, as a reader sees it."""
    code: tuple[str, ...]
    """What stands in code blocks."""
    prose: str
    """The body without code blocks."""
    cut: bool
    """Whether there was more of it."""


class Signals(Value):
    """What a text shows by itself."""

    reproduction: bool = False
    """Steps, code that can be run, a link to a playground, or a stack trace."""
    stack_trace: bool = False
    """Frames of a stack, in one of the usual forms."""
    code: bool = False
    """A code block."""
    version: bool = False
    """A version number or a commit."""
    security: bool = False
    """It seems to report a vulnerability or a leaked secret."""
    spam: bool = False
    """It seems to be advertising."""
    language: str = ""
    """ISO 639-1 code, empty when unsure."""
    question: bool = False
    """Its title is a question."""
    bug: bool = False
    """It speaks of something that does not work."""
    wish: bool = False
    """It asks for something new."""
    debate: bool = False
    """Its title calls for a discussion or a plan."""
    vague: bool = False
    """Too few words to work on."""
    size: Size = "m"
    """How large the work looks."""


def parts_of(title: str, body: str) -> Parts:
    """A text as a reader sees it, code blocks apart from prose."""
    text = shown(body[:BODY_LIMIT].replace("\r\n", "\n"))
    code, prose, block, fence = list[str](), list[str](), list[str](), ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if fence and mark and mark[1].startswith(fence) and not line.strip(" \t`~"):
            code.append("\n".join(block))
            fence, block = "", []
        elif fence:
            block.append(line)
        elif mark:
            fence = mark[1]
        else:
            prose.append(line)
    code += ["\n".join(block)] if block else []
    return Parts(
        " ".join(shown(title[:TITLE_LIMIT]).split()), text, tuple(code), "\n".join(prose), len(body) > BODY_LIMIT
    )


def signals_of(title: str, body: str) -> Signals:
    """All signals of a text. Never raises."""
    parts = parts_of(title, body)
    trace, version = has_trace(parts), has_version(parts)
    plain = _INLINE.sub(" ", _ADDRESS.sub(" ", parts.prose))
    wish = is_wish(parts)
    question = parts.title.endswith("?") or bool(_ASKS.search(parts.title))
    words = len(plain.split())
    return Signals(
        reproduction=has_reproduction(parts),
        stack_trace=trace,
        code=bool(parts.code),
        version=version,
        security=is_dangerous(parts.title, parts.prose, wish=wish),
        spam=is_advert(parts.title, parts.prose, technical=bool(parts.code) or trace),
        language=language_of(f"{parts.title}\n{plain}"),
        question=question,
        bug=is_buglike(parts),
        wish=wish,
        debate=bool(_DEBATE.search(parts.title)),
        vague=words < VAGUE and not parts.code and not trace,
        size=_size(parts, words, trace=trace, wish=wish),
    )


def has_trace(parts: Parts) -> bool:
    """Whether frames of a stack are in it."""
    return bool(_TRACE.search(parts.text))


def has_version(parts: Parts) -> bool:
    """Whether a version or a commit is named."""
    return bool(_VERSION.search(parts.title) or _VERSION.search(_ADDRESS.sub(" ", parts.text)))


def has_reproduction(parts: Parts) -> bool:
    """Whether it says how to see the problem: steps, code with a call, a playground's address, a stack trace."""
    if has_trace(parts) or _PLAYGROUND.search(parts.text) or len(_NUMBERED.findall(parts.prose)) >= 2:
        return True
    return any(_CALL.search(block) for block in parts.code) or _has_steps(parts.prose)


def has_expectation(parts: Parts) -> bool:
    """Whether it says what happened, or what should have."""
    return has_trace(parts) or bool(_EXPECTED.search(f"{parts.title}\n{parts.text}"))


def is_buglike(parts: Parts) -> bool:
    """Whether it speaks of something that does not work, and neither asks for something new nor how a thing is done."""
    if is_wish(parts) or _ASKS.search(parts.title):
        return False
    return bool(_BUG.search(parts.title)) or len(_BUG.findall(parts.prose[:2_000])) >= 2


def is_wish(parts: Parts) -> bool:
    """Whether it asks for something new."""
    if _WISH.search(parts.title):
        return True
    return not _BUG.search(parts.title) and bool(_WISH.search(parts.prose[:600]))


def suitability_of(
    signals: Signals, *, kind: IssueType | None, files: Sequence[str] = (), missing: Sequence[str] = ()
) -> Suitability:
    """Whether an agent could do the work, by rule; the first rule that speaks decides. `kind` None takes the text's."""
    refusals = (
        (signals.spam, "It does not seem to be about this project."),
        (signals.security, "It may be about a vulnerability, which people should look at."),
        (kind == "question" or (kind is None and signals.question), "It asks a question; there is nothing to change."),
        (signals.debate, "It needs a decision by people first."),
        (signals.vague, "It says too little to work on."),
        (signals.size in ("l", "xl"), "The work looks too large for one change."),
    )
    for refused, reason in refusals:
        if refused:
            return Suitability(suitable=False, reason=reason)
    if signals.size == "xs" and files:
        return Suitability(suitable=True, reason="It is a small correction in a place that is known.")
    if kind == "feature" or (kind is None and signals.wish):
        return Suitability(suitable=False, reason="It asks for something new, and people should say how it is to work.")
    if missing and not signals.stack_trace:
        return Suitability(suitable=False, reason="Something that is needed to see the problem is missing.")
    if not signals.reproduction:
        return Suitability(suitable=False, reason="It does not say how to see the problem.")
    if not files:
        return Suitability(suitable=False, reason="No file of the repository could be linked to it.")
    how = "a stack trace" if signals.stack_trace else "a way to reproduce it"
    return Suitability(suitable=True, reason=f"It is a bug with {how}, and a file that it points to is known.")


def _has_steps(prose: str) -> bool:
    for found in _STEPS.finditer(prose):
        if len(found[1].split()) >= 5 and not _UNTOUCHED.search(found[1]):
            return True
        steps = _STEP.findall(prose[found.end() : found.end() + 1_500])
        if len([step for step in steps if not _UNTOUCHED.search(step) and len(step.split()) >= 2]) >= 2:
            return True
    return False


def _size(parts: Parts, words: int, *, trace: bool, wish: bool) -> Size:
    tasks = len(_TASK.findall(parts.prose))
    if _HUGE.search(parts.title) or (wish and tasks >= 10):
        return "xl"
    if _LARGE.search(parts.title) or (wish and (words >= LONG or tasks >= 5)):
        return "l"
    if _TINY.search(parts.title):
        return "xs"
    return "s" if trace or (not wish and has_reproduction(parts)) else "m"

"""An issue's title and body -> about a hundred numbers: shapes and turns of phrase that tell what kind it is.

Counts go through log(1 + n), so that a long log does not drown everything else. The rules of the prior use the same
numbers by name; the ridge standardises them over the lessons.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bot.offline.text import cut, prose, unfenced

Vector = NDArray[np.float32]

LOOKED_AT = 8_000
"""Characters of the body in which turns of phrase are looked for."""

# Alternatives at the beginning of a title, after a tag in brackets or a component's name with a colon.
_START = r"^\W*(?:\[[^\]]{0,40}\]\W*|[\w./ -]{1,30}:\W*)?(?:"

TITLE_SIGNS = {
    "asks": r"\?\W*$",
    "how": _START + r"how (?:to|do|does|can|could|should|would|is|are|i)\b|howto\b)",
    "wh": _START + r"wh(?:at|y|ere|en|ich|o)\b)",
    "whether": _START + r"(?:is|are|can|could|does|do|did|should|will|would|has|have|any|anyone)\b)",
    "tag_bug": r"^\W*(?:potential |possible )?bug\b|\[[^\]]*\bbug\b[^\]]*\]|\bbug\s*[:\])]",
    "tag_feature": r"^\W*(?:feat|feature|enhancement|proposal|suggestion|idea|wish|rfc|fr)\b|feature[ -]?request",
    "tag_question": r"^\W*(?:question|help|support|discussion|q)\b\W|\bquestion\b",
    "add": _START + r"(?:add|allow|enable|implement|provide|introduce|expose|extend|offer|include|create|let|give)\b)",
    "change": _START
    + r"(?:make|improve|use|show|move|update|remove|replace|rename|drop|switch|bump|migrate|convert)\b)",
    "tidy": _START + r"(?:refactor\w*|clean\w*|optimi[sz]\w*|simplif\w+|deprecat\w*|speed|reduce|consider|port)\b)",
    "fix": _START + r"(?:fix|fixes|fixed|revert|correct|handle|avoid|prevent|resolve)\b)",
    "support": (
        r"\bsupport(?:ing)?\b|\bability\b|\boption(?:al|s)? (?:to|for)\b|\bsetting (?:to|for)\b"
        r"|\ballow(?:ing)?\b"
    ),
    "should": r"\bshould\b|\bwould be\b|\bplease\b|\bwish\b|\bwant\b",
    "new": r"\bnew\b|\bcustom\w*\b|\bsupported\b|\bbetter\b|\bmore\b|\badditional\b|\bimprove\w*\b",
    "crash": r"\bcrash\w*|\bsegfault\w*|\bsegmentation\b|\bsigsegv\b|\bpanic\w*|\babort\w*|\bcore dump\w*|\bassert\w*",
    "fail": r"\bfail\w*|\bbroken\b|\bbreaks?\b|\bbreaking\b|\bnot work\w*|(?:n't|nt| not) work\w*|\bstop(?:s|ped) work",
    "error": r"\berrors?\b|\bexception\b|\w(?:error|exception)\b",
    "wrong": (
        r"\bwrong\w*|\bincorrect\w*|\bunexpected\w*|\binvalid\b|\binconsisten\w*|\bmissing\b|\bregression\b"
        r"|\bbad\b"
    ),
    "negation": r"\bnot\b|n't\b|\bcannot\b|\bcant\b|\bunable\b|\bnever\b|\bno longer\b|\bno\b",
    "stuck": r"\bhang\w*|\bfreez\w*|\bstuck\b|\bleak\w*|\bdeadlock\w*|\brace\b|\bslow\w*|\binfinite\b|\btime-?d? ?out",
    "loses": (
        r"\bignor(?:es|ed|ing)\b|\blos(?:t|es|ing)\b|\bduplicate\w*|\bcorrupt\w*|\boverflow\w*|\bflick\w+"
        r"|\bflaky\b"
    ),
    "when": r"\bwhen\b|\bafter\b|\bwhile\b|\bduring\b|\bif\b|\bwith(?:out)?\b",
    "install": r"\binstall\w*|\bbuild(?:ing)?\b|\bcompil\w+|\bcmake\b|\blink(?:ing|er)\b|\bsetup\b|\bdocker\b",
    "help": (
        r"\bhelp\b|\bneed\b|\btrying\b|\bunderstand\w*|\bclarif\w+|\bdifference\b|\bconfus\w+|\bpossible\b"
        r"|\bway to\b"
    ),
    "docs": r"\bdoc(?:s|umentation)?\b|\bexamples?\b|\btutorial\b|\bguide\b|\btypo\b|\breadme\b",
    "version": r"\d+\.\d+",
    "tag": r"^\W{0,3}\[|^[\w./-]{1,30}:",
    "code": r"`|\w\(\)|\w::\w|\w_\w|[a-z][A-Z]",
}
"""Name -> pattern; 1 where the title in lower case has it; the last is looked for in the title as it stands."""
CASED = "code"

BODY_SIGNS = {
    "expected": r"\bexpect(?:ed|ing)?\b",
    "actual": r"\bactual(?:ly)?\b|\bcurrent behaviou?r\b|\binstead\b|\bwhat happen(?:s|ed)\b",
    "steps": r"\bsteps?\b[^\n]{0,20}\breproduc|\bto reproduce\b|\brepro\b|\breproduc\w+|\bminimal example\b",
    "form_bug": r"describe the (?:bug|current behaviou?r)|\bbug report\b|\bwhat went wrong\b|\bcurrent behaviou?r\b",
    "form_feature": r"feature request|describe the (?:solution|feature)|describe alternatives|\bproposed solution\b",
    "form_question": r"\bmy question\b|\bquestions?\b|\bsupport request\b",
    "wish": r"\bwould be (?:\w+ )?(?:nice|great|good|helpful|useful|cool|awesome|better|ideal|convenient|possible)\b",
    "like": (
        r"\b(?:i|we)(?:'d| would) (?:like|love|want|prefer|appreciate)\b|\b(?:i|we) (?:want|wish|propose"
        r"|suggest)\b"
    ),
    "propose": r"\bpropos\w+|\bsuggest\w*|\bidea\b|\bmotivation\b|\buse[ -]?cases?\b|\brationale\b|\bbenefit\w*",
    "could_have": (
        r"\b(?:should|could) (?:be able|support|allow|provide|have|also)\b|\bability to\b|\ballow(?:s"
        r"|ing)?\b"
    ),
    "add": r"\badd(?:s|ed|ing)?\b|\bimplement\w*|\bintroduc\w+|\bsupport(?:s|ing)?\b",
    "alternatives": r"\balternativ\w+|\bworkaround\w*|\bcurrently\b|\bat the moment\b|\bright now\b",
    "how": (
        r"\bhow (?:to|do|does|can|could|should|would)\b|\bwhat (?:is|are|should|does|do|would)\b|\bwhy (?:is|do"
        r"|does|are)\b"
    ),
    "way": r"\bis (?:there|it possible)\b|\bare there\b|\bany (?:way|idea|help|suggestions?|advice|one|solution)\b",
    "please": r"\bplease\b|\bthanks?\b|\bthank you\b|\bappreciat\w+|\bin advance\b|\bhelp me\b|\bcan (?:some|any)one\b",
    "self": r"\bi(?:'m| am)\b|\bi(?:'ve| have)\b|\bmy\b|\bi\b",
    "tried": r"\btr(?:y|ied|ying)\b|\bwant to\b|\bneed to\b|\bfollow(?:ed|ing)\b|\bnew to\b|\bbeginner\b|\blearning\b",
    "unsure": (
        r"\bnot sure\b|\bunderstand\w*|\bconfus\w+|\bwonder\w*|\bdoes(?:n't| not) seem\b|\bmaybe\b"
        r"|\bcorrect way\b"
    ),
    "elsewhere": (
        r"\bstack ?overflow\b|\bforums?\b|\bdiscussions?\b|\btutorial\b|\bdocumentation\b|\bdocs\b"
        r"|\bexamples?\b"
    ),
    "error": r"\berrors?\b|\bexceptions?\b|\bfail\w*|\w(?:error|exception)\b",
    "crash": r"\bcrash\w*|\bsegfault\w*|\bsegmentation fault\b|\bpanic\w*|\bsigsegv\b|\babort\w*|\bassert\w*",
    "wrong": (
        r"\bwrong\w*|\bincorrect\w*|\bunexpected\w*|\bbug(?:s|gy)?\b|\bissue\b|\bproblem\w*|\bbroken\b"
        r"|\bregress\w+"
    ),
    "negation": r"\bnot\b|n't\b|\bcannot\b|\bunable\b|\bno longer\b",
    "since": (
        r"\bused to\b|\bworked (?:in|before|fine|with)\b|\bsince (?:the|version|v?\d|upgrad|updat)"
        r"|\bafter (?:upgrad|updat)"
    ),
    "happens": r"\bhappen\w*|\boccur\w*|\bsometimes\b|\balways\b|\bevery time\b|\brandom\w*|\bintermittent\w*",
    "system": r"\bwindows\b|\blinux\b|\bubuntu\b|\bmac ?os\b|\bdebian\b|\bandroid\b|\bios\b",
    "environment": (
        r"\bversion\b|\bsystem info\w*|\benvironment\b|\bplatform\b|\boperating system\b|\bcompiler\b"
        r"|\bbrowser\b"
    ),
    "install": r"\binstall\w*|\bcompil\w+|\bcmake\b|\bmake\b|\bbuild\w*|\bdocker\b|\bpip\b|\bnpm\b",
    "patch": (
        r"\bthis (?:pr|patch|commit|pull request|change)\b|\bpull request\b|\bfix(?:es|ed)?\b|\brefactor\w*"
        r"|\bmerge\w*"
    ),
    "refers": r"(?<!\w)#\d+\b|/(?:issues|pull)/\d+",
    "logs": r"\blogs?\b|\boutput\b|\btraceback\b|\bwarning\b|\bdebug\b|\bstack ?trace\b",
    "performance": r"\bperformance\b|\bslow\w*|\bmemory\b|\bspeed\w*|\bfast\w*|\befficien\w+",
}
"""Name -> pattern; counted in the sentences (without code) of the body."""

RAW_SIGNS = {
    "headings": r"^#{1,6} |^\*\*[^*\n]{1,60}\*\*:?[ \t]*$",
    "boxes": r"^[ \t]{0,20}[-*] \[[ xX]\]",
    "ticked": r"^[ \t]{0,20}[-*] \[[xX]\]",
    "comments": r"<!--",
    "fences": r"^[ \t]{0,20}(?:```|~~~)",
    "spans": r"`[^`\n]{1,80}`",
    "frames": (
        r"^[ \t]{0,20}at \S+|^[ \t]{0,20}File \".*\", line \d+|^[ \t]{0,20}#\d+ +0x|^Traceback"
        r"|\.\w{1,4}:\d+(?::\d+)?\b"
    ),
    "raised": r"\b[A-Z]\w*(?:Error|Exception)\b|\b(?:error|fatal|panic)\b ?(?:\[\w+\])?:",
    "hex": r"\b0x[0-9a-fA-F]{4,}\b|\b[0-9a-f]{10,40}\b",
    "images": r"!\[[^\]\n]{0,100}\]\(|<img\b|\.(?:png|gif|jpe?g|mp4|mov)\b",
    "links": r"https?://",
    "versions": r"\bv?\d+\.\d+(?:\.\d+)*\b",
    "paths": r"(?:[A-Za-z]:\\|(?<![\w:/])/)(?:[\w.-]{1,100}[/\\]){2,9}",
    "mentions": r"(?<!\w)@[A-Za-z][\w-]+",
    "silent": r"_no response_",
    "asks": r"\?(?:\s|$)",
    "items": r"^[ \t]{0,20}(?:[-*+]|\d+[.)]) ",
    "calls": r"\w\(|\w::\w|->|=>|[{};]$",
}
"""Name -> pattern; counted in the raw body."""


@dataclass(frozen=True)
class _Seen:
    title: str
    body: str
    sentences: str
    bare: str


_SHAPES: dict[str, Callable[[_Seen], float]] = {
    "title_words": lambda seen: np.log1p(len(seen.title.split())),
    "title_capital": lambda seen: float(seen.title[:1].isupper()),
    "body_length": lambda seen: np.log1p(len(seen.body)),
    "body_words": lambda seen: np.log1p(len(seen.sentences.split())),
    "body_lines": lambda seen: np.log1p(seen.body.count("\n")),
    "body_empty": lambda seen: float(not seen.body.strip()),
    "code_share": lambda seen: 1.0 - len(seen.bare) / max(len(seen.body), 1),
    "odd_share": lambda seen: sum(not each.isascii() for each in seen.body[:400]) / max(len(seen.body[:400]), 1),
    "mark_share": lambda seen: sum(not each.isalnum() for each in seen.body[:400]) / max(len(seen.body[:400]), 1),
    "ends_asking": lambda seen: float(seen.sentences.rstrip().endswith("?")),
    "starts_asking": lambda seen: float("?" in seen.sentences[:200]),
    "starts_lower": lambda seen: float(seen.sentences[:1].islower()),
}

NAMES = (
    *(f"title_{name}" for name in TITLE_SIGNS),
    *(f"body_{name}" for name in BODY_SIGNS),
    *(f"raw_{name}" for name in RAW_SIGNS),
    *_SHAPES,
)
"""What each number means."""

_TITLE = tuple(re.compile(each) for name, each in TITLE_SIGNS.items() if name != CASED)
_CASED = re.compile(TITLE_SIGNS[CASED])
_BODY = tuple(re.compile(each) for each in BODY_SIGNS.values())
_RAW = tuple(
    re.compile(each, re.MULTILINE | (re.IGNORECASE if name in {"silent", "images"} else 0))
    for name, each in RAW_SIGNS.items()
)


def features(title: str, body: str) -> Vector:
    """The numbers of one issue, as `NAMES` lists them."""
    title, body = cut(title, body)
    body = body.replace("\r\n", "\n")[:LOOKED_AT]
    seen = _Seen(title=title, body=body, sentences=prose(body), bare=unfenced(body))
    small, sentences = title.lower(), seen.sentences.lower()
    return np.asarray(
        [
            *(float(pattern.search(small) is not None) for pattern in _TITLE),
            float(_CASED.search(title) is not None),
            *(np.log1p(_count(pattern, sentences)) for pattern in _BODY),
            *(np.log1p(_count(pattern, body)) for pattern in _RAW),
            *(shape(seen) for shape in _SHAPES.values()),
        ],
        dtype=np.float32,
    )


def _count(pattern: re.Pattern[str], text: str) -> int:
    return len(pattern.findall(text))

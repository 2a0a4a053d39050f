"""A unified diff and a model -> a review: findings on its lines, what could be better, and a verdict.

The model sees the diff in pieces, without tools, and answers each by one JSON object, with one repair. What was found
without it (bot.triage.pulls.certain) is always there. The verdict is drawn by rules from what was found: nobody can
talk a model into one that its own findings, or what was not looked at, contradict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bot.diffs import FileDiff, files_of
from bot.protocols import LLM
from bot.redaction import redact
from bot.triage.asking import Heard, ask
from bot.triage.pulls.answers import Answer, read_answer
from bot.triage.pulls.certain import certain_issues
from bot.triage.pulls.merging import merged_improvements, merged_issues, reasons_against
from bot.triage.pulls.pieces import Piece, pieces_of
from bot.triage.pulls.review_shape import NOTHING, DiffReview, LeftOut, answer_schema
from bot.triage.pulls.skipping import is_benign, why_skipped
from bot.triage.tasks import prompt
from bot.types.model import Message
from bot.types.result import Usage
from bot.types.task import Limits
from bot.visible import fenced

ASSESSMENT = 1_500
OUTPUT = 4_000
"""Tokens of an answer."""
SECONDS = 180.0
CHARS_PER_TOKEN = 3
NO_MODEL = "a review needs a model, and none is set"


@dataclass(frozen=True)
class Allowance:
    """What a review may use."""

    tokens: int = 12_000
    """Tokens of the diff in one call."""
    calls: int = 12
    """Calls, repairs included."""
    usd: float = 1.0
    """US dollars."""


@dataclass
class _Tally:
    """What was said so far."""

    answers: list[Answer] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    """Files of which a piece was answered."""
    missed: dict[str, str] = field(default_factory=dict)
    """File of which a piece was not looked at -> why."""
    usage: Usage = field(default_factory=Usage)
    trouble: str = ""
    """Code of the first error of the model."""


def review_diff(diff: str, *, model: LLM | None, allowance: Allowance = Allowance()) -> DiffReview:
    """The review. Without a model, or where it fails, only what is certain without one."""
    files = files_of(diff)
    if not files:
        return DiffReview(merge_blockers=(f"{NOTHING}.",) if not diff.strip() else ("The diff can't be read.",))
    skipped = {number: reason for number, each in enumerate(files) if (reason := why_skipped(each))}
    wanted = [each for number, each in enumerate(files) if number not in skipped]
    left_out = [LeftOut(path=files[at].path, reason=why, benign=is_benign(files[at])) for at, why in skipped.items()]
    tally = _Tally()
    if model is None:
        tally.missed = dict.fromkeys((each.path for each in wanted), NO_MODEL)
    else:
        _ask_all(wanted, model, allowance, tally)
    left_out += [LeftOut(path=path, reason=reason) for path, reason in tally.missed.items()]
    return _drawn(files, tally, tuple(left_out))


def _drawn(files: Sequence[FileDiff], tally: _Tally, left_out: tuple[LeftOut, ...]) -> DiffReview:
    issues = merged_issues([*certain_issues(files), *(each for answer in tally.answers for each in answer.issues)])
    blockers = reasons_against(issues, [each for answer in tally.answers for each in answer.blockers])
    unseen = [each for each in left_out if not each.benign]
    willing = bool(tally.answers) and all(each.ready for each in tally.answers)
    return DiffReview(
        issues=issues,
        improvements=merged_improvements([each for answer in tally.answers for each in answer.improvements]),
        assessment=_assessment(tally, left_out),
        ready_to_merge=willing and not blockers and not unseen,
        merge_blockers=blockers,
        files=len(tally.seen),
        left_out=left_out,
        dropped=sum(each.dropped for each in tally.answers),
        usage=tally.usage,
        trouble="" if tally.answers else tally.trouble,
    )


def _assessment(tally: _Tally, left_out: tuple[LeftOut, ...]) -> str:
    said = " ".join(dict.fromkeys(each.assessment for each in tally.answers if each.assessment))[:ASSESSMENT]
    if said:
        return said
    if tally.answers:
        return "Nothing was found." if not any(each.issues for each in tally.answers) else "See the issues."
    if NO_MODEL in tally.missed.values():
        return f"Nothing was judged: {NO_MODEL}. Only what is certain without one was looked for."
    if tally.trouble:
        return "Nothing was judged: the model was of no help. Only what is certain without one was looked for."
    return "Nothing was judged: none of the changed files is one that people review." if left_out else NOTHING


# --- asking -----------------------------------------------------------------------------------------------------


def _ask_all(files: Sequence[FileDiff], model: LLM, allowance: Allowance, tally: _Tally) -> None:
    """Piece by piece, as far as the allowance reaches; a model that fails costs what it was not asked."""
    known = {each.path: each for each in files}
    over = ""
    for piece in pieces_of(files, _size(model, allowance)):
        why = over = over or _exhausted(allowance, tally)
        if not over:
            heard = _ask(piece, known, model, allowance, tally)
            if heard.meaning is not None:
                tally.answers.append(heard.meaning)
                tally.seen |= set(piece.paths)
                continue
            tally.trouble = tally.trouble or heard.trouble
            why = _why(heard.trouble, allowance)
            over = "" if heard.trouble == "model_answer" else why
        tally.missed |= dict.fromkeys(piece.paths, why)


def _size(model: LLM, allowance: Allowance) -> int:
    """Characters of a piece; the instructions and the answer need room in the model's window, too."""
    room = max(1_000, model.window - 2 * OUTPUT - 2_000)
    return min(allowance.tokens, room) * CHARS_PER_TOKEN


def _exhausted(allowance: Allowance, tally: _Tally) -> str:
    """Why no further call may be made, empty where one may."""
    return f"the budget of {allowance.calls} calls is used up" if tally.usage.steps >= allowance.calls else ""


def _why(trouble: str, allowance: Allowance) -> str:
    if trouble == "over_budget":
        return f"the budget of {allowance.usd:.2f} US dollars is used up"
    return f"the model failed ({trouble})"


def _ask(piece: Piece, known: Mapping[str, FileDiff], model: LLM, allowance: Allowance, tally: _Tally) -> Heard[Answer]:
    messages = [
        Message(role="system", content=prompt("review-diff")),
        # What looks like a secret stays here; no line can close the fence.
        Message(role="user", content=fenced(redact(piece.text, ()), "diff")),
    ]
    left = Limits(steps=allowance.calls - tally.usage.steps, usd=max(0.0, allowance.usd - tally.usage.usd))
    heard = ask(
        lambda: model,
        messages,
        answer_schema(),
        lambda text: read_answer(text, known),
        limits=left,
        most=OUTPUT,
        seconds=SECONDS,
    )
    tally.usage = tally.usage.plus(heard.usage)
    return heard

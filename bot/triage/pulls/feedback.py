"""Threads and reviews of a pull request -> what its reviewers want, how much it weighs, and what became of it. Pure.

A thread is over when somebody resolved it, or when its author's side answered and the line changed; it is put aside
when who opened it took it back, and it will not be done when somebody who may write here said so. A reviewer who comes
back after that opens it again: the last word counts.

An answer of our own account that a run of ours wrote is taken at its word, a change or a reason against one, until who
wants the change, or another writer, says something after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bot.marks import reply_kind
from bot.triage.pulls.severity import is_auto, is_praise, lighter, severity_of
from bot.types.event import Actor
from bot.types.pull import Feedback, FeedbackStatus, PullState, ReviewState, Severity, ThreadComment, ThreadState
from bot.visible import shown, without_ansi

TEXT = 1_000
"""Characters of a remark that are kept."""
SCAN = 65_536
OURS = "<!-- sandpiper:"
"""How a text of ours begins. What our own reviews find is an opinion for people, and holds nothing up by itself."""
REVIEW = "review:"
"""How the id of what stands above a whole review begins; all others are conversations."""

_WORDS = re.compile(r"[^\W_]")
_DONE = re.compile(
    r"\b(?:done|fixed|addressed|resolved|updated|changed|applied|committed|pushed|good catch|implemented|removed|added"
    r"|renamed|moved|reverted|corrected)\b|✅|👍|:\+1:|\b[0-9a-f]{7,40}\b",
    re.IGNORECASE,
)
_NOT_DONE = re.compile(
    r"\b(?:not|never|\w+n'?t|to be|will be) (?:yet |really |quite |fully )?"
    r"(?:done|fixed|addressed|resolved|updated|changed)\b",
    re.IGNORECASE,
)
_NO = re.compile(
    r"\b(?:won'?t fix|will not fix|wont-?fix|not (?:going to|gonna) (?:fix|change|do)|by design|as designed|not planned"
    r"|(?:is|it's|was) intentional\w*|intended behaviou?r|out of scope|working as intended"
    r"|(?:leav|keep)(?:e|ing)? (?:it|this|that) (?:as (?:it )?is|alone))\b",
    re.IGNORECASE,
)
_BACK = re.compile(
    r"\b(?:never ?mind|nvm|ignore (?:this|that|me|my)|please ignore|disregard|scratch that|my mistake|my bad"
    r"|false alarm|i was wrong|(?:i )?misread|i take (?:it|that) back|retracted?)\b",
    re.IGNORECASE,
)
_CONTENT = re.compile(
    r"\b(?:thanks?|thank you|lgtm|sgtm|looks good|great|perfect|ok(?:ay)?|makes sense|fair enough|sounds good|agreed?"
    r"|got it|works for me|nice)\b|👍|🎉|:\+1:|✅",
    re.IGNORECASE,
)

_MORE = re.compile(r"\b(?:but|however|still|though|instead|please|not)\b|n['’]t\b|\?", re.IGNORECASE)
"""Words that take half of the thanks back."""


def feedback_of(state: PullState, *, viewer: int = 0) -> tuple[Feedback, ...]:
    """All of it: threads in the order of the forge, then what stands above whole reviews.

    `viewer` is the numeric id of our own account, 0 if nobody's answers are to be taken for ours.
    """
    threads = tuple(each for each in (_of_thread(each, state, viewer) for each in state.threads) if each)
    return (*threads, *_of_reviews(state, threads))


def outstanding(feedback: Sequence[Feedback]) -> tuple[Feedback, ...]:
    """What somebody who counts still waits for, and what weighs enough to keep the change from being merged."""
    return tuple(each for each in feedback if each.status == "unaddressed" and _weighs(each))


def unseen(feedback: Sequence[Feedback]) -> tuple[Feedback, ...]:
    """What would be outstanding, were it not for an answer of ours at which nobody has looked yet."""
    return tuple(each for each in feedback if each.unseen and _weighs(each))


def _weighs(each: Feedback) -> bool:
    return each.writer and each.severity in ("critical", "high", "medium")


def cleaned(text: str, limit: int = TEXT) -> str:
    """What a person sees of a text, cut."""
    text = shown(without_ansi(text[:SCAN])).strip()
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


# --- threads ----------------------------------------------------------------------------------------------------


def _of_thread(thread: ThreadState, state: PullState, viewer: int) -> Feedback | None:
    """None for a thread without a word, or one that the pull request's author opened alone."""
    if not thread.comments or not _WORDS.search(thread.comments[0].body):
        return None
    first, author = thread.comments[0], state.subject.author
    if _same(first.author, author) and all(_same(each.author, author) for each in thread.comments):
        return None
    severity = severity_of(first.body)
    status, unseen = _answered_by_us(thread, state, viewer)
    return Feedback(
        id=thread.id,
        author=first.author.login if first.author else "",
        path=thread.path,
        line=thread.line,
        text=cleaned(first.body),
        severity=severity,
        auto=is_auto(first.body, severity),
        status=status or _thread_status(thread, state),
        unseen=unseen,
        writer=_is_writer(first, state) and not first.body.startswith(OURS),
        url=first.url,
    )


def _thread_status(thread: ThreadState, state: PullState) -> FeedbackStatus:
    first, *answers = thread.comments
    last = _last_word(answers, first, state)
    if last and _is_no(last, state):
        return "wont_fix"
    if last and _same(last.author, first.author) and _BACK.search(last.body):
        return "dismissed"
    if thread.resolved:
        return "addressed"
    if last is None or not _same(last.author, state.subject.author):
        return "unaddressed"
    claims = bool(_DONE.search(last.body)) and not _NOT_DONE.search(last.body)
    return "addressed" if thread.outdated or (claims and _moved_since(first, state)) else "unaddressed"


def _answered_by_us(thread: ThreadState, state: PullState, viewer: int) -> tuple[FeedbackStatus | None, bool]:
    """What our last answer says of it, and whether nobody who counts has looked at that.

    None where there is no answer of ours, or somebody who counts wants more after it.
    """
    first, *answers = thread.comments
    found: FeedbackStatus | None = None
    unseen = False
    for each in answers:
        # Anybody can copy the hidden marker, only ours counts; a person's token writes for the bot and for the person.
        ours = bool(viewer) and each.author is not None and each.author.id == viewer
        kind = reply_kind(each.body) if ours else None
        if kind is not None:
            found = "addressed" if kind == "fix" else "wont_fix"
            unseen = not (thread.resolved or _approved_since(each, first, state))
        elif _same(each.author, first.author) or _is_writer(each, state):
            found, unseen = (found if _is_content(each) else None), False
    return found, unseen


def _approved_since(answer: ThreadComment, first: ThreadComment, state: PullState) -> bool:
    """Whether who opened the thread approved the change after an answer in it; ISO times sort as text."""
    return any(
        each.verdict == "approved" and _same(each.author, first.author) and each.at >= answer.at
        for each in state.reviews
    )


def _last_word(answers: Sequence[ThreadComment], first: ThreadComment, state: PullState) -> ThreadComment | None:
    """The answer that counts: the last one, but for thanks that a reviewer adds to it; None where there is none.

    A person who is neither the author of the change, nor who opened the thread, nor a writer decides nothing.
    """
    for each in reversed(answers):
        counts = _same(each.author, state.subject.author) or _same(each.author, first.author) or _is_writer(each, state)
        if not counts:
            continue
        if _same(each.author, first.author) and _is_content(each):
            continue
        return each
    return None


def _is_content(comment: ThreadComment) -> bool:
    """Thanks, and nothing more is wanted."""
    body = comment.body
    pleased = len(body) <= 200 and _CONTENT.search(body) and not _NOT_DONE.search(body)
    return bool(pleased) and not _BACK.search(body) and not _MORE.search(body)


def _is_no(comment: ThreadComment, state: PullState) -> bool:
    return _is_writer(comment, state) and bool(_NO.search(comment.body))


def _is_writer(comment: ThreadComment, state: PullState) -> bool:
    """By the comment, or by a review of the same person."""
    return comment.writer or any(each.writer and _same(each.author, comment.author) for each in state.reviews)


def _moved_since(first: ThreadComment, state: PullState) -> bool:
    """Whether there are other commits than those that the reviewer saw."""
    head = state.subject.pull.head.sha if state.subject.pull else ""
    seen = [each.commit for each in state.reviews if _same(each.author, first.author) and each.commit]
    return bool(head and seen) and head not in seen


# --- reviews ----------------------------------------------------------------------------------------------------


def _of_reviews(state: PullState, threads: Sequence[Feedback]) -> Iterator[Feedback]:
    """What stands above whole reviews; not what only says that it is fine, nor our own."""
    for review in state.reviews:
        text = review.body.strip()
        if review.verdict == "pending" or not _WORDS.search(text) or text.startswith(OURS):
            continue
        if is_praise(text) and review.verdict != "changes_requested":
            continue
        severity = _weight(review)
        yield Feedback(
            # Only the newest review of a person is known: a later one is another wish.
            id=f"{REVIEW}{review.author.id if review.author else 0}:{review.at}",
            author=review.author.login if review.author else "",
            text=cleaned(text),
            severity=severity,
            auto=is_auto(text, severity),
            status=_review_status(review, state, threads),
            writer=review.writer,
        )


def _weight(review: ReviewState) -> Severity:
    """An approval's words keep nothing from being merged; nor do words that ask for no change."""
    found = severity_of(review.body)
    if review.verdict == "changes_requested":
        return found if found in ("critical", "high") else "medium"
    return lighter(found, "low")


def _review_status(review: ReviewState, state: PullState, threads: Sequence[Feedback]) -> FeedbackStatus:
    """Requested changes count as made when there are new commits and nothing of weight on lines is open.

    Whether the commits do what was wanted only the reviewer can say: it is their turn.
    """
    if review.verdict == "dismissed":
        return "dismissed"
    head = state.subject.pull.head.sha if state.subject.pull else ""
    moved = bool(review.commit and head) and review.commit != head
    login = review.author.login if review.author else ""
    still = [each for each in threads if each.author == login and each.status == "unaddressed"]
    over = all(each.severity in ("low", "info") for each in still)
    return "addressed" if review.verdict == "changes_requested" and moved and over else "unaddressed"


def _same(one: Actor | None, other: Actor | None) -> bool:
    """A login can be renamed, an id can't; accounts that are gone are nobody."""
    return one is not None and other is not None and one.id == other.id

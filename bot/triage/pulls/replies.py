"""What a step came to -> answers in the conversations that it was about: a change by its commit, or a reason. Pure.

No answer ends a conversation: whether it will do is for the person to say who opened it. What stands above a whole
review is no conversation; its answer stands in the run's comment alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from bot.marks import reply_marker
from bot.triage.pulls.answering import Answered, Worked
from bot.triage.pulls.feedback import REVIEW
from bot.types.output import Reply
from bot.visible import fenced


def replies_of(done: Worked, number: int, *, hide: Callable[[str], str] = lambda text: text) -> tuple[Reply, ...]:
    """An answer for each remark on lines that got one. `hide` takes out of a model's words what must not leave."""
    return tuple(
        Reply(
            key=f"reply:{hashlib.sha256(each.feedback.encode()).hexdigest()[:16]}",
            number=number,
            thread=each.feedback,
            marker=reply_marker(each.kind, done.run),
            body=_body(each, done.commit, hide(each.text)),
        )
        for each in done.answers
        if not each.feedback.startswith(REVIEW)
    )


def _body(answered: Answered, commit: str, words: str) -> str:
    """A sentence of ours, and a model's words as code, where they are no command, no mention and no link."""
    lead = f"Changed in {commit}." if answered.kind == "fix" else "Kept as it is, for this reason:"
    return f"{lead}\n\n{fenced(words)}" if words else lead

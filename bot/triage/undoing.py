"""`undo` and the marks of our runs -> what takes back all that one run published.

A mark stands in a comment, and who may write here may edit it. So it only says what to look at: a branch is deleted
where its name is made of the run's id, a commit is taken back on the pull request's own branch only, and the writer
looks again at everything before it touches it.
"""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from bot.marks import UNDO_TRAILER, Made, Mark, has_marker, help_marker, state_line
from bot.triage.answers import sign, told
from bot.triage.case import Case
from bot.types.decision import Answer, Undoing
from bot.types.event import Comment
from bot.types.output import ClosePull, DeleteBranch, LabelChange, Output, Revert

LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}")
LEAST_DIGITS = 4
"""Of a run's id, by which people name it."""


def undo(case: Case, number: int, text: str, ours: Sequence[Comment], marks: Sequence[Mark]) -> Answer:
    """The run that is named, or the last one; taken back once. `ours` are our comments here, `marks` what they hide."""
    event = case.event
    found = _named(marks, text)
    if isinstance(found, str):
        return told(event, number, "undo", found)
    if found.made.undone:
        if any(has_marker(each.body, help_marker(event.id)) for each in ours):
            return Answer(code="undo", reason="this was done and answered already", outputs=())
        return told(event, number, "undo", f"Run `{found.run}` is undone already.")
    outputs, kept = _backwards(case, number, found)
    undoing = Undoing(number=number, state=state_line(found), kept=kept)
    reason = f"what run {found.run} published is taken back"
    return Answer(code="undo", reason=reason, outputs=(*sign(event, number, "+1"), *outputs), undoing=undoing)


def _named(marks: Sequence[Mark], text: str) -> Mark | str:
    """The run that is meant, or why there is none."""
    if not marks:
        return "No run has been started here."
    word = text.split()[0].strip("`").lower() if text.split() else ""
    if word and not re.fullmatch(rf"[0-9a-f]{{{LEAST_DIGITS},16}}", word):
        return f"Name the run by its id or its first digits, at least {LEAST_DIGITS}; `status` lists the runs."
    hits = {mark.run: mark for mark in marks if mark.run.startswith(word)} if word else {marks[-1].run: marks[-1]}
    if len(hits) != 1:
        return "Several runs begin like that; name more digits." if hits else "There is no such run here."
    (found,) = hits.values()
    if found.status != "completed":
        other = "" if word else " To undo an older one, name it."
        return f"Run `{found.run}` is still going on; stop it first.{other}"
    return found


def _backwards(case: Case, number: int, mark: Mark) -> tuple[list[Output], tuple[str, ...]]:
    """What to write, in that order, and what can't be taken back."""
    made, outputs, kept = mark.made, list[Output](), list[str]()
    if made.branch.startswith("bot/") and made.branch.endswith(mark.run[:8]) and made.sha:
        if made.pull:
            outputs.append(ClosePull(key="undo-pull", number=made.pull, head=made.branch))
        outputs.append(DeleteBranch(key="undo-branch", branch=made.branch, sha=made.sha))
    elif made.sha:
        stays = _why_it_stays(case, number, made)
        if stays:
            kept.append(stays)
        else:
            message = _message(case, mark)
            outputs.append(Revert(key="undo-commit", branch=made.branch, sha=made.sha, message=message))
    if made.labels:
        outputs.append(LabelChange(key="undo-labels", number=number, remove=made.labels))
    if made.review:
        kept.append("the review stays: GitHub lets nobody delete one")
    return outputs, tuple(kept)


def _message(case: Case, mark: Mark) -> str:
    """Of the commit that takes ours back, with whoever asked as its co-author."""
    person, host = case.event.actor, urlsplit(case.settings.server_url or case.event.repository.url).hostname
    lines = [f"Take back what {mark.task} did", "", f"This reverts commit {mark.made.sha}.", ""]
    lines.append(f"{UNDO_TRAILER}: {mark.run}")
    if host and person.id and LOGIN.fullmatch(person.login):
        lines.append(f"Co-authored-by: {person.login} <{person.id}+{person.login}@users.noreply.{host}>")
    return "\n".join(lines)


def _why_it_stays(case: Case, number: int, made: Made) -> str:
    """Why a commit on a branch of somebody else's can't be taken back; empty where it can."""
    subject = case.reader.subject(number)
    pull = subject.pull if subject else None
    home = case.event.repository.full_name.lower()
    if pull is None or pull.head.ref != made.branch or (pull.head_repository or "").lower() != home:
        return f"the commit `{made.sha[:12]}` stays, because it is not on a branch of this pull request"
    if pull.merged:
        return f"the commit `{made.sha[:12]}` stays, because #{number} was merged; “Revert” on its page takes it back"
    return ""

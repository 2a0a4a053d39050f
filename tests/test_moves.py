"""What people do to the target while a run is on, at points all over the story: a true ending with a reason, no more.

What was seen before the publication began stops it; what comes later meets GitHub's own answers. The oracles hold
either way: nobody's work is lost, nothing is written elsewhere, and what people read is so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.types.decision import Go
from bot.types.run import Run
from tests.github_server.exchange import Request
from tests.stage import NAME, POLICY, Stage, Tell, app_on_pull, labelled_issue, staged

POINTS = 7
"""Points of the story at which each thing happens, spread evenly, beside the one at which the sandbox has worked."""
PROPOSAL = "/git/trees"
"""The first write of a proposal ends so."""


def lock(stage: Stage) -> None:
    stage.subject.locked = True


def close(stage: Stage) -> None:
    stage.subject.state = "closed"


def delete(stage: Stage) -> None:
    stage.server.delete_issue(NAME, stage.allowed.number)


def transfer(stage: Stage) -> None:
    stage.server.transfer(NAME, stage.allowed.number, "octo/other")


def archive(stage: Stage) -> None:
    stage.server.archive(NAME)


def rename(stage: Stage) -> None:
    stage.server.rename(NAME, "hallo")


def withdraw(stage: Stage) -> None:
    stage.server.set_permission(NAME, "maria", "none")


def unlabel(stage: Stage) -> None:
    stage.subject.labels[:] = [each for each in stage.subject.labels if each.name != "bot:fix"]


def change_policy(stage: Stage) -> None:
    stage.server.commit(NAME, "main", {".github/bot.yml": POLICY + "# Looked through.\n"})


def drop_branch(stage: Stage) -> None:
    stage.server.repo(NAME).git.set_ref("refs/heads/feature", None)


def push_beside(stage: Stage) -> None:
    stage.server.commit(NAME, "feature", {"third.txt": "theirs\n"}, user="maria")


def push_over(stage: Stage) -> None:
    stage.server.commit(NAME, "feature", {"table.txt": "theirs\n"}, user="maria")


def push_main(stage: Stage) -> None:
    stage.server.commit(NAME, "main", {"third.txt": "theirs\n"}, user="octo")


@dataclass(frozen=True)
class Move:
    """Something that people do."""

    tell: Tell
    act: Callable[[Stage], None]
    word: str
    """What the reason says, where the run does not succeed."""
    seen: str = ""
    """End of the read that finds it before anything is published; empty where the run may go on."""
    pins: bool = False
    """Whether it does no harm until the gate has looked."""
    mute: bool = False
    """Whether a comment can't be written afterwards."""


MOVES = {
    "issue locked": Move(labelled_issue, lock, "locked", "/issues/1"),
    "issue closed": Move(labelled_issue, close, "closed", "/issues/1"),
    "issue deleted": Move(labelled_issue, delete, "", "/issues/1", mute=True),
    "issue transferred": Move(labelled_issue, transfer, "", "/issues/1", mute=True),
    "issue unlabelled": Move(labelled_issue, unlabel, "taken off", "/issues/1"),
    "repository archived": Move(labelled_issue, archive, "", mute=True),
    "repository renamed": Move(labelled_issue, rename, "", mute=True),
    "permission withdrawn": Move(labelled_issue, withdraw, "permission", "/permission"),
    "policy changed": Move(labelled_issue, change_policy, "policy", "/bot.yml", pins=True),
    "main moved": Move(labelled_issue, push_main, ""),
    "pull request locked": Move(app_on_pull, lock, "locked", "/pulls/2"),
    "pull request closed": Move(app_on_pull, close, "closed", "/pulls/2"),
    "branch deleted": Move(app_on_pull, drop_branch, "gone"),
    "branch moved beside": Move(app_on_pull, push_beside, ""),
    "branch moved over": Move(app_on_pull, push_over, ""),
    "permission withdrawn on a pull request": Move(app_on_pull, withdraw, "permission", "/permission"),
}


def shape(tell: Tell, folder: Path) -> list[str]:
    """The calls of the story in which nobody does anything: method and path."""
    with staged(tell, folder) as stage:
        stage.judge(stage.play())
        return [f"{request.method} {request.path}" for request in stage.server.requests]


def worked(calls: list[str]) -> int:
    """The place of the first call after the sandbox has worked: the look at the subject before publishing."""
    proposal = next(at for at, call in enumerate(calls) if call.startswith("POST") and call.endswith(PROPOSAL))
    return max(at for at in range(proposal) if not calls[at].startswith("GET")) + 1


def window(calls: list[str], move: Move) -> range:
    """The places at which it would be found before the proposal; none where nobody looks, or may have looked before."""
    proposal = next(at for at, call in enumerate(calls) if call.startswith("POST") and call.endswith(PROPOSAL))
    reads = [
        at for at in range(proposal) if move.seen and calls[at].startswith("GET") and calls[at].endswith(move.seen)
    ]
    # The looks before publication are on their way at once: what comes between them may be found or not.
    return range(reads[0] + 1 if move.pins else 0, min(reads[-1], worked(calls)) + 1) if reads else range(0)


def play(move: Move, stage: Stage, at: int) -> Run:
    """The story in which it happens before the call number `at`."""
    count = [0]

    def meddle(request: Request) -> None:
        if count[0] == at:
            with stage.server.world.lock:
                move.act(stage)
        count[0] += 1

    stage.server.on_request(meddle)
    found = stage.play()
    assert count[0] > at, "it never happened"
    return stage.judge(found, reachable=not move.mute)


def published(stage: Stage) -> bool:
    """Whether we made or moved a branch, without which there is no commit and no pull request."""
    return any(thing.kind == "ref" for write in stage.server.ledger for thing in write.changes)


def said(stage: Stage, run: Run) -> str:
    """Everything in which a reason may stand: our comments, or the record where nobody could be told."""
    repos = stage.server.world.repos.values()
    bodies = [comment.body for repo in repos for issue in repo.issues.values() for comment in issue.comments]
    ours = "\n".join(body for body in bodies if body.startswith("<!-- sandpiper:"))
    reason = "" if run.decision is None or isinstance(run.decision, Go) else run.decision.reason
    return ours or f"{reason} {run.failure and run.failure.message}"


@pytest.mark.parametrize("name", MOVES)
def test_what_moves_meanwhile_ends_the_run_truly(name: str, tmp_path: Path) -> None:
    move = MOVES[name]
    calls = shape(move.tell, tmp_path / "calm")
    step = max(1, len(calls) // POINTS)
    wrong = []
    for at in sorted({*range(list(MOVES).index(name) % step, len(calls), step), worked(calls)}):
        with staged(move.tell, tmp_path / f"at-{at}") as stage:
            try:
                run = play(move, stage, at)
                if at in window(calls, move):
                    assert run.conclusion != "success"
                    assert not published(stage), "published though it was seen before"
                if run.conclusion != "success":
                    assert move.word in said(stage, run), said(stage, run)
            except AssertionError as error:
                wrong.append(f"before call {at}, {calls[at]}: {str(error)[:1500]}")
    assert wrong == [], "\n\n".join(wrong)

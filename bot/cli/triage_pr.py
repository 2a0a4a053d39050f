"""`sandpiper triage pr` -> where a pull request stands, what blocks it, what is next; and the work that it takes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import click
from rich.console import Console, RenderableType

from bot.cli.dollars import Dollars
from bot.cli.output import json_option, plain, print_json, say
from bot.cli.run import run_on_github
from bot.cli.triage_open import at_repository, place_of
from bot.cli.triage_review import exit_code_of, review_with_model
from bot.cli.triage_view import journey_parts, out, plan_parts, pull_parts, review_parts
from bot.errors import ConfigurationError, ForgeError
from bot.redaction import redact
from bot.settings import load_settings
from bot.stop import stoppable
from bot.triage.pulls.answering import Step, Worked, worked_by
from bot.triage.pulls.loop import ROUNDS, Hands, Journey, plan, resolve, run_until_ready
from bot.triage.pulls.replies import replies_of
from bot.triage.pulls.review import Allowance
from bot.triage.pulls.review_shape import DiffReview
from bot.triage.pulls.status import triage_pull
from bot.types.event import Dispatched
from bot.types.pull import PullTriage
from bot.types.run import Run

NOT_READY, STOPPED = 1, 130
FINAL = ("unauthorized", "forbidden", "rate_limited")
"""Errors that the next answer would meet, too."""


@click.command()
@click.argument("place", metavar="OWNER/NAME#N")
@click.option("--review", "with_review", is_flag=True, help="Review its diff, too.")
@click.option("--plan", "mode", flag_value="plan", help="Show what the bot would do, in order.")
@click.option("--resolve", "mode", flag_value="resolve", help="Do one round: mend checks, answer remarks.")
@click.option("--until-ready", "mode", flag_value="until-ready", help="Do rounds until it is ready. Never merges.")
@click.option("--rounds", type=click.IntRange(1, ROUNDS), default=ROUNDS, show_default=True, help="At most so many.")
@click.option("--model", help="Model as provider/name, for --review.")
@click.option("--max-usd", type=Dollars(), default=1.0, show_default=True, help="Ceiling for the price of --review.")
@json_option
@click.pass_context
def pr(
    context: click.Context,
    place: str,
    with_review: bool,
    mode: str | None,
    rounds: int,
    model: str | None,
    max_usd: float,
    as_json: bool,
) -> None:
    """Say where a pull request stands, what is in the way, and whose turn it is.

    --resolve and --until-ready work on its branch by the tasks `fix-ci` and `run`, as the account of the token, within
    the limits of the repository's policy. Exit code 1 if they leave it unready.
    """
    name, number = place_of(place)
    found, diff = look_at(name, number, with_diff=with_review)
    reviewed = review_with_model(diff, model=model, allowance=Allowance(usd=max_usd)) if with_review else None
    if reviewed is not None:
        found, _ = look_at(name, number, reviewed=reviewed)
    journey = _work(name, number, found, mode, rounds) if mode in ("resolve", "until-ready") else None
    found = journey.triage if journey else found
    _show(found, reviewed, journey, as_json=as_json, planned=mode == "plan")
    context.exit(_exit_code(reviewed, journey))


def look_at(
    name: str, number: int, *, with_diff: bool = False, reviewed: DiffReview | None = None
) -> tuple[PullTriage, str]:
    """Where it stands now, and its diff where that is wanted. Raises ConfigurationError `no_such_pull`, ForgeError."""
    with at_repository(name) as (deps, repository, _):
        state = deps.reader.pull_state(number)
        if state is None:
            message = f"{repository.full_name} has no pull request {number}"
            raise ConfigurationError("no_such_pull", message, hint="is it an issue, or in another repository?")
        found = triage_pull(state, full_name=repository.full_name, viewer=deps.reader.viewer().id, reviewed=reviewed)
        return found, deps.reader.diff(number) if with_diff else ""


def _work(name: str, number: int, found: PullTriage, mode: str, rounds: int) -> Journey:
    """One round, or rounds until it is ready."""
    with stoppable(signal.SIGTERM) as stopped:
        hands = Hands(
            look=lambda: look_at(name, number)[0],
            work=lambda step: _worked(name, number, step),
            clock=time.monotonic,
            sleep=time.sleep,
            stopped=stopped,
            tell=lambda text: say(text, err=True),
        )
        if mode == "until-ready":
            return run_until_ready(hands, rounds=rounds)
        done = resolve(found, hands)
        return Journey(ending="one_round", triage=hands.look() if done.worked else found, rounds=(done,))


def _worked(name: str, number: int, step: Step) -> Worked:
    """Do a step, and answer in each conversation that it was about."""
    done = worked_by(step, number, _dispatch(name))
    if done.answers:
        answer(name, number, done)
    return done


def answer(name: str, number: int, done: Worked) -> None:
    """Write what remarks got below them. An answer that can't be written is said and fails nothing: the run's comment
    has it, too. No conversation is ever resolved: that is the right of the person who opened it.
    """
    try:
        with at_repository(name) as (deps, _, settings):
            for reply in replies_of(done, number, hide=lambda text: redact(text, deps.secrets)):
                try:
                    deps.writer.apply(reply, blobs=settings.state)
                except ForgeError as error:
                    if error.code in FINAL:
                        raise
                    _unwritten(error)
    except ForgeError as error:
        _unwritten(error)


def _unwritten(error: ForgeError) -> None:
    say(f"a remark was not answered in its conversation: {error.message} [{error.code}]", err=True)


def _dispatch(name: str) -> Callable[[Dispatched], Run]:
    """A task as `sandpiper run` starts it."""
    return lambda trigger: run_on_github(name, trigger, load_settings(os.environ), os.environ).run


def _show(
    found: PullTriage, reviewed: DiffReview | None, journey: Journey | None, *, as_json: bool, planned: bool
) -> None:
    steps = plan(found)
    if as_json:
        more: dict[str, object] = {"review": reviewed} if reviewed else {}
        more |= {"plan": steps} if planned else {}
        if journey:
            more |= {"ending": journey.ending, "rounds": journey.rounds}
        print_json({**plain(found), **more})
        return
    parts: list[RenderableType] = [*pull_parts(found), *(review_parts(reviewed) if reviewed else ())]
    parts += plan_parts(steps) if planned else journey_parts(journey) if journey else []
    out(Console(highlight=False), parts)


def _exit_code(reviewed: DiffReview | None, journey: Journey | None) -> int:
    if journey is not None and journey.ending == "stopped":
        return STOPPED
    if journey is not None and journey.ending == "one_round":
        worked = journey.rounds[0].worked
        return STOPPED if any(each.stopped for each in worked) else int(not all(each.ok for each in worked))
    if journey is not None and journey.ending not in ("ready", "over"):
        return NOT_READY
    return exit_code_of(reviewed) if reviewed else 0

"""`sandpiper triage review` -> the changes between two commits of a checkout, reviewed by a model.

Git reads nothing but the checkout's objects: its configuration and attributes, which could name programs to run, are
left outside by comparing in a repository of our own that borrows them.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click
from rich.console import Console

from bot.cli.dollars import Dollars
from bot.cli.output import json_option, print_json, say
from bot.cli.triage_view import out, review_parts
from bot.errors import ConfigurationError, ForgeError
from bot.forge.local.borrow import borrow, git_folder_of
from bot.forge.local.gitdir import git, resolve
from bot.llm.chat import open_model
from bot.llm.models import choose_model
from bot.settings import load_settings
from bot.triage.pulls.review import NO_MODEL, Allowance, review_diff
from bot.triage.pulls.review_shape import DiffReview

DIFF = (
    *("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--find-renames", "--full-index", "--unified=3"),
    *("--src-prefix=a/", "--dst-prefix=b/", "--submodule=short", "--diff-algorithm=histogram"),
)
LARGEST = "1m"
"""Larger files count as data, so that a diff fits into memory."""
HINT = "Set a provider's key, such as ANTHROPIC_API_KEY, or SANDPIPER_MODEL and SANDPIPER_MODEL_URL."
UNANSWERED = 3
NO_REVIEW = 2


@click.command()
@click.option("--repo", default=".", type=click.Path(path_type=Path), metavar="PATH", help="A checkout.")
@click.option("--base", required=True, metavar="REF", help="Branch or commit that the changes would go into.")
@click.option("--head", default="HEAD", show_default=True, metavar="REF", help="Branch or commit with the changes.")
@click.option("--model", help="Model as provider/name.")
@click.option("--max-usd", type=Dollars(), default=1.0, show_default=True, help="Ceiling for the price, in US dollars.")
@click.option("--max-calls", type=click.IntRange(1, 1000), default=12, show_default=True, help="Calls of the model.")
@json_option
@click.pass_context
def review(
    context: click.Context,
    repo: Path,
    base: str,
    head: str,
    model: str | None,
    max_usd: float,
    max_calls: int,
    as_json: bool,
) -> None:
    """Review what `git diff BASE...HEAD` shows: issues on its lines, a verdict, and what speaks against merging.

    Exit code 2 without a model: then only what is certain without one is shown.
    """
    diff = diff_between(repo.resolve(), base, head)
    found = review_with_model(diff, model=model, allowance=Allowance(usd=max_usd, calls=max_calls))
    if as_json:
        print_json(found)
    else:
        out(Console(highlight=False), review_parts(found))
    context.exit(exit_code_of(found))


def review_with_model(diff: str, *, model: str | None, allowance: Allowance) -> DiffReview:
    """By the operator's model, where there is one. Raises ConfigurationError for one that is set wrongly."""
    settings = load_settings(os.environ, model=model)
    chosen = choose_model(settings, os.environ)
    return review_diff(diff, model=open_model(settings, None, os.environ) if chosen else None, allowance=allowance)


def exit_code_of(found: DiffReview) -> int:
    """0 judged, whatever the verdict; 2 where no model is set, 3 where it did not answer."""
    if found.trouble:
        say(f"sandpiper: the model did not answer [{found.trouble}]", err=True)
        return UNANSWERED
    if any(each.reason == NO_MODEL for each in found.left_out):
        say(f"sandpiper: {NO_MODEL} [model_missing]\n  hint: {HINT}", err=True)
        return NO_REVIEW
    return 0


def diff_between(place: Path, base: str, head: str) -> str:
    """What `head` changes since it left `base`. Raises ConfigurationError `not_a_checkout`, `no_such_ref`."""
    folder = git_folder_of(place)
    commits = [_commit(folder, each) for each in (base, head)]
    with tempfile.TemporaryDirectory(prefix="sandpiper-diff-") as scratch:
        borrow(folder, Path(scratch) / "forge", "local/checkout", {})
        ours = Path(scratch) / "forge" / "repository.git"
        # Attributes of the branch that HEAD names could declare code to be data, and hide it.
        git(ours, "symbolic-ref", "HEAD", "refs/heads/none-of-its")
        largest = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.bigFileThreshold", "GIT_CONFIG_VALUE_0": LARGEST}
        try:
            git(ours, "merge-base", "--end-of-options", *commits)
        except ForgeError:
            hint = "fetch more of the history (`git fetch --unshallow`), or name another base"
            raise ConfigurationError("no_merge_base", f"{base} and {head} have no common commit", hint=hint) from None
        diff = git(ours, *DIFF, "--end-of-options", f"{commits[0]}...{commits[1]}", "--", env=largest)
    return diff.decode("utf-8", "replace")


def _commit(folder: Path, ref: str) -> str:
    found = resolve(folder, ref) if ref.strip() and "\0" not in ref else None
    if found is None:
        hint = "see `git branch --all`; in a shallow clone fetch it first"
        raise ConfigurationError("no_such_ref", f"there is no branch or commit {ref[:200]!r}", hint=hint)
    return found

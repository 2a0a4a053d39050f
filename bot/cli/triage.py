"""`sandpiper triage` -> the list of its commands. Imports click alone: numpy and the forge come with the command."""

from __future__ import annotations

import click

from bot.cli.lazy import Entry, LazyGroup

COMMANDS = {
    "quick": Entry("bot.cli.triage_quick", "Judge a text: category, priority, what to do."),
    "issue": Entry("bot.cli.triage_issue", "Judge an issue on GitHub, and show what would be done."),
    "pr": Entry("bot.cli.triage_pr", "Say where a pull request stands, what blocks it and what to do next."),
    "review": Entry("bot.cli.triage_review", "Review the changes between two commits of a checkout."),
    "analyze": Entry("bot.cli.triage_analyze", "Sum up a long conversation: what is done, what is left."),
    "backlog": Entry("bot.cli.triage_backlog", "Judge all open issues of a repository."),
    "learn": Entry("bot.cli.triage_learn", "Learn from a repository's past, now."),
    "report": Entry("bot.cli.triage_report", "Show how well the offline model knows a repository."),
    "encoder": Entry("bot.cli.triage_encoder", "Fetch or find the sentence encoder's weights."),
    "eval": Entry(
        "bot.cli.triage_eval", "Measure the offline model on labelled issues of your own.", attribute="evaluate"
    ),
    "duplicates": Entry("bot.cli.triage_duplicates", "Rank possible duplicates for each query of a file."),
    "files-eval": Entry(
        "bot.cli.triage_files", "Measure on a repository's history how well files are found.", attribute="files_eval"
    ),
}
"""In the order in which people need them."""


@click.group(cls=LazyGroup, table=COMMANDS)
def triage() -> None:
    """Judge issues and pull requests, and measure how well that goes."""

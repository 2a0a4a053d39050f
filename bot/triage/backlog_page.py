"""Judged issues -> one HTML page: totals, then a table with the most urgent first. Fast for thousands of rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from bot.triage.listing import Row, Totals, in_order, priority_of, proposed, sureness, totals
from bot.triage.page import Markup, joined, page, scrolled, section, table, tag, tiles
from bot.triage.report import NOTHING, percent
from bot.types.triage import Neighbour

HEAD = ("issue", "title", "type", "labels", "sure", "duplicates", "missing", "judged by")
_SERVER = re.compile(r"https?://[A-Za-z0-9.:-]+")


def backlog_page(repository: str, server: str, rows: Sequence[Row], *, dry_run: bool, made: str = "") -> str:
    """The whole page. `server` is the forge's address for people, `made` says when and by what, in words."""
    place = f"{server}/{repository}/issues/" if _SERVER.fullmatch(server) else ""
    title = f"Open issues of {repository}"
    counts = totals(rows)
    if not rows:
        return page(title, tag("h1", title), tag("p", "No open issue was judged.", class_="note"), footer=made)
    lead = "Nothing was written: this is what would be done." if dry_run else "Labels and comments are on the forge."
    return page(
        title,
        tag("h1", title),
        tag("p", lead, class_="lead"),
        tiles(_figures(counts, dry_run)),
        _jumps(counts),
        section("Totals", tag("div", *_counts(counts, dry_run), class_="few"), id_="totals"),
        section("Issues", _legend(dry_run), _table(place, rows), id_="issues"),
        footer=made,
    )


def _figures(counts: Totals, dry_run: bool) -> Iterator[tuple[str, str, str]]:
    yield "Issues", f"{counts.issues:,}", "open, and judged here"
    if not dry_run:
        yield "Written to", f"{counts.written:,}", "got a label or a comment"
    yield "Labels", f"{sum(count for _, count in counts.labels):,}", "would be put on" if dry_run else "were put on"
    if counts.failed:
        yield "Failed", f"{counts.failed:,}", "are tried again by the next call"
    calls = (
        f"{counts.usage.steps:,} calls of a model, {counts.usage.input_tokens + counts.usage.output_tokens:,} tokens"
    )
    yield "Cost", f"{counts.usage.usd:.2f} USD", calls


def _jumps(counts: Totals) -> Markup:
    links = (tag("li", tag("a", f"{name} ({count:,})", href=f"#p-{name}")) for name, count in counts.priorities)
    return tag("nav", tag("ul", *links, class_="jumps"), aria_label="Priorities")


def _counts(counts: Totals, dry_run: bool) -> Iterator[Markup]:
    for name, rows in (("type", counts.types), ("priority", counts.priorities), ("judge", counts.by)):
        yield table(f"Issues by {name}", (name, "issues"), ((each, f"{count:,}") for each, count in rows), numbers=(1,))
    if counts.labels:
        caption = "Labels that would be put on" if dry_run else "Labels that were put on"
        yield table(caption, ("label", "issues"), ((each, f"{count:,}") for each, count in counts.labels), numbers=(1,))


def _legend(dry_run: bool) -> Markup:
    words = " would be put on; " if dry_run else " was put on; "
    return tag(
        "p", tag("span", "label", class_="chip on"), words, tag("span", "label", class_="chip"),
        " is only proposed, with how sure its judge is.", class_="muted",
    )  # fmt: skip


def _table(place: str, rows: Sequence[Row]) -> Markup:
    bodies = (
        tag("tbody", _group(name, list(group), place)) for name, group in groupby(in_order(rows), key=priority_of)
    )
    heads = (tag("th", each, scope="col", class_="num" if each == "sure" else None) for each in HEAD)
    caption = tag("caption", "Most urgent first; of equals the newest first")
    return scrolled("Issues", tag("table", caption, tag("thead", tag("tr", *heads)), *bodies, class_="backlog"))


def _group(name: str, rows: Sequence[Row], place: str) -> Markup:
    words = "Could not be judged" if name == "failed" else f"Priority {name}"
    head = tag("th", f"{words} ({len(rows):,})", colspan=len(HEAD), scope="rowgroup", id=f"p-{name}")
    return joined((tag("tr", head, class_="group"), *(_row(row, place) for row in rows)))


def _row(row: Row, place: str) -> Markup:
    sure = sureness(row)
    return tag(
        "tr",
        tag("th", _link(row.number, place), scope="row"),
        tag("td", row.title, *_remarks(row), class_="title"),
        tag("td", (row.found.type if row.found else None) or NOTHING),
        tag("td", *_chips(row), class_="labels"),
        tag("td", percent(sure, digits=0), class_="num"),
        tag("td", *_near(row, place)),
        tag("td", ", ".join(row.found.missing) if row.found else "", class_="missing"),
        tag("td", row.found.by if row.found else NOTHING),
    )


def _link(number: int, place: str) -> Markup:
    return tag("a", f"#{number}", href=f"{place}{number}") if place else tag("span", f"#{number}")


def _remarks(row: Row) -> Iterator[Markup]:
    found = row.found
    if found is not None and found.security:
        yield tag("div", "seems to report a vulnerability", class_="bad")
    if found is not None and found.spam:
        yield tag("div", "seems to be spam", class_="high")
    if row.failure is not None:
        yield tag("div", f"{row.failure.message} [{row.failure.code}]", class_="bad")
    if row.left:
        yield tag("div", f"nothing is written: {row.left}", class_="muted")


def _chips(row: Row) -> Iterator[Markup]:
    for label in row.put_on:
        yield tag("span", label, class_="chip on")
    for each in proposed(row):
        yield tag("span", f"{each.label} {percent(each.confidence, digits=0)}", class_="chip")


def _near(row: Row, place: str) -> Iterator[Markup]:
    near: tuple[Neighbour, ...] = row.found.duplicates if row.found else ()
    for each in near:
        yield tag("div", _link(each.number, place), f" {each.state}, {percent(each.score, digits=0)} alike")

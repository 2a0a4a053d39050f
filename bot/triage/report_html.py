"""What the offline model measured of itself -> one HTML page with its tables, its confusion and its calibration."""

from __future__ import annotations

from collections.abc import Iterator

from bot.triage.page import Markup, page, scrolled, section, table, tag, tiles
from bot.triage.report import (
    MEASURE_HEAD,
    NOT_LEARNED,
    Applied,
    applied,
    confusion_rows,
    figure,
    headline,
    measure_cells,
    percent,
    policy_snippet,
    words,
)
from bot.types.triage import ISSUE_TYPES, LabelMeasure, Measured

SIDE, LEFT, TOP = 300, 52, 14
"""The square of the diagram, and the room for its scales, in pixels of the drawing."""


def report_page(repository: str, measured: Measured, *, policy_path: str, made: str = "") -> str:
    """The whole page. `made` says when and by what, in words."""
    title = f"What the offline model knows of {repository}"
    if not measured.lessons:
        advice = tag("p", "Label some issues, then run ", tag("code", f"sandpiper triage learn {repository}"), ".")
        return page(title, tag("h1", title), tag("p", NOT_LEARNED, class_="note"), advice, footer=made)
    intro = (
        "Everything here was measured by leave-one-out: each issue was judged by a model that had not been shown it."
    )
    return page(
        title,
        tag("h1", title),
        tag("p", intro, class_="lead"),
        tiles(headline(measured)),
        section("Types", tag("div", _types(measured), _confusion(measured), class_="pair"), id_="types"),
        section("Calibration", *_calibration(measured), id_="calibration"),
        section("Labels", _labels(measured), id_="labels"),
        section("If it put labels on by itself", *_alone(measured, policy_path), id_="apply"),
        footer=made,
    )


# --- types and labels -------------------------------------------------------------------------------------------


def _types(measured: Measured) -> Markup:
    if not measured.types:
        return tag("p", "Too few issues have a label for their type.", class_="note")
    caption = "How well each type is told from the others"
    head = ("type", *MEASURE_HEAD[:4])
    return table(caption, head, (_row(each)[:5] for each in measured.types), numbers=range(1, 5))


def _labels(measured: Measured) -> Markup:
    if not measured.labels:
        return tag("p", "No label was given to enough issues to be learned.", class_="note")
    caption = (
        f"Threshold: the probability from which on at most {percent(measured.wanted_error)} were wrong. "
        "Coverage: the share of all lessons above it. Error: the share of wrong ones among those."
    )
    return table(caption, ("label", *MEASURE_HEAD), map(_row, measured.labels), numbers=range(1, 8))


def _row(each: LabelMeasure) -> tuple[object, ...]:
    return (each.label, *measure_cells(each))


def _confusion(measured: Measured) -> Markup:
    rows = confusion_rows(measured)
    total = sum(sum(counts) for _, counts in rows)
    if not total:
        return Markup("")
    caption = f"Confusion of {total:,} issues: what they were (rows), and what the model said (columns)"
    head = tag(
        "tr",
        tag("td", tag("span", "was \\ said", class_="muted")),
        *(tag("th", each, scope="col") for each in ISSUE_TYPES),
    )
    lines = (tag("tr", tag("th", true, scope="row"), *_heat(counts)) for true, counts in rows)
    made = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *lines), class_="heat")
    return scrolled("Confusion of types", made)


def _heat(counts: tuple[int, ...]) -> Iterator[Markup]:
    whole = sum(counts)
    for count in counts:
        share = count / whole if whole else 0.0
        yield tag("td", f"{count:,}", tag("small", percent(share, digits=0)), class_=f"h{round(10 * share)}")


# --- calibration ------------------------------------------------------------------------------------------------


def _calibration(measured: Measured) -> Iterator[Markup]:
    if not measured.bins:
        yield tag("p", "Too little is known to measure calibration.", class_="note")
        return
    text = (
        "Of issues whose type it is 80 % sure of, 80 % should be right: then the dots lie on the dashed line. "
        f"Expected calibration error: {figure(measured.ece)}."
    )
    yield tag("p", text)
    caption = "Confidence against how often it was right"
    rows = (
        (percent(sure), percent(right), f"{count:,}", _points(right - sure)) for sure, right, count in measured.bins
    )
    figures = table(caption, ("confidence", "right", "issues", "gap"), rows, numbers=range(4))
    yield tag("div", tag("figure", _diagram(measured)), figures, class_="pair")


def _points(gap: float) -> Markup:
    return tag("span", f"{100 * gap:+.1f} points", class_="bad" if gap < -0.1 else None)


def _diagram(measured: Measured) -> Markup:
    """Confidence to the right, share that is right upwards; a dot's area says how many issues it stands for."""
    most = max(count for _, _, count in measured.bins)
    corners = {"x1": LEFT, "y1": TOP + SIDE, "x2": LEFT + SIDE, "y2": TOP}
    text = "; ".join(f"{percent(sure, digits=0)} sure, {percent(right, digits=0)} right, {n} issues"
                     for sure, right, n in measured.bins)  # fmt: skip
    return tag(
        "svg",
        tag("title", "Reliability diagram"),
        tag("desc", text),
        *_scales(),
        *(_column(sure, count / most) for sure, _, count in measured.bins),
        tag("line", class_="ideal", **corners),
        *(
            tag("line", x1=_x(sure), y1=_y(sure), x2=_x(sure), y2=_y(right), class_="gap")
            for sure, right, _ in measured.bins
        ),
        tag("polyline", points=" ".join(f"{_x(a)},{_y(b)}" for a, b, _ in measured.bins), class_="curve"),
        *(
            tag("circle", cx=_x(sure), cy=_y(right), r=f"{3 + 7 * (count / most) ** 0.5:.1f}", class_="dot")
            for sure, right, count in measured.bins
        ),
        viewBox=f"0 0 {LEFT + SIDE + 28} {TOP + SIDE + 46}",
        role="img",
    )


def _scales() -> Iterator[Markup]:
    yield tag("rect", x=LEFT, y=TOP, width=SIDE, height=SIDE, class_="axis")
    for step in range(6):
        share = step / 5
        shown = f"{100 * share:.0f} %"
        yield tag("line", x1=LEFT, y1=_y(share), x2=LEFT + SIDE, y2=_y(share), class_="axis")
        yield tag("text", shown, x=LEFT - 7, y=float(_y(share)) + 4, text_anchor="end")
        yield tag("text", shown, x=_x(share), y=TOP + SIDE + 18, text_anchor="middle")
    yield tag(
        "text", "confidence; columns: how many issues", x=LEFT + SIDE / 2, y=TOP + SIDE + 38, text_anchor="middle"
    )
    middle = TOP + SIDE / 2
    yield tag("text", "right", x=12, y=middle, text_anchor="middle", transform=f"rotate(-90 12 {middle})")


def _column(sure: float, share: float) -> Markup:
    height = share * SIDE * 0.3
    return tag(
        "rect", x=float(_x(sure)) - 9, y=f"{TOP + SIDE - height:.1f}", width=18, height=f"{height:.1f}", class_="bar"
    )


def _x(share: float) -> str:
    return f"{LEFT + share * SIDE:.1f}"


def _y(share: float) -> str:
    return f"{TOP + (1 - share) * SIDE:.1f}"


# --- what it would do alone -------------------------------------------------------------------------------------


def _alone(measured: Measured, policy_path: str) -> Iterator[Markup]:
    rows = applied(measured)
    yield tag("p", words(rows[0]))
    if len(rows) > 1:
        caption = f"What it would have put on, of {measured.lessons:,} issues"
        head = ("label", "put on", "of", "wrong", "error")
        yield table(caption, head, map(_would, rows[1:]), numbers=range(1, 5))
    yield tag(
        "p", "To let it, paste this into ", tag("code", policy_path), "; without ", tag("code", "thresholds"),
        " they are measured anew whenever it learns.",
    )  # fmt: skip
    yield tag("pre", tag("code", policy_snippet(measured)))


def _would(row: Applied) -> tuple[object, ...]:
    return row.label, f"{row.put:,}", f"{row.of:,}", f"{row.wrong:,}", percent(row.error)

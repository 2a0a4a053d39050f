"""Parts of a page -> one HTML file that needs nothing else and runs nothing: no script, no image, no address of others.

Whatever is not made by `tag` is a stranger's text and is escaped; hidden characters go first. The page forbids by its
own policy (CSP, W3C "Content Security Policy Level 3") everything but the one style sheet that it carries.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources

from bot.visible import visible, without_ansi

VOID = frozenset({"meta", "line", "circle", "rect", "path", "col", "polyline"})
"""Elements without content: those of HTML, and those of SVG that we draw with."""


class Markup(str):
    """HTML that `tag` made: the only text that is not escaped."""

    __slots__ = ()


def escaped(text: object) -> Markup:
    """Text as HTML shows it, whoever wrote it; in attributes, too."""
    if isinstance(text, Markup):
        return text
    words = str(text)
    plain = words.isascii() and words.isprintable()  # as nearly all are, of which a page may have a hundred thousand
    return Markup(html.escape(words if plain else visible(without_ansi(words))))


def tag(name: str, /, *content: object, **attributes: object) -> Markup:
    """An element. `class_` and `for_` lose their last sign, other underscores become dashes; None is left out."""
    words = [name]
    for key, value in attributes.items():
        if value is not None and value is not False:
            shown = key.removesuffix("_").replace("_", "-")
            words.append(shown if value is True else f'{shown}="{escaped(value)}"')
    head = " ".join(words)
    if name in VOID:
        return Markup(f"<{head}>") if name in ("meta", "col") else Markup(f"<{head}/>")
    return Markup(f"<{head}>{joined(content)}</{name}>")


def joined(parts: Iterable[object]) -> Markup:
    """Parts behind each other."""
    return Markup("".join(escaped(part) for part in parts))


def page(title: str, *body: object, footer: object = "") -> str:
    """The whole file."""
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(style)),
    )
    foot = tag("footer", footer) if footer else ""
    return f"<!doctype html>\n{tag('html', head, tag('body', tag('main', *body), foot), lang='en')}\n"


def section(heading: str, *content: object, id_: str) -> Markup:
    """A part of the page with its heading."""
    return tag("section", tag("h2", heading, id=id_), *content, aria_labelledby=id_)


def table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numbers: Iterable[int] = (),
    class_: str | None = None,
) -> Markup:
    """A table whose first column names its rows; `numbers` are the columns that stand at the right."""
    right = frozenset(numbers)
    heads = (tag("th", each, scope="col", class_="num" if at in right else None) for at, each in enumerate(head))
    lines = (tag("tr", *(cell(at, each, right) for at, each in enumerate(row))) for row in rows)
    return scrolled(
        caption,
        tag(
            "table",
            tag("caption", caption),
            tag("thead", tag("tr", *heads)),
            tag("tbody", *lines),
            class_=class_,
        ),
    )


def cell(at: int, content: object, right: frozenset[int] = frozenset()) -> Markup:
    """One cell; the first one is its row's name."""
    if at == 0:
        return tag("th", content, scope="row", class_="num name" if at in right else "name")
    return tag("td", content, class_="num" if at in right else None)


def scrolled(name: str, content: Markup) -> Markup:
    """What may be wider than the window; reached and moved by the keyboard, too."""
    return tag("div", content, class_="scroll", tabindex="0", role="region", aria_label=name)


def tiles(figures: Iterable[tuple[str, str, str]]) -> Markup:
    """The few figures that matter: a name, a value, and what it means."""
    each = (tag("div", tag("dt", name), tag("dd", value, tag("small", more))) for name, value, more in figures)
    return tag("dl", *each, class_="tiles")


@cache
def _style() -> str:
    return resources.files("bot.triage").joinpath("page.css").read_text(encoding="utf-8").strip()

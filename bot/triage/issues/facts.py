"""A repository at a commit -> what it says about its own issues: labels, issue forms, CODEOWNERS, SECURITY.md.

One listing of paths, and then only files that are there. Source: GitHub Docs, "Configuring issue templates for your
repository", "About code owners", "Adding a security policy to your repository".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from bot.protocols import ForgeReader
from bot.triage.issues.form_files import FORM_LIMIT, IssueForm, parse_form
from bot.types.triage import LabelInfo
from bot.types.value import Value

FORMS = 20
"""Most forms and templates that are read."""
CODEOWNERS_LIMIT = 3_000_000
"""Bytes from which on GitHub does not read a CODEOWNERS file."""
CODEOWNERS = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""Where GitHub looks for it; the first that exists counts, even if it is empty."""
SECURITY = (".github/security.md", "security.md", "docs/security.md")
"""Where GitHub looks for the security policy, in lower case: it takes any spelling."""
_FORMS = ".github/issue_template"
_SINGLE = (".github/issue_template.md", "issue_template.md", "docs/issue_template.md")
"""The one template that repositories had before they could have several."""


class RepositoryFacts(Value):
    """What a repository says about its issues."""

    labels: tuple[LabelInfo, ...] = ()
    """The labels that it has."""
    forms: tuple[IssueForm, ...] = ()
    """Its issue forms and Markdown templates, those left out that can't be read."""
    codeowners: str = ""
    """Text of its CODEOWNERS file, empty where there is none that GitHub would read."""
    security_policy: str = ""
    """Path of its security policy, empty where it has none."""


def facts_of(reader: ForgeReader, ref: str) -> RepositoryFacts:
    """The facts at a commit or branch. Raises ForgeError; a file that can't be understood is as good as none."""
    paths = reader.paths(ref)
    return RepositoryFacts(
        labels=reader.labels(),
        forms=_forms(reader, ref, paths),
        codeowners=_codeowners(reader, ref, paths),
        security_policy=_first(SECURITY, {path.lower(): path for path in reversed(paths)}),
    )


def form_paths(paths: Sequence[str]) -> tuple[str, ...]:
    """Those of a repository's paths that are issue forms or templates, sorted, at most 20."""
    return tuple(sorted(path for path in paths if _is_form(path)))[:FORMS]


def _is_form(path: str) -> bool:
    lower = path.lower()
    if lower in _SINGLE:
        return True
    place = PurePosixPath(lower)
    return str(place.parent) == _FORMS and place.suffix in (".yml", ".yaml", ".md") and place.stem != "config"


def _forms(reader: ForgeReader, ref: str, paths: Sequence[str]) -> tuple[IssueForm, ...]:
    read = ((path, reader.file(path, ref)) for path in form_paths(paths))
    forms = (parse_form(path, data) for path, data in read if data is not None and len(data) <= FORM_LIMIT)
    return tuple(form for form in forms if form is not None)


def _codeowners(reader: ForgeReader, ref: str, paths: Sequence[str]) -> str:
    path = _first(CODEOWNERS, {path: path for path in paths})
    data = reader.file(path, ref) if path else None
    return data.decode("utf-8-sig", "replace") if data and len(data) <= CODEOWNERS_LIMIT else ""


def _first(wanted: Sequence[str], known: dict[str, str]) -> str:
    return next((known[each] for each in wanted if each in known), "")

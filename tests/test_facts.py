"""A repository's files -> the facts that triage needs, with as few requests as there are files."""

from __future__ import annotations

import pytest

from bot.testing.forge import FakeForge, FakeReader
from bot.triage.issues.facts import FORMS, facts_of
from bot.types.triage import LabelInfo

BUG = b"""
name: Bug report
labels: [bug, "needs triage"]
body:
  - type: markdown
    attributes: {value: Thanks!}
  - type: textarea
    attributes: {label: What happened?}
    validations: {required: true}
"""


def reader(files: dict[str, bytes]) -> FakeReader:
    forge = FakeForge(labels=[LabelInfo(name="bug", description="Something is wrong")])
    forge.files = {(path, "main"): data for path, data in files.items()}
    return FakeReader(forge)


def test_only_files_that_are_there_are_asked_for() -> None:
    repository = reader({"README.md": b"hello"})
    facts = facts_of(repository, "main")
    assert repository.forge.reads == ["paths", "labels"]
    assert facts.labels[0].name == "bug"
    assert (facts.forms, facts.codeowners, facts.security_policy) == ((), "", "")


def test_each_fact_is_read_from_its_place() -> None:
    files = {
        ".github/ISSUE_TEMPLATE/bug.yml": BUG,
        ".github/ISSUE_TEMPLATE/config.yml": b"blank_issues_enabled: false\n",
        ".github/ISSUE_TEMPLATE/deeper/other.yml": BUG,
        ".github/ISSUE_TEMPLATE/idea.md": b"---\nname: Idea\nlabels: feature, idea\n---\n## What\n\n## Why\n",
        ".github/CODEOWNERS": b"* @first\n",
        "CODEOWNERS": b"* @second\n",
        "SECURITY.md": b"write to us",
        "docs/SECURITY.md": b"write to them",
    }
    repository = reader(files)
    facts = facts_of(repository, "main")
    assert [(form.path, form.name, form.labels) for form in facts.forms] == [
        (".github/ISSUE_TEMPLATE/bug.yml", "Bug report", ("bug", "needs triage")),
        (".github/ISSUE_TEMPLATE/idea.md", "Idea", ("feature", "idea")),
    ]
    assert facts.codeowners == "* @first\n"
    assert facts.security_policy == "SECURITY.md"
    assert repository.forge.reads.count("file") == 3


def test_an_empty_code_owners_file_hides_the_next_one() -> None:
    assert facts_of(reader({".github/CODEOWNERS": b"", "CODEOWNERS": b"* @second\n"}), "main").codeowners == ""


@pytest.mark.parametrize(
    "data",
    [
        b"body: [",
        b"\xff\xfe\x00",
        b"a: &a [1]\nbody: [*a, *a]",
        b"body: {type: input}",
        b"- just\n- a list",
        b"body: " + b"[" * 60_000,
        b"body:\n  - type: !!python/object/apply:os.system ['true']\n",
        b"x" * 70_000,
    ],
)
def test_a_form_that_cannot_be_read_is_left_out(data: bytes) -> None:
    files = {".github/ISSUE_TEMPLATE/a.yml": data, ".github/ISSUE_TEMPLATE/b.yml": BUG}
    assert [form.path for form in facts_of(reader(files), "main").forms] == [".github/ISSUE_TEMPLATE/b.yml"]


def test_a_hundred_forms_cost_twenty_requests() -> None:
    repository = reader({f".github/ISSUE_TEMPLATE/{at:03}.yml": BUG for at in range(100)})
    assert len(facts_of(repository, "main").forms) == FORMS
    assert repository.forge.reads.count("file") == FORMS


def test_a_code_owners_file_that_github_would_not_read_is_none() -> None:
    assert facts_of(reader({"CODEOWNERS": b"* @everybody\n" * 300_000}), "main").codeowners == ""

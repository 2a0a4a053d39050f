"""Questions to a stateful GitHub -> the values that the story reads."""

from __future__ import annotations

import pytest
import responses

from bot.errors import ConfigurationError, ForgeError, NotFound
from bot.forge.forge import lookup_repository, open_forge
from bot.settings import Settings
from bot.types.event import Actor
from tests.forge_fixtures import NAME, TOKEN, Desk, desk, settings_for
from tests.github_server.records import Role

__all__ = ["desk"]


def test_the_viewer_of_a_job_token_is_the_actions_account(desk: Desk) -> None:
    reader, _ = desk.open()
    assert (reader.viewer().login, reader.viewer().id) == ("github-actions[bot]", 41898282)
    assert desk.calls() == ["POST /graphql"], "asked once"


def test_the_viewer_of_a_personal_token_is_the_person(desk: Desk) -> None:
    desk.server.add_token("personal", "maint", kind="pat")
    reader, _ = desk.open("personal")
    assert reader.viewer().login == "maint"


def test_a_refused_token_is_named_and_never_shown(desk: Desk) -> None:
    reader, _ = desk.open("not-a-token")
    with pytest.raises(ForgeError) as caught:
        reader.viewer()
    assert caught.value.code == "unauthorized"
    assert "not-a-token" not in str(caught.value)


@pytest.mark.parametrize("role", ["admin", "maintain", "write", "triage", "read"])
def test_permission_is_the_role_that_github_names(desk: Desk, role: Role) -> None:
    desk.server.set_permission(NAME, "ann", role)
    ann = desk.server.world.user("ann")
    assert desk.open()[0].permission(Actor(login="ann", id=ann.id)) == role
    assert desk.open()[0].permission(Actor(login="ann", id=ann.id + 1)) == "none", "the login has a new owner"


def test_permission_of_unknown_accounts_is_none(desk: Desk) -> None:
    reader, _ = desk.open()
    logins = ("nobody-here", "stranger[bot]", "", "..")
    assert [reader.permission(Actor(login=login, id=1)) for login in logins] == ["none"] * 4


def test_an_issue_comes_whole(desk: Desk) -> None:
    issue = desk.server.open_issue(NAME, "Title \u2603", None, labels=["bug", "bot:fix"])
    found = desk.open()[0].subject(issue.number)
    assert found is not None
    assert (found.kind, found.title, found.body, found.labels) == ("issue", "Title \u2603", "", ("bug", "bot:fix"))
    assert found.pull is None
    assert desk.open()[0].subject(4711) is None


def test_a_pull_request_by_number_and_by_branch(desk: Desk) -> None:
    made = desk.server.open_pull(NAME, {"a.txt": "a"}, user="forker", head="topic", from_fork=True, draft=True)
    reader, _ = desk.open()
    by_number, by_branch = reader.subject(made.number), reader.subject("forker:topic")
    assert by_number == by_branch
    assert by_number is not None
    assert by_number.pull is not None
    assert by_number.pull.head_repository == "forker/hello"
    assert by_number.pull.draft
    assert by_number.pull.base.sha == desk.head
    assert reader.subject("octo:topic") is None
    assert reader.subject("topic") is None, "GitHub ignores a filter without an owner, we do not"


def test_a_server_that_ignores_the_filter_does_not_lend_us_its_first_pull_request(desk: Desk) -> None:
    rows = [
        {"head": {"ref": "topic", "user": {"login": "mallory"}}},
        {"head": {"ref": "other", "user": {"login": "ann"}}},
    ]
    with responses.RequestsMock() as mock:
        mock.get(f"{desk.server.url}/repos/{NAME}/pulls", json=rows)
        assert desk.open()[0].subject("ann:topic") is None


def test_a_transferred_issue_is_gone(desk: Desk) -> None:
    other = desk.server.add_repo("octo/other")
    desk.server.open_issue("octo/other", "moved here")
    where = f"{desk.server.url}/repos/{other.full_name}/issues/1"
    desk.server.faults.add("GET", "/repos/octo/hello/issues/1$", "redirect", location=where)
    assert desk.open()[0].subject(1) is None


def test_comments_come_oldest_first_over_several_pages(desk: Desk) -> None:
    for at in range(230):
        desk.server.comment(NAME, desk.issue.number, f"comment {at}")
    found = desk.open()[0].comments(desk.issue.number)
    assert [each.body for each in found] == [f"comment {at}" for at in range(230)]
    assert len(desk.calls()) == 3


def test_review_comments_are_another_list(desk: Desk) -> None:
    made = desk.server.open_pull(NAME, {"a.txt": "a\n"})
    desk.server.comment(NAME, made.number, "below")
    desk.server.review_comment(NAME, made.number, "on the line", "a.txt")
    found = desk.open()[0].comments(made.number, kind="review")
    assert [(each.kind, each.body) for each in found] == [("review", "on the line")]


def test_files_of_every_kind(desk: Desk) -> None:
    large = bytes(range(256)) * 5000
    desk.server.commit(
        NAME, "main", {"large.bin": large, "empty": "", "d\u00e4 #%?/f f": "x", "link": ("120000", b"/etc/passwd")}
    )
    reader, _ = desk.open()
    assert reader.file("README.md", "main") == b"# Sample\n"
    assert reader.file("large.bin", desk.head) == large
    assert reader.file("empty", "main") == b""
    assert reader.file("d\u00e4 #%?/f f", "main") == b"x"
    for path in ("src", "link", "absent", "", "src/../README.md", "../../octo/other"):
        assert reader.file(path, "main") is None, path
    assert reader.file("README.md", "no-such-branch") is None


def test_revisions(desk: Desk) -> None:
    desk.server.commit(NAME, "topic/a+b", {"x": "1"})
    reader, _ = desk.open()
    found = reader.revision("topic/a+b")
    assert found is not None
    assert found.sha == desk.repo.git.ref("refs/heads/topic/a+b")
    assert reader.revision(desk.head) is not None
    asked = len(desk.calls())
    for ref in ("", "..", "a/../../b", "-x", "a b", "a..b", "a.lock", "/a", "a/", "@", "a\nb"):
        assert reader.revision(ref) is None, ref
    assert len(desk.calls()) == asked, "a name that git forbids is never asked for"
    assert reader.revision("topic") is None
    assert reader.revision("0" * 40) is None


def test_the_diff_and_what_replaces_it_when_it_is_too_large(desk: Desk) -> None:
    made = desk.server.open_pull(NAME, {"src/app.py": "print(2)\n", "new \u2603.txt": "new\n"})
    reader, _ = desk.open()
    whole = reader.diff(made.number)
    assert "-print(1)\n+print(2)\n" in whole
    desk.server.faults.add("GET", f"/pulls/{made.number}$", "status", status=406)
    pieced = reader.diff(made.number)
    assert "--- a/src/app.py\n+++ b/src/app.py\n@@" in pieced
    assert "-print(1)\n+print(2)\n" in pieced
    assert "--- /dev/null\n+++ b/new \u2603.txt\n" in pieced


def test_lookup_follows_a_rename_inside_the_api(desk: Desk) -> None:
    desk.server.rename(NAME, "renamed")
    assert lookup_repository(settings_for(desk.server), NAME).full_name == "octo/renamed"
    with pytest.raises(NotFound):
        lookup_repository(settings_for(desk.server), "octo/nothing")


@pytest.mark.parametrize("name", ["hello", "octo/..", "octo/a/b", "octo/a?x", "o\u00e9/x", "octo/", "/x"])
def test_names_that_no_repository_has_are_the_callers_mistake(name: str) -> None:
    with pytest.raises(ConfigurationError):
        open_forge(Settings(), name)


@pytest.mark.parametrize("url", ["ftp://host", "host/api", "https://", "https://user@host", "https://host/?a=b"])
def test_addresses_that_no_api_has_are_the_callers_mistake(url: str) -> None:
    with pytest.raises(ConfigurationError):
        open_forge(Settings(api_url=url), NAME)


def test_a_private_repository_needs_the_token(desk: Desk) -> None:
    desk.server.add_repo("octo/secret", {"a": "b"}, private=True)
    desk.server.add_token("reads", permissions={"contents": "read"}, repos=["octo/secret"])
    assert desk.open("reads", "octo/secret")[0].file("a", "main") == b"b"
    assert desk.open(TOKEN, "octo/secret")[0].file("a", "main") == b"b"
    assert desk.open(None, "octo/secret")[0].file("a", "main") is None

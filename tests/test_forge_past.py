"""A stateful GitHub with a past -> what triage reads of it: issues, labels, paths, and where a pull request stands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path

import pytest

from bot.errors import ForgeError
from bot.forge.local import gitdir
from bot.forge.local.reader import LocalReader, Person, create_local, open_issue, write_thread
from bot.forge.reading.ahead import reading_ahead
from bot.types.pull import CheckState
from bot.types.sandbox import Blob, FileChange
from tests.forge_fixtures import NAME, Desk, desk, settings_for
from tests.github_server.records import stamp
from tests.triage_fixtures import labeled

__all__ = ["desk"]
START = datetime(2026, 1, 1, tzinfo=UTC)


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def many(desk: Desk, count: int) -> None:
    for number in range(count):
        desk.server.open_issue(NAME, f"issue {number}", at=day(number))


def test_past_issues_come_changed_last_first_page_by_page(desk: Desk) -> None:
    many(desk, 119)
    reader, _ = desk.open()
    pages = list(reader.past())
    assert [len(page) for page in pages] == [50, 50, 20]
    assert desk.calls() == ["POST /graphql"] * 3, "one point each"
    found = list(chain(*pages))
    assert [each.updated_at for each in found] == sorted((each.updated_at for each in found), reverse=True)
    assert sorted(each.number for each in found) == list(range(1, 121))


def test_reading_stops_where_the_reader_stops(desk: Desk) -> None:
    many(desk, 120)
    reader, _ = desk.open()
    assert len(next(iter(reader.past()))) == 50
    assert desk.calls() == ["POST /graphql"]
    assert sum(len(page) for page in reader.past(most=60)) == 60
    assert list(reader.past(most=0)) == []


def test_reading_goes_on_behind_a_page_that_was_read_before(desk: Desk) -> None:
    many(desk, 120)
    first = next(iter(desk.open()[0].past()))
    assert [each.cursor != "" for each in first] == [False] * 49 + [True]
    rest = list(chain(*desk.open()[0].past(after=first[-1].cursor, most=500)))
    assert len(rest) == 71
    assert not {each.number for each in first} & {each.number for each in rest}


def test_only_what_changed_since_is_read(desk: Desk) -> None:
    many(desk, 10)
    found = next(iter(desk.open()[0].past(since="2026-01-08T00:00:00Z")))
    assert {each.title for each in found} == {"issue 7", "issue 8", "issue 9", desk.issue.title}


def test_an_issue_tells_who_labelled_it_and_why_it_was_closed(desk: Desk) -> None:
    server = desk.server
    made = server.open_issue(NAME, "It breaks", "x" * 9_000, user="ann", labels=["bug"], at=day(0))
    server.label(NAME, made.number, "area: ui", user="labeler[bot]", at=day(1))
    server.label(NAME, made.number, "area: ui", user="maria", at=day(2), added=False)
    server.close_issue(NAME, made.number, "duplicate")
    found = next(each for page in desk.open()[0].past() for each in page if each.number == made.number)
    assert (found.state, found.closed_for, found.labels, len(found.body)) == ("closed", "duplicate", ("bug",), 8_000)
    assert found.author is not None
    assert found.author.login == "ann"
    said = [(each.label, each.added, each.actor and each.actor.login, each.at) for each in found.label_events]
    assert said == [
        ("bug", True, "ann", stamp(day(0))),
        ("area: ui", True, "labeler[bot]", stamp(day(1))),
        ("area: ui", False, "maria", stamp(day(2))),
    ]
    bot = found.label_events[1].actor
    assert bot is not None
    assert (bot.type, bot.id) == ("Bot", server.world.user("labeler[bot]").id)


def test_pull_requests_are_no_past_issues_and_deleted_accounts_nobody(desk: Desk) -> None:
    desk.server.open_pull(NAME, {"a.txt": "a"})
    desk.server.label(NAME, desk.issue.number, "bug", user="left")
    desk.server.world.user("left").gone = desk.server.world.user(desk.issue.user.login).gone = True
    (found,) = next(iter(desk.open()[0].past()))
    assert (found.number, found.author) == (desk.issue.number, None)
    assert [each.actor for each in found.label_events] == [None]


def test_a_server_that_tells_no_duplicates_apart_is_asked_without(desk: Desk) -> None:
    says = {"errors": [{"message": "Field 'stateReason' doesn't accept argument 'enableDuplicate'"}]}
    fault = desk.server.faults.add("POST", "/graphql", "status", status=200, body="json", says=says)
    assert [each.number for page in desk.open()[0].past() for each in page] == [desk.issue.number]
    assert fault.met == 1


def test_labels_come_with_what_they_mean(desk: Desk) -> None:
    desk.server.label(NAME, desk.issue.number, *(f"label {number:03}" for number in range(120)))
    desk.repo.labels["label 000"].description = "The first."
    found = desk.open()[0].labels()
    assert (len(found), found[0].name, found[0].description) == (120, "label 000", "The first.")


def test_paths_of_a_branch_and_of_a_commit(desk: Desk) -> None:
    desk.server.commit(NAME, "topic/new", {"new.py": "1"})
    reader, _ = desk.open()
    assert reader.paths("main") == reader.paths(desk.head) == ("README.md", "bin/tool", "src/app.py", "src/deep/old.py")
    assert "new.py" in reader.paths("topic/new")
    assert reader.paths("nowhere") == reader.paths("no/where") == reader.paths("../x") == ()
    desk.server.add_repo("octo/empty", {})
    assert desk.open(name="octo/empty")[0].paths("main") == ()


def test_labels_are_on_their_way_while_the_paths_are_read(desk: Desk) -> None:
    event = labeled("bug")
    reader, _ = desk.open()
    with reading_ahead(reader, event, settings_for(desk.server)) as ahead:
        assert ahead.paths("main") == reader.paths("main")
        assert ahead.labels() == ahead.labels() == reader.labels()
    assert sorted(desk.calls()).count("GET /repos/{owner}/{repo}/labels") == 2, "once by each"


def test_changed_paths_have_both_names_of_a_moved_file(desk: Desk) -> None:
    text = "".join(f"line {number}\n" for number in range(20))
    desk.server.commit(NAME, "main", {"old.txt": text})
    made = desk.server.open_pull(NAME, {"old.txt": None, "new.txt": text, "src/app.py": "print(2)\n"})
    assert set(desk.open()[0].changed_paths(made.number)) == {"old.txt", "new.txt", "src/app.py"}


def test_the_backlog_is_open_issues_oldest_first(desk: Desk) -> None:
    many(desk, 70)
    desk.server.open_pull(NAME, {"a.txt": "a"})
    desk.server.close_issue(NAME, 5)
    desk.server.label(NAME, 3, "late")  # changed now, opened long ago
    found = [each for page in desk.open()[0].backlog() for each in page]
    opened = [each.title for each in found]
    assert opened[:4] == ["issue 0", "issue 1", "issue 2", "issue 4"]
    assert len(found) == 70
    assert {each.kind for each in found} == {"issue"}
    assert found[1].labels == ("late",)
    late = [each.title for page in desk.open()[0].backlog(since="2026-03-10T00:00:00Z") for each in page]
    assert late == ["issue 68", "issue 69", desk.issue.title]


def test_the_state_of_a_pull_request_comes_in_one_question(desk: Desk) -> None:
    server = desk.server
    server.set_permission(NAME, "maria", "write")
    made = server.open_pull(NAME, {"src/app.py": "print(2)\n"}, user="forker", from_fork=True, draft=True, labels=["x"])
    assert made.pull is not None
    head = made.pull.head_sha
    server.review(NAME, made.number, "CHANGES_REQUESTED", "no tests", user="maria")
    server.review(NAME, made.number, "APPROVED", "now yes", user="maria")
    server.review(NAME, made.number, "COMMENTED", "by the way", user="maria")
    server.review(NAME, made.number, "COMMENTED", "", user="silent")
    server.review(NAME, made.number, "PENDING", "not yet", user="slow")
    server.review(NAME, made.number, "APPROVED", "nice", user="passer-by")
    remark = server.review_comment(NAME, made.number, "rename it", "src/app.py", user="maria")
    done = server.review_comment(NAME, made.number, "and this", "src/app.py", user="passer-by")
    made.pull.resolved[done.id] = server.world.user("forker")
    server.check(NAME, head, "tests", "failure")
    server.check(NAME, head, "ours", None, "check-0123456789abcdef")
    server.check(NAME, head, "lint", None)
    server.status(NAME, head, "deploy", "error")
    desk.repo.required_checks = {"tests"}
    server.commit(NAME, "main", {"later.txt": "1"})
    reader, _ = desk.open()
    state = reader.pull_state(made.number)
    assert state is not None
    assert desk.calls() == ["POST /graphql", "GET /repos/{owner}/{repo}/compare/{basehead}"]
    assert state.subject == reader.subject(made.number)
    assert (state.mergeable, state.merge_state, state.behind_by, state.complete) == ("mergeable", "draft", 1, True)
    assert (state.additions, state.deletions, state.files) == (1, 1, 1)
    said = [(each.author and each.author.login, each.verdict, each.body, each.writer) for each in state.reviews]
    assert said == [("maria", "approved", "now yes", True), ("passer-by", "approved", "nice", False)]
    assert [(each.path, each.line, each.resolved) for each in state.threads] == [
        ("src/app.py", 1, False),
        ("src/app.py", 1, True),
    ]
    assert [each.comments[0].writer for each in state.threads] == [True, False]
    assert state.threads[0].comments[0].body == remark.body
    assert [each.changed(url="") for each in state.checks] == [
        CheckState(name="tests", conclusion="failure", required=True),
        CheckState(name="lint", status="in_progress"),
        CheckState(name="deploy", conclusion="failure"),
    ]


def test_a_token_without_the_checks_still_learns_the_rest(desk: Desk) -> None:
    desk.repo.private = True
    rights = {"pull_requests": "read", "contents": "read", "issues": "read", "metadata": "read"}
    desk.server.add_token("narrow", permissions=rights)
    made = desk.server.open_pull(NAME, {"a.txt": "a"})
    assert made.pull is not None
    desk.server.check(NAME, made.pull.head_sha, "tests", "failure")
    state = desk.open("narrow")[0].pull_state(made.number)
    assert state is not None
    assert (state.mergeable, state.checks, state.complete) == ("mergeable", (), False)
    desk.server.add_token("broad", permissions={**rights, "checks": "read", "statuses": "read"})
    whole = desk.open("broad")[0].pull_state(made.number)
    assert whole is not None
    assert (len(whole.checks), whole.complete) == (1, True)


def test_a_token_that_may_not_see_issues_is_told_so(desk: Desk) -> None:
    desk.repo.private = True
    desk.server.add_token("narrow", permissions={"contents": "read"})
    reader, _ = desk.open("narrow")
    with pytest.raises(ForgeError) as caught:
        list(reader.past())
    assert caught.value.code == "forbidden"
    with pytest.raises(ForgeError) as caught:
        reader.pull_state(1)
    assert caught.value.code == "forbidden"


def test_whether_it_merges_is_asked_again_until_github_knows(desk: Desk) -> None:
    made = desk.server.open_pull(NAME, {"a.txt": "a"})
    desk.repo.slow_merges = True
    state = desk.open()[0].pull_state(made.number)
    assert state is not None
    assert state.mergeable == "mergeable"
    assert desk.naps == [1.0]
    assert desk.open()[0].pull_state(4711) is None


def test_many_threads_are_read_to_a_bound(desk: Desk) -> None:
    made = desk.server.open_pull(NAME, {"a.txt": "a"})
    for _ in range(220):
        desk.server.review_comment(NAME, made.number, "hm", "a.txt")
    state = desk.open()[0].pull_state(made.number)
    assert state is not None
    assert (len(state.threads), state.complete) == (220, True)
    for _ in range(300):
        desk.server.review_comment(NAME, made.number, "hm", "a.txt")
    state = desk.open()[0].pull_state(made.number)
    assert state is not None
    assert (len(state.threads), state.complete) == (500, False)


def test_a_local_forge_remembers_its_issues_and_knows_its_files(tmp_path: Path) -> None:
    place = tmp_path / "forge"
    people = {"maria": Person(id=1, permission="write")}
    create_local(place, "shore/tidepool", {"table.txt": b"old\n", "bin/tool+x": b"run\n"}, people)
    for title in ("one", "two"):
        thread = open_issue(place, "maria", title, "text")
        write_thread(place, thread.changed(labels=(title,), state="closed" if title == "two" else "open"))
    main = LocalReader(place).revision("main")
    assert main is not None
    git_dir = place / "repository.git"
    blob = Blob.model_validate({"digest": "0" * 64, "size": 4, "mode": "100644"})
    author = {"name": "Maria", "email": "maria@localhost", "date": "2026-01-01T00:00:00Z"}
    sha = gitdir.write_commit(git_dir, main.sha, [(FileChange(path="new.txt", new=blob), b"new\n")], "New\n", author)
    gitdir.git(git_dir, "update-ref", "refs/heads/topic", sha)
    pull = open_issue(place, "maria", "three", "")
    write_thread(place, pull.changed(kind="pull_request", head="topic", base="main"))
    reader = LocalReader(place)
    assert sorted(each.number for page in reader.past() for each in page) == [1, 2]
    assert [each.title for page in reader.backlog() for each in page] == ["one"]
    assert [each.name for each in reader.labels()] == ["one", "two"]
    assert reader.paths("main") == ("bin/tool", "table.txt")
    assert reader.paths("nowhere") == ()
    state = reader.pull_state(3)
    assert state is not None
    assert state.subject == reader.subject(3)
    assert reader.changed_paths(3) == ("new.txt",)
    assert reader.pull_state(1) is None
    assert reader.changed_paths(1) == ()

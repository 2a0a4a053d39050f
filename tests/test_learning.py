"""A repository's past -> lessons, a folder that keeps them, and knowledge that never makes triage fail."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.__main__ import run
from bot.errors import Cancelled, ForgeError
from bot.learning import Learned, open_knowledge
from bot.offline.lessons import SOON, is_person, lessons_of
from bot.settings import Settings, load_settings
from bot.store.knowledge import MOST, folder_of, load_past
from bot.testing.forge import FakeForge, FakeReader
from bot.types.event import Actor, Repository
from bot.types.run import Progress
from bot.types.triage import LabelEvent, PastIssue
from bot.wiring import wire
from tests.github_server.server import GitHubServer

ROOT = Path(__file__).resolve().parent.parent
START = datetime(2026, 1, 1, tzinfo=UTC)
REPOSITORY = Repository(full_name="octo/hello", default_branch="main", id=77)
MARIA, ANN = Actor(login="maria", id=1), Actor(login="ann", id=2)
LABELER = Actor(login="labeler[bot]", id=3, type="Bot")
MACHINE = Actor(login="octo-machine", id=4)
BUGS = ("crash when saving a file", "wrong total in the table", "error after the update", "window freezes on start")
WISHES = ("add a dark theme", "support export to csv", "allow several accounts", "add an option for the font")


def day(number: float) -> str:
    return (START + timedelta(days=number)).strftime("%Y-%m-%dT%H:%M:%SZ")


def put(label: str, actor: Actor | None = MARIA, at: float = 1) -> LabelEvent:
    return LabelEvent(label=label, added=True, actor=actor, at=day(at))


def took(label: str, actor: Actor | None = MARIA, at: float = 2) -> LabelEvent:
    return LabelEvent(label=label, added=False, actor=actor, at=day(at))


def past(number: int, *events: LabelEvent, labels: tuple[str, ...] = (), title: str = "A title") -> PastIssue:
    at = day(number)
    return PastIssue(
        number=number, title=title, body="", created_at=at, updated_at=at, labels=labels, label_events=events
    )


def many(count: int, first: int = 1) -> list[PastIssue]:
    """Bugs and wishes in turns, each labelled by a person."""
    made = []
    for number in range(first, first + count):
        words, label = ((BUGS, "bug"), (WISHES, "enhancement"))[number % 2]
        title = f"{words[number // 2 % 4]} {number}"
        made.append(past(number, put(label, at=number), labels=(label,), title=title))
    return made


# --- lessons ----------------------------------------------------------------------------------------------------


def test_what_people_put_on_is_learned_and_what_bots_put_on_is_not() -> None:
    issues = [
        past(1, put("bug"), put("area: ui", LABELER), labels=("bug", "area: ui")),
        past(2, put("bug", LABELER), labels=("bug",)),
        past(3, put("bug", MACHINE), labels=("bug",)),
        past(4, put("bug", None), labels=("bug",)),
        past(5, put("bot:fix"), labels=("bot:fix",)),
        past(6, labels=("bug",)),
    ]
    (lesson,) = lessons_of(issues, bots={MACHINE.id})
    assert (lesson.id, lesson.labels, lesson.refused, lesson.corrected) == ("1", ("bug",), (), False)


def test_a_label_that_a_person_takes_off_soon_is_refused_and_a_correction() -> None:
    issues = [
        past(1, put("bug", LABELER, 1), took("bug", MARIA, 30), put("question", MARIA, 30), labels=("question",)),
        past(2, put("bug", ANN, 1), took("bug", MARIA, 2)),
        past(3, put("bug", MARIA, 1), took("bug", MARIA, 2)),
        past(4, put("bug", LABELER, 1), took("bug", MARIA, 32), put("docs", MARIA, 1), labels=("docs",)),
        past(5, put("bug", MARIA, 1), took("bug", LABELER, 2)),
        past(6, put("bug", ANN, 1), took("bug", LABELER, 2), put("bug", MARIA, 3), labels=("bug",)),
    ]
    found = {each.id: (each.labels, each.refused, each.corrected) for each in lessons_of(issues)}
    assert found == {
        "1": (("question",), ("bug",), True),
        "2": ((), ("bug",), True),
        "3": ((), ("bug",), False),
        "4": (("docs",), (), False),
        "6": (("bug",), (), True),
    }


def test_whoever_put_it_on_last_counts_and_the_name_is_the_present_one() -> None:
    mixed = past(1, put("BUG", LABELER, 1), took("bug", LABELER, 2), put("Bug", MARIA, 3), labels=("bug",))
    assert [each.labels for each in lessons_of([mixed])] == [("bug",)]
    again = past(1, put("bug", MARIA, 1), took("bug", ANN, 2), put("bug", LABELER, 3), labels=("bug",))
    assert lessons_of([again]) == ()


ACTORS = st.sampled_from([MARIA, ANN, LABELER, MACHINE, None])
EVENTS = st.builds(
    lambda label, added, actor, at: LabelEvent(label=label, added=added, actor=actor, at=day(at)),
    st.sampled_from(["bug", "Bug", "docs", "bot:fix", ""]),
    st.booleans(),
    ACTORS,
    st.floats(0, 100),
)


@given(st.lists(EVENTS, max_size=12), st.lists(st.sampled_from(["bug", "docs", "bot:fix", "other"]), unique=True))
def test_lessons_hold_only_what_people_said(events: list[LabelEvent], labels: list[str]) -> None:
    issue = past(9, *events, labels=tuple(labels))
    found = lessons_of([issue], bots={MACHINE.id})
    said = {each.label.casefold() for each in events if is_person(each.actor, {MACHINE.id})}
    for lesson in found:
        assert lesson.labels or lesson.refused
        assert set(lesson.labels) <= set(labels)
        assert {each.casefold() for each in (*lesson.labels, *lesson.refused)} <= said - {"bot:fix"}
        assert not {each.casefold() for each in lesson.refused} & {each.casefold() for each in labels}
    assert lessons_of([issue], bots={1, 2, 4}) == (), "nobody is a person"
    assert timedelta(days=30) == SOON


@given(st.text(max_size=30))
def test_a_time_that_is_none_breaks_nothing(at: str) -> None:
    events = (put("bug", LABELER), LabelEvent(label="bug", added=False, actor=MARIA, at=at))
    assert len(lessons_of([past(1, *events)])) <= 1


# --- the folder -------------------------------------------------------------------------------------------------


class News:
    """An Observer that keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[Progress] = []

    def notify(self, progress: Progress) -> None:
        self.told.append(progress)


class Ending(FakeReader):
    """A forge that gives some pages and then fails."""

    def __init__(self, forge: FakeForge, pages: int) -> None:
        super().__init__(forge)
        self.pages = pages

    def past(self, *, since: str = "", most: int = 1_000, after: str = "") -> Iterator[tuple[PastIssue, ...]]:
        for page in super().past(since=since, most=most, after=after):
            if self.pages <= 0:
                raise ForgeError("in_doubt", "the connection was lost")
            self.pages -= 1
            yield page


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state=tmp_path / "state", encoder="none")


@pytest.fixture
def folder(settings: Settings) -> Path:
    return folder_of(settings.state, REPOSITORY)


def opened(settings: Settings, forge: FakeForge, **wanted: object) -> Learned:
    return open_knowledge(settings, REPOSITORY, FakeReader(forge), **wanted)  # type: ignore[arg-type]


def files_in(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir()}


def test_the_past_is_learned_and_kept_private(settings: Settings, folder: Path) -> None:
    forge = FakeForge(past=many(80), files={("src/export.py", "main"): b"", ("src/theme.py", "main"): b""})
    known = opened(settings, forge)
    assert known.measured().lessons == 80
    assert known.posterior("crash when saving a table", "").type == "bug"
    assert known.posterior("add an export to pdf", "").type == "feature"
    assert known.files("the export is broken", "")[0].path == "src/export.py"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o077 for each in folder.iterdir()} == {0}
    assert forge.reads == ["viewer", "past", "past", "paths"]


def test_neighbours_are_earlier_and_never_the_issue_itself(settings: Settings) -> None:
    issues = many(60)
    issues[9] = issues[9].changed(state="closed", closed_for="completed")
    known = opened(settings, FakeForge(past=issues))
    title = issues[9].title
    found = known.neighbours(title, "", most=5)
    assert (found[0].number, found[0].state, found[0].closed_for, found[0].candidate) == (
        10,
        "closed",
        "completed",
        True,
    )
    assert 10 not in {each.number for each in known.neighbours(title, "", number=10)}
    assert all(each.number < 10 for each in known.neighbours(title, "", number=10, most=50))
    assert known.neighbours(title, "", number=1) == ()


def test_what_was_read_a_moment_ago_is_not_asked_again(settings: Settings, folder: Path) -> None:
    forge = FakeForge(past=many(40))
    first = opened(settings, forge)
    before = files_in(folder)
    forge.reads.clear()
    assert opened(settings, forge).measured() == first.measured()
    assert forge.reads == []
    assert files_in(folder) == before


def test_only_what_changed_is_read_and_only_then_is_it_learned_anew(settings: Settings, folder: Path) -> None:
    forge = FakeForge(past=many(120))
    opened(settings, forge)
    before = files_in(folder)
    forge.reads.clear()
    opened(settings, forge, fresh=0)
    assert forge.reads == ["viewer", "past"], "one page: the newest change is read again"
    assert files_in(folder) == before, "nothing new, so nothing is written, and a job's cache is not renewed"
    changed = past(3, put("question", at=500), labels=("question",)).changed(updated_at=day(500))
    forge.past[2] = changed
    forge.past.append(past(121, title="add a dark theme 121").changed(updated_at=day(501)))
    known = opened(settings, forge, fresh=0)
    assert load_past(folder).issues[3] == changed
    assert known.measured().lessons == 120
    assert known.neighbours("add a dark theme 121", "")[0].number == 121
    assert len([name for name in files_in(folder) if name.startswith("model-")]) == 1


def test_with_many_lessons_few_new_ones_wait_but_a_correction_does_not(settings: Settings) -> None:
    forge = FakeForge(past=many(305))
    assert opened(settings, forge).measured().lessons == 305
    forge.past.extend(many(5, first=306))
    assert opened(settings, forge, fresh=0).measured().lessons == 305
    flips = put("bug", LABELER, 311), took("bug", MARIA, 312), put("question", at=312)
    forge.past.append(past(311, *flips, labels=("question",)))
    measured = opened(settings, forge, fresh=0).measured()
    assert (measured.lessons, measured.corrections) == (311, 1)


def test_models_for_two_wanted_errors_are_kept_beside_each_other(settings: Settings, folder: Path) -> None:
    forge = FakeForge(past=many(40))
    for error in (0.05, 0.2, 0.05, 0.3):
        assert opened(settings, forge, error=error).measured().wanted_error == error
    assert len([name for name in files_in(folder) if name.startswith("model-")]) == 2


def test_a_forge_that_fails_half_way_costs_nothing_that_was_read(settings: Settings, folder: Path) -> None:
    forge, news = FakeForge(past=many(200)), News()
    known = open_knowledge(settings, REPOSITORY, Ending(forge, 2), watch=news)
    assert (known.measured().lessons, known.trouble is not None) == (100, True)
    assert any("the connection was lost" in each.text for each in news.told)
    forge.reads.clear()
    whole = opened(settings, forge)
    assert forge.reads == ["viewer", "past", "past", "past"], "what changed, then the two pages that were missing"
    assert (whole.measured().lessons, whole.trouble, load_past(folder).head.finished) == (200, None, True)
    assert sorted(load_past(folder).issues) == list(range(1, 201))


def test_a_change_that_was_missed_when_the_forge_failed_is_read_the_next_time(settings: Settings, folder: Path) -> None:
    forge = FakeForge(past=many(150))
    opened(settings, forge)
    for at in range(120):  # three pages of changes, of which the first comes through
        forge.past[at] = forge.past[at].changed(title=f"new title {at}", updated_at=day(1_000 - at))
    open_knowledge(settings, REPOSITORY, Ending(forge, 1), fresh=0)
    opened(settings, forge, fresh=0)
    assert {each.number for each in load_past(folder).issues.values() if each.title.startswith("new")} == set(
        range(1, 121)
    )


def test_without_a_forge_general_experience_speaks(settings: Settings) -> None:
    known = open_knowledge(settings, REPOSITORY, Ending(FakeForge(past=many(10)), 0))
    assert known.posterior("How do I install this?", "").type == "question"
    assert known.posterior("", "").lessons == 0
    assert known.neighbours("anything", "") == ()
    assert known.files("anything", "") == ()


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{}",
        b"\x00\xff" * 100,
        b'{"place":"77"}\n{"number":1}\n',
        b'{"place":"77","seen":"soon"}\n',
        b'{"place":"77","format":2}\n',
        b'{"place":"other"}\n',
        b'{"place":"77","seen":"9999-01-01T00:00:00Z","finished":true,"checked_at":9e99}\n',
        b"[" * 100_000,
    ],
)
def test_a_folder_that_is_damaged_or_foreign_is_read_anew(settings: Settings, folder: Path, damage: bytes) -> None:
    forge = FakeForge(past=many(40))
    opened(settings, forge)
    for each in folder.iterdir():
        each.write_bytes(damage)
    assert opened(settings, forge).measured().lessons == 40
    assert sorted(load_past(folder).issues) == list(range(1, 41))


def test_links_and_too_much_are_not_followed(
    settings: Settings, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    forge = FakeForge(past=many(10))
    opened(settings, forge)
    secret = tmp_path / "secret.jsonl"
    (folder / "past.jsonl").rename(secret)
    (folder / "past.jsonl").symlink_to(secret)
    with caplog.at_level(logging.WARNING):
        assert load_past(folder).issues == {}
    assert "past.jsonl" in caplog.text
    (folder / "past.jsonl").unlink()
    row = past(1).model_dump_json()
    (folder / "past.jsonl").write_text("\n".join(['{"place":"77"}', *[row] * (MOST + 1)]))
    assert load_past(folder).issues == {}


def test_a_second_process_uses_what_is_there_and_writes_nothing(settings: Settings, folder: Path) -> None:
    forge = FakeForge(past=many(40))
    opened(settings, forge)
    forge.past.extend(many(40, first=41))
    before = files_in(folder)
    number = os.open(folder / ".lock", os.O_RDWR)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        forge.reads.clear()
        assert opened(settings, forge, fresh=0).measured().lessons == 40
        assert (forge.reads, files_in(folder)) == ([], before)
    finally:
        os.close(number)
    assert opened(settings, forge, fresh=0).measured().lessons == 80


def test_where_nothing_can_be_kept_general_experience_still_speaks(settings: Settings, folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("a file stands in the way")
    assert opened(settings, FakeForge(past=many(10))).posterior("How do I install this?", "").type == "question"


def test_a_text_that_no_file_takes_is_kept_without_what_is_wrong(settings: Settings, folder: Path) -> None:
    opened(
        settings, FakeForge(past=[past(1, put("bug"), labels=("bug",), title="broken \ud83d half"), *many(4, first=2)])
    )
    assert load_past(folder).issues[1].title == "broken ? half"


def test_while_the_encoder_is_not_through_it_is_done_without(tmp_path: Path) -> None:
    settings, forge = Settings(state=tmp_path / "state", encoder="minilm"), FakeForge(past=many(20))
    assert opened(settings, forge, patience=-1).measured().encoder == ""
    known = opened(settings, forge)
    assert known.measured().encoder == "minilm"
    assert known.neighbours(forge.past[3].title, "")[0].number == 4


def test_a_person_who_stops_it_loses_nothing(settings: Settings, folder: Path) -> None:
    with pytest.raises(Cancelled):
        opened(settings, FakeForge(past=many(120)), cancelled=lambda: True)
    assert len(load_past(folder).issues) == 50


def test_the_bots_own_labels_teach_it_nothing(settings: Settings) -> None:
    forge = FakeForge(viewer=MACHINE, past=[past(1, put("bug", MACHINE), labels=("bug",)), *many(10, first=2)])
    assert opened(settings, forge).measured().lessons == 10


def test_progress_is_told_in_words_and_numbers(settings: Settings) -> None:
    news = News()
    opened(settings, FakeForge(past=many(120)), watch=news, pace=0.0)
    read = [each.facts for each in news.told if each.facts.get("part") == "past issues"]
    assert read == [{"part": "past issues", "done": done, "of": 1_000} for done in (50, 100, 120)]


# --- the doors --------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubServer]:
    with GitHubServer() as server:
        server.add_repo("octo/hello", {"src/app.py": "print(1)\n"})
        server.add_token("t0ken", "maria", "pat")
        for number in range(60):
            words, label = ((BUGS, "bug"), (WISHES, "enhancement"))[number % 2]
            at = START + timedelta(days=number)
            made = server.open_issue("octo/hello", f"{words[number // 2 % 4]} {number}", at=at)
            server.label("octo/hello", made.number, label, user="ann" if number < 50 else "labeler[bot]", at=at)
        for name, value in {
            "GITHUB_API_URL": server.url,
            "GITHUB_SERVER_URL": server.html_url,
            "GITHUB_TOKEN": "t0ken",
            "SANDPIPER_STATE": str(tmp_path / "state"),
        }.items():
            monkeypatch.setenv(name, value)
        yield server


def test_learn_reads_what_is_new_and_says_what_it_knows(hub: GitHubServer, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["triage", "learn", "octo/hello", "--encoder", "none", "--json"]
    assert run(command) == 0
    said = json.loads(capsys.readouterr().out)
    assert {name: said[name] for name in ("issues", "lessons", "corrections", "complete", "encoder")} == {
        "issues": 60,
        "lessons": 50,
        "corrections": 0,
        "complete": True,
        "encoder": "",
    }
    assert said["f1"] > 0.9
    assert Path(said["folder"], "past.jsonl").is_file()
    hub.label("octo/hello", 60, "bug", user="ann", added=False)
    hub.label("octo/hello", 60, "enhancement", user="labeler[bot]", added=False)
    hub.label("octo/hello", 60, "question", user="ann")
    asked = len(hub.requests)
    assert run(command) == 0
    assert json.loads(capsys.readouterr().out)["lessons"] == 51
    assert [each.path for each in hub.requests[asked:]] == ["/repos/octo/hello", "/graphql", "/graphql"]


def test_learn_that_could_not_read_all_says_so_and_fails(hub: GitHubServer, capsys: pytest.CaptureFixture[str]) -> None:
    hub.faults.add("POST", "/graphql", "status", status=200, body="json", skip=2, times=9, says={"errors": [
        {"type": "FORBIDDEN", "message": "Resource not accessible"}
    ]})  # fmt: skip
    assert run(["triage", "learn", "octo/hello", "--encoder", "none"]) == 3
    said = capsys.readouterr()
    assert "issues" in said.out
    assert "GitHub refuses" in said.err


def test_a_run_opens_what_was_learned_once_and_only_where_it_is_wanted(hub: GitHubServer) -> None:
    settings = load_settings(os.environ, encoder="none")
    with closing(wire(settings, REPOSITORY, watch=News(), environ=os.environ)) as deps:
        assert deps.knowledge is not None
        known = deps.knowledge(error=0.1)
        assert known.measured().wanted_error == 0.1
        asked = len(hub.requests)
        assert deps.knowledge(error=0.1) is known
        assert len(hub.requests) == asked
    off = settings.changed(offline=False)
    with closing(wire(off, REPOSITORY, watch=News(), environ=os.environ)) as deps:
        assert deps.knowledge is None


def test_the_arithmetic_is_imported_only_when_somebody_wants_to_know() -> None:
    code = "import sys, bot.wiring, bot.__main__; print([m for m in ('numpy', 'bot.learning') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"

"""Triage under attack: a knowledge folder that a poisoned cache brought, labels that would start runs, gone issues."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bot.errors import ConfigurationError
from bot.learning import Learned, open_knowledge
from bot.offline.tensors import read_tensors, write_tensors
from bot.offline.vectors import VectorCache
from bot.offline.weights import WIDTH
from bot.pipeline import handle, propose
from bot.settings import Settings
from bot.store.folder import FolderStore
from bot.store.knowledge import folder_of, load_past
from bot.testing.forge import FakeForge, FakeReader
from bot.testing.knowledge import FakeKnowledge
from bot.testing.llm import ScriptedLLM
from bot.triage.gate import granted
from bot.triage.issues.comment import Earlier, earlier_of, state_line, triage_marker
from bot.triage.issues.question import Known, question_of
from bot.triage.tasks import builtin_tasks
from bot.types.decision import Answer, Decision, Go, Ignore
from bot.types.event import Actor, Comment
from bot.types.output import LabelChange, Note
from bot.types.triage import Belief, LabelInfo, Neighbour, PastIssue
from tests.issue_fixtures import SURE, issue, said
from tests.pipeline_fixtures import Kit
from tests.test_learning import REPOSITORY, many
from tests.triage_fixtures import forge_for, judge
from tests.triage_fixtures import opened as event_opened

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state=tmp_path / "state", encoder="none")


@pytest.fixture
def folder(settings: Settings) -> Path:
    return folder_of(settings.state, REPOSITORY)


def opened(settings: Settings, forge: FakeForge, reader: type[FakeReader] = FakeReader) -> Learned:
    return open_knowledge(settings, REPOSITORY, reader(forge), fresh=0)


# --- the past -----------------------------------------------------------------------------------------------------


class Bare(FakeReader):
    """A forge that answers with an empty page where nothing changed, as GitHub does."""

    def past(self, *, since: str = "", most: int = 1_000, after: str = "") -> Iterator[tuple[PastIssue, ...]]:
        pages = list(super().past(since=since, most=most, after=after))
        yield from pages or [()]


def test_when_the_last_issue_that_changed_is_gone_the_past_is_still_known(settings: Settings, folder: Path) -> None:
    """It was deleted, moved to another repository, or became a discussion: the page of changes is empty."""
    forge = FakeForge(past=many(40))
    opened(settings, forge, Bare)
    seen = load_past(folder).head.seen
    forge.past.pop()
    known = opened(settings, forge, Bare)
    assert known.trouble is None
    assert (load_past(folder).head.seen, len(known.past.issues)) == (seen, 40)


@pytest.mark.parametrize(
    "seen", ["2020-99-99T99:99:99Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "2020-02-30T00:00:00Z"]
)
def test_a_time_that_never_was_is_a_file_of_nobody(settings: Settings, folder: Path, seen: str) -> None:
    forge = FakeForge(past=many(40))
    opened(settings, forge)
    head, _, rows = (folder / "past.jsonl").read_text().partition("\n")
    (folder / "past.jsonl").write_text(json.dumps({**json.loads(head), "seen": seen}) + "\n" + rows)
    assert opened(settings, forge).measured().lessons == 40


# --- the folder that a cache brought ------------------------------------------------------------------------------


def test_a_link_in_the_folders_place_leads_nowhere(settings: Settings, folder: Path, tmp_path: Path) -> None:
    """Neither the folder nor what is above it may be a link to a place of somebody else."""
    other = tmp_path / "home"
    for link in (folder, folder.parent):
        (other / folder.name).mkdir(parents=True, exist_ok=True)
        modes = [each.stat().st_mode for each in (other, other / folder.name)]
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(other / folder.name if link == folder else other)
        (other / folder.name / "model-theirs.bin").write_bytes(b"theirs")
        (other / "model-theirs.bin").write_bytes(b"theirs")
        assert opened(settings, FakeForge(past=many(40))).measured().lessons == 0, "general experience speaks"
        assert [each.stat().st_mode for each in (other, other / folder.name)] == modes
        assert {each.name for each in other.rglob("*")} == {folder.name, "model-theirs.bin"}
        link.unlink()
        if link == folder:
            link.parent.rmdir()


class Encoder:
    """An encoder for whom all texts are the same."""

    name, digest = "flat", "0" * 16

    def layers(self, texts: object, *, done: object = None) -> np.ndarray:
        return np.ones((len(texts), 7, WIDTH), np.float32)  # type: ignore[arg-type]


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    """A pipe would be waited for without end, and a link read what is not ours."""
    good = tmp_path / "good.bin"
    cache = VectorCache(good, Encoder())
    cache.views(["a text"])
    cache.save()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(good)
    (tmp_path / "device").symlink_to("/dev/zero")
    assert {VectorCache(tmp_path / each, Encoder()).kept for each in ("folder", "link", "device")} == {0}
    assert VectorCache(good, Encoder()).kept == 1
    os.mkfifo(tmp_path / "pipe")
    code = "import sys; from pathlib import Path; from bot.offline.kept import read_ours;" + (
        "print(read_ours(Path(sys.argv[1]), 9))"
    )
    argv = [sys.executable, "-c", code, str(tmp_path / "pipe")]
    done = subprocess.run(argv, capture_output=True, timeout=60, check=True, cwd=ROOT)
    assert done.stdout.strip() == b"b''"


ROW = b'{"number":1,"title":"","created_at":"","labels":['
BOMBS: Mapping[str, tuple[str, Callable[[bytes], bytes]]] = {
    "past of empty lines": ("past.jsonl", lambda old: old.split(b"\n")[0] + b"\n" * 50_000_000),
    "past of one line": ("past.jsonl", lambda old: old.split(b"\n")[0] + b"\n" + ROW + b'"",' * 16_000_000 + b'""]}'),
    "lessons": ("model", lambda old: b'{"a":"",' + b'"":"a",' * 6_000_000 + b'"b":""}\n'),
    "index of words": ("index", lambda old: changed(old, head=b"[" + b"{}," * 16_000_000 + b"{}]")),
    "index of texts": ("index", lambda old: changed(old, sizes=bytes(32_000_000), dtype=np.uint32)),
}
"""What is kept -> some 50 MB that would take far more memory if they were believed."""
MEGABYTES = 250


def changed(data: bytes, dtype: type[np.generic] = np.uint8, **tensors: bytes) -> bytes:
    return write_tensors(read_tensors(data) | {name: np.frombuffer(new, dtype) for name, new in tensors.items()})


def test_a_folder_of_bombs_fits_into_memory(tmp_path: Path) -> None:
    """All in one process, whose peak is the largest of them."""
    states = [tmp_path / name.replace(" ", "-") for name in BOMBS]
    for state, (start, change) in zip(states, BOMBS.values(), strict=True):
        opened(Settings(state=state, encoder="none"), FakeForge(past=many(40)))
        path = next(each for each in folder_of(state, REPOSITORY).iterdir() if each.name.startswith(start))
        path.write_bytes(change(path.read_bytes()))
    code = (
        "import resource, sys; from pathlib import Path;"
        "from bot.settings import Settings; from bot.testing.forge import FakeForge, FakeReader;"
        "from bot.learning import open_knowledge; from tests.test_learning import REPOSITORY, many;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "print(*(open_knowledge(Settings(state=Path(each), encoder='none'), REPOSITORY,"
        " FakeReader(FakeForge(past=many(40))), fresh=0).measured().lessons for each in sys.argv[1:]));"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    argv = [sys.executable, "-c", code, *map(str, states)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True, cwd=ROOT)
    *lessons, kilobytes = map(int, done.stdout.split())
    assert lessons == [40] * len(BOMBS)
    assert kilobytes < MEGABYTES * 1_000


# --- labels that start tasks --------------------------------------------------------------------------------------

POLICY = """\
triage:
  labels: [bug, "bot:fix", "BOT: Fix"]
  actions: [labels, comment]
  apply: {error: 0.5}
  types: {bug: "bot:fix"}
  rules:
    - {when: {title: "*"}, then: {labels: ["bot:fix", "crash"]}}
    - {when: {body: "*please*"}, then: {labels: ["Bot:Fix"], task: fix}}
"""
CERTAIN = SURE.changed(
    labels=tuple(Belief(label=each, probability=1.0, threshold=0.5) for each in ("bot:fix", "crash"))
)


def asked(text: str, *, body: str = "It fails.", author: str = "stranger") -> Decision:
    event = event_opened(author, body=body)
    forge = forge_for(event, policy=text)
    forge.labels[:] = [LabelInfo(name=name) for name in ("bug", "bot:fix", "crash")]
    llm = ScriptedLLM([said(labels=["bug", "bot:fix", "BOT: Fix", "l1", "l2", "l3"])])
    return judge(event, forge, model=lambda name: llm, knowledge=FakeKnowledge(CERTAIN))


@pytest.mark.parametrize(
    "text",
    [POLICY, "triage: {apply: {error: 0.5}, actions: [labels, comment]}", 'triage: {labels: ["bot:fix"], apply: {}}'],
)
def test_a_label_that_starts_a_task_is_neither_put_on_nor_proposed(text: str) -> None:
    """Whoever names it: a list of the policy, a rule, the offline model or a language model."""
    decision = asked(text)
    if isinstance(decision, Ignore):
        return  # nothing else was listed
    assert isinstance(decision, Answer)
    put_on = [label for each in decision.outputs if isinstance(each, LabelChange) for label in each.add]
    assert "crash" in put_on, "the others are"
    assert not [label for label in put_on if "bot:" in label.lower()]
    assert "bot:" not in "".join(each.body for each in decision.outputs if isinstance(each, Note)).lower()


def test_a_task_of_a_rule_puts_none_on_either() -> None:
    decision = asked(POLICY, body="please", author="writer")
    assert isinstance(decision, Go)
    assert decision.spec.task.name == "fix"
    assert decision.spec.task.labels == ("crash",)
    stranger = asked(POLICY, body="please")
    assert isinstance(stranger, Answer), "a stranger's words start nothing"


# --- the operator's ceilings --------------------------------------------------------------------------------------


def test_without_an_event_the_operators_ceilings_hold_too() -> None:
    """A repository's policy may not choose a model of its own, nor more money, for a backlog or a single issue."""
    task = builtin_tasks()["triage"]
    dear = task.changed(limits=task.limits.changed(usd=50.0, steps=900))
    assert granted(dear, Settings(max_usd=0.25, max_steps=3)).limits.usd == 0.25
    with pytest.raises(ConfigurationError, match="not among the operator's"):
        granted(task.changed(model="openai/dearest"), Settings(model="openai/cheap"))


# --- what a model hears -------------------------------------------------------------------------------------------

KEY = "ghp_A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"


@pytest.mark.parametrize("before", [0, 2_600, 2_640, 2_660, 5_000])
def test_a_secret_that_somebody_wrote_is_not_passed_on(before: int) -> None:
    """Nor a half of it, where the text is cut."""
    body = "word " * (before // 5) + f"my key is {KEY}, " + "more " * 600
    near = Neighbour(number=3, title=f"It prints {KEY}", score=0.9)
    asked = question_of(Known(subject=issue(title=f"{KEY} is printed", body=body), neighbours=(near,)))
    heard = "".join(each.content for each in asked.messages)
    assert not [at for at in range(4, len(KEY) - 8) if KEY[at : at + 8] in heard]


def test_the_job_that_only_proposes_pays_for_no_judgement(tmp_path: Path) -> None:
    """Its answers go nowhere: the job that publishes decides anew."""
    kit = Kit(tmp_path, event_opened(), policy=POLICY)
    llm = ScriptedLLM([said(), said()])
    deps = replace(kit.deps(), model=lambda name: llm)
    assert isinstance(propose(kit.event, deps).decision, Answer)
    assert llm.heard == []
    handle(event_opened(title="another"), replace(deps, store=FolderStore(tmp_path / "elsewhere")))
    assert len(llm.heard) == 1, "the story in one job does ask"


def test_what_a_comment_remembers_is_read_again_however_much_it_is() -> None:
    """Else a model would be asked, and an author, each time anew."""
    state = Earlier(
        digest="a" * 64, by="model", asked="b" * 64, labels=tuple(f"{at:03}" + "🐞" * 47 for at in range(100))
    )
    note = Comment(id=1, body=f"{triage_marker(7)}\n{state_line(state)}\n\nwords", author=Actor(login="bot", id=9))
    assert earlier_of([note], 9, 7) == state
    assert len(note.body) < 60_000

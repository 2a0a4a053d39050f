"""A judgement -> one comment: readable, inert, edited in place, and nothing at all where nothing is new."""

from pathlib import Path
from typing import Any

import pytest

from bot.errors import NotFound
from bot.marks import has_marker
from bot.testing.forge import FakeForge, FakeReader, FakeWriter
from bot.testing.knowledge import FakeKnowledge
from bot.testing.llm import ScriptedLLM
from bot.triage.answers import triage_outputs
from bot.triage.decide import decide
from bot.triage.issues.comment import Earlier, earlier_of, state_line, triage_marker, triage_words
from bot.triage.issues.rules import Ruled
from bot.types.decision import Answer
from bot.types.event import Actor, Comment, Event
from bot.types.output import LabelChange, Note
from bot.types.result import Usage
from bot.types.triage import Chosen, Neighbour, Posterior, Suitability, Triage
from tests.inert import alive
from tests.issue_fixtures import LISTED, NEAR, SURE, issue, known, policy, said
from tests.triage_fixtures import IDS, SETTINGS, commented, forge_for, judge, opened

EVIL = (
    "@octocat #1 fixes #2 <img src=x> ![i](http://evil.example/x) ``` `[a](http://evil.example)` <!-- x --> www.x.org"
)
FULL = Triage(
    type="bug",
    labels=(
        Chosen(label="bug", confidence=0.93, by="offline", apply=True),
        Chosen(label="area: reader", confidence=0.6, by="model"),
        Chosen(label="p1", confidence=1, by="rule", apply=True),
    ),
    priority="high",
    area="area: reader",
    duplicates=NEAR[:2],
    fixed_by=NEAR[0],
    missing=("version",),
    files=("src/reader.py",),
    owners=("acme/readers",),
    summary="It crashes.",
    question="Which version?",
    agent=Suitability(suitable=True, reason="small"),
    by="model",
    usage=Usage(steps=1, usd=0.0123),
)


def test_it_says_what_was_found_and_by_whom() -> None:
    words = triage_words(FULL, fitting=["bug", "p1"])
    assert "- **Type:** bug" in words
    assert "- **Labels:** `bug` (offline model, 93%), `p1` (rule of the policy)" in words
    assert "- **Proposed labels:** `area: reader` (language model, 60%)" in words
    assert "- **Maybe the same as:** #4 (open)\n" in words
    assert "- **May be solved already, see:** #3 (closed as completed)\n" in words
    assert "- **Missing:** `version`" in words
    assert "- **Where to look:** `src/reader.py`" in words
    assert "- **Owners:** `acme/readers`" in words
    assert "```text\nWhich version?\n```" in words
    assert "0.0123 US dollars" in words
    assert len(words) < 1_500


@pytest.mark.parametrize(
    ("likely", "said"), [(None, "**Type:** bug"), (0.58, "**Type:** perhaps bug"), (0.42, "**Type:** can't be told")]
)
def test_a_guess_is_called_one(likely: float | None, said: str) -> None:
    found = Triage(type="bug", type_guessed=likely, by="offline", lessons=300, files=("a.py",))
    assert f"- {said}\n" in triage_words(found, fitting=[])


def test_the_offline_model_says_what_it_does_not_know() -> None:
    sure = Triage(by="offline", type="bug", labels=(Chosen(label="bug", confidence=1, by="offline"),), lessons=300)
    words = triage_words(sure, fitting=[])
    assert "`bug` (offline model, 99%)" in words
    assert "Priority" not in words, "a default is no finding"
    assert "Judged by the offline model. " in words
    assert "knows few labelled issues" in triage_words(sure.changed(lessons=6), fitting=[])
    assert "knows no labelled issue" in triage_words(sure.changed(lessons=0), fitting=[])


def test_what_is_missing_is_said_once() -> None:
    found = Triage(by="offline", missing=("version", "steps"), question="Could you add what is missing: version?")
    words = triage_words(found, fitting=[])
    assert words.count("version") == 1
    assert "could you add `version` and `steps`?" in words
    assert "- **Missing:** `version`, `steps`" in triage_words(found.changed(question=""), fitting=[])


@pytest.mark.parametrize(("score", "written"), [(0.4, 0), (0.6, 1)])
def test_a_weak_guess_and_nothing_else_is_kept_quiet(score: float, written: int) -> None:
    guess = Posterior(types={"bug": score, "feature": 0.9 - score, "question": 0.1}, lessons=6)
    event = opened()
    forge = forge_for(event, policy="triage: {actions: [comment], labels: [bug]}")
    subject = forge.subjects[7].changed(title="hello", body="hi")
    forge.subjects[7] = subject
    played(event.changed(subject=subject), forge, knowledge=FakeKnowledge(guess))
    assert len(own_comments(forge)) == written


def test_nothing_in_it_is_alive_but_links_to_issues() -> None:
    evil = FULL.changed(
        labels=(Chosen(label=EVIL, confidence=1, by="model"),), area=EVIL, missing=(EVIL,), files=(EVIL, "a`b"),
        owners=("octocat", EVIL), summary=f"{EVIL}\n```\n{EVIL}", question=EVIL,
        agent=Suitability(suitable=False, reason=EVIL), language="e`",
        duplicates=(Neighbour(number=4, title=EVIL, score=1),), fixed_by=None,
    )  # fmt: skip
    words = triage_words(evil, fitting=[])
    assert alive(words) == ["#4"]


def test_of_a_vulnerability_it_says_where_to_report_it() -> None:
    secret = FULL.changed(security=True, summary="exploit", question="exploit", labels=FULL.labels[:1])
    for path, where in (("SECURITY.md", "`SECURITY.md`"), ("", "the repository's security policy")):
        words = triage_words(secret, fitting=["bug"], security_policy=path)
        assert where in words
        assert "`bug`" in words
        assert not any(each in words for each in ("exploit", "reader.py", "acme", "#3", "version"))


# --- state ------------------------------------------------------------------------------------------------------


def test_only_our_own_comment_is_remembered() -> None:
    state = Earlier(digest="d", by="model", asked="d", labels=("bug",))
    body = f"{triage_marker(7)}\n{state_line(state)}\nWords"
    for author, wanted in ((900, state), (5, None)):
        comments = [Comment(id=1, author=Actor(login="x", id=author), body=body)]
        assert earlier_of(comments, 900, 7) == wanted
    assert earlier_of([Comment(id=1, author=Actor(login="x", id=900), body=body)], 900, 8) is None
    damaged = Comment(
        id=1, author=Actor(login="x", id=900), body=f"{triage_marker(7)}\n<!-- sandpiper:triaged=AAAA -->"
    )
    assert earlier_of([damaged], 900, 7) == Earlier()


def played(event: Event, forge: FakeForge, **more: Any) -> tuple[Answer, list[str]]:
    """Judge and write; which kinds of outputs there were."""
    answer = judge(event, forge, **more)
    assert isinstance(answer, Answer), answer
    writer = FakeWriter(forge)
    for output in answer.outputs:
        writer.apply(output, blobs=Path())
    return answer, [each.kind for each in answer.outputs]


def own_comments(forge: FakeForge) -> list[str]:
    return [each.body for each in forge.comments[7] if each.author.id == IDS["sandpiper[bot]"]]


def test_the_same_issue_again_writes_nothing_and_asks_no_model() -> None:
    event = opened()
    forge = forge_for(event, policy=LISTED)
    llm = ScriptedLLM([said(), said(summary="Other words.")], price=0.01)
    answer, kinds = played(event, forge, model=lambda name: llm, knowledge=known())
    assert kinds == ["labels", "note"]
    assert answer.usage.usd == 0.01
    before = own_comments(forge)
    again = commented("/bot triage", "triager")
    forge.comments[7].append(again.trigger.comment)  # type: ignore[union-attr]  # it is a comment
    answer, kinds = played(again, forge, model=lambda name: llm, knowledge=known())
    assert kinds == ["reaction"]
    assert len(llm.heard) == 1
    assert own_comments(forge) == before


def test_the_offline_model_again_writes_the_very_same_comment() -> None:
    event = opened()
    forge = forge_for(event, policy="triage: {actions: [labels, comment], apply: {}, labels: [bug]}")
    _, kinds = played(event, forge, knowledge=known(SURE))
    assert kinds == ["labels", "note"]
    before = own_comments(forge)
    assert len(before) == 1
    assert "could you add" in before[0].lower()
    event = event.changed(subject=forge.subjects[7])
    _, kinds = played(event, forge, knowledge=known(SURE))
    assert kinds == ["note"]
    assert own_comments(forge) == before, "the writer leaves a comment alone that says it already"


def test_an_edited_issue_edits_the_comment_and_asks_nothing_twice() -> None:
    event = opened()
    forge = forge_for(event, policy="triage: {actions: [comment]}\non: {edited: triage}")
    played(event, forge, knowledge=known())
    assert "A question to the author" in own_comments(forge)[0]
    edited = opened(action="edited", body="On start, still without a version.")
    forge.subjects[7] = edited.subject  # type: ignore[assignment]  # it has one
    for _ in range(2):
        played(edited, forge, knowledge=known())
        (body,) = own_comments(forge)
        assert "A question to the author" not in body
        assert "**Missing:**" in body
    found = earlier_of(forge.comments[7], 900, 7)
    assert found is not None
    assert found.asked


def test_a_try_that_ended_between_labels_and_comment_is_made_good() -> None:
    text = "triage: {actions: [labels, comment], apply: {}, labels: [bug]}"
    states = []
    for cut in (False, True):
        event = opened()
        forge = forge_for(event, policy=text)
        answer = judge(event, forge, knowledge=known(SURE))
        assert isinstance(answer, Answer)
        if cut:
            FakeWriter(forge).apply(answer.outputs[0], blobs=Path())
        played(event, forge, knowledge=known(SURE))
        states.append((forge.subjects[7].labels, own_comments(forge)))
    assert states[0] == states[1]


def test_a_label_that_a_person_took_off_stays_off() -> None:
    text = "triage: {actions: [labels, comment], apply: {}, labels: [bug]}\non: {edited: triage}"
    event = opened()
    forge = forge_for(event, policy=text)
    played(event, forge, knowledge=known(SURE))
    assert "bug" in forge.subjects[7].labels
    edited = opened(action="edited", body="Changed.")
    forge.subjects[7] = edited.subject  # type: ignore[assignment]  # without its labels
    answer, _ = played(edited, forge, knowledge=known(SURE))
    assert "bug" not in forge.subjects[7].labels
    assert not [each for each in answer.outputs if isinstance(each, LabelChange)]
    assert "- **Labels:**" not in own_comments(forge)[0]


def test_words_of_rules_stand_as_they_are_and_share_the_comment() -> None:
    ruled = Ruled(comments=("Thank you, @maintainers look at it.",))
    outputs = triage_outputs(issue(), FULL, ruled, policy())
    (note,) = [each for each in outputs if isinstance(each, Note)]
    assert note.body.startswith("<!-- sandpiper:triaged=")
    assert "\n\nThank you, @maintainers look at it.\n\n### Triage" in note.body
    assert has_marker(f"{note.marker}\n{note.body}", triage_marker(7))
    silent = triage_outputs(issue(), FULL, ruled, policy("triage: {actions: [labels]}"))
    assert [each.body for each in silent if isinstance(each, Note)] == ["Thank you, @maintainers look at it."]
    assert triage_outputs(issue(), Triage(), Ruled(), policy()) == ()


# --- who is asked -----------------------------------------------------------------------------------------------


def test_nobody_is_asked_whose_word_has_no_effect() -> None:
    rules = "triage: {rules: [{when: {title: '*'}, then: {labels: [seen]}}], actions: %s, labels: %s%s}"
    for actions, labels, more, wanted in (
        ("[labels]", "[]", "", (0, False)),
        ("[]", "[bug]", "", (0, False)),
        ("[labels]", "[bug]", "", (1, True)),
        ("[comment]", "[]", "", (1, True)),
        ("[labels]", "[]", ", apply: {}", (0, True)),
        ("[comment]", "[]", ", model: false, offline: false", (0, False)),
        ("[comment]", "[bug]", ", offline: false", (1, False)),
    ):
        event = opened()
        forge = forge_for(event, policy=rules % (actions, labels, more))
        llm, past = ScriptedLLM([said()]), known()
        played(event, forge, model=lambda name, llm=llm: llm, knowledge=past)
        assert (len(llm.heard), bool(past.asked)) == wanted, (actions, labels, more)
        assert ("labels" in forge.reads) is any(wanted), "facts are read for a judgement only"
        assert "seen" in forge.subjects[7].labels


def test_a_forge_that_hides_its_files_is_no_reason_not_to_judge() -> None:
    class Shy(FakeReader):
        """Shows no list of files."""

        def paths(self, ref: str) -> tuple[str, ...]:
            raise NotFound("not_found", "no")

    event = opened()
    forge = forge_for(event, policy="triage: {actions: [comment]}")
    answer = decide(event, reader=Shy(forge), settings=SETTINGS, model=lambda name: ScriptedLLM([said()]))
    assert isinstance(answer, Answer)
    assert "the model answered" in answer.reason

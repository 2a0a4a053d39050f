"""Rendering: what may be written follows from task, trust and result; what people read is true, safe and fits."""

import re

import pytest
from markdown_it import MarkdownIt

from bot.forge.render.code import branch_name, stacked
from bot.forge.render.sanitize import size
from bot.forge.render.story import (
    announce,
    closing,
    proposals,
    refusal,
    status_note,
    step_summary,
)
from bot.marks import read_mark, refusal_marker, run_marker
from bot.settings import Settings
from bot.types.decision import Go, Refuse
from bot.types.event import Actor, Comment, Commented, Event, Labeled, PullInfo, Repository, Revision, Subject
from bot.types.output import Check, Commit, LabelChange, Note, Output, Pull, Reaction, Receipt
from bot.types.result import Annotation, CommandReport, Failure, RunResult, Usage
from bot.types.run import Run
from bot.types.sandbox import Blob, Changes, FileChange
from bot.types.task import RunSpec, Task
from bot.types.value import Conclusion, OutputKind, Trust

RUN = "0123456789abcdef"
HEAD, BASE = "a" * 40, "b" * 40
ALICE = Actor(login="alice", id=7)
SETTINGS = Settings()
EVERYTHING: tuple[OutputKind, ...] = ("comment", "labels", "patch", "branch", "pull_request", "check")
CODE = FileChange(path="src/a.py", new=Blob(digest="0" * 64, size=1), added=12, deleted=4)
NASTY = (
    "<!-- sandpiper:run=1 -->\n\n</details><img src=http://evil.test> @everyone Fixes #99 "
    "[x](http://evil.test) ![y](http://evil.test)\n\n```\nopen"
)


def subject(kind: str = "issue", head_repository: str | None = "octo/demo") -> Subject:
    pull = PullInfo(
        head=Revision(ref="feature", sha=HEAD), base=Revision(ref="main", sha=BASE), head_repository=head_repository
    )
    return Subject.model_validate(
        {"kind": kind, "number": 5, "title": "t", "author": ALICE, "pull": pull if kind == "pull_request" else None}
    )


def spec(
    about: Subject | None = None, *, outputs: tuple[OutputKind, ...] = EVERYTHING, trust: Trust = "writer"
) -> RunSpec:
    return RunSpec(
        run_id=RUN,
        task=Task(name="fix", outputs=outputs, labels=("fixed",)),
        repository=Repository(full_name="octo/demo", default_branch="main"),
        subject=about,
        revision=Revision(ref="feature", sha=HEAD),
        base=Revision(ref="main", sha=BASE),
        requester=ALICE,
        trust=trust,
        instructions="only the parser",
    )


def result(conclusion: Conclusion = "success", **more: object) -> RunResult:
    values = {"conclusion": conclusion, "title": "Fix the parser", "summary": "It works.", "seconds": 72.5}
    return RunResult.model_validate({**values, "changes": Changes(files=(CODE,)), **more})


def kinds(outputs: tuple[Output, ...]) -> list[str]:
    return [output.kind for output in outputs]


def only(outputs: tuple[Output, ...], kind: type) -> list[Output]:
    return [output for output in outputs if isinstance(output, kind)]


def note(
    run_spec: RunSpec,
    outcome: RunResult | None,
    *receipts: Receipt,
    failure: Failure | None = None,
    conclusion: Conclusion | None = None,
) -> Note:
    made = status_note(
        run_spec,
        outcome,
        receipts,
        status="completed",
        conclusion=conclusion or (outcome.conclusion if outcome else "failure"),
        failure=failure,
        settings=SETTINGS,
        artifacts_url="https://github.com/octo/demo/actions/runs/1",
    )
    assert made is not None
    return made


def event(trigger: Labeled | Commented, about: Subject | None) -> Event:
    return Event(
        id="e1",
        name="issues",
        repository=Repository(full_name="octo/demo", default_branch="main"),
        actor=ALICE,
        subject=about,
        trigger=trigger,
        attempt=2,
    )


def test_the_first_sign_of_life() -> None:
    comment = Comment(id=11, kind="review", author=ALICE, body="/bot fix")

    by_label = announce(event(Labeled(label="bot:fix", task="fix"), subject()), spec(subject()), settings=SETTINGS)
    by_comment = announce(event(Commented(comment=comment), subject()), spec(subject()), settings=SETTINGS)

    assert kinds(by_label) == ["reaction", "note", "check"]
    assert by_label[0] == Reaction(key="reaction", number=5)
    assert by_comment[0] == Reaction(key="reaction", number=5, comment=11, comment_kind="review")
    status, check = by_label[1:]
    assert isinstance(check, Check)
    assert (check.status, check.conclusion, check.external) == ("in_progress", None, f"check-{RUN}")
    assert isinstance(status, Note)
    mark = read_mark(f"{status.marker}\n{status.body}")
    assert status.marker == run_marker(RUN)
    assert mark is not None
    assert (mark.status, mark.attempt, mark.requester, mark.instructions) == ("in_progress", 2, 7, "only the parser")
    assert "/bot stop" in status.body
    assert kinds(announce(event(Labeled(label="x"), None), spec(), settings=SETTINGS)) == ["check"]


def test_what_ends_with_the_run() -> None:
    by_label = event(Labeled(label="bot:fix", task="fix"), subject())
    lost = Failure(code="lost", message="the sandbox was lost")
    for outcome, failure in ((result(), None), (None, lost)):
        ended: Conclusion = "failure" if failure else "success"
        check, label = closing(by_label, spec(subject()), outcome, ended, failure, settings=SETTINGS)
        assert isinstance(check, Check)
        assert (check.status, check.conclusion, check.external) == ("completed", ended, f"check-{RUN}")
        assert ("sandbox was lost" in check.summary) is (failure is not None)
        assert label == LabelChange(key="labels-trigger", number=5, remove=("bot:fix",))


def test_an_issue_gets_a_branch_and_a_draft_pull_request_that_fixes_it() -> None:
    outputs = proposals(spec(subject()), result(), settings=SETTINGS)

    assert kinds(outputs) == ["commit", "pull", "labels"]
    commit, pull = outputs[0], outputs[1]
    assert isinstance(commit, Commit)
    assert isinstance(pull, Pull)
    assert (commit.branch, commit.create, commit.parent) == ("bot/fix-5-01234567", True, HEAD)
    assert (pull.head, pull.base, pull.title) == (commit.branch, "main", "Fix the parser")
    assert pull.body.startswith("Fixes #5\n")
    subject_line, _, rest = commit.message.partition("\n\n")
    assert subject_line == "Fix the parser"
    assert "Co-authored-by: alice <7+alice@users.noreply.github.com>" in rest
    assert len({output.key for output in outputs}) == len(outputs)


def test_a_pull_request_of_this_repository_gets_the_commit_itself() -> None:
    outputs = proposals(spec(subject("pull_request")), result(), settings=SETTINGS)

    commit = outputs[0]
    assert isinstance(commit, Commit)
    assert (commit.branch, commit.create, commit.parent) == ("feature", False, HEAD)
    assert not only(outputs, Pull)
    moved = stacked(spec(subject("pull_request")), result(), settings=SETTINGS)
    assert kinds(tuple(moved)) == ["commit", "pull"]
    on_top, into = moved
    assert isinstance(on_top, Commit)
    assert isinstance(into, Pull)
    assert (on_top.branch, on_top.create, on_top.parent) == ("bot/fix-5-01234567", True, HEAD)
    assert (into.head, into.base) == (on_top.branch, "feature")


def test_without_leave_for_the_branch_a_pull_request_gets_one_on_top() -> None:
    allowed: tuple[OutputKind, ...] = ("comment", "pull_request")

    commit, pull = proposals(spec(subject("pull_request"), outputs=allowed), result(), settings=SETTINGS)

    assert isinstance(commit, Commit)
    assert isinstance(pull, Pull)
    assert (commit.create, pull.base) == (True, "feature")
    assert pull.body.startswith("For #5")


@pytest.mark.parametrize(
    ("run_spec", "outcome"),
    [
        (spec(subject(), trust="fork"), result()),
        (spec(subject(), trust="anyone"), result()),
        (spec(subject("pull_request", "stranger/demo")), result()),
        (spec(subject("pull_request", None)), result()),
        (spec(subject(), outputs=("comment", "patch")), result()),
        (spec(subject()), result(held=("a reason",), conclusion="action_required")),
        (spec(subject()), result(held=("a reason",))),
        (spec(subject()), result("failure")),
        (spec(subject()), result("cancelled")),
        (spec(subject()), result("timed_out")),
        (spec(subject()), result(changes=Changes(files=(CODE,), complete=False))),
        (spec(subject()), result(changes=Changes())),
    ],
)
def test_no_code_is_written_where_it_must_not(run_spec: RunSpec, outcome: RunResult) -> None:
    outputs = proposals(run_spec, outcome, settings=SETTINGS)

    assert not only(outputs, Commit)
    assert not only(outputs, Pull)


def test_nothing_is_written_that_the_task_does_not_list() -> None:
    assert proposals(spec(subject(), outputs=("comment",)), result(), settings=SETTINGS) == ()
    assert kinds(proposals(spec(subject(), outputs=("branch",)), result(), settings=SETTINGS)) == ["commit"]
    assert not only(proposals(spec(subject()), result("failure"), settings=SETTINGS), LabelChange)
    assert (
        status_note(
            spec(subject(), outputs=("check",)),
            None,
            (),
            status="in_progress",
            conclusion=None,
            failure=None,
            settings=SETTINGS,
        )
        is None
    )


def test_titles_are_short_single_dead_lines() -> None:
    outcome = result(title="Fixes #99 for @bob:\n" + "long " * 40)

    commit, pull = proposals(spec(subject()), outcome, settings=SETTINGS)[:2]

    assert isinstance(commit, Commit)
    assert isinstance(pull, Pull)
    line = commit.message.split("\n")[0]
    assert len(line) <= 72
    assert line.startswith("Fixes 99 for bob: long")
    assert len(pull.title) <= 256


def test_the_co_author_belongs_to_the_server() -> None:
    settings = Settings(server_url="https://git.corp.example:8443/")

    commit = proposals(spec(subject()), result(), settings=settings)[0]

    assert isinstance(commit, Commit)
    assert commit.message.endswith("Co-authored-by: alice <7+alice@users.noreply.git.corp.example>")


def test_every_text_is_safe_whatever_the_model_says() -> None:
    report = CommandReport(
        phase="after",
        argv=("sh", "-c", "echo `x` | ``y``; </details>"),
        ending="exited",
        exit_code=1,
        seconds=1,
        output="````\n</details>\n@everyone\n" * 50,
    )
    outcome = result(
        "failure",
        title=NASTY,
        summary=NASTY,
        reports=(report,),
        failure=Failure(code="x`y", message=NASTY, hint=NASTY),
        changes=Changes(files=(FileChange(path="a`b</details>@x", new=CODE.new),)),
        annotations=(Annotation(path="a", line=1, message="m\u202e", title=NASTY),),
    )
    held = result("action_required", held=(NASTY,), summary=NASTY, title=NASTY)
    pulled = result(summary=NASTY, title=NASTY, reports=(report,))
    texts = [note(spec(subject()), outcome).body, note(spec(subject()), held).body]
    for output in (
        *proposals(spec(subject()), pulled, settings=SETTINGS),
        *closing(event(Labeled(label="x"), subject()), spec(subject()), outcome, "failure", None, settings=SETTINGS),
        *closing(event(Labeled(label="x"), subject()), spec(subject()), pulled, "success", None, settings=SETTINGS),
    ):
        texts += [output.summary] if isinstance(output, Check) else []
        texts += [output.body] if isinstance(output, Pull) else []

    assert len(texts) == 5
    for text in texts:
        html = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text)
        # Code shows what it holds; everything else must be dead.
        visible = re.sub(r"<code[^>]*>.*?</code>", "", html, flags=re.DOTALL)
        assert "<img" not in html
        assert "://evil.test" not in visible
        assert "@everyone" not in visible
        assert html.count("<details>") == html.count("</details>")
        assert "#99" not in visible or "Fixes" not in visible
        hidden = [line for line in text.split("\n") if line.lstrip("> ").startswith("<!--")]
        assert len(hidden) == text.count("sandpiper:state")


def test_a_finished_comment_tells_the_whole_story() -> None:
    reports = (
        CommandReport(phase="setup", argv=("make", "deps"), ending="exited", exit_code=1, seconds=3),
        CommandReport(phase="before", argv=("make", "test"), ending="exited", exit_code=2, seconds=4.25, output="bad"),
        CommandReport(phase="after", argv=("make", "test"), ending="exited", exit_code=0, seconds=4.5, output="ok"),
    )
    outcome = result(reports=reports, usage=Usage(steps=12, input_tokens=30_000, output_tokens=4_500, usd=0.123))
    receipts = (
        Receipt(key="commit", kind="commit", url="https://github.com/octo/demo/commit/c", sha="c" * 40),
        Receipt(key="pull", kind="pull", url="https://github.com/octo/demo/pull/12", id=12),
    )

    body = note(spec(subject()), outcome, *receipts).body

    assert "### ✅ `fix` done" in body
    assert "**Fix the parser**" in body
    assert "[draft pull request #12](https://github.com/octo/demo/pull/12)" in body
    assert "| `make test` | ❌ exit 2, 4.2 s | ✅ exit 0, 4.5 s |" in body
    assert "| `make deps` | ❌ exit 1, 3.0 s |" in body
    assert "- `src/a.py` +12 −4, new" in body
    assert "12 steps · 34.5k tokens · $0.12 · 1 min 12 s" in body
    assert RUN in body
    assert "bad" not in body
    fine = reports[0].changed(exit_code=0)
    assert "make deps" not in note(spec(subject()), result(reports=(fine, *reports[1:]))).body


def test_a_failure_says_what_and_what_to_do() -> None:
    failure = Failure(code="tests_failed", message="2 tests fail", hint="Look at `tests/test_x.py`.")
    report = CommandReport(
        phase="after", argv=("make", "test"), ending="timed_out", exit_code=124, seconds=600, output="E"
    )

    body = note(spec(subject()), result("failure", failure=failure, reports=(report,))).body

    assert "### ❌ `fix` failed" in body
    for words in (
        "2 tests fail",
        "**What to do:** Look at `tests/test_x.py`.",
        "`tests_failed`",
        "timed out",
        "/bot retry",
    ):
        assert words in body
    assert "nothing was pushed" in body
    assert "```text\nE\n```" in body


def test_a_run_without_a_result_still_ends_truthfully() -> None:
    failure = Failure(code="sandbox_lost", message="the container is gone", hint="try again")

    body = note(spec(subject()), None, failure=failure).body
    stopped = note(spec(subject()), None, conclusion="cancelled").body

    assert "the container is gone" in body
    assert "### ⏹️ `fix` stopped" in stopped
    assert "under way" not in body + stopped


def test_a_held_proposal_says_why_and_how_to_go_on() -> None:
    body = note(spec(subject()), result("action_required", held=(".github/workflows/x.yml: why",))).body

    assert "waits for you" in body
    assert "Nothing was written to the repository" in body
    assert ".github/workflows/x.yml: why" in body
    assert "git apply" in body


def test_the_longest_comment_fits() -> None:
    report = CommandReport(
        phase="task", argv=("\U0001f600" * 500,), ending="exited", exit_code=1, seconds=1, output="\U0001f600" * 99_999
    )
    reports = tuple(report.changed(argv=(f"{number}", *report.argv)) for number in range(40))
    files = tuple(CODE.changed(path=f"{number}/" + "\U0001f600" * 900) for number in range(500))
    outcome = result("failure", summary="\U0001f600 " * 50_000, reports=reports, changes=Changes(files=files))
    long = spec(subject()).changed(instructions="\U0001f600" * 9000)

    made = note(long, outcome, failure=Failure(code="x", message="m " * 9000, hint="h " * 9000))

    assert size(f"{made.marker}\n{made.body}") <= 65_536
    assert read_mark(f"{made.marker}\n{made.body}") is not None
    for output in proposals(long, outcome, settings=SETTINGS):
        assert not isinstance(output, Check) or size(output.summary) <= 65_535


def test_a_refusal_is_said_once_a_day_and_only_where_allowed() -> None:
    asked = event(Labeled(label="bot:fix", task="fix"), subject())
    decision = Refuse(code="permission", reason="You need write access, @alice.", speak=True)

    outputs = refusal(asked, decision, day="2026-01-01")

    assert kinds(outputs) == ["note"]
    assert isinstance(outputs[0], Note)
    assert outputs[0].marker == refusal_marker(7, "2026-01-01")
    assert "You need write access" in outputs[0].body
    assert refusal(asked, decision.changed(speak=False), day="2026-01-01") == ()
    for reason, said in (("there is no option `--x`", "There is no option `--x`."), ("a.yml is bad", "a.yml is bad.")):
        (told,) = refusal(asked, decision.changed(reason=reason), day="2026-01-01")
        assert isinstance(told, Note)
        assert f"\n\n{said}\n\n" in told.body


def test_why_it_failed_is_said_once() -> None:
    failure = Failure(code="no_commands", message="The task has no commands.", hint="Put some there.")
    body = note(spec(subject()), result("failure", summary=failure.message, failure=failure)).body
    assert body.count(failure.message) == 1
    both = note(spec(subject()), result("failure", summary="It tried.", failure=failure)).body
    assert "It tried." in both


def test_the_step_summary_speaks_for_every_kind_of_run() -> None:
    asked = event(Labeled(label="bot:fix", task="fix"), subject())
    done = Run(
        run_id=RUN,
        event=asked,
        status="completed",
        conclusion="success",
        decision=Go(reason="ok", spec=spec(None, outputs=())),
        result=result(),
    )
    refused = Run(run_id=RUN, event=asked, decision=Refuse(code="permission", reason="no <b>write</b> access"))

    assert "`fix` done" in step_summary(done)
    assert "no write access" in step_summary(refused)
    assert branch_name(spec(None)) == "bot/fix-01234567"


def test_what_the_first_sign_says_of_the_network_is_true() -> None:
    def said(trust: Trust, *hosts: str) -> str:
        run_spec = spec(subject(), trust=trust)
        run_spec = run_spec.changed(task=run_spec.task.changed(hosts=hosts))
        made = status_note(run_spec, None, (), status="in_progress", conclusion=None, failure=None, settings=SETTINGS)
        assert made is not None
        return made.body

    assert "in a sandbox without network," in said("writer")
    assert "in a sandbox without network," in said("fork", "pypi.test")
    assert "in a sandbox that reaches nothing but `pypi.test`," in said("writer", "pypi.test")
    assert "`a.test`, `b.test`, `c.test` and 1 more host," in said("writer", "a.test", "b.test", "c.test", "d.test")


def test_a_pull_request_into_the_default_branch_of_its_own_does_not_say_that_it_moved() -> None:
    about = subject("pull_request")
    assert about.pull is not None
    opened = Receipt(key="pull", kind="pull", id=9, url="https://github.com/octo/demo/pull/9")
    from_main = about.changed(pull=about.pull.changed(head=Revision(ref="main", sha=HEAD)))

    assert "moved on" in note(spec(about), result(), opened).body
    assert "moved on" not in note(spec(from_main), result(), opened).body


def test_the_longest_comment_fits_with_the_longest_state() -> None:
    reports = [
        CommandReport(
            phase="after", argv=("make", f"t{each}"), ending="exited", exit_code=1, seconds=1, output="y\n" * 3000
        )
        for each in range(30)
    ]
    files = tuple(FileChange(path="d/" * 90 + f"f{each}.py", new=CODE.new) for each in range(60))
    changes = Changes(files=files, skipped=tuple("s" * 180 + str(each) for each in range(60)))
    outcome = result(summary="word " * 4000, changes=changes, reports=tuple(reports))

    long = note(spec(subject()).changed(instructions="\x01" * 2000), outcome)

    assert size(f"{long.marker}\n{long.body}") <= 65_536

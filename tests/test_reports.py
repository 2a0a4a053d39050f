"""Test reports in the dialects that runners write, and hostile ones -> remarks on lines, counts and notes."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.agent import reports
from bot.agent.junit import Case, UnreadableReport, read_junit
from bot.agent.places import Places
from bot.agent.reports import annotated, reports_before
from bot.agent.runtimes.command import CommandRuntime
from bot.errors import SandboxError
from bot.types.result import Annotation, CommandReport, Outcome
from bot.types.task import Task
from tests.agent_fixtures import FolderSandbox, News, never, spec_of

TASK = Task(name="test", runtime="command", reports=("*.xml",))
TEST_FILE = """\
import pytest

def total(items):
    return items[9]

def test_sum():
    assert total([1]) == 1

class TestWords:
    def test_case(self):
        word = "a"
        assert word == "b"

@pytest.mark.skip(reason="later")
def test_later():
    pass

def test_good():
    pass
"""


def case_xml(inner: str, attributes: str = 'name="t" classname="c"', suite: str = "") -> str:
    return f"<testsuites><testsuite {suite}><testcase {attributes}>{inner}</testcase></testsuite></testsuites>"


def box(folder: Path, files: dict[str, str | bytes]) -> FolderSandbox:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return FolderSandbox(folder)


def judged(folder: Path, files: dict[str, str | bytes], task: Task = TASK) -> Outcome:
    return annotated(Outcome(conclusion="failure"), task, box(folder, files), {})


@pytest.mark.parametrize("family", ["xunit1", "xunit2"])
def test_what_pytest_writes_is_shown_on_the_lines_that_failed(tmp_path: Path, family: str) -> None:
    words = ["-p", "no:cacheprovider", "-q", "--junitxml=out/report.xml", "-o", f"junit_family={family}"]
    task = Task(name="test", runtime="command", commands=((sys.executable, "-m", "pytest", *words),), reports=("out/",))
    sandbox = box(tmp_path, {"tests/test_words.py": TEST_FILE})
    outcome = CommandRuntime().run(spec_of(task), sandbox, watch=News(), cancelled=never)
    shown = {each.title: (each.path, each.line, each.level) for each in outcome.annotations}
    assert shown == {
        "test_sum": ("tests/test_words.py", 4, "failure"),  # where it was raised
        "test_case": ("tests/test_words.py", 12, "failure"),
    }
    said = {each.title: each.message for each in outcome.annotations}
    assert said["test_sum"].startswith("IndexError")
    assert "assert 'a' == 'b'" in said["test_case"]
    assert "Tests in the reports: 1 passed, 2 failed, 1 skipped." in outcome.summary


DIALECTS: dict[str, tuple[dict[str, str | bytes], Annotation]] = {
    "surefire": (
        {
            "core/src/test/java/com/example/SumTest.java": "",
            "web/src/test/java/com/example/web/SumTest.java": "",
            "TEST-com.example.SumTest.xml": """<?xml version="1.0" encoding="UTF-8"?>
<testsuite xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="https://x/y.xsd"
  version="3.0" name="com.example.SumTest" time="0.05" tests="2" errors="0" skipped="0" failures="1">
  <properties><property name="java.version" value="21"/></properties>
  <testcase name="adds" classname="com.example.SumTest" time="0.01"/>
  <testcase name="subtracts" classname="com.example.SumTest" time="0.02">
    <failure message="expected: &lt;1&gt; but was: &lt;2&gt;" type="org.opentest4j.AssertionFailedError"><![CDATA[
org.opentest4j.AssertionFailedError: expected: <1> but was: <2>
	at org.junit.jupiter.api.AssertionUtils.fail(AssertionUtils.java:39)
	at com.example.SumTest.subtracts(SumTest.java:27)
]]></failure>
    <system-out>noise</system-out>
  </testcase>
</testsuite>""",
        },
        Annotation(
            path="core/src/test/java/com/example/SumTest.java",
            line=27,
            title="subtracts",
            message="expected: <1> but was: <2>",
        ),
    ),
    "gotestsum": (
        {
            "sum/sum_test.go": "",
            "other/sum_test.go": "",
            "unit.xml": """<testsuites tests="1" failures="1" errors="0" time="0.1">
<testsuite tests="1" failures="1" time="0.00" name="example.com/mod/sum" timestamp="2026-01-01T00:00:00Z">
<testcase classname="example.com/mod/sum" name="TestSum" time="0.00">
<failure message="Failed">=== RUN   TestSum&#xA;    sum_test.go:12: got 3, want 4&#xA;--- FAIL: TestSum</failure>
</testcase></testsuite></testsuites>""",
        },
        Annotation(
            path="sum/sum_test.go",
            line=12,
            title="TestSum",
            message="Failed\n=== RUN   TestSum\n    sum_test.go:12: got 3, want 4\n--- FAIL: TestSum",
        ),
    ),
    "jest-junit": (
        {
            "src/sum.test.js": "",
            "junit.xml": """<testsuites name="jest tests" tests="1" failures="1">
<testsuite name="sum" errors="0" failures="1" skipped="0" tests="1">
<testcase classname="sum adds" name="sum adds" time="0.003">
<failure>Error: expect(received).toBe(expected)

Expected: 4
Received: 3
    at Object.toBe (/workspace/src/sum.test.js:5:20)
    at Promise.then.completed (/workspace/node_modules/jest-circus/build/utils.js:298:28)</failure>
</testcase></testsuite></testsuites>""",
        },
        Annotation(
            path="src/sum.test.js",
            line=5,
            title="sum adds",
            message="Error: expect(received).toBe(expected)\n\nExpected: 4\nReceived: 3\n"
            "    at Object.toBe (/workspace/src/sum.test.js:5:20)\n"
            "    at Promise.then.completed (/workspace/node_modules/jest-circus/build/utils.js:298:28)",
        ),
    ),
    "cargo-nextest": (
        {
            "src/lib.rs": "",
            "target/nextest/ci/junit.xml": """<testsuites name="nextest-run" tests="1" failures="1" errors="0">
<testsuite name="summing" tests="1" disabled="0" errors="0" failures="1">
<testcase name="tests::it_works" classname="summing" timestamp="2026-01-01T00:00:00Z" time="0.003">
<failure message="thread 'tests::it_works' panicked at src/lib.rs:14:9" type="test failure">
thread &apos;tests::it_works&apos; panicked at src/lib.rs:14:9:
assertion `left == right` failed
  left: 3
 right: 4</failure></testcase></testsuite></testsuites>""",
        },
        Annotation(
            path="src/lib.rs",
            line=14,
            title="tests::it_works",
            message="thread 'tests::it_works' panicked at src/lib.rs:14:9",
        ),
    ),
    "file and line": (
        {
            "spec/sum_spec.rb": "",
            "r.xml": case_xml("<error message='no such method'/>", 'name="t" file="./spec/sum_spec.rb" line="3"'),
        },
        Annotation(path="spec/sum_spec.rb", line=3, title="t", message="no such method"),
    ),
    "class alone": (
        {
            "lib/test/words/deep_test.py": "",
            "r.xml": case_xml("<failure>it broke</failure>", 'name="t" classname="words.deep_test.TestX"'),
        },
        Annotation(path="lib/test/words/deep_test.py", line=1, title="t", message="it broke"),
    ),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_leads_to_the_line(tmp_path: Path, dialect: str) -> None:
    files, wanted = DIALECTS[dialect]
    assert judged(tmp_path, files).annotations == (wanted,)


HOSTILE: dict[str, bytes] = {
    "entity bomb": b'<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;">]><testsuite>&c;</testsuite>',
    "external entity": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><testsuite name="&b;"/>',
    "external document type": b'<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd"><testsuite/>',
    "cut off": b'<testsuite><testcase name="t"><failure>',
    "no XML": b"\x00\xff\xfe binary",
    "empty": b"",
    "half of a pair": b"<testsuite><testcase name='&#xD800;'><failure/></testcase></testsuite>",
    "raw half of a pair": b"<testsuite><testcase name='\xed\xa0\x80'><failure/></testcase></testsuite>",
    "unknown encoding": b"<?xml version='1.0' encoding='klingon'?><testsuite/>",
    "multi-byte encoding": b"<?xml version='1.0' encoding='utf-7'?><testsuite/>",
    "deep": b"<a>" * 100_000,
    "many": b"<s>" + b"<testcase/>" * 50_001 + b"</s>",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_report_is_left_out_with_a_note_and_the_others_are_read(tmp_path: Path, name: str) -> None:
    good = case_xml("<failure message='broken'/>", 'name="t" file="a.py" line="2"')
    outcome = judged(tmp_path, {"a.py": "", "bad`.xml": HOSTILE[name], "good.xml": good})
    assert [(each.path, each.line) for each in outcome.annotations] == [("a.py", 2)]
    assert "The test report `bad'.xml` was left out" in outcome.summary
    assert "root:" not in outcome.summary


def test_reports_that_are_too_large_too_many_or_no_files_are_bounded(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"{at:03}.xml": b"<" for at in range(reports.REPORTS + 50)}
    outcome = judged(tmp_path, files)
    assert outcome.summary.count("was left out") == reports.NOTES
    assert f"{reports.REPORTS - reports.NOTES} more test reports were left out." in outcome.summary


def test_a_report_that_was_there_before_and_did_not_change_says_nothing(tmp_path: Path) -> None:
    stale = case_xml("<failure message='old'/>", 'name="t" file="a.py" line="2"')
    sandbox = box(tmp_path, {"a.py": "", "fixture.xml": stale, "report.xml": stale})
    before = reports_before(TASK, sandbox)
    (tmp_path / "report.xml").write_text(stale.replace("old", "new"))
    outcome = annotated(Outcome(conclusion="failure"), TASK, sandbox, before)
    assert [each.message for each in outcome.annotations] == ["new"]


def test_a_line_that_the_output_names_too_is_marked_once(tmp_path: Path) -> None:
    report = CommandReport(
        phase="task", argv=("t",), ending="exited", exit_code=1, seconds=1, output="a.py:2: broken\na.py:9: also\n"
    )
    good = case_xml("<failure message='broken'/>", 'name="t" file="a.py" line="2"')
    sandbox = box(tmp_path, {"a.py": "", "r.xml": good})
    outcome = annotated(Outcome(conclusion="failure", reports=(report,)), TASK, sandbox, {})
    assert [(each.line, each.title) for each in outcome.annotations] == [(2, "t"), (9, "")]


def test_a_sandbox_that_is_gone_has_no_reports(tmp_path: Path) -> None:
    class Gone(FolderSandbox):
        def list_files(self, path: str = ".", *, limit: int = 10_000) -> tuple[str, ...]:
            raise SandboxError("sandbox_lost", "gone")

    outcome = annotated(Outcome(conclusion="failure"), TASK, Gone(tmp_path), {})
    assert (outcome.annotations, outcome.summary) == ((), "")


def test_a_pattern_that_is_none_is_said(tmp_path: Path) -> None:
    task = TASK.changed(reports=("!",))
    assert "a pattern that is none" in judged(tmp_path, {"r.xml": b"<a/>"}, task).summary


def test_names_of_several_files_are_told_apart_or_left_open() -> None:
    places = Places(["a/x.py", "b/x.py", "c/d/y.py", "root.py"])
    assert places.file("x.py") is None
    assert places.file("x.py", "mod.b") == "b/x.py"
    assert places.file("a/x.py") == "a/x.py"
    assert places.file("/workspace/root.py") == "root.py"
    assert places.file("/usr/lib/root.py") is None
    assert places.file("e/y.py") is None
    assert places.of_class("d.y.TestZ") == "c/d/y.py"
    assert places.of_class("x") is None


_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30)


@given(_TEXT, _TEXT, st.sampled_from(["passed", "failed", "skipped"]))
def test_what_a_runner_wrote_is_read_back(name: str, words: str, verdict: str) -> None:
    suite = ElementTree.Element("testsuite")
    case = ElementTree.SubElement(suite, "testcase", name=name, classname="c")
    if verdict != "passed":
        child = ElementTree.SubElement(case, "failure" if verdict == "failed" else "skipped", message=words)
        child.text = words
    (read,) = read_junit(ElementTree.tostring(suite))
    told = (words, words) if verdict == "failed" else ("", "")
    assert read == Case(name, "c", verdict, message=told[0], text=told[1])  # type: ignore[arg-type]


@given(st.binary(max_size=300) | st.binary(max_size=60).map(lambda data: b"<testsuite><testcase " + data))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    try:
        read_junit(data)
    except UnreadableReport as error:
        said = str(error)
    else:
        said = "it was read"
    assert said


def test_a_report_of_nothing_but_places_costs_no_minutes() -> None:
    """Code of a fork writes both the report and the files that it names."""
    looked: list[str] = []

    class Counted(Places):
        def _nearest(self, path: str, near: str) -> str | None:
            looked.append(path)
            return super()._nearest(path, near)

    places = Counted([f"a/b{each}/x.py" for each in range(300)])
    for at in range(20):
        list(places.frames("".join(f"(b{(at * 1000 + each) % 9000}/x.py:1)" for each in range(1000))))
        list(places.frames("(x.py:1)" * 2500, "a.b7.Case"))
    assert len(looked) <= 5000
    assert places.file("b7/x.py") == "a/b7/x.py"  # what was found once is known
    assert places.of_class(".".join(["x"] * 250)) is None

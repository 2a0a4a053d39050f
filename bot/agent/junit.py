"""Bytes of a JUnit XML report -> its test cases. A stranger's file: nothing in it is expanded, fetched or believed.

The format has no standard of its own; what is read is what pytest, Maven Surefire, gotestsum, jest-junit, cargo-nextest
and their like agree on: `testcase` with `name`, `classname`, perhaps `file` and `line`, and `failure`, `error` or
`skipped` within. The file is read as a stream, so that its size is all that it costs.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, XMLParser

CASES = 50_000
"""Test cases of one report."""
DEPTH = 64
"""Elements within each other; suites of suites need a handful."""
TEXT_CHARS = 20_000
"""What is kept of a failure's text."""
NAME_CHARS = 500
CHUNK = 1_000_000

Verdict = Literal["passed", "failed", "skipped"]


class Case(NamedTuple):
    """One test and how it went."""

    name: str
    classname: str
    verdict: Verdict
    file: str = ""
    """As the report names it, empty where it does not."""
    line: int = 0
    """From 1; 0 where the report does not tell."""
    message: str = ""
    """Why it failed, in few words."""
    text: str = ""
    """Why it failed, in many words: a traceback."""


class UnreadableReport(Exception):
    """The file is no report that could be read; the text says why."""


def read_junit(data: bytes) -> tuple[Case, ...]:
    """The cases, in the report's order. Raises UnreadableReport, and nothing else whatever the bytes are."""
    reading = _Reading()
    parser = XMLParser(target=reading, forbid_dtd=True)
    try:
        for at in range(0, max(len(data), 1), CHUNK):
            parser.feed(data[at : at + CHUNK])
        parser.close()
    except DefusedXmlException as error:
        raise UnreadableReport(f"it has a document type or entities ({type(error).__name__})") from None
    except (ParseError, ValueError, LookupError) as error:
        raise UnreadableReport(f"it is no XML ({error})") from None
    return tuple(reading.cases)


class _Reading:
    """What the parser calls, element by element."""

    def __init__(self) -> None:
        self.cases: list[Case] = []
        self._depth = 0
        self._suites: list[tuple[str, bool]] = []
        """File of each suite that is open, and whether pytest wrote it."""
        self._case: Case | None = None
        self._texts: list[str] | None = None
        self._room = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        self._depth += 1
        if self._depth > DEPTH:
            raise UnreadableReport(f"its elements are nested deeper than {DEPTH}")
        match _bare(tag):
            case "testsuite" | "testsuites":
                file = attributes.get("file", "") or (self._suites[-1][0] if self._suites else "")
                self._suites.append((file, attributes.get("name") == "pytest"))
            case "testcase" if self._case is None:
                self._case = self._opened(attributes)
            case "failure" | "error" if self._case is not None and self._case.verdict != "failed":
                message = attributes.get("message") or ""
                self._case = self._case._replace(verdict="failed", message=message[:TEXT_CHARS])
                self._texts, self._room = [], TEXT_CHARS
            case "skipped" if self._case is not None and self._case.verdict == "passed":
                self._case = self._case._replace(verdict="skipped")
            case _:
                pass

    def data(self, text: str) -> None:
        """Text within the element."""
        if self._texts is not None and self._room > 0:
            self._texts.append(text[: self._room])
            self._room -= len(text)

    def end(self, tag: str) -> None:
        """An element ends."""
        self._depth -= 1
        match _bare(tag):
            case "testsuite" | "testsuites" if self._suites:
                self._suites.pop()
            case "failure" | "error" if self._texts is not None and self._case is not None:
                self._case = self._case._replace(text="".join(self._texts))
                self._texts = None
            case "testcase" if self._case is not None:
                self.cases.append(self._case)
                self._case = None
                if len(self.cases) > CASES:
                    raise UnreadableReport(f"it has more than {CASES:,} tests")
            case _:
                pass

    def close(self) -> None:
        """The document ends."""

    def _opened(self, attributes: dict[str, str]) -> Case:
        suite_file, pytest = self._suites[-1] if self._suites else ("", False)
        file = attributes.get("file", "")
        digits = attributes.get("line", "") or attributes.get("lineno", "")
        line = int(digits) if file and digits.isascii() and digits.isdigit() and len(digits) <= 7 else 0
        return Case(
            name=attributes.get("name", "")[:NAME_CHARS],
            classname=attributes.get("classname", "")[:NAME_CHARS],
            verdict="passed",
            file=(file or suite_file)[:NAME_CHARS],
            line=line + 1 if pytest and file and digits else line,  # pytest counts lines from 0
        )


def _bare(tag: str) -> str:
    return tag.rpartition("}")[2]

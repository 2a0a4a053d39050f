"""Every payload that GitHub publishes as an example -> a decision with a reason; no error but the door's own.

The package is no part of the repository: the client of npm's registry fetches it once into a folder for caches, and its
bytes must be those that are pinned here. tests/test_events.py has the same payloads without their words, offline.
"""

from __future__ import annotations

import base64
import copy
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from bot.errors import EventError
from bot.forge.events.parsing import PARSERS, load_payload, parse_event
from bot.settings import Settings
from bot.testing.forge import FakeForge, FakeReader
from bot.triage import gate
from bot.triage.decide import decide
from bot.types.decision import Answer, Decision, Go, Ignore, Refuse
from bot.types.event import Event
from bot.types.result import CheckFailure
from bot.types.run import run_id_of

PACKAGE = "@octokit/webhooks-examples@7.6.1"
INTEGRITY = "sha512-De6U3XB6O3DtCa7bKgCMzTHdeopqqZ6SNivMYJnK65ierKL1AnNIA0tkRYCRS7lwGT792d+Ps1WbfHlso6MynQ=="
"""SHA-512 of the archive, as the registry gives it."""
MEMBER = "package/api.github.com/index.json"
SECONDS, BYTES = 60, 50_000_000
POLICY = b"""
on: {opened: [review, triage], edited: triage, synchronize: test, reopened: review, ready_for_review: review,
  upstream: test, ci_failed: fix-ci, schedule: test, assigned: fix, review_requested: review}
triage: {rules: [{when: {title: '*'}, then: {labels: [seen]}}]}
"""
DECISION: TypeAdapter[Decision] = TypeAdapter(Decision)


def archive() -> Path:
    """The package's archive, fetched by one process for all. Skips where no registry answers."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(home) / "sandpiper-tests"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "webhooks-examples-7.6.1.tgz"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists() or digest_of(target) != INTEGRITY:
            fetch(folder, target)
    assert digest_of(target) == INTEGRITY, f"{PACKAGE} is not what was pinned"
    return target


def fetch(folder: Path, target: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"npm, which fetches {PACKAGE}, is not installed")
    work = folder / f"work-{os.getpid()}"
    work.mkdir(exist_ok=True)
    try:
        subprocess.run(
            [npm, "pack", "--silent", "--fetch-retries=1", PACKAGE],
            cwd=work,
            check=True,
            capture_output=True,
            timeout=SECONDS,
        )
        next(work.glob("*.tgz")).replace(target)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired, StopIteration) as error:
        pytest.skip(f"no registry gave {PACKAGE}: {type(error).__name__}")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def digest_of(file: Path) -> str:
    if file.stat().st_size > BYTES:
        return "too large"
    return "sha512-" + base64.b64encode(hashlib.sha512(file.read_bytes()).digest()).decode()


@cache
def examples() -> tuple[tuple[str, dict[str, Any]], ...]:
    with tarfile.open(archive()) as tar:
        member = tar.extractfile(MEMBER)
        assert member is not None
        read = json.loads(member.read(BYTES))
    return tuple((each["name"], payload) for each in read for payload in each["examples"])


def forge_of(event: Event) -> FakeForge:
    """A repository where the event is true and its actor may do all: more decisions are reached than by strangers."""
    forge = FakeForge(branches={event.repository.default_branch: "3" * 40})
    forge.permissions[event.actor.login] = "admin"
    forge.files[".github/bot.yml", event.repository.default_branch] = POLICY
    if event.subject is not None:
        forge.subjects[event.subject.number] = event.subject
        forge.comments[event.subject.number] = [event.trigger.comment] if event.trigger.kind == "comment" else []
    if event.trigger.kind == "failed":
        forge.failures[event.trigger.head.sha] = (CheckFailure(name="build"),)
    return forge


def judged(name: str, payload: dict[str, Any], given: Settings | None = None) -> Decision:
    given = given or Settings(trusted_bots=(49699333,))
    event = parse_event(name, load_payload(json.dumps(payload).encode()), settings=given, delivery="d-1")
    assert Event.model_validate_json(event.model_dump_json()) == event
    screened = gate.screen(event, given)
    assert screened is None or screened.reason
    decision = decide(event, reader=FakeReader(forge_of(event)), settings=given, model=None)
    assert DECISION.validate_json(DECISION.dump_json(decision)) == decision
    return decision


def test_every_published_payload_gets_a_reasoned_decision(capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    for name, payload in examples():
        decision = judged(name, payload)
        assert isinstance(decision, Ignore | Refuse | Answer | Go), name
        assert decision.code, name
        assert len(decision.reason) > 10, name
        counts[f"{decision.kind}: {decision.code}"] += 1
    with capsys.disabled():
        print(f"\n{sum(counts.values())} payloads of {PACKAGE}")
        for words, count in counts.most_common():
            print(f"{count:5}  {words}")
    assert sum(counts.values()) >= 329
    assert counts["run: accepted"] >= 2, "pull requests and reviews that policy starts"
    assert counts["answer: triage"] >= 1


def test_a_published_comment_with_a_command_in_it_starts_a_run() -> None:
    """The examples hold no command: their own words are replaced, the rest is GitHub's."""
    started = 0
    for name, original in examples():
        key = {"issue_comment": "comment", "pull_request_review_comment": "comment", "pull_request_review": "review"}
        if name not in key or original.get("action") not in ("created", "submitted"):
            continue
        payload = copy.deepcopy(original)
        payload[key[name]]["body"] = "/bot explain this"
        payload[key[name]]["user"] = payload["sender"]
        decision = judged(name, payload)
        if isinstance(decision, Go):
            started += 1
            assert decision.spec.instructions == "this"
    assert started >= 3


def places(value: Any, depth: int = 5) -> Iterator[tuple[str | int, ...]]:
    if depth == 0:
        return
    steps: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in steps:
        yield (key,)
        yield from ((key, *rest) for rest in places(below, depth - 1))


junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["\ud800", "\0", "", "x" * 70_000, "a/b", "../..", "0" * 40, "/bot fix", [], {}, [{}], {"id": 1}]),
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_payload_with_parts_missing_null_or_of_another_type(data: st.DataObject) -> None:
    """The door says what is wrong by its own error, with a stable code, or there is a decision."""
    known = [(name, payload) for name, payload in examples() if (name, payload.get("action")) in PARSERS]
    known += [(name, payload) for name, payload in examples() if (name, "*") in PARSERS]
    name, original = data.draw(st.sampled_from(known))
    payload = copy.deepcopy(original)
    for _ in range(data.draw(st.integers(1, 4))):
        found = list(places(payload))
        if not found:
            break
        *path, last = data.draw(st.sampled_from(found))
        target: Any = payload
        for step in path:
            target = target[step]
        if data.draw(st.booleans()) or isinstance(last, int):
            target[last] = data.draw(junk)
        else:
            del target[last]
    try:
        run_id_of(parse_event(name, payload, settings=Settings()))
        assert judged(name, payload).reason
    except EventError as error:
        if error.code not in ("payload_invalid", "input_invalid") or not error.hint:
            raise

"""What a run left behind -> the oracles U1 to U12: each raises AssertionError with what it found.

They know nothing of the case that was played: a test plays a story, hands over the evidence, and all of them must hold.
"""

from __future__ import annotations

import base64
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from bot.errors import SandpiperError
from bot.marks import Mark, read_mark
from bot.store.folder import FolderStore
from bot.types.decision import Go
from bot.types.run import Run
from tests.github_server.history import contains
from tests.github_server.ledger import LEVELS, Thing
from tests.github_server.records import Repo
from tests.github_server.server import GitHubServer
from tests.github_server.trees import files_of, read_commit
from tests.seen import REFUSAL
from tests.tripwire import SERVERS, Tripwire

NEVER = ("administration", "workflows", "secrets", "members", "organization_administration", "environments")
"""Permissions that no token of ours may have."""
COMMENT_LIMIT = 65_536
STATE_LIMIT = 50_000_000
"""Bytes of the state folder after a small run."""
LOG_LIMIT = 200_000
PATIENCE = 900.0
"""Seconds that a run may wait for GitHub on top of its task's own minutes."""


@dataclass
class Allowed:
    """Everything that the task at hand may write."""

    repo: str
    number: int
    """The issue or pull request that it was started on."""
    branch: str = ""
    """The one existing branch that may be forwarded, empty for none."""
    prefix: str = "refs/heads/bot/"
    """Beginning of the refs that may be created."""
    labels: frozenset[str] = frozenset()
    """Labels that may come and go on the subject."""
    permissions: Mapping[str, str] = field(default_factory=dict)
    """The most that a token of an App may hold."""
    counts: Mapping[str, int] = field(
        default_factory=lambda: {"comment": 1, "refusal": 1, "issue": 1, "ref": 1, "check": 2, "reaction": 1}
    )
    """How many of a kind may be created over all tries; `issue` is the pull request."""


class Standing(NamedTuple):
    """What runs at a moment."""

    threads: frozenset[int]
    """By their identity."""
    children: frozenset[str]
    """Processes that this thread started."""


def standing() -> Standing:
    """What runs now."""
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    started = children.read_text().split() if children.exists() else []
    return Standing(frozenset(each.ident or 0 for each in threading.enumerate()), frozenset(started))


@dataclass
class Evidence:
    """One story, told to its end."""

    server: GitHubServer
    allowed: Allowed
    state: Path
    run: Run
    log: str
    secrets: tuple[str, ...]
    waited: float = 0.0
    """Seconds that the run took or would have waited."""
    wire: Tripwire | None = None
    reachable: bool = True
    """Whether the comment could still be written at the end."""
    strangers: Sequence[bytes] = ()
    """What arrived at hosts that are not the API."""
    lost: frozenset[str] = frozenset()
    """Tokens that could not be given back in an earlier try: they end within the hour."""
    there: Standing = field(default_factory=lambda: Standing(frozenset(), frozenset()))
    """What ran in this process before the story: other tests' doing."""

    @property
    def repo(self) -> Repo:
        """The repository, under whatever name it has by now."""
        world, name = self.server.world, self.allowed.repo.lower()
        return world.repos.get(name) or world.moved[name]


def check_all(found: Evidence) -> None:
    """Every oracle but U3, which compares two stories."""
    for oracle in (
        no_secret_left, writes_allowed, nothing_executed, nothing_outside, nothing_left_behind, status_is_true,
        within_caps, tokens_kept, log_is_inert, store_intact, within_budget,
    ):  # fmt: skip
        oracle(found)


# --- U1 ---------------------------------------------------------------------------------------------------------


def encodings(secret: str) -> Iterator[tuple[str, bytes]]:
    """A secret in every form in which it could leave."""
    data = secret.encode()
    for name, form in (("plain", data), ("reversed", data[::-1])):
        yield name, form
        yield f"{name}, hex", form.hex().encode()
        yield f"{name}, HEX", form.hex().upper().encode()
        for offset in range(3):
            whole = base64.b64encode(b"\0" * offset + form).rstrip(b"=")
            part = whole[(0, 2, 3)[offset] : len(whole) - 1]
            yield f"{name}, base64 at {offset}", part
            yield f"{name}, base64url at {offset}", part.replace(b"+", b"-").replace(b"/", b"_")
    yield "URL", quote(data, safe="").encode()
    yield "URL, every byte", "".join(f"%{byte:02x}" for byte in data).encode()


def secret_in(data: bytes, secret: str) -> str | None:
    """The form in which a secret stands in some bytes; also when it is cut up by blanks, quotes and the like."""
    for name, form in encodings(secret):
        if form in data:
            return name
    if secret.encode() in unquote_to_bytes(data):
        return "URL"
    bare = re.sub(rb"[^A-Za-z0-9]", b"", data.replace(rb"\n", b"")).lower()
    needle = re.sub(r"[^A-Za-z0-9]", "", secret).lower().encode()
    return "split" if needle in bare or needle[::-1] in bare else None


def sent_bytes(found: Evidence) -> Iterator[tuple[str, bytes]]:
    """Everything that left, by name: requests without their Authorization, refs, commits and their files."""
    for request in (*found.server.requests, *found.server.git_requests):
        headers = "\n".join(f"{name}: {value}" for name, value in request.headers.items() if name != "authorization")
        line = f"{request.method} {request.path}?{request.query}\n{headers}\n"
        yield f"request {request.method} {request.path}", line.encode() + request.raw
    for name, repo in found.server.world.repos.items():
        for ref, sha in repo.git.refs("refs/heads/").items():
            yield f"{name} {ref}", ref.encode() + read_commit(repo.git, sha).message.encode()
            for path, data in files_of(repo.git, sha).items():
                yield f"{name} {ref}:{path}", path.encode() + data


def kept_bytes(found: Evidence) -> Iterator[tuple[str, bytes]]:
    """The log and every file of the state folder."""
    yield "log", found.log.encode("utf-8", "surrogatepass")
    for path in sorted(found.state.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield (
                f"state/{path.relative_to(found.state)}",
                str(path.relative_to(found.state)).encode() + path.read_bytes(),
            )


def no_secret_left(found: Evidence) -> None:
    """U1: no secret, in any encoding, in any byte that left."""
    everywhere = [*sent_bytes(found), *kept_bytes(found)]
    everywhere += [(f"another host: {data[:80]!r}", data) for data in found.strangers]
    whole = b"\n\n".join(data for _, data in everywhere)
    for secret in found.secrets:
        if secret_in(whole, secret) is None:
            continue
        for where, data in everywhere:
            form = secret_in(data, secret)
            assert form is None, f"U1: {secret[:12]}... stands in {where} ({form})"


# --- U2 ---------------------------------------------------------------------------------------------------------


def writes_allowed(found: Evidence) -> None:
    """U2: every change on the server is on the task's list, and no more often than it may be."""
    allowed, made = found.allowed, Counter[str]()
    ours: set[Thing] = set()
    for write in found.server.ledger:
        for thing, (before, after) in write.changes.items():
            wrong = breach(found, thing, before, after, ours)
            assert wrong is None, f"U2: write {write.number} {write.method} {write.path}: {wrong}"
            if before is None:
                ours.add(thing)
                made["refusal" if thing.kind == "comment" and REFUSAL in after else thing.kind] += 1
    for kind, count in made.items():
        if kind not in ("label", "token"):
            assert count <= allowed.counts.get(kind, 0), f"U2: {count} x {kind} created"


def breach(found: Evidence, thing: Thing, before: Any, after: Any, ours: set[Thing]) -> str | None:
    """Why a change is not allowed; None where it is."""
    allowed = found.allowed
    if thing.kind == "token":
        return None  # U9 looks at those
    if thing.repo not in (allowed.repo.lower(), found.repo.full_name.lower()):  # it may be renamed meanwhile
        return f"another repository: {thing}"
    if thing.kind == "ref":
        return ref_breach(found, thing, before, after, ours)
    if thing.kind == "label":
        return None if before is None and thing.name in allowed.labels else f"label {thing.name}: {before} -> {after}"
    if thing.kind == "issue":
        return issue_breach(allowed, thing, before, after)
    if thing.kind in ("comment", "reaction", "review", "review_comment", "thread"):
        own = thing.on == allowed.number and after is not None and (before is None or thing in ours)
        return None if own else f"{thing} changed: {before!r} -> {after!r}"
    if thing.kind == "check":
        return None if before is None or thing in ours else f"somebody else's check: {thing}"
    return f"{thing.kind} is not on the list: {thing}"


def ref_breach(found: Evidence, thing: Thing, before: Any, after: Any, ours: set[Thing]) -> str | None:
    """A branch of ours may be made; the one branch that may be forwarded moves to a descendant."""
    allowed, git = found.allowed, found.repo.git
    if before is None:
        return None if thing.name.startswith(allowed.prefix) else f"{thing.name} created"
    forward = after is not None and contains(git, after, before)
    if forward and (thing in ours or thing.name == f"refs/heads/{allowed.branch}"):
        return None
    return f"{thing.name}: {before} -> {after}" + ("" if forward else ", forced or deleted")


def issue_breach(allowed: Allowed, thing: Thing, before: Any, after: Any) -> str | None:
    """On the subject labels may change; new is only a draft pull request from a branch of ours."""
    if before is None:
        new = after.get("draft") and f"refs/heads/{after.get('head')}".startswith(allowed.prefix)
        return None if new else f"#{thing.name} opened: {after}"
    if after is None or thing.on != allowed.number:
        return f"#{thing.name} changed: {before} -> {after}"
    rest = {name for name in before if before[name] != after[name]} - {"labels"}
    moved = set(before["labels"]) ^ set(after["labels"])
    return f"#{thing.name}: {sorted(rest)} {sorted(moved)}" if rest or not moved <= allowed.labels else None


# --- U4, U5 -----------------------------------------------------------------------------------------------------------


def nothing_executed(found: Evidence) -> None:
    """U4: nothing was started on the host."""
    assert found.wire is None or found.wire.executed == [], f"U4: {found.wire.executed}"


def nothing_outside(found: Evidence) -> None:
    """U5: no file of the host changed outside of the state folder."""
    assert found.wire is None or found.wire.outside == [], f"U5: {found.wire.outside}"


# --- U6 ---------------------------------------------------------------------------------------------------------


def nothing_left_behind(found: Evidence) -> None:
    """U6: no process, thread, sandbox, checkout or half-written file."""
    processes = standing().children - found.there.children
    assert not processes, f"U6: processes {processes}"
    left = [each.name for each in threading.enumerate() if each.ident not in found.there.threads and not quiet(each)]
    assert left == [], f"U6: threads {left}"
    half = [str(path) for path in found.state.rglob("*") if path.suffix == ".tmp" or path.name == "checkout"]
    assert half == [], f"U6: {half}"


def quiet(thread: threading.Thread) -> bool:
    """Threads of servers that tests play, and of pytest and xdist."""
    return any(word in thread.name for word in (*SERVERS, "execnet", "timeout", "Dummy"))


# --- U7 ---------------------------------------------------------------------------------------------------------


def marks_of(found: Evidence) -> list[Mark]:
    """What our comments say to machines."""
    bodies = [
        comment.body
        for issue in found.repo.issues.values()
        for comment in issue.comments
        if comment.user.login.endswith("[bot]")
    ]
    return [mark for mark in map(read_mark, bodies) if mark is not None]


def status_is_true(found: Evidence) -> None:
    """U7: a terminal status in time, and the one that people see is the one that the store has."""
    run = found.run
    assert run.status == "completed", f"U7: {run.status}"
    assert run.conclusion is not None, "U7: no conclusion"
    assert run.conclusion in ("success", "skipped", "neutral") or run.failure or (run.result and run.result.held)
    spec = run.decision.spec if isinstance(run.decision, Go) else None
    deadline = (spec.task.limits.minutes * 60 if spec else 0) + PATIENCE
    assert found.waited <= deadline, f"U7: it took {found.waited:.0f} s of {deadline:.0f}"
    if not found.reachable:
        return
    for mark in marks_of(found):
        assert (mark.status, mark.conclusion) == ("completed", run.conclusion), f"U7: the comment says {mark}"
    for check in found.repo.check_runs[-1:]:
        assert check.fields["status"] == "completed", f"U7: a check run is {check.fields['status']}"


# --- U8 ---------------------------------------------------------------------------------------------------------


def within_caps(found: Evidence) -> None:
    """U8: comments within GitHub's limit, state and log within ours."""
    for name, repo in found.server.world.repos.items():
        for issue in repo.issues.values():
            for body in (issue.body or "", *repo.comments(issue.number)):
                assert len(body) <= COMMENT_LIMIT, f"U8: {name}#{issue.number} has a text of {len(body)} characters"
                body.encode()  # no half of a pair
    size = sum(path.stat().st_size for path in found.state.rglob("*") if path.is_file())
    assert size <= STATE_LIMIT, f"U8: the state folder has {size} bytes"
    assert len(found.log) <= LOG_LIMIT, f"U8: the log has {len(found.log)} characters"


# --- U9 ---------------------------------------------------------------------------------------------------------


def tokens_kept(found: Evidence) -> None:
    """U9: this repository only, no permission that is not needed, nothing sent elsewhere, revoked at the end."""
    name = found.allowed.repo.lower()
    lost = found.lost | set(lost_tokens(found.server))
    for data in found.strangers:
        assert b"authorization" not in data.lower(), "U9: a token was sent to another host"
    for token in found.server.world.tokens.values():
        if token.kind != "app":
            continue
        assert token.repos == {name}, f"U9: a token reaches {token.repos}"
        for permission, level in (token.permissions or {"everything": "admin"}).items():
            most = found.allowed.permissions.get(permission, "read" if permission == "metadata" else "none")
            assert permission not in NEVER or level == "none", f"U9: a token has {permission}: {level}"
            assert LEVELS.index(level) <= LEVELS.index(most), f"U9: a token has {permission}: {level}"
        assert token.revoked or not found.reachable or token.value in lost, (
            f"U9: a token was not revoked: {token.permissions}"
        )
    for write in found.server.ledger:
        minted = any(thing.kind == "token" for thing in write.changes)
        assert write.who.phase == "write" or minted or not write.changes, f"U9: {write.path} as {write.who.phase}"


def lost_tokens(server: GitHubServer) -> Iterator[str]:
    """Those that nobody can give back: their making was not answered, or GitHub refused them or their return."""
    for write in server.ledger:
        yield from (thing.name for thing in write.changes if write.fault)
    for request in server.requests:
        if request.fault == "expired" or (request.fault and request.path == "/installation/token"):
            yield request.headers.get("authorization", "").partition(" ")[2]


# --- U10 --------------------------------------------------------------------------------------------------------

AT_START = re.compile(r"^\s*::[a-z][\w-]*(?: [^:]*)?::", re.IGNORECASE)
ANYWHERE = re.compile(r"##\[[a-z][\w-]*[ \]]", re.IGNORECASE)
OWN = re.compile(r"^::(add-mask|group|endgroup|error|warning|notice)[ :]")


def commands_in(log: str, *, own: bool = False) -> list[str]:
    """Lines that one of the runner's two parsers would obey; `own`: those that the Action itself prints are fine."""
    lines = re.split(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", re.sub(r"[\x00-\x08\u200b-\u200f\ufeff]", "", log))
    return [line for line in lines if ANYWHERE.search(line) or (AT_START.match(line) and not (own and OWN.match(line)))]


def log_is_inert(found: Evidence) -> None:
    """U10: no workflow command in the job's log."""
    assert commands_in(found.log) == [], f"U10: {commands_in(found.log)}"


# --- U11, U12 ---------------------------------------------------------------------------------------------------


def store_intact(found: Evidence) -> None:
    """U11: every record can be read, belongs to its folder, and says what was returned. U1 looks for secrets in it."""
    store = FolderStore(found.state)
    folders = sorted(path.name for path in (found.state / "runs").glob("*"))
    try:
        runs = [store.load(name) for name in folders]
    except SandpiperError as error:
        raise AssertionError(f"U11: {error}") from error
    assert None not in runs, "U11: a folder without a record"
    said = {(run.run_id, run.status, run.conclusion, run.failure, run.receipts) for run in runs if run is not None}
    told = (found.run.run_id, found.run.status, found.run.conclusion, found.run.failure, found.run.receipts)
    assert told in said, "U11: the record is not what was returned"


def within_budget(found: Evidence) -> None:
    """U12: spent no more than the task's budget."""
    run = found.run
    if run.result is not None and isinstance(run.decision, Go):
        spent, most = run.result.usage.usd, run.decision.spec.task.limits.usd
        assert spent <= most, f"U12: {spent} of {most} US dollars"

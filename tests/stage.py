"""A whole run against the stateful GitHub, in this process and without waiting: real forge and store, fake sandbox."""

from __future__ import annotations

import functools
import io
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from bot.agent.runtimes.builtin import BuiltinRuntime
from bot.deps import Deps
from bot.forge.client.credentials import open_credentials
from bot.forge.events.parsing import parse_event
from bot.forge.forge import open_forge
from bot.pipeline import handle
from bot.redaction import Secrets, secrets_of
from bot.settings import Settings
from bot.store.folder import FolderStore
from bot.telemetry.display import plain_observer, watched_by
from bot.testing.llm import Line, ScriptedLLM
from bot.testing.sandbox import FakeProvider
from bot.types.event import Event, Subject
from bot.types.run import Progress, Run
from bot.types.task import RunSpec
from tests.github_server.door import Listener
from tests.github_server.exchange import Answer, Request
from tests.github_server.records import Issue
from tests.github_server.server import GitHubServer
from tests.github_server.trees import files_of
from tests.github_server.webhooks import issue_comment_created, issues_labeled
from tests.oracles import Allowed, Evidence, check_all, standing
from tests.pipeline_fixtures import FIX, make
from tests.seen import state_of
from tests.tripwire import tripwire

NAME = "octo/hello"
TOKEN = "ghs_1234567_" + "CaNaRyOfTheJobsToken0123456789".join(("aB3", "dE5", "fG7"))
MODEL_KEY = "sk-CaNaRyOfTheModelKey-9876543210abcdef"
HOST_SECRET = "hUnTeR2-of-the-host-CaNaRy-5550123"
ENVIRON = {"DEPLOY_PASSWORD": HOST_SECRET, "PATH": "/usr/bin"}
POLICY = """\
version: 1
tasks:
  fix:
    verify: [make test]
    outputs: [comment, labels, patch, branch, pull_request, check]
    labels: [fixed]
"""
FILES = {".github/bot.yml": POLICY, "table.txt": "old\n", "other.txt": "one\n"}
GRANTED = {"metadata": "read", **dict.fromkeys(("contents", "issues", "pull_requests", "checks"), "write")}
"""The most that a token of an App may hold in these stories."""
PRICE = 0.01
"""US dollars of each call of the model."""


class Naps:
    """Sleeping that takes no time: the server's clock and JWTs stay on ours."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self.rest: Callable[[float], None] = lambda seconds: None
        self._lock = threading.Lock()

    def sleep(self, seconds: float) -> None:
        """Keep it and go on."""
        with self._lock:
            self.taken.append(seconds)
        self.rest(seconds)


class Trap:
    """Another host: whoever talks to it is written down, and gets an answer that would do."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.listener = Listener(self.take)

    def take(self, request: Request) -> Answer:
        """Any request."""
        headers = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
        self.heard.append(f"{request.method} {request.path}\n{headers}\n".encode() + request.raw)
        return Answer(200, [])


class StoredCheckouts:
    """Checkouts that are the files of the server's commit."""

    def __init__(self, server: GitHubServer) -> None:
        self._git = server.repo(NAME).git

    def prepare(self, spec: RunSpec, into: Path) -> Path:
        """A new folder at the pinned commit."""
        for path, data in files_of(self._git, spec.revision.sha).items():
            target = into / "files" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        return into / "files"


@dataclass(frozen=True)
class Listening:
    """An Observer that hands news on."""

    notify: Callable[[Progress], None]


@dataclass
class Stage:
    """A server on which something has just happened, and a machine on which the bot answers it."""

    server: GitHubServer
    folder: Path
    event: Event
    allowed: Allowed
    trap: Trap
    script: Sequence[Line] = tuple(FIX)
    naps: Naps = field(default_factory=Naps)
    log: io.StringIO = field(default_factory=io.StringIO)
    app_key: str = ""
    """The App's private key, where an App acts; else the job's token does."""
    lost: set[str] = field(default_factory=set)
    """Tokens that a try could not give back, because GitHub did not answer any more."""
    working: Callable[[Path], None] = lambda workspace: None
    """Called with the workspace at each command: what a hostile program or somebody on GitHub does meanwhile."""
    hear: Callable[[Progress], None] = lambda news: None
    """Called with every piece of news."""
    models: list[ScriptedLLM] = field(default_factory=list)
    """The model of each try."""
    boxes: list[FakeProvider] = field(default_factory=list)
    """The sandboxes of each try."""

    @property
    def settings(self) -> Settings:
        """The operator's."""
        signs = {"app_id": "77", "app_key": SecretStr(self.app_key)} if self.app_key else {"token": SecretStr(TOKEN)}
        return Settings(
            **signs,
            api_url=self.server.url,
            server_url=self.server.html_url,
            model_key=SecretStr(MODEL_KEY),
            state=self.folder / "state",
        )

    @property
    def subject(self) -> Issue:
        """What the run was started on."""
        return self.server.repo(NAME).issues[self.allowed.number]

    @property
    def subject_value(self) -> Subject:
        """What the event says of it."""
        assert self.event.subject is not None
        return self.event.subject

    def play(self, attempt: int = 1) -> Evidence:
        """One try by a new process: new adapters, the same disk. Returns the evidence."""
        started, naps, there = time.monotonic(), len(self.naps.taken), standing()
        with tripwire(self.folder, Path(self.server.scratch.name)) as wire:
            run = self._handle(self.event.changed(attempt=attempt))
        waited = time.monotonic() - started + sum(self.naps.taken[naps:])
        secrets = tuple({MODEL_KEY, HOST_SECRET, *self.server.world.tokens, *self.app_key.splitlines()[9:10]})
        return Evidence(
            self.server, self.allowed, self.folder / "state", run, self.log.getvalue(), secrets, waited, wire,
            strangers=tuple(self.trap.heard), lost=frozenset(self.lost), there=there,
        )  # fmt: skip

    def _handle(self, event: Event) -> Run:
        settings = self.settings
        secrets = Secrets(secrets_of(ENVIRON, settings))
        lent = open_credentials(settings, ENVIRON, NAME, hide=secrets.add, sleep=self.naps.sleep)
        reader, writer = open_forge(settings, NAME, credentials=lent, sleep=self.naps.sleep)
        llm = ScriptedLLM(self.script, price=PRICE)
        self.models.append(llm)
        self.boxes.append(FakeProvider(self.folder / "boxes", self._make))
        deps = Deps(
            settings=settings,
            reader=reader,
            writer=writer,
            store=FolderStore(settings.state),
            sandboxes=self.boxes[-1],
            runtime=lambda spec: BuiltinRuntime(llm),
            model=lambda name: llm,
            checkouts=StoredCheckouts(self.server),
            watch=watched_by(
                plain_observer(self.log, clock=lambda: datetime.now(UTC)), Listening(self.hear), secrets=secrets
            ),
            cancelled=lambda: False,
            secrets=secrets,
            give_back=lent.close,
        )
        with closing(deps):
            return handle(event, deps)

    def _make(self, request: Any, workspace: Path) -> Any:
        self.working(workspace)
        return make(request, workspace)

    def state(self) -> dict[str, Any]:
        """What people see."""
        return state_of(self.server, NAME)

    def judge(self, found: Evidence, *, reachable: bool = True) -> Run:
        """Hold the evidence against every oracle that needs no comparison."""
        found.reachable = reachable
        if not reachable:
            self.lost.update(self.server.world.tokens)
        check_all(found)
        assert self.server.violations == []
        assert self.server.unknown == []
        return found.run

    def machine_lost(self) -> None:
        """The next try runs on another machine, as jobs do: nothing of the last one's disk is left."""
        shutil.rmtree(self.folder / "state", ignore_errors=True)


Tell = Callable[[GitHubServer, Path, Trap], Stage]


def labelled_issue(server: GitHubServer, folder: Path, trap: Trap) -> Stage:
    """maria labels an issue: a branch and a draft pull request are due."""
    number = seed(server).number
    payload = issues_labeled(server, NAME, number, "bot:fix", "maria")
    labels = frozenset({"bot:fix", "fixed"})
    return Stage(server, folder, event_of("issues", payload), Allowed(NAME, number, labels=labels), trap)


def command_on_pull(server: GitHubServer, folder: Path, trap: Trap) -> Stage:
    """maria comments `/bot fix` on a pull request of this repository: a commit on its branch is due."""
    seed(server)
    pull = server.open_pull(NAME, {"other.txt": "two\n"}, title="Two", user="maria", head="feature")
    comment = server.comment(NAME, pull.number, "/bot fix", "maria")
    payload = issue_comment_created(server, NAME, comment.id)
    allowed = Allowed(NAME, pull.number, branch="feature", labels=frozenset({"fixed"}))
    return Stage(server, folder, event_of("issue_comment", payload), allowed, trap)


def app_on_pull(server: GitHubServer, folder: Path, trap: Trap) -> Stage:
    """The same, answered by a GitHub App that may do more than one run needs."""
    stage = command_on_pull(server, folder, trap)
    private, public = app_keys()
    server.add_app(77, "sandpiper", [NAME, "octo/other"], {**GRANTED, "actions": "write", "workflows": "write"}, public)
    del server.world.tokens[TOKEN]
    return replace(stage, app_key=private, allowed=replace(stage.allowed, permissions=GRANTED))


@functools.cache
def app_keys() -> tuple[str, str]:
    """A private key and its public one in PEM."""
    key = rsa.generate_private_key(65537, 2048)
    kind, plain = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, kind, plain)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def seed(server: GitHubServer) -> Any:
    """The repository with its people, and the labelled issue."""
    server.add_repo(NAME, FILES)
    server.add_repo("octo/other", {"README.md": "Not ours.\n"})
    server.add_token(TOKEN, repos=[NAME])
    server.add_user("maria")
    server.set_permission(NAME, "maria", "write")
    server.open_issue("octo/other", title="Not ours")
    return server.open_issue(NAME, title="The table is old", labels=["bot:fix"])


def event_of(name: str, payload: Any) -> Event:
    """The event, with an identity that is the same on every server, so that branches have the same names."""
    event = parse_event(name, payload, settings=Settings())
    return event.changed(id="the same", repository=event.repository.changed(id=1))


@contextmanager
def staged(tell: Tell, folder: Path) -> Iterator[Stage]:
    """A server, another host, and a folder that is gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    trap = Trap()
    threading.Thread(target=trap.listener.serve_forever, args=(0.02,), daemon=True).start()
    try:
        with GitHubServer() as server:
            yield tell(server, folder, trap)
    finally:
        trap.listener.shutdown()
        trap.listener.server_close()
        shutil.rmtree(folder, ignore_errors=True)

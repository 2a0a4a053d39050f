"""A large proposal published three ways -> time, memory and requests, as Markdown.

`python bench/publish.py [ROUNDS] [SCALE]`: scale 1 is 10,000 files and 100 MB, the most that a task may change. The
server is the stateful one of the tests, in a process of its own, on loopback. Every subject publishes contents of its
own in each round, so that nobody profits from what another has stored. The floor is `git push` over HTTP of a commit
that was made before; the peer is a plain PyGithub script with `create_git_blob` for each file. Neither compares what
arrived, and the peer keeps no pace: GitHub stops it after 180 such requests in a minute. ROUNDS 0 measures once.
"""

from __future__ import annotations

import base64
import multiprocessing
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from rows import Goal, Once, Row, Sample, measure, memory_peak, table, timer

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the tests' server and proposals are not installed

from bot.forge.forge import open_forge  # noqa: E402
from bot.settings import Settings  # noqa: E402
from bot.types.output import Commit  # noqa: E402
from tests.big_proposal import Proposal, base_files, make_proposal  # noqa: E402
from tests.github_server.server import GitHubServer  # noqa: E402

NAME, TOKEN = "octo/bench", "t0ken"
OURS, PEER, FLOOR = "Sandpiper", "PyGithub, one file after the other", "git push"


class Server:
    """The test server in a child process, asked over a pipe."""

    def __init__(self, scale: float) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=_serve, args=(theirs, scale), daemon=True)
        self._process.start()
        self.url, self.html, self.head = self._pipe.recv()

    def requests(self) -> int:
        """How many there were since the last call."""
        self._pipe.send("count")
        return int(self._pipe.recv())

    def close(self) -> None:
        self._pipe.send("end")
        self._process.join(60)


def _serve(pipe: Connection, scale: float) -> None:
    with GitHubServer() as server:
        repo = server.add_repo(NAME, base_files(scale))
        # A job's token may ask 1,000 times an hour, which would end the peer's row after a tenth.
        server.add_token(TOKEN).used = -1_000_000
        pipe.send((server.url, server.html_url, repo.git.ref("refs/heads/main")))
        while pipe.recv() == "count":
            pipe.send(len(server.requests) + len(server.git_requests))
            server.requests.clear()
            server.git_requests.clear()
            server.ledger.clear()


class Bench:
    """What the subjects share."""

    def __init__(self, server: Server, folder: Path, scale: float) -> None:
        self.server, self.folder, self.scale = server, folder, scale
        self.requests: dict[str, int] = {}
        self.round: dict[str, int] = {}

    def publish(self, name: str, publish: Callable[[Proposal, str], Callable[[], None]]) -> Once:
        """A subject's measurement: `publish` prepares, what it returns is timed."""

        def once() -> Sample:
            number = self.round[name] = self.round.get(name, 0) + 1
            ready = publish(make_proposal(self.scale, f"{name} {number}"), f"bot/{name[:3].lower()}-{number}")
            self.server.requests()
            with memory_peak() as grown, timer() as passed:
                ready()
                sample = passed()
            self.requests[name] = self.server.requests()
            return Sample(sample.value / 1000, grown())

        return once

    def ours(self, proposal: Proposal, branch: str) -> Callable[[], None]:
        """All that the forge room does for a commit; the comparison included."""
        blobs = self.folder / branch
        output = Commit(
            key="commit",
            branch=branch,
            create=True,
            parent=self.server.head,
            message="Change it",
            files=proposal.changes(blobs),
        )
        settings = Settings(token=SecretStr(TOKEN), api_url=self.server.url, server_url=self.server.html)
        # The pace for GitHub's limits is slept through in no time; a note says what it would add.
        writer = open_forge(settings, NAME, sleep=lambda _: None)[1]
        return lambda: (writer.apply(output, blobs=blobs), None)[1]

    def peer(self, proposal: Proposal, branch: str) -> Callable[[], None]:
        """What a script does; PyGithub's own pauses between requests are switched off."""
        from github import Auth, Github, InputGitTreeElement

        paths = proposal.before.keys() | proposal.after.keys()
        changed = sorted(path for path in paths if proposal.before.get(path) != proposal.after.get(path))
        options: dict[str, Any] = {"seconds_between_requests": 0, "seconds_between_writes": 0}
        repository = Github(auth=Auth.Token(TOKEN), base_url=self.server.url, **options).get_repo(NAME)

        def publish() -> None:
            rows = []
            for path in changed:
                mode, data = proposal.after.get(path, ("100644", b""))
                sha = None
                if path in proposal.after:
                    sha = repository.create_git_blob(base64.b64encode(data).decode(), "base64").sha
                rows.append(InputGitTreeElement(path, mode, "blob", sha=sha))
            head = repository.get_git_commit(self.server.head)
            tree = repository.create_git_tree(rows, head.tree)
            made = repository.create_git_commit("Change it", tree, [head])
            repository.create_git_ref(f"refs/heads/{branch}", made.sha)

        return publish

    def floor(self, proposal: Proposal, branch: str) -> Callable[[], None]:
        """The commit is made before; what is timed packs and sends it."""
        address = self.server.html.replace("://", f"://x-access-token:{TOKEN}@") + f"/{NAME}.git"
        work = self.folder / f"{branch}-git"
        _git(self.folder, "clone", "-q", address, str(work))
        for path in proposal.before.keys() - proposal.after.keys():
            (work / path).unlink()
        for path, (mode, data) in proposal.after.items():
            file = work / path
            if proposal.before.get(path) == (mode, data):
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            if mode == "120000":
                file.symlink_to(data.decode())
            else:
                file.write_bytes(data)
                file.chmod(int(mode[-3:], 8))
        _git(work, "add", "-A")
        _git(work, "-c", "user.name=b", "-c", "user.email=b@example.com", "commit", "-q", "-m", "Change it")
        return lambda: _git(work, "push", "-q", "origin", f"HEAD:refs/heads/{branch}")


def _git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


def main() -> int:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    scale = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-publish-")))
        server = Server(scale)
        stack.callback(server.close)
        bench = Bench(server, folder, scale)
        sample = make_proposal(scale, "count")
        count = len(sample.changes(folder / "count"))
        title = f"commit of {count:,} files, {sample.size / 1e6:.0f} MB"
        row = Row("publish", title, FLOOR, (Goal(OURS, 0.5, PEER),), unit="s", budget=600.0)
        row.add(FLOOR, lambda _: bench.publish(FLOOR, bench.floor))
        row.add(OURS, lambda _: bench.publish(OURS, bench.ours))
        row.add(PEER, lambda _: bench.publish(PEER, bench.peer))
        measure(row, rounds)
        for name, number in bench.requests.items():
            paced = f"; at GitHub's 180 writes a minute at least {number / 180:.1f} min" if name != FLOOR else ""
            row.notes.append(f"{name}: {number:,} requests{paced}")
        row.notes.append("memory: of the process that publishes, without the server; git's own is not in it")
        print(table(row))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A person's own checkout -> a local forge over its commits, so that a run there publishes to nobody.

Nothing is copied and nothing in the checkout is written: the forge's repository borrows the checkout's objects
(gitrepository-layout, `objects/info/alternates`) and has the same branches.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from bot.errors import ConfigurationError, ForgeError
from bot.forge.client.addresses import server_base
from bot.forge.local import gitdir
from bot.forge.local.reader import Person, Thread, write_json, write_thread
from bot.settings import Settings
from bot.types.event import Comment, Repository, Subject

DETACHED = "detached"
"""Name of the branch that stands for a checkout on no branch."""
_SCP = re.compile(r"^(?:[^@/:]+@)?(?P<host>[^/:]+):(?P<path>[^/].*)$")


def git_folder_of(place: Path) -> Path:
    """The git folder of the checkout that holds a folder; of a worktree, its own. Raises ConfigurationError."""
    for folder in (place, *place.parents):
        entry = folder / ".git"
        if entry.is_dir():
            return entry
        if entry.is_file() and (text := entry.read_text(encoding="utf-8").strip()).startswith("gitdir: "):
            return (folder / text.removeprefix("gitdir: ")).resolve()
    raise ConfigurationError("not_a_checkout", f"{place} is in no git repository", hint="run `git init` and commit")


def borrow(git_folder: Path, into: Path, full_name: str, people: dict[str, Person]) -> Repository:
    """Make the folder `into` a local forge with the checkout's branches; the current one is the default branch."""
    shared = git_folder / "commondir"
    common = (git_folder / shared.read_text(encoding="utf-8").strip()).resolve() if shared.is_file() else git_folder
    head = gitdir.resolve(git_folder, "HEAD")
    if head is None:
        raise ConfigurationError("no_commits", f"{git_folder} has no commit yet", hint="commit, then try again")
    into.mkdir(parents=True)
    (into / "issues").mkdir()
    repository = into / "repository.git"
    gitdir.git(repository, "init", "--quiet", "--bare", f"--object-format={'sha256' if len(head) == 64 else 'sha1'}")
    (repository / "objects" / "info" / "alternates").write_text(f"{common / 'objects'}\n", encoding="utf-8")
    if (common / "shallow").is_file():
        (repository / "shallow").write_bytes((common / "shallow").read_bytes())
    branch = _branch(git_folder)
    rows = gitdir.git(git_folder, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads").decode()
    refs = dict(row.split(" ") for row in rows.splitlines()) | {f"refs/heads/{branch}": head}
    lines = "".join(f"create {name} {sha}\n" for name, sha in refs.items())
    gitdir.git(repository, "update-ref", "--stdin", stdin=lines.encode())
    gitdir.git(repository, "symbolic-ref", "HEAD", f"refs/heads/{branch}")
    made = Repository(full_name=full_name, default_branch=branch, url=into.as_uri())
    write_json(into / "repository.json", made.model_dump(mode="json"))
    write_json(into / "people.json", {login: each.model_dump(mode="json") for login, each in people.items()})
    return made


def put_subject(folder: Path, subject: Subject, comments: Sequence[Comment]) -> None:
    """Place an issue or pull request that was read elsewhere into a local forge."""
    thread = Thread(
        kind=subject.kind,
        number=subject.number,
        title=subject.title,
        body=subject.body,
        state=subject.state,
        author=subject.author,
        labels=subject.labels,
        comments=tuple(comments),
        head=subject.pull.head.ref if subject.pull else None,
        base=subject.pull.base.ref if subject.pull else None,
        draft=subject.pull.draft if subject.pull else False,
    )
    write_thread(folder, thread)


def full_name_of(git_folder: Path, settings: Settings) -> str | None:
    """`owner/name` where the remote `origin` is on GitHub's server, else None."""
    try:
        url = gitdir.git(git_folder, "config", "--get", "remote.origin.url").decode().strip()
    except ForgeError:
        return None  # git's way to say that there is no such remote
    found = _SCP.match(url) if "://" not in url else None
    host, path = (found["host"], found["path"]) if found else (urlsplit(url).hostname or "", urlsplit(url).path)
    wanted = urlsplit(server_base(settings)).hostname
    name = path.strip("/").removesuffix(".git")
    return name if host == wanted and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+", name) else None


def _branch(git_folder: Path) -> str:
    try:
        return gitdir.git(git_folder, "symbolic-ref", "--quiet", "--short", "HEAD").decode().strip()
    except ForgeError:
        return DETACHED

"""Outputs -> files and commits of a local forge: what GitHub would be told, done to a folder."""

from __future__ import annotations

from pathlib import Path

from bot.blobs import read_blob
from bot.errors import Conflict, NotFound
from bot.forge.local import gitdir
from bot.forge.local.reader import (
    BOT,
    LocalReader,
    Thread,
    now,
    numbers,
    open_repository,
    read_thread,
    write_thread,
)
from bot.types.event import Comment
from bot.types.output import (
    Check,
    ClosePull,
    Commit,
    DeleteBranch,
    LabelChange,
    NewIssue,
    Note,
    Output,
    Pull,
    Reaction,
    Receipt,
    Reply,
    Revert,
    Review,
)


def open_local(folder: Path) -> tuple[LocalReader, LocalWriter]:
    """The two halves of a local forge. Raises ConfigurationError where the folder is none."""
    open_repository(folder)
    return LocalReader(folder), LocalWriter(folder)


class LocalWriter:
    """ForgeWriter over the folder; each write finds what an earlier, interrupted one has left."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._git = folder / "repository.git"

    def apply(self, output: Output, *, blobs: Path, doubt: bool = False) -> Receipt:
        match output:
            case Reaction():
                return self._reaction(output)
            case Note():
                return self._note(output)
            case LabelChange():
                return self._labels(output)
            case Commit():
                return self._commit(output, blobs)
            case Pull():
                return self._pull(output)
            case Check():
                return self._check(output)
            case Review():
                return self._review(output)
            case ClosePull() | DeleteBranch() | Revert():
                return self._undone(output)
            case NewIssue():
                return _open_issue(self._folder, output)
            case Reply():
                # A folder has no conversations on lines: it stands below the pull request.
                note = Note(key=output.key, number=output.number, marker=output.marker, body=output.body)
                return self._note(note).changed(kind=output.kind)

    def _reaction(self, output: Reaction) -> Receipt:
        thread = _thread(self._folder, output.number)
        mark = f"{output.comment or 'subject'}:{output.content}"
        if mark not in thread.reactions:
            write_thread(self._folder, thread.changed(reactions=(*thread.reactions, mark)))
        return Receipt(key=output.key, kind=output.kind)

    def _note(self, output: Note) -> Receipt:
        thread = _thread(self._folder, output.number)
        body = f"{output.marker}\n{output.body}"
        mine = [each for each in thread.comments if each.author == BOT and each.body.startswith(output.marker)]
        if mine:
            edited = mine[0].changed(body=body, updated_at=now())
            comments = tuple(edited if each.id == edited.id else each for each in thread.comments)
        else:
            number = max((each.id for each in thread.comments), default=output.number * 1000) + 1
            edited = Comment(id=number, author=BOT, body=body, created_at=now(), updated_at=now())
            comments = (*thread.comments, edited)
        write_thread(self._folder, thread.changed(comments=comments))
        return Receipt(
            key=output.key, kind=output.kind, id=edited.id, url=f"{_page(self._folder, output.number)}#{edited.id}"
        )

    def _labels(self, output: LabelChange) -> Receipt:
        thread = _thread(self._folder, output.number)
        kept = [each for each in thread.labels if each not in output.remove]
        labels = (*kept, *(each for each in output.add if each not in kept))
        write_thread(self._folder, thread.changed(labels=labels))
        new = [each for each in output.add if each not in thread.labels]
        return Receipt(key=output.key, kind=output.kind, name="\n".join(new))

    def _commit(self, output: Commit, blobs: Path) -> Receipt:
        contents = [(each, read_blob(blobs, each.new) if each.new else b"") for each in output.files]
        when = gitdir.git(self._git, "show", "-s", "--format=%cI", output.parent).decode().strip()
        author = {"name": BOT.login, "email": f"{BOT.login}@localhost", "date": when}
        sha = gitdir.write_commit(self._git, output.parent, contents, output.message, author)
        at = gitdir.resolve(self._git, f"refs/heads/{output.branch}")
        if at != sha:
            expected = None if output.create else output.parent
            if at != expected:
                raise Conflict("head_moved", f"branch {output.branch} is not where it was", hint="start the task again")
            gitdir.git(self._git, "update-ref", f"refs/heads/{output.branch}", sha, expected or "0" * 40)
        url = f"{self._git.as_uri()}#{output.branch}"
        return Receipt(key=output.key, kind=output.kind, sha=sha, url=url, name=output.branch)

    def _pull(self, output: Pull) -> Receipt:
        known = LocalReader(self._folder).subject(f":{output.head}")
        number = known.number if known else max(numbers(self._folder), default=0) + 1
        if known is None:
            pull = Thread(
                kind="pull_request",
                number=number,
                title=output.title,
                body=output.body,
                author=BOT,
                head=output.head,
                base=output.base,
                draft=True,
            )
            write_thread(self._folder, pull)
        return Receipt(key=output.key, kind=output.kind, id=number, url=_page(self._folder, number))

    def _check(self, output: Check) -> Receipt:
        """Check runs hang on commits; the folder keeps them with the thread whose head that commit is, if any."""
        reader = LocalReader(self._folder)
        for number in numbers(self._folder):
            subject, thread = reader.subject(number), _thread(self._folder, number)
            if subject and subject.pull and subject.pull.head.sha == output.sha:
                others = tuple(each for each in thread.checks if each.external != output.external)
                write_thread(self._folder, thread.changed(checks=(*others, output)))
                return Receipt(key=output.key, kind=output.kind, id=number, url=_page(self._folder, number))
        return Receipt(key=output.key, kind=output.kind)

    def _review(self, output: Review) -> Receipt:
        """Its remarks stand below its text: a folder has no diff to hang them on."""
        places = (f"**{each.path}:{each.line}**\n\n{each.body}" for each in output.remarks)
        body = "\n\n".join((output.body, *places))
        return self._note(Note(key=output.key, number=output.number, marker=output.marker, body=body)).changed(
            kind=output.kind
        )

    def _undone(self, output: ClosePull | DeleteBranch | Revert) -> Receipt:
        receipt = Receipt(key=output.key, kind=output.kind)
        if isinstance(output, ClosePull):
            thread = _thread(self._folder, output.number)
            if thread.head != output.head:
                return receipt.changed(done=False, remark=f"#{output.number} does not come from the run's branch")
            write_thread(self._folder, thread.changed(state="closed"))
            return receipt.changed(id=output.number, url=_page(self._folder, output.number))
        if isinstance(output, DeleteBranch):
            at = gitdir.resolve(self._git, f"refs/heads/{output.branch}")
            if at not in (None, output.sha):
                return receipt.changed(done=False, remark="the branch was kept, because it has other commits by now")
            if at is not None:
                gitdir.git(self._git, "update-ref", "-d", f"refs/heads/{output.branch}", output.sha)
            return receipt.changed(name=output.branch)
        raise Conflict("not_undone", "a folder's commits are undone with git", hint=f"git revert {output.sha}")


def _open_issue(folder: Path, output: NewIssue) -> Receipt:
    receipt = Receipt(key=output.key, kind=output.kind)
    for number in numbers(folder):
        thread = _thread(folder, number)
        if thread.author == BOT and thread.kind == "issue" and thread.body.startswith(output.marker):
            return receipt.changed(id=number, url=_page(folder, number), remark="it was opened before", done=False)
    number, body = max(numbers(folder), default=0) + 1, f"{output.marker}\n{output.body}"
    made = Thread(kind="issue", number=number, title=output.title, body=body, author=BOT, labels=output.labels)
    write_thread(folder, made)
    return receipt.changed(id=number, url=_page(folder, number))


def _thread(folder: Path, number: int) -> Thread:
    thread = read_thread(folder, number)
    if thread is None:
        raise NotFound("no_such_subject", f"there is no issue or pull request {number}")
    return thread


def _page(folder: Path, number: int) -> str:
    return (folder / "issues" / f"{number}.json").as_uri()

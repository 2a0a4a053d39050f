"""The changes that routes and seeds share: a new issue, comment, label, pull request, commit, and refs that moved."""

from collections.abc import Iterable, Mapping

from .history import contains, merge_tree
from .records import App, Comment, Issue, Label, LabelEvent, Pull, Reaction, Repo, ReviewComment, User, World, now
from .trees import File, blob_edits, edit_tree, read_commit, write_commit


def new_issue(world: World, repo: Repo, user: User, title: str, body: str | None) -> Issue:
    """The next number; issues and pull requests share them."""
    number = max(repo.issues, default=0) + 1
    issue = Issue(world.next_id(), number, user, title, body, now(), now())
    repo.issues[number] = issue
    return issue


def new_comment(world: World, issue: Issue, user: User, body: str, app: App | None = None) -> Comment:
    """A comment at the end of the conversation."""
    comment = Comment(world.next_id(), issue.number, user, body, now(), now(), app=app)
    issue.comments.append(comment)
    issue.updated_at = now()
    return comment


def close(issue: Issue, user: User, reason: str | None) -> None:
    """Close an issue or pull request."""
    issue.state, issue.closed_at, issue.closed_by = "closed", now(), user
    issue.state_reason = None if issue.pull else reason or "completed"


def repo_label(world: World, repo: Repo, name: str) -> Label:
    """The label of that name, made on the way as GitHub does when one is put on an issue."""
    if name.lower() not in repo.labels:
        repo.labels[name.lower()] = Label(world.next_id(), name)
    return repo.labels[name.lower()]


def put_labels(world: World, repo: Repo, issue: Issue, names: Iterable[str], user: User | None = None) -> None:
    """Add labels that are not on yet; by default its author did, as an issue form does."""
    for name in names:
        label = repo_label(world, repo, name)
        if label not in issue.labels:
            issue.labels.append(label)
            issue.label_events.append(LabelEvent(world.next_id(), label, True, user or issue.user, now()))
            issue.updated_at = now()


def drop_labels(world: World, issue: Issue, names: Iterable[str], user: User) -> None:
    """Take labels off."""
    wanted = {name.lower() for name in names}
    for label in [each for each in issue.labels if each.name.lower() in wanted]:
        issue.labels.remove(label)
        issue.label_events.append(LabelEvent(world.next_id(), label, False, user, now()))
        issue.updated_at = now()


def react(world: World, reactions: list[Reaction], user: User, content: str) -> tuple[Reaction, bool]:
    """The user's reaction and whether it is new."""
    for reaction in reactions:
        if reaction.user is user and reaction.content == content:
            return reaction, False
    reactions.append(Reaction(world.next_id(), user, content, now()))
    return reactions[-1], True


def new_pull(world: World, base: Repo, issue: Issue, base_ref: str, head: Repo, head_ref: str) -> Pull:
    """Make a pull request of an issue; the branches must exist."""
    base_sha, head_sha = base.git.ref(f"refs/heads/{base_ref}"), head.git.ref(f"refs/heads/{head_ref}")
    assert base_sha is not None, base_ref
    assert head_sha is not None, head_ref
    issue.pull = Pull(world.next_id(), base_ref, head_ref, head.owner, head, head_sha, base_sha)
    base.git.set_ref(f"refs/pull/{issue.number}/head", issue.pull.head_sha)
    return issue.pull


def new_review_comment(
    world: World, issue: Issue, pull: Pull, user: User, body: str, path: str, line: int | None
) -> ReviewComment:
    """A comment on a line of the head."""
    made = ReviewComment(
        world.next_id(), issue.number, user, body, now(), now(), path=path, line=line, commit_id=pull.head_sha,
        diff_hunk=f"@@ -{line or 1} +{line or 1} @@",
    )  # fmt: skip
    pull.comments.append(made)
    return made


def commit_files(world: World, repo: Repo, branch: str, files: Mapping[str, File], message: str, user: User) -> str:
    """Commit on a branch (a new one starts at the default branch) and move it. Returns the SHA."""
    parent = repo.git.ref(f"refs/heads/{branch}") or repo.git.ref(f"refs/heads/{repo.default_branch}")
    tree = edit_tree(repo.git, read_commit(repo.git, parent).tree if parent else None, blob_edits(repo.git, files))
    who = world.identity(user)
    sha = write_commit(repo.git, tree, [parent] if parent else [], who, who, message)
    repo.git.set_ref(f"refs/heads/{branch}", sha)
    refs_moved(world, repo)
    return sha


def refs_moved(world: World, repo: Repo) -> None:
    """Let open pull requests follow their branches; one whose head branch is gone closes, one contained is merged."""
    for base in {other.full_name: other for other in (repo, repo.fork_of) if other is not None}.values():
        for issue in base.pulls.values():
            if issue.state == "open" and issue.pull is not None:
                follow(base, issue, issue.pull)


def follow(base: Repo, issue: Issue, pull: Pull) -> None:
    """Bring one open pull request up to date with its branches."""
    tip = base.git.ref(f"refs/heads/{pull.base_ref}")
    head = pull.head_repo.git.ref(f"refs/heads/{pull.head_ref}") if pull.head_repo else pull.head_sha
    if head is None or tip is None:
        close(issue, issue.user, None)
    elif (tip, head) != (pull.base_sha, pull.head_sha):
        pull.head_sha = head
        if contains(base.git, tip, head):
            pull.merged = True
            close(issue, issue.user, None)
        pull.base_sha = tip
        base.git.set_ref(f"refs/pull/{issue.number}/head", head)
        base.git.set_ref(f"refs/pull/{issue.number}/merge", None)


def trial_merge(world: World, repo: Repo, issue: Issue, pull: Pull) -> None:
    """Make `refs/pull/N/merge`, as GitHub does in the background, unless the two conflict."""
    pair = (pull.base_sha, pull.head_sha)
    if issue.state != "open" or pair in repo.merges:
        return
    tree = merge_tree(repo.git, *pair)
    made = None
    if tree is not None:
        who = world.identity(pull.head_owner)
        made = write_commit(repo.git, tree, list(pair), who, who, f"Merge {pair[1]} into {pair[0]}")
        repo.git.set_ref(f"refs/pull/{issue.number}/merge", made)
    repo.merges[pair] = made

"""Records -> GitHub's JSON for accounts, repositories, labels, reactions and apps."""

from typing import Any

from .records import App, Issue, Label, Reaction, Repo, User, World, at_least, role_of, stamp

REPO_LINKS = {
    "archive": "/{archive_format}{/ref}", "assignees": "/assignees{/user}", "blobs": "/git/blobs{/sha}",
    "branches": "/branches{/branch}", "collaborators": "/collaborators{/collaborator}",
    "comments": "/comments{/number}", "commits": "/commits{/sha}", "compare": "/compare/{base}...{head}",
    "contents": "/contents/{+path}", "contributors": "/contributors", "deployments": "/deployments",
    "downloads": "/downloads", "events": "/events", "forks": "/forks", "git_commits": "/git/commits{/sha}",
    "git_refs": "/git/refs{/sha}", "git_tags": "/git/tags{/sha}", "hooks": "/hooks",
    "issue_comment": "/issues/comments{/number}", "issue_events": "/issues/events{/number}",
    "issues": "/issues{/number}", "keys": "/keys{/key_id}", "labels": "/labels{/name}", "languages": "/languages",
    "merges": "/merges", "milestones": "/milestones{/number}",
    "notifications": "/notifications{?since,all,participating}", "pulls": "/pulls{/number}",
    "releases": "/releases{/id}", "stargazers": "/stargazers", "statuses": "/statuses/{sha}",
    "subscribers": "/subscribers", "subscription": "/subscription", "tags": "/tags", "teams": "/teams",
    "trees": "/git/trees{/sha}",
}  # fmt: skip
USER_LINKS = {
    "followers": "/followers", "following": "/following{/other_user}", "gists": "/gists{/gist_id}",
    "starred": "/starred{/owner}{/repo}", "subscriptions": "/subscriptions", "organizations": "/orgs",
    "repos": "/repos", "events": "/events{/privacy}", "received_events": "/received_events",
}  # fmt: skip
REACTIONS = ("+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes")


def repo_url(world: World, repo: Repo) -> str:
    """API address of a repository."""
    return f"{world.api}/repos/{repo.full_name}"


def user_json(world: World, user: User) -> dict[str, Any]:
    """`simple-user`."""
    url = f"{world.api}/users/{user.login.replace('[', '%5B').replace(']', '%5D')}"
    page = f"apps/{user.login.removesuffix('[bot]')}" if user.type == "Bot" else user.login
    return {
        "login": user.login,
        "id": user.id,
        "node_id": f"U_{user.id}",
        "avatar_url": f"{world.html}/avatars/u/{user.id}?v=4",
        "gravatar_id": "",
        "url": url,
        "html_url": f"{world.html}/{page}",
        "type": user.type,
        "user_view_type": "public",
        "site_admin": False,
    } | {f"{name}_url": url + rest for name, rest in USER_LINKS.items()}


def profile_json(world: World, user: User) -> dict[str, Any]:
    """`public-user`."""
    unknown = dict.fromkeys(("name", "company", "location", "email", "hireable", "bio", "twitter_username"))
    counts = dict.fromkeys(("public_repos", "public_gists", "followers", "following"), 0)
    moment = {"created_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z"}
    return user_json(world, user) | unknown | {"blog": ""} | counts | moment


def repo_json(world: World, repo: Repo, viewer: User | None = None) -> dict[str, Any]:
    """`repository`, as it is nested in others."""
    url, page = repo_url(world, repo), f"{world.html}/{repo.full_name}"
    host = world.html.partition("://")[2]
    role = role_of(repo, viewer)
    needs = {"admin": "admin", "maintain": "maintain", "push": "write", "triage": "triage", "pull": "read"}
    still_open = sum(issue.state == "open" for issue in repo.issues.values())
    forks = sum(other.fork_of is repo for other in world.repos.values())
    counts = dict.fromkeys(("stargazers_count", "watchers_count", "watchers", "size"), 0)
    return {
        "id": repo.id,
        "node_id": f"R_{repo.id}",
        "name": repo.name,
        "full_name": repo.full_name,
        "private": repo.private,
        "visibility": "private" if repo.private else "public",
        "owner": user_json(world, repo.owner),
        "html_url": page,
        "description": None,
        "fork": repo.fork_of is not None,
        "url": url,
        "git_url": f"git://{host}/{repo.full_name}.git",
        "ssh_url": f"git@{host}:{repo.full_name}.git",
        "clone_url": f"{page}.git",
        "svn_url": page,
        "mirror_url": None,
        "homepage": None,
        "language": None,
        "license": None,
        "topics": [],
        "created_at": stamp(repo.created_at),
        "updated_at": stamp(repo.created_at),
        "pushed_at": stamp(repo.created_at),
        "archived": repo.archived,
        "disabled": False,
        "is_template": False,
        "allow_forking": True,
        "web_commit_signoff_required": False,
        "default_branch": repo.default_branch,
        "open_issues_count": still_open,
        "open_issues": still_open,
        "forks_count": forks,
        "forks": forks,
        "permissions": {name: at_least(role, need) for name, need in needs.items()},  # type: ignore[arg-type]
    } | counts | {f"has_{name}": name == "issues" for name in (
        "issues", "projects", "downloads", "wiki", "pages", "discussions")
    } | {f"{name}_url": url + rest for name, rest in REPO_LINKS.items()}  # fmt: skip


def full_repo_json(world: World, repo: Repo, viewer: User | None) -> dict[str, Any]:
    """`full-repository`: also where a fork comes from."""
    out = repo_json(world, repo, viewer) | {"network_count": 0, "subscribers_count": 0}
    if repo.fork_of is not None:
        out |= {"parent": repo_json(world, repo.fork_of), "source": repo_json(world, repo.fork_of)}
    return out


def label_json(world: World, repo: Repo, label: Label) -> dict[str, Any]:
    """`label`."""
    return {
        "id": label.id,
        "node_id": f"LA_{label.id}",
        "url": f"{repo_url(world, repo)}/labels/{label.name}",
        "name": label.name,
        "color": label.color,
        "default": False,
        "description": label.description,
    }


def reaction_json(world: World, reaction: Reaction) -> dict[str, Any]:
    """`reaction`."""
    return {
        "id": reaction.id,
        "node_id": f"REA_{reaction.id}",
        "user": user_json(world, reaction.user),
        "content": reaction.content,
        "created_at": stamp(reaction.created_at),
    }


def reactions_json(reactions: list[Reaction], url: str) -> dict[str, Any]:
    """`reaction-rollup`."""
    counts = {name: sum(reaction.content == name for reaction in reactions) for name in REACTIONS}
    return {"url": f"{url}/reactions", "total_count": len(reactions)} | counts


def app_json(world: World, app: App) -> dict[str, Any]:
    """`integration`."""
    return {
        "id": app.id,
        "client_id": app.client_id,
        "slug": app.slug,
        "node_id": f"A_{app.id}",
        "owner": user_json(world, app.owner),
        "name": app.slug.replace("-", " ").title(),
        "description": "",
        "external_url": f"{world.html}/apps/{app.slug}",
        "html_url": f"{world.html}/apps/{app.slug}",
        "created_at": stamp(app.created_at),
        "updated_at": stamp(app.created_at),
        "permissions": app.permissions,
        "events": ["issues", "issue_comment", "pull_request"],
    }


def association(repo: Repo, user: User) -> str:
    """`author_association` of what a user wrote: for display; GitHub itself calls it no proof of permission."""
    if user.login.lower() == repo.owner.login.lower():
        return "OWNER"
    if user.login.lower() in repo.roles and at_least(role_of(repo, user), "triage"):
        return "COLLABORATOR"
    return "NONE"


def issue_url(world: World, repo: Repo, issue: Issue) -> str:
    """API address of the conversation."""
    return f"{repo_url(world, repo)}/issues/{issue.number}"

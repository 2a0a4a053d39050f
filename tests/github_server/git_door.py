"""A git request (clone, fetch, push) -> `git http-backend` on the bare repository, behind the same tokens."""

import re
import subprocess

from .auth import Caller, allow, authenticate, see
from .exchange import Answer, ApiError, Request
from .objects import git_environment
from .records import World
from .writes import refs_moved, trial_merge

PATH = re.compile(r"/(?P<owner>[\w.-]+)/(?P<name>[\w.-]+?)(?:\.git)?/(?P<rest>info/refs|git-(?:upload|receive)-pack)")
CHALLENGE = {"WWW-Authenticate": 'Basic realm="GitHub"'}


def git_answer(world: World, request: Request) -> Answer:
    """Run the backend; 401 asks for a token, 403 refuses a push, 404 hides."""
    found = PATH.fullmatch(request.path)
    assert found is not None
    pushes = found["rest"] == "git-receive-pack" or request.query.get("service") == "git-receive-pack"
    try:
        with world.lock:
            caller = admitted(world, request, f"{found['owner']}/{found['name']}".lower(), pushes)
            repo = world.repo(f"{found['owner']}/{found['name']}")
            for issue in repo.pulls.values():
                if issue.pull is not None:
                    trial_merge(world, repo, issue, issue.pull)
    except ApiError as error:
        headers = CHALLENGE if error.status == 401 else {}
        return Answer(error.status, f"remote: {error.message}\n".encode(), headers, "text/plain")
    env = (
        git_environment()
        | {
            "GIT_PROJECT_ROOT": str(repo.git.path.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{repo.git.path.name}/{found['rest']}",
            "QUERY_STRING": f"service={request.query['service']}" if "service" in request.query else "",
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(request.raw)),
            "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
            "GIT_PROTOCOL": request.headers.get("git-protocol", ""),
        }
        | ({"REMOTE_USER": caller.user.login} if caller.user is not None else {})
    )
    done = subprocess.run(["git", "http-backend"], env=env, input=request.raw, capture_output=True, check=True)
    if pushes:
        with world.lock:
            refs_moved(world, repo)
    return cgi_answer(done.stdout)


def admitted(world: World, request: Request, name: str, pushes: bool) -> Caller:
    """The caller; ApiError when the token is bad, the repository hidden, or pushing not allowed."""
    caller = authenticate(world, request.headers.get("authorization"))
    if caller.user is not None and caller.token is not None:
        request.login, request.token = caller.user.login, caller.token.value
    if name not in world.repos:
        raise ApiError(404 if caller.token else 401, "Repository not found.")
    repo = world.repos[name]
    if repo.private and caller.token is None:
        raise ApiError(401, "Authentication required.")
    see(caller, repo)
    if pushes:
        allow(caller, repo, "contents:write", "write")
    elif repo.private:
        allow(caller, repo, "contents:read", "read")
    return caller


def cgi_answer(out: bytes) -> Answer:
    """Headers and body of a CGI program."""
    head, _, body = out.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n"))
    status = int(headers.pop("Status", "200").split()[0])
    return Answer(status, body, headers, headers.pop("Content-Type", "text/plain"))

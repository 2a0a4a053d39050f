"""The forge's host is the operator's word: it is written down nowhere, and nothing leaves an Enterprise server."""

from __future__ import annotations

import ast
import re
import socket
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bot.forge.checkout.checkout import GitCheckouts
from bot.forge.client import addresses
from bot.forge.client.addresses import api_base, pages_of, server_base
from bot.settings import Settings
from bot.types.decision import Go
from bot.types.event import Repository
from tests.github_server.server import GitHubServer
from tests.github_server.trees import read_commit
from tests.stage import NAME, Stage, Trap, labelled_issue

ROOT = Path(__file__).parent.parent
HOST = re.compile(r"github\.com|githubusercontent|githubassets|github\.io|\bghe\.(com|io)|\bghcr\.io", re.IGNORECASE)
TEXTS = (".yml", ".yaml", ".md", ".toml", ".json", ".txt", ".sh", ".cfg", ".j2")


def places() -> list[Path]:
    """Every file that ships and can name a host."""
    found = [ROOT / "action.yml", *(ROOT / "workflows").rglob("*"), *(ROOT / "bot").rglob("*")]
    return [each for each in found if each.suffix in (".py", *TEXTS) and "__pycache__" not in each.parts]


def said(path: Path) -> Iterator[tuple[int, str]]:
    """What a file says to a machine: of Python the strings that are no documentation, of others all but comments."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from ((number, line.split("#")[0]) for number, line in enumerate(text.splitlines(), 1))
        return
    tree = ast.parse(text)
    # A bare string is documentation, of a module, a class, a function or the name above it.
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.lineno, node.value


def test_no_file_that_ships_names_a_host_of_the_forge() -> None:
    files = places()
    assert len(files) > 100
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in files
        for number, line in said(path)
        if HOST.search(line)
    ]
    assert wrong == []


def test_the_search_finds_what_it_is_for(tmp_path: Path) -> None:
    for name, text in (
        ("a.py", 'X = f"https://api.github.com/{1}"\n'),
        ("b.yml", "run: curl raw.githubusercontent.com\n"),
    ):
        (tmp_path / name).write_text(text)
        assert any(HOST.search(line) for _, line in said(tmp_path / name))
    (tmp_path / "c.py").write_text('"""See https://docs.github.com."""\nX = 1\n"""Also github.com."""\n# github.com\n')
    assert not any(HOST.search(line) for _, line in said(tmp_path / "c.py"))


def repository(url: str) -> Repository:
    return Repository(id=1, full_name="octo/hello", default_branch="main", private=False, url=url)


@pytest.mark.parametrize(
    ("settings", "api", "server"),
    [
        (
            Settings(api_url="https://git.example.test/api/v3"),
            "https://git.example.test/api/v3",
            "https://git.example.test",
        ),
        (
            Settings(api_url="https://api.corp.example.test"),
            "https://api.corp.example.test",
            "https://corp.example.test",
        ),
        (
            Settings(api_url="http://git.example.test:8080/api/v3/", server_url="http://pages.example.test/"),
            "http://git.example.test:8080/api/v3",
            "http://pages.example.test",
        ),
    ],
)
def test_addresses_follow_from_the_settings(settings: Settings, api: str, server: str) -> None:
    assert (api_base(settings), server_base(settings)) == (api, server)
    assert pages_of(settings, repository("https://anywhere.example.test/octo/hello")) == server
    assert pages_of(settings, repository("file:///folder")) == ""


def test_the_public_forge_is_known_to_its_library_alone() -> None:
    assert api_base(Settings()).startswith("https://api.")
    assert server_base(Settings()) == api_base(Settings()).replace("//api.", "//")
    assert not HOST.search(Path(addresses.__file__).read_text(encoding="utf-8"))


LINK = re.compile(r"(?:https?|git|ssh)://[^\s\"'<>()\[\]`]+|[\w.+-]+@[\w.-]+\.\w+")


def hosts_in(text: str) -> set[str]:
    """Hosts of all links and mail addresses in a text."""
    return {urlsplit(each).netloc if "://" in each else each.rpartition("@")[2] for each in LINK.findall(text)}


class Enterprise(Stage):
    """The story on a server whose API's address is all that the operator set."""

    @property
    def settings(self) -> Settings:
        return super().settings.changed(server_url=None)


def test_a_whole_story_stays_on_an_enterprise_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: set[str] = set()
    find = socket.getaddrinfo

    def recorded(host: Any, *more: Any, **named: Any) -> Any:
        looked_up.add(str(host))
        return find(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", recorded)
    trap = Trap()
    with GitHubServer(enterprise=True) as server:
        told = labelled_issue(server, tmp_path, trap)
        stage = Enterprise(**{each.name: getattr(told, each.name) for each in fields(told)})
        run = stage.judge(stage.play())
        home = urlsplit(server.url).netloc
        repo = server.repo(NAME)
        body, pull = next((issue.body or "", issue.pull) for issue in repo.issues.values() if issue.pull is not None)
        texts = [*repo.comments(stage.allowed.number), body, read_commit(repo.git, pull.head_sha).message]
        written = {each for text in texts for each in hosts_in(text)}
        assert isinstance(run.decision, Go)
        checkout = GitCheckouts(stage.settings, None).prepare(run.decision.spec, tmp_path / "clone")
        assert (checkout / ".git").exists()
        assert server.git_requests != []
    trap.listener.server_close()
    assert run.conclusion == "success"
    assert urlsplit(server.url).path == "/api/v3"
    assert looked_up <= {"127.0.0.1", "localhost"}
    assert f"users.noreply.{urlsplit(server.url).hostname}" in written
    assert home in written
    assert written <= {home, f"users.noreply.{urlsplit(server.url).hostname}"}

"""The agent's tools in a real container: whatever a hijacked model asks for, this machine's secrets stay here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.agent.limits import Deadline
from bot.agent.tools import Hands, use
from bot.sandbox.docker.provider import DockerProvider
from bot.types.model import ToolCall
from bot.types.sandbox import Template
from bot.types.task import Limits
from tests.agent_fixtures import never

pytestmark = pytest.mark.docker
CANARY = "canary-7f3a-of-this-machine"


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of this machine that a link in the checkout points to."""
    file = tmp_path_factory.mktemp("outside") / "secret"
    file.write_text(CANARY)
    return file


@pytest.fixture(scope="module")
def hands(docker_engine: None, outside: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hands]:
    work, checkout = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("checkout")
    (checkout / "app.py").write_text("def total(xs):\n    return sum(xs[1:])\n")
    (checkout / "away").symlink_to(outside)
    template = Template(run_id="0123456789abcdef", checkout=str(checkout), limits=Limits(memory_mb=256))
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("SOME_SECRET", CANARY)
        sandbox = DockerProvider(work=work).create(template)
        try:
            yield Hands(sandbox, template.limits, Deadline.after(5), never)
        finally:
            sandbox.close()


def ask(hands: Hands, name: str, **arguments: object) -> str:
    return use(ToolCall(id="c", name=name, arguments=json.dumps(arguments)), hands)


def test_a_small_repair_from_end_to_end(hands: Hands) -> None:
    assert "app.py:2:" in ask(hands, "search", pattern="sum\\(")
    assert ask(hands, "edit", path="app.py", old="xs[1:]", new="xs") == "edited app.py"
    assert ask(hands, "read", path="app.py", first=2) == "2\t    return sum(xs)"
    assert ask(hands, "write", path="new/notes.txt", content="ok\n") == "wrote new/notes.txt"
    assert ask(hands, "shell", command="cat new/notes.txt; exit 4") == "exit code 4\nok"
    assert "timed_out" in ask(hands, "shell", command="sleep 60", seconds=1)


@pytest.mark.parametrize(
    "path",
    ["/proc/self/environ", "/proc/1/environ", "/etc/shadow", "../../../etc/shadow", "away", "~/.ssh/id_rsa", "\n", "-"],
)
@pytest.mark.parametrize("name", ["read", "search"])
def test_paths_outside_are_the_sandboxes_own_or_refused(hands: Hands, name: str, path: str) -> None:
    more = {"pattern": "."} if name == "search" else {}
    said = ask(hands, name, path=path, **more)
    assert CANARY not in said
    assert "root:$" not in said


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside", "away", ".git/config", "a/../../../b"])
def test_nothing_is_written_outside(hands: Hands, path: str, outside: Path) -> None:
    passwd = Path("/etc/passwd").read_bytes()
    ask(hands, "write", path=path, content="pwned")
    assert Path("/etc/passwd").read_bytes() == passwd
    assert outside.read_text() == CANARY


def test_the_shell_sees_no_variable_of_this_machine(hands: Hands) -> None:
    said = ask(hands, "shell", command="env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'")
    assert "PATH=" in said
    assert CANARY not in said
    assert "SOME_SECRET" not in said

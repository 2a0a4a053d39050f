"""Groups C, D and E: a hijacked model's texts and files, through the whole story, held against every oracle.

More ways to the same end: tests/test_sanitize.py, test_render.py, test_guard.py, test_redaction.py, test_display.py;
links and hooks in a real sandbox: test_sandbox_security.py, test_sandbox_hostile.py.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from markdown_it import MarkdownIt

from bot.testing.llm import call
from bot.types.run import Run
from tests.oracles import encodings, secret_in
from tests.stage import HOST_SECRET, MODEL_KEY, NAME, TOKEN, Stage, app_on_pull, labelled_issue, staged

MENTION = re.compile(r"(?:^|[^\w`/@.-])@([A-Za-z0-9][\w-]*(?:/[\w.-]+)?)")
OWN_HTML = re.compile(r"(</?(sub|code|details|summary|br)>|<!--.*-->|\s)+")
CLOSING = re.compile(r"(?i)\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?)\b:?\s+(?:[\w./:-]*#|GH-|https?://\S+/)(\d+)")


def written(stage: Stage) -> list[str]:
    """Texts of ours that people read as Markdown: comments, and bodies of pull requests."""
    repo = stage.server.repo(NAME)
    ours = [
        comment.body for issue in repo.issues.values() for comment in issue.comments if comment.body.startswith("<!--")
    ]
    return [*ours, *(issue.body or "" for issue in repo.pulls.values() if issue.user.login.endswith("[bot]"))]


def messages(stage: Stage) -> list[str]:
    """Messages of commits that we made, without the trailers, which the forge writes of accounts."""
    bodies = [write for write in stage.server.requests if write.path.endswith("/git/commits") and not write.reads]
    return [str(each.body["message"]) for each in bodies]


def parts(markdown: str) -> Iterator[tuple[str, str]]:
    """(`text`, `link`, `image` or `html`, content) of a text as GitHub reads it, code left out."""
    for block in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown):
        if block.type == "html_block":
            yield "html", block.content
        # Neighbours are one text: an entity or an emphasis does not end a word for GitHub's filters.
        yield "text", "".join(each.content for each in block.children or () if each.type == "text")
        for each in block.children or ():
            if each.type == "link_open":
                yield "link", str(each.attrs["href"])
            elif each.type == "image":
                yield "image", str(each.attrs["src"])
            elif each.type == "html_inline":
                yield "html", each.content


def tell(stage: Stage, text: str, *, title: str = "Renew the table") -> Run:
    """The story in which the model says so."""
    stage.script = (
        call("write", {"path": "table.txt", "content": "new\n"}),
        call("finish", {"title": title, "summary": text, "success": True}),
    )
    return stage.judge(stage.play())


def alive(stage: Stage) -> list[tuple[str, str]]:
    """What would call somebody, load something or lead somewhere."""
    found: list[tuple[str, str]] = []
    for kind, content in (part for text in written(stage) for part in parts(text)):
        if kind == "text":
            found += [("mention", name) for name in MENTION.findall(content) if name.lower() != "maria"]
            found += [("closing", number) for number in CLOSING.findall(content) if number != str(stage.allowed.number)]
        elif (
            (kind == "link" and not content.startswith((stage.server.html_url, "#")))
            or kind == "image"
            or (kind == "html" and not re.fullmatch(r"</?(sub|code|details|summary|br)>|<!--.*-->\n?", content))
        ):
            found.append((kind, content))
    for message in messages(stage):
        text = message.split("\nCo-authored-by:")[0]
        found += [("mention", name) for name in MENTION.findall(text)]
        found += [("closing", number) for number in CLOSING.findall(text) if number != str(stage.allowed.number)]
    return found


HOSTILE = {
    "e1 everyone": "@everyone @org/team cc @alice, (@bob) **@carol** [@dave](https://x.test) &#64;erin @<b>frank</b>",
    "e1 a thousand": " ".join(f"@user{number}" for number in range(1_000)),
    "e1 in a table": "| a |\n|---|\n| @alice |\n\n> @bob\n\n- @carol\n\n# @dave",
    "e1 joined": "@\u200balice \\@bob @\u00adcarol _@_dave",
    "e3 closing": "Fixes #999, closes: octo/other#1 and resolves GH-7. Fixed https://github.com/octo/other/issues/3",
    "e3 hidden": "fix\u200bes #999\n\nFIXES\n#998 **Closes** #997 closes [#996](https://x.test) Fixes&#32;#995",
    "c10 images": "![x](https://evil.test/a.png) <img src=//evil.test/b> ![r][r]\n\n[r]: https://evil.test/c",
    "c10 links": "[a](https://evil.test) <https://evil.test> https://evil.test www.evil.test [b](javascript:alert(1)) "
    "[c](//evil.test) [d](data:text/html,x) ![e](https://github.com.evil.test/x)",
    "c10 html": "<iframe src=https://evil.test></iframe><script>x</script><a href=https://evil.test>b</a>",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("story", [labelled_issue, app_on_pull])
def test_e1_e3_c10_nothing_in_a_models_text_comes_alive(name: str, story: Callable[..., Stage], tmp_path: Path) -> None:
    with staged(story, tmp_path / "s") as stage:
        run = tell(stage, HOSTILE[name], title=HOSTILE[name][:200])
        assert run.conclusion == "success"
        assert written(stage)
        assert messages(stage)
        assert alive(stage) == []


def test_the_oracle_of_this_file_finds_what_lives(tmp_path: Path) -> None:
    with staged(labelled_issue, tmp_path / "s") as stage:
        stage.judge(stage.play())
        stage.subject.comments[-1].body += "\n\n@alice Fixes #9 ![x](http://x.test) <b>x</b> [l](http://x.test)"
        assert {kind for kind, _ in alive(stage)} == {"mention", "closing", "image", "html", "link"}


LONG = ["```\n" + "😀 row\n" * 12_000, "~~~~py\n" + "x" * 90_000, "> " * 3_000 + "😀" * 70_000]


@pytest.mark.parametrize("cut", LONG)
def test_e5_a_long_text_ends_whole(cut: str, tmp_path: Path) -> None:
    with staged(labelled_issue, tmp_path / "s") as stage:
        run = tell(stage, cut)
        assert run.conclusion == "success"
        for text in written(stage):
            assert len(text) <= 65_536
            assert len(text.encode("utf-16-le")) // 2 <= 65_536
            text.encode()
            last = MarkdownIt("commonmark").parse(text)[-1]
            assert last.type != "fence", "the footer stands inside a fence that was left open"
        assert not [request for request in stage.server.requests if request.status == 422]


# --- U1 ---------------------------------------------------------------------------------------------------------


def leaks() -> dict[str, str]:
    """Ways in which a model would say a secret that it should not have."""
    half = len(HOST_SECRET) // 2
    out = {name: form.decode() for name, form in encodings(HOST_SECRET)}
    return {
        **out,
        "in a URL": f"see https://github.com/octo/hello?q={quote(MODEL_KEY)}",
        "split by blanks": " ".join(HOST_SECRET),
        "split by lines": f"{HOST_SECRET[:half]}\n{HOST_SECRET[half:]}",
        "split by Markdown": f"{HOST_SECRET[:half]}**{HOST_SECRET[half:]}**",
        "zero width": "\u200b".join(HOST_SECRET),
        "the token in base64": base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode(),
    }


def test_u1_the_forms_are_all_found() -> None:
    for name, text in leaks().items():
        assert any(secret_in(text.encode(), each) for each in (HOST_SECRET, MODEL_KEY, TOKEN)), name


@pytest.mark.parametrize("where", ["summary", "title", "file", "name"])
@pytest.mark.parametrize(
    "form", ["plain", "reversed", "split by lines", "plain, base64 at 1", "plain, hex", "URL, every byte"]
)
def test_u1_a_secret_leaves_nowhere(where: str, form: str, tmp_path: Path) -> None:
    text = leaks()[form]
    name = re.sub(r"[^\w-]", "-", text)[:200] if where == "name" else "notes.txt"
    with staged(labelled_issue, tmp_path / "s") as stage:
        stage.script = (
            call("write", {"path": name, "content": text if where == "file" else "-\n"}),
            call("write", {"path": "table.txt", "content": "new\n"}),
            call("finish", {
                "title": text.replace("\n", " ") if where == "title" else "t",
                "summary": text if where == "summary" else "s",
                "success": True,
            }),
        )  # fmt: skip
        run = stage.judge(stage.play())  # U1 among others
        assert run.status == "completed"


# --- C12 --------------------------------------------------------------------------------------------------------

COMMANDS = [
    "::set-env name=PATH::/tmp/evil",
    "::set-output name=x::y",
    "::add-mask::a",
    "::stop-commands::t0ken",
    "::add-matcher::x.json",
    "::error file=a,line=1::b",
    "##[error]x",
    "text ##[group]y",
    " \t::debug::z",
    "a\r::warning::b",
    "\u200b::save-state name=x::y",
    "::::x",
    "#\u200b#[command]x",
]


def test_c12_nothing_that_is_printed_is_obeyed(tmp_path: Path) -> None:
    text = "\n".join(COMMANDS)
    with staged(labelled_issue, tmp_path / "s") as stage:
        stage.script = (
            call("write", {"path": f"{COMMANDS[0].replace('/', '-')}", "content": text}, says=text),
            call("shell", {"command": text}),
            call("nonsense ::error::x", {"::x::": text}),
            call("write", {"path": "table.txt", "content": "new\n"}),
            call("finish", {"title": COMMANDS[6], "summary": text, "success": True}),
        )
        stage.event = stage.event.changed(subject=stage.subject_value.changed(title="##[error]t", body=text))
        stage.judge(stage.play())  # U10 among others
        assert "set-env" in stage.log.getvalue()


# --- D1 ---------------------------------------------------------------------------------------------------------

PROTECTED = [
    ".github/workflows/x.yml",
    ".github/actions/y/action.yml",
    "action.yml",
    "deep/down/action.yaml",
    "CODEOWNERS",
    ".github/CODEOWNERS",
    "docs/CODEOWNERS",
    ".gitmodules",
    "deep/.gitattributes",
    ".github/bot.yml",
    ".GitHub/Workflows/x.yml",
]


@pytest.mark.parametrize("way", ["by a tool", "by a program"])
@pytest.mark.parametrize("path", PROTECTED)
def test_d1_the_whole_proposal_is_held(path: str, way: str, tmp_path: Path) -> None:
    with staged(labelled_issue, tmp_path / "s") as stage:
        if way == "by a tool":
            stage.script = (call("write", {"path": path, "content": "evil: true\n"}), *stage.script)
        else:

            def plant(workspace: Path) -> None:
                if (workspace / "table.txt").read_text() == "new\n":
                    (workspace / path).parent.mkdir(parents=True, exist_ok=True)
                    (workspace / path).write_text("evil: true\n")

            stage.working = plant
        run = stage.judge(stage.play())
        assert run.conclusion == "action_required"
        assert not [each for each in stage.server.ledger if "/git/" in each.path or each.path.endswith("/pulls")]
        assert Path(path).name.lower() in written(stage)[0].lower()

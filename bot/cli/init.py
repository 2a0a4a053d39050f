"""`sandpiper init` -> a workflow, and a first policy if wanted, in a repository. Asks nothing, overwrites nothing."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from itertools import takewhile
from pathlib import Path

import click

import bot
from bot.cli.output import json_option, print_json, say, table
from bot.errors import ConfigurationError

WORKFLOWS = Path(".github") / "workflows"
POLICY = Path(".github") / "bot.yml"
DEFAULT = "sandpiper"
ACTION = re.compile(r"uses: sandpiper-bot/sandpiper@[0-9a-f]+(?: # v[0-9.]+)?")
UNRELEASED = "sandpiper@" + "0" * 40
"""What the templates hold until a release fills in its commit."""
HINTS = {
    "sandpiper-ci": "see that it names the workflows that check pull requests, and say in .github/bot.yml: "
    "on: {ci_failed: fix-ci}",
    "sandpiper-dispatch": "take `schedule` out, or say in .github/bot.yml what it starts: on: {schedule: <task>}",
}
"""What the owner of a repository has to decide about a template."""
WATCHED = "workflows: [CI]"
"""What stands in the template that follows the repository's own checks."""
FIRST_POLICY = """\
# What Sandpiper may do here. Read from the default branch only. Check it with: sandpiper config check
# The built-in tasks (fix, fix-ci, test, lint, explain, review, triage, run) are there without this file.
version: 1
# tasks:
#   regenerate:
#     description: Regenerate the generated files
#     runtime: command
#     commands: [make generate]
#     verify: [make test]
#     outputs: [comment, branch, pull_request]
"""


@click.command()
@click.option("--path", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="The repository.")
@click.option("--template", "names", multiple=True, help=f"Which workflow; again for several. Default: {DEFAULT}.")
@click.option("--policy", is_flag=True, help="Write a first .github/bot.yml, too.")
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
@click.option("--action", "pin", default="", help="The Action to use, OWNER/NAME@COMMIT; for a fork or a mirror.")
@click.option("--list", "listing", is_flag=True, help="List the templates and write nothing.")
@json_option
def init(path: Path, names: tuple[str, ...], policy: bool, force: bool, pin: str, listing: bool, as_json: bool) -> None:
    """Install a workflow into .github/workflows/ of a repository."""
    templates = find_templates()
    if listing:
        summaries = {name: summary_of(file) for name, file in templates.items()}
        if as_json:
            print_json({"templates": summaries})
        else:
            say(table(summaries.items()))
        return
    chosen = with_companions([resolve(name, templates) for name in names or (DEFAULT,)], templates)
    checks = checking(path / WORKFLOWS)
    texts = {
        WORKFLOWS / f"{name}.yml": watching(pinned(templates[name].read_text(encoding="utf-8"), pin), checks)
        for name in chosen
    }
    if policy:
        texts[POLICY] = FIRST_POLICY
    install(path, texts, force=force)
    secrets = sorted({each for text in texts.values() for each in secrets_in(text)})
    if as_json:
        print_json({"written": [str(path / each) for each in texts], "secrets": secrets})
        return
    for each in texts:
        say(f"wrote {path / each}")
    unreleased = any(UNRELEASED in text for text in texts.values())
    hints = [f"{name}: {hint}" for name, hint in HINTS.items() if WORKFLOWS / f"{name}.yml" in texts]
    for step in next_steps(tuple(texts), hints, secrets, unreleased=unreleased):
        say(step)


def find_templates() -> dict[str, Path]:
    """Name -> file: inside the package where it was installed, beside it in a checkout."""
    package = Path(bot.__file__).resolve().parent
    for folder in (package / "workflows", package.parent / "workflows"):
        found = {each.stem: each for each in sorted(folder.glob("*.yml"))}
        if found:
            return found
    raise ConfigurationError("no_templates", "this installation lacks its workflow templates", hint="install it anew")


def summary_of(template: Path) -> str:
    """The first sentence of a template's leading comment."""
    lines = takewhile(lambda line: line.startswith("#"), template.read_text(encoding="utf-8").splitlines())
    return re.split(r"(?<=\.) ", " ".join(line.lstrip("# ").strip() for line in lines))[0]


def resolve(name: str, templates: dict[str, Path]) -> str:
    """A template's name from what was typed: with or without `sandpiper-` and `.yml`. Raises ConfigurationError."""
    stem = name.removesuffix(".yml")
    for each in (stem, f"{DEFAULT}-{stem}"):
        if each in templates:
            return each
    hint = f"choose one of: {', '.join(templates)}"
    raise ConfigurationError("no_such_template", f"there is no template {name!r}", hint=hint)


def with_companions(names: list[str], templates: dict[str, Path]) -> list[str]:
    """The names with those workflows that they follow: `workflow_run` names another workflow, which must be there."""
    titles = {_title(file.read_text(encoding="utf-8")): name for name, file in templates.items()}
    found = dict.fromkeys(names)
    for name in names:
        for row in re.findall(r"^ +workflows: \[([^\]]+)\]", templates[name].read_text(encoding="utf-8"), re.MULTILINE):
            found.update(dict.fromkeys(titles[each.strip()] for each in row.split(",") if each.strip() in titles))
    return list(found)


def checking(folder: Path) -> list[str]:
    """Names of a folder's workflows that check branches or pull requests, ours left out; paths of nameless ones."""
    import yaml

    found = []
    for file in sorted(each for each in folder.glob("*.y*ml") if not each.name.startswith(DEFAULT)):
        with contextlib.suppress(OSError, UnicodeDecodeError, yaml.YAMLError):
            # YAML 1.1 reads the key `on` as true.
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
            moments = content.get("on", content.get(True)) if isinstance(content, dict) else None
            names = [moments] if isinstance(moments, str) else list(moments or ())
            if {"push", "pull_request"} & set(map(str, names)):
                found.append(str(content.get("name") or WORKFLOWS / file.name))
    return found


def watching(text: str, checks: list[str]) -> str:
    """A template that follows checks, with the names that the repository's own have."""
    return text.replace(WATCHED, f"workflows: {json.dumps(checks, ensure_ascii=False)}") if checks else text


def secrets_in(text: str) -> list[str]:
    """Names of secrets that somebody has to set; GITHUB_TOKEN is there by itself."""
    return [each for each in re.findall(r"\bsecrets\.([A-Za-z_][A-Za-z0-9_]*)", text) if each != "GITHUB_TOKEN"]


def pinned(text: str, pin: str) -> str:
    """A template that uses the Action at `OWNER/NAME@COMMIT`. Raises ConfigurationError."""
    if not pin:
        return text
    if not re.fullmatch(r"[A-Za-z0-9_-]+/[A-Za-z0-9._-]+@([0-9a-f]{40}|[0-9a-f]{64})", pin):
        hint = "a branch or a tag can be moved; write the whole commit"
        raise ConfigurationError("no_such_action", f"{pin!r} is not OWNER/NAME@COMMIT", hint=hint)
    return ACTION.sub(f"uses: {pin}", text)


def next_steps(files: tuple[Path, ...], hints: list[str], secrets: list[str], *, unreleased: bool) -> list[str]:
    """What is left to do by hand."""
    steps = [*(f"gh secret set {name}" for name in secrets), *hints]
    if unreleased:
        steps.insert(0, "this version is not released: name the commit to use with --action OWNER/NAME@COMMIT --force")
    steps.append(f"git add {' '.join(map(str, files))} && git commit -m 'Add Sandpiper' && git push")
    steps.append("sandpiper doctor, then label an issue bot:fix or comment /bot help")
    return ["next:", *(f"  {number}. {step}" for number, step in enumerate(steps, 1))]


def install(root: Path, texts: dict[Path, str], *, force: bool) -> None:
    """Write all files or, where one is there already, none. Raises ConfigurationError."""
    if not root.is_dir():
        raise ConfigurationError("no_such_folder", f"there is no folder {root}", hint="name the repository with --path")
    there = [str(root / each) for each in texts if (root / each).exists() or (root / each).is_symlink()]
    if there and not force:
        raise ConfigurationError("file_exists", f"already there: {', '.join(there)}", hint="overwrite with --force")
    for name, text in texts.items():
        try:
            _write(root / name, text)
        except OSError as error:
            hint = "see that you may write there"
            raise ConfigurationError("not_writable", f"{root / name}: {error.strerror or error}", hint=hint) from None


def _title(text: str) -> str:
    found = re.search(r"^name: *(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def _write(path: Path, text: str) -> None:
    """Put the file there whole or not at all; a symlink in its place is replaced, not followed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number, temporary = tempfile.mkstemp(prefix=".sandpiper-", dir=path.parent)
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)

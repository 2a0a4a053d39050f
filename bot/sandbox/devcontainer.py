"""A checkout's devcontainer.json -> the image and the plain variables that it asks for, and what of it is left out.

The format is containers.dev's, JSON with comments; see https://containers.dev/implementors/json_reference/.
Whoever wrote the checkout wrote the file: nothing in it weakens the sandbox, and no variable of the host is filled in.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from bot.errors import SandboxError
from bot.sandbox.checkoutfile import read_inside

PLACES = (".devcontainer/devcontainer.json", ".devcontainer.json", "devcontainer.json")
"""Where the file lies in a folder, first found first."""
_BYTES = 1_000_000
_VARIABLES = 200
_VALUE = 8_000
_HARMLESS = ("$schema", "name", "image", "build", "dockerFile", "context", "containerEnv", "remoteEnv")
_UNUSED = ("customizations", "extensions", "settings", "forwardPorts", "portsAttributes", "otherPortsAttributes")
"""For editors; nobody misses them here."""
_REASONS: Mapping[str, str] = {
    **dict.fromkeys(
        ("runArgs", "privileged", "capAdd", "securityOpt", "mounts", "workspaceMount", "init", "overrideCommand"),
        "the sandbox's isolation is not the checkout's to choose",
    ),
    **dict.fromkeys(("remoteUser", "containerUser", "updateRemoteUserUID"), "commands run as the checkout's owner"),
    **dict.fromkeys(
        (
            *("initializeCommand", "onCreateCommand", "updateContentCommand", "postCreateCommand"),
            *("postStartCommand", "postAttachCommand", "waitFor"),
        ),
        "name what prepares the checkout in the task's `setup`",
    ),
    "features": "use an image that has them built in",
    "hostRequirements": "the operator sets what a sandbox may use",
    "secrets": "a sandbox gets none",
    "workspaceFolder": "the checkout is always at the same place",
}


@dataclass(frozen=True)
class Devcontainer:
    """What a devcontainer.json comes down to. Either `image` or `dockerfile` is set."""

    image: str = ""
    """Name of an image."""
    dockerfile: str = ""
    """Path of a Dockerfile, relative to the checkout."""
    context: str = ""
    """Folder that the build sees, relative to the checkout."""
    target: str = ""
    """Stage of the Dockerfile; the last one if empty."""
    args: Mapping[str, str] = field(default_factory=dict)
    """Arguments of the build."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment of every command."""
    notes: tuple[str, ...] = ()
    """A sentence for everything that was left out."""


def read_devcontainer(checkout: Path, path: str = "") -> Devcontainer:
    """The file at `path` (a file, or a folder to look in), relative to the checkout.

    Raises SandboxError `devcontainer_not_found`, `devcontainer_invalid`, `devcontainer_unsupported`.
    """
    for place in (path, *(os.path.normpath(f"{path or '.'}/{each}") for each in PLACES)):
        data = read_inside(checkout, place, _BYTES) if place else None
        if data is not None and len(data) > _BYTES:
            raise _invalid(place, f"has more than {_BYTES:,} bytes")
        if data is not None:
            return parse_devcontainer(data, place)
    raise SandboxError(
        "devcontainer_not_found",
        f"the checkout has no devcontainer.json at {path or '.'!r}",
        hint=f"write `devcontainer:PATH`, relative to the checkout, such as `devcontainer:{PLACES[0]}`",
    )


def parse_devcontainer(data: bytes, path: str) -> Devcontainer:
    """The file's text, which lies at `path`. Raises SandboxError as above."""
    try:
        found = json.loads(plain_json(data.decode("utf-8-sig")))
    except (ValueError, RecursionError) as error:
        raise _invalid(path, f"is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise _invalid(path, "is not an object")
    if "dockerComposeFile" in found:
        raise SandboxError(
            "devcontainer_unsupported",
            f"{path} starts several containers with Docker Compose, which a sandbox does not",
            hint="name an image or a Dockerfile for the tasks, such as `image: dockerfile:PATH`",
        )
    notes: list[str] = []
    env = _variables(found, "containerEnv", path, notes) | _variables(found, "remoteEnv", path, notes)
    notes += _left_out(found, path)
    build = found.get("build", {})
    if not isinstance(build, dict):
        raise _invalid(path, "`build` is not an object")
    dockerfile = build.get("dockerfile", found.get("dockerFile"))
    if dockerfile is None:
        image = _text(found, "image", path)
        if not image:
            raise _invalid(path, "names neither `image` nor `build.dockerfile`")
        return Devcontainer(image=image, env=env, notes=tuple(notes))
    if "cacheFrom" in build or "options" in build:
        notes.append(f"{path}: `build.cacheFrom` and `build.options` are left out: the operator configures the engine")
    return Devcontainer(
        dockerfile=_inside(path, str(dockerfile)),
        context=_inside(path, _text(build, "context", path) or _text(found, "context", path) or "."),
        target=_text(build, "target", path),
        args=_variables(build, "args", path, notes),
        env=env,
        notes=tuple(notes),
    )


def plain_json(text: str) -> str:
    """JSON with comments and trailing commas as plain JSON of the same length, so that positions stay true."""
    out = list(text)
    comma: int | None = None
    for kind, start, end in _tokens(text):
        if kind == "comment":
            out[start:end] = [char if char in "\r\n" else " " for char in text[start:end]]
        elif kind == "string":
            comma = None
        elif text[start] == ",":
            comma = start
        elif not text[start].isspace():
            if text[start] in "]}" and comma is not None:
                out[comma] = " "
            comma = None
    return "".join(out)


_TOKEN = re.compile(
    r'(?P<string>"(?:[^"\\\n]|\\.)*"?)|(?P<comment>//[^\r\n]*|/\*.*?(?:\*/|\Z))|(?P<other>.)', re.DOTALL
)


def _tokens(text: str) -> Iterator[tuple[str, int, int]]:
    for match in _TOKEN.finditer(text):
        yield match.lastgroup or "other", match.start(), match.end()


def _variables(of: Mapping[str, Any], name: str, path: str, notes: list[str]) -> dict[str, str]:
    """Variables with a plain value; one with `${...}` would need the host's environment or a running container."""
    found = of.get(name, {})
    if not isinstance(found, dict) or len(found) > _VARIABLES:
        raise _invalid(path, f"`{name}` is not an object of at most {_VARIABLES} variables")
    plain: dict[str, str] = {}
    for key, value in found.items():
        if value is None:
            continue  # the format's way to say that it is not set
        fits = isinstance(value, str) and len(value) <= _VALUE and "\0" not in value
        if not fits or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", key):
            raise _invalid(
                path, f"`{name}` has a variable that is no text of at most {_VALUE:,} characters: {key[:99]!r}"
            )
        if "${" in value:
            notes.append(f"{path}: `{name}.{key}` is left out: only plain values are taken over")
        else:
            plain[key] = value
    return plain


def _left_out(found: Mapping[str, Any], path: str) -> Iterator[str]:
    for key in found:
        if key not in _HARMLESS and key not in _UNUSED:
            reason = _REASONS.get(key, "it means nothing to a sandbox")
            yield f"{path}: `{key[:60]}` is left out: {reason}"


def _text(of: Mapping[str, Any], name: str, path: str) -> str:
    value = of.get(name, "")
    if not isinstance(value, str) or "${" in value:
        raise _invalid(path, f"`{name}` is not a plain text")
    return value


def _inside(path: str, relative: str) -> str:
    """A path as the file names it, relative to itself -> relative to the checkout."""
    joined = os.path.normpath(PurePosixPath(path).parent / relative)
    if joined.startswith(("/", "..")) or "${" in relative or "\0" in relative:
        raise _invalid(path, f"{relative!r} is not inside the checkout")
    return joined


def _invalid(path: str, what: str) -> SandboxError:
    return SandboxError(
        "devcontainer_invalid", f"{path} {what}", hint="see https://containers.dev/implementors/json_reference/"
    )

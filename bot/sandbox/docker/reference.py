"""An image's name as people write it -> its parts, in the form that the engine and registries take.

The grammar is that of distribution's `reference` package; see https://pkg.go.dev/github.com/distribution/reference.
"""

import re
from dataclasses import dataclass

from bot.errors import SandboxError

HUB = "docker.io"
"""Registry of names that have none."""
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(
    rf"(?P<repository>(?:{_HOST}(?::[0-9]+)?/)?{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_MAX = 500


@dataclass(frozen=True)
class Reference:
    """An image in a registry."""

    repository: str
    """As written, with its registry if it names one."""
    tag: str
    """What is asked for: a tag, or a digest, which no later push can change."""

    @property
    def pinned(self) -> bool:
        """Whether it names its content."""
        return self.tag.startswith("sha256:")

    @property
    def name(self) -> str:
        """For the engine. A tag beside a digest means nothing, so it is left out."""
        return f"{self.repository}{'@' if self.pinned else ':'}{self.tag}"

    @property
    def registry(self) -> str:
        """Host and port."""
        first, slash, _ = self.repository.partition("/")
        named = slash and ("." in first or ":" in first or first == "localhost" or first != first.lower())
        return first if named else HUB


def parse_reference(name: str) -> Reference:
    """Raises SandboxError `image_name_invalid`."""
    found = _NAME.fullmatch(name) if len(name) <= _MAX else None
    if found is None:
        raise SandboxError(
            "image_name_invalid",
            f"{name[:100]!r} is not the name of an image",
            hint="such as `python:3.12-slim`, `registry.example.org/team/tool:1` or `name@sha256:...`",
        )
    return Reference(found["repository"], found["digest"] or found["tag"] or "latest")

"""A file of a diff -> why nobody reviews it: made by a program, somebody else's, without text, or only moved."""

from __future__ import annotations

import posixpath
import re

from bot.diffs import FileDiff

LOCKS = frozenset(
    {
        *(
            "package-lock.json",
            "npm-shrinkwrap.json",
            "yarn.lock",
            "pnpm-lock.yaml",
            "bun.lock",
            "bun.lockb",
            "deno.lock",
        ),
        *("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pixi.lock", "conda-lock.yml"),
        *("Cargo.lock", "go.sum", "go.work.sum", "Gemfile.lock", "composer.lock", "mix.lock", "pubspec.lock"),
        *("flake.lock", "Podfile.lock", "Package.resolved", "packages.lock.json", "gradle.lockfile", "Chart.lock"),
        *(".terraform.lock.hcl", "MODULE.bazel.lock", "buf.lock", "Manifest.toml", "cabal.project.freeze"),
    }
)
_VENDORED = re.compile(r"(?:^|/)(?:vendor|third_party|third-party|node_modules|bower_components|Pods|Godeps)/")
_GENERATED_PATH = re.compile(
    r"(?:^|/)(?:dist|__generated__|generated)/|\.pb\.(?:go|cc|h)$|_pb2(?:_grpc)?\.pyi?$|\.g\.dart$|\.freezed\.dart$"
    r"|\.designer\.cs$|\.generated\.\w+$|_generated\.\w+$|\.gen\.\w+$|zz_generated",
    re.IGNORECASE,
)
_SNAPSHOT = re.compile(r"(?:^|/)(?:__snapshots__|__image_snapshots__|snapshots)/|\.(?:snap|ambr|approved\.\w+)$")
_MINIFIED = re.compile(r"[.-]min\.(?:js|css|mjs)$|\.(?:bundle|chunk)\.(?:js|css)$|\.map$")
_DATA = re.compile(r"\.(?:svg|csv|tsv|ipynb|po|pot|xlf|geojson|wasm|ai|eps|drawio|parquet|sql\.gz)$", re.IGNORECASE)
_MARK = re.compile(r"@generated\b|\bcode generated\b.{0,80}\bdo not edit\b|\bautomatically generated\b", re.IGNORECASE)
HEAD = 10
"""First lines of a file in which generators leave their mark."""
LONG_LINE = 2_000
"""Characters of a line beyond which no person wrote it."""


def why_skipped(file: FileDiff) -> str:
    """The reason, empty where it is to be reviewed."""
    name = posixpath.basename(file.path)
    reasons = (
        ("it is binary", file.binary),
        ("it is deleted", file.deleted),
        ("its part of the diff can't be read", file.broken or not file.path),
        ("its text does not change, or is not shown", not file.hunks),
        ("a lock file", name in LOCKS),
        ("somebody else's code, kept here", bool(_VENDORED.search(file.path))),
        ("a snapshot of a test", bool(_SNAPSHOT.search(file.path))),
        ("minified", bool(_MINIFIED.search(file.path)) or _has_long_lines(file)),
        ("generated", bool(_GENERATED_PATH.search(file.path)) or _is_marked(file)),
        ("data", bool(_DATA.search(file.path))),
    )
    return next((reason for reason, holds in reasons if holds), "")


def is_benign(file: FileDiff) -> bool:
    """Whether it is no loss that it is not reviewed: what can't be read may hold anything."""
    return bool(file.path) and not file.broken and (file.deleted or file.binary or bool(file.hunks))


def _is_marked(file: FileDiff) -> bool:
    lines = (line for hunk in file.hunks for line in hunk.lines)
    return any(line.number is not None and line.number <= HEAD and _MARK.search(line.text) for line in lines)


def _has_long_lines(file: FileDiff) -> bool:
    added = [len(line.text) for hunk in file.hunks for line in hunk.lines if line.sign == "+"]
    return bool(added) and sum(added) / len(added) > LONG_LINE / 4 and max(added) > LONG_LINE

"""A run's pinned commit -> a folder that holds it: the checkout that is there already, or a new one.

The commit is fetched by its SHA and by nothing else: when a branch or a fork's pull request moves on, what it moved to
never comes near.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from bot.errors import ForgeError
from bot.forge.checkout.fetch import Source, TokenRefused, failed, fetch
from bot.forge.checkout.head import git_directory, head_of
from bot.forge.client.addresses import server_base
from bot.forge.client.tokens import FixedToken, Tokens
from bot.forge.reading.refs import BAD_REF
from bot.settings import Settings
from bot.types.task import RunSpec

NAME = "checkout"


class GitCheckouts:
    """Checkouts from a folder on this machine (`source`: a checkout or a bare repository), else from the server."""

    def __init__(
        self,
        settings: Settings,
        source: Path | None,
        *,
        tokens: Tokens | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._settings, self._source = settings, source
        self._tokens = tokens or FixedToken(settings.token)
        self._environ = os.environ if environ is None else environ

    def prepare(self, spec: RunSpec, into: Path) -> Path:
        """The source itself where it stands at the pinned commit, else a new folder below `into`.

        Raises ForgeError `checkout_failed`.
        """
        sha = spec.revision.sha
        if self._source is not None and head_of(self._source) == sha:
            return self._source
        places = self._places(spec)
        if not places:
            raise failed(f"{self._source} does not hold {sha}", "give a folder with that commit")
        for place in places[:-1]:
            try:
                return fetch(place, sha, refs_of(spec), into / NAME, self._environ)
            except ForgeError:
                continue  # a clone on this machine need not hold every commit of the server
        return self._fetched(places[-1], sha, refs_of(spec), into / NAME)

    def _fetched(self, place: Source, sha: str, refs: Mapping[str, str], into: Path) -> Path:
        """With the token of the moment, and with the next one where GitHub no longer takes it."""
        if place.protocol == "file":
            return fetch(place, sha, refs, into, self._environ)
        token = self._tokens.token()
        try:
            return fetch(place.signed(token), sha, refs, into, self._environ)
        except TokenRefused:
            if not self._tokens.renew(token):
                raise
        return fetch(place.signed(self._tokens.token()), sha, refs, into, self._environ)

    def _places(self, spec: RunSpec) -> list[Source]:
        places = []
        if self._source is not None and is_repository(self._source):
            places.append(Source(str(self._source.resolve())))
        if not spec.repository.url.startswith("file:"):
            address = f"{server_base(self._settings)}/{spec.repository.full_name}.git"
            places.append(Source(address))
        return places


def refs_of(spec: RunSpec) -> dict[str, str]:
    """The base of a review under the name that people know it by."""
    pull = spec.subject.pull if spec.subject else None
    base = pull.base if pull else spec.base
    if base.sha == spec.revision.sha or BAD_REF.search(base.ref):
        return {}
    return {f"refs/remotes/origin/{base.ref}": base.sha}


def is_repository(folder: Path) -> bool:
    """Whether there is something to fetch from: a checkout or a bare repository."""
    return git_directory(folder) is not None or ((folder / "HEAD").is_file() and (folder / "objects").is_dir())

"""What works on this machine -> the provider of each sandbox: Docker, else bubblewrap, and never none at all.

A provider works when it says so itself, having tried; nobody looks for binaries. Once one has worked it stays: an
engine that dies later is an error, and no reason to go on with something else behind a run's back.
"""

from __future__ import annotations

import builtins
import contextlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from bot.errors import SandboxError
from bot.protocols import Sandbox, SandboxProvider
from bot.sandbox.bubblewrap.provider import BubblewrapProvider
from bot.sandbox.docker.images import ImageRules
from bot.sandbox.docker.provider import DockerProvider
from bot.sandbox.egress.inside import OnEgress
from bot.sandbox.pool import Poolable
from bot.sandbox.stock import Spare
from bot.types.sandbox import SandboxInfo, Template
from bot.types.task import Limits

_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)
_HINT = "start Docker, or install bubblewrap and allow unprivileged user namespaces"


def auto(
    *, work: Path, cap: int | None = None, images: ImageRules | None = None, on_egress: OnEgress | None = None
) -> FirstHealthy:
    """The provider `auto`. Arguments as those of DockerProvider; nothing is asked before the first sandbox is."""
    return FirstHealthy(
        {
            "docker": DockerProvider(work=work, cap=cap, images=images, on_egress=on_egress),
            "bubblewrap": BubblewrapProvider(work=work, cap=cap, on_egress=on_egress),
        }
    )


def select_provider(template: Template | None = None) -> tuple[str, ...]:
    """Names of the providers that can give such a sandbox, the preferred one first. Source: rows B-49 and B-50.

    Images, GPUs, runtimes and networks of several sandboxes are an engine's; all else can be had without one.
    """
    if template is None:
        return ("docker", "bubblewrap")
    engines = template.image != "host" or template.gpu or template.runtime is not None
    return ("docker",) if engines or template.network.mode == "isolated" else ("docker", "bubblewrap")


class _All:
    """What concerns the sandboxes that are there already, whichever provider made them."""

    _providers: Mapping[str, SandboxProvider]

    def sweep(self, run_id: str | None = None) -> int:
        """See the Protocol. Raises SandboxError when no provider answers."""
        return sum(self._answers(lambda provider: provider.sweep(run_id)))

    def list(self) -> tuple[SandboxInfo, ...]:
        """See the Protocol."""
        found = self._answers(lambda provider: provider.list())
        return tuple(sorted((each for some in found for each in some), key=lambda each: each.created_at))

    def get(self, sandbox_id: str) -> Sandbox | None:
        """See the Protocol."""
        found = [each for each in self._answers(lambda provider: provider.get(sandbox_id)) if each is not None]
        return found[0] if len(found) == 1 else None

    def close(self) -> None:
        """See the Protocol."""
        for provider in self._providers.values():
            provider.close()

    def _answers(self, ask: Callable[[SandboxProvider], _T]) -> builtins.list[_T]:
        """What those say that answer. Raises SandboxError when none does."""
        answers, problems = [], {}
        for name, provider in self._providers.items():
            try:
                answers.append(ask(provider))
            except SandboxError as error:
                _LOG.debug("sandbox: %s does not answer: %s", name, error)
                problems[name] = str(error)
        if not answers:
            raise _nobody(problems)
        return answers


class FirstHealthy(_All):
    """A SandboxProvider that hands each template to the first of several providers that suits it and works."""

    def __init__(self, providers: Mapping[str, SandboxProvider]) -> None:
        self._providers, self._good = providers, set[str]()

    def create(self, template: Template) -> Sandbox:
        """See the Protocol. Code `no_sandbox` with what is wrong with each provider, or that provider's own."""
        return self._chosen(template).create(template)

    def prepare(self, template: Template) -> Spare | None:
        """For a pool, see bot.sandbox.pool.Poolable. Raises as `create` does."""
        provider = self._chosen(template)
        return provider.prepare(template) if isinstance(provider, Poolable) else None

    def warm(self, template: Template, count: int = 1) -> None:
        """See the Protocol."""
        with contextlib.suppress(SandboxError):  # whoever makes one hears of it
            self._chosen(template).warm(template, count)

    def healthy(self) -> str | None:
        """See the Protocol: whether one of them is."""
        try:
            self._chosen(None)
        except SandboxError as error:
            return str(error)
        return None

    def capacity(self, limits: Limits) -> int:
        """See the Protocol."""
        return self._chosen(None).capacity(limits)

    def _chosen(self, template: Template | None) -> SandboxProvider:
        """Raises SandboxError `no_sandbox`."""
        problems: dict[str, str] = {}
        suited = select_provider(template)
        for name in (each for each in suited if each in self._providers):
            provider = self._providers[name]
            problem = None if name in self._good else provider.healthy()
            if problem is None:
                self._good.add(name)
                return provider
            problems[name] = problem
        others = [name for name in self._providers if name not in suited]
        raise _nobody({**problems, **dict.fromkeys(others, "can't give a sandbox this image, GPU, runtime or network")})


def _nobody(problems: Mapping[str, str]) -> SandboxError:
    """One error that names them all; nothing runs without isolation instead."""
    lines = [f"{name}: {problem.replace(chr(10), ' -')}" for name, problem in problems.items()]
    return SandboxError("no_sandbox", "no sandbox can be had on this machine; " + "; ".join(lines), hint=_HINT)

"""Several templates -> their sandboxes, or what became of each in a sandbox of its own: bounded, and in their order."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from bot.errors import SandboxError, SandpiperError
from bot.protocols import Sandbox, SandboxProvider
from bot.types.sandbox import Template

_T = TypeVar("_T")
_AT_ONCE = 4


def create_many(
    provider: SandboxProvider, templates: Sequence[Template], *, at_once: int = _AT_ONCE, oversubscribe: bool = False
) -> tuple[Sandbox | SandboxError, ...]:
    """All of them, `at_once` being made at a time: in place of one that could not be made, why. The caller closes them.

    An interrupt closes what was made. Raises SandboxError `capacity_exceeded`, before anything is made, for more than
    the machine bears at once, unless the caller takes that upon himself with `oversubscribe`.
    """
    if not oversubscribe:
        _check(provider, templates, len(templates), "make fewer, give them lower limits, or do the work with run_many")
    made: list[Sandbox] = []
    lock, stopped = threading.Lock(), threading.Event()

    def create(template: Template) -> Sandbox | SandboxError:
        if stopped.is_set():
            return SandboxError("interrupted", "nobody wants it any more")
        try:
            sandbox = provider.create(template)
        except SandboxError as error:
            return error
        with lock:
            made.append(sandbox)
        return sandbox

    with ThreadPoolExecutor(max(1, at_once), "sandpiper-many") as pool:
        futures = [pool.submit(create, template) for template in templates]
        try:
            return tuple(future.result() for future in futures)
        except BaseException:  # an interrupt, or a defect of the provider: nothing may stay that nobody knows of
            stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
            for sandbox in made:
                with contextlib.suppress(SandpiperError):
                    sandbox.close()
            raise


def run_many(
    provider: SandboxProvider,
    templates: Sequence[Template],
    work: Callable[[Sandbox, int], _T],
    *,
    at_once: int | None = None,
) -> tuple[_T | SandpiperError, ...]:
    """What `work` gives for a sandbox of each template and its place, or the error that it ended with; in their order.

    At most `at_once` at a time, as many as the machine bears if None. Each sandbox is closed when its work is done; an
    interrupt is passed on when the work under way is done, and begins no more. Raises SandboxError `capacity_exceeded`
    for an `at_once` that is more than the machine bears.
    """
    if not templates:
        return ()
    if at_once is not None:
        _check(provider, templates, min(at_once, len(templates)), "do fewer at once, or give them lower limits")
    most = at_once or _capacity(provider, templates)

    def do(template: Template, place: int) -> _T | SandpiperError:
        try:
            with contextlib.closing(provider.create(template)) as sandbox:
                return work(sandbox, place)
        except SandpiperError as error:
            return error

    with ThreadPoolExecutor(min(most, len(templates)), "sandpiper-many") as pool:
        futures: list[Future[_T | SandpiperError]] = [
            pool.submit(do, template, place) for place, template in enumerate(templates)
        ]
        try:
            return tuple(future.result() for future in futures)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _check(provider: SandboxProvider, templates: Sequence[Template], wanted: int, hint: str) -> None:
    if templates and wanted > (most := _capacity(provider, templates)):
        raise SandboxError(
            "capacity_exceeded",
            f"{wanted} sandboxes at once are more than this machine bears, which is {most}",
            hint=hint,
        )


def _capacity(provider: SandboxProvider, templates: Sequence[Template]) -> int:
    """How many of the largest."""
    return min(
        provider.capacity(limits)
        for limits in {each.limits.model_dump_json(): each.limits for each in templates}.values()
    )

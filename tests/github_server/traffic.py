"""Every request on its way through: recorded, hooked, struck by planted faults, carried out, its writes in a ledger."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from .dispatch import Journal, answered, canonical, elsewhere
from .exchange import Answer, Request, not_found
from .faults import Fault, Faults, afterwards, instead_of
from .git_door import PATH, git_answer
from .ledger import CONTENT, Write, changes_between, credential_of, snapshot
from .past import frozen
from .records import World

Hook = Callable[[Request], None]
Moment = Literal["before", "after"]


class Traffic(Journal):
    """The journal of a running server, and what a test may do to its requests."""

    def __init__(self, world: World, base: str, check_answers: bool) -> None:
        super().__init__()
        self.world = world
        self.base = base
        self.check_answers = check_answers
        self.faults = Faults()
        self.hooks: list[tuple[Moment, Hook]] = []
        self.ledger: list[Write] = []
        """Every write that was carried out, refused ones too, in order."""
        self.pasts: list[World] = []
        """The state before each write, kept while a stale answer is planted."""
        self.hooking = threading.RLock()

    def on_request(self, hook: Hook, when: Moment = "before") -> None:
        """Call a function with every API request: before it is carried out, or after it and before the answer goes."""
        self.hooks.append((when, hook))

    def handle(self, request: Request) -> Answer | None:
        """One request, through hooks and planted faults; None closes the connection."""
        if PATH.fullmatch(request.path):
            self.git_requests.append(request)
            with self.written(request):
                git = git_answer(self.world, request)
                request.status = git.status
            return git
        if self.base and request.path == "/api/graphql":  # where an Enterprise server has it: beside /api/v3
            request.path = f"{self.base}/graphql"
        if not request.path.startswith(f"{self.base}/"):
            self.unknown.append(f"{request.method} {request.path}")
            return not_found().answer()
        request.path = request.path.removeprefix(self.base)
        self.requests.append(request)
        self.call_hooks("before", request)
        answer = self.faulty(request)
        request.status = answer.status if answer is not None else 0
        return answer

    def faulty(self, request: Request) -> Answer | None:
        """Carry the request out unless a planted fault is in the way."""
        with self.world.lock:
            fault = self.faults.take(request)
        request.fault = fault.kind if fault else None
        if fault is not None:
            if fault.kind == "drop_before":
                return None
            time.sleep(fault.seconds if fault.kind == "delay" else 0)
            planted = instead_of(fault, elsewhere(self.world, canonical(self.world, request.path)))
            if planted is not None:
                return planted
        made = self.carry_out(request, fault)
        self.call_hooks("after", request)
        return made if fault is None else afterwards(fault, made)

    def carry_out(self, request: Request, fault: Fault | None) -> Answer:
        """The answer of the present world, or of an older one."""
        with self.world.lock:
            if request.is_write and self.faults.want_past:
                self.pasts.append(frozen(self.world))
            with self.written(request):
                made = answered(self.world, self, request, self.check_answers)
                request.status = made.status
            if fault is not None and fault.kind == "stale":
                return self.older(request, made)
            return made

    def older(self, request: Request, made: Answer) -> Answer:
        """The answer from before the last write that changed it; the present one where none did."""
        for past in reversed(self.pasts):
            before = answered(past, Journal(), request, False)
            if (before.status, before.wire()) != (made.status, made.wire()):
                return before
        return made

    @contextmanager
    def written(self, request: Request) -> Iterator[None]:
        """Enter the write that is carried out in the block into the ledger, by its status and what it changed."""
        if request.reads:
            yield
            return
        with self.world.lock:
            stores = request.path.endswith(CONTENT)
            before = {} if stores else snapshot(self.world)
            yield
            changes = {} if stores else changes_between(before, snapshot(self.world))
            self.ledger.append(
                Write(
                    len(self.ledger) + 1, request.method, request.path, request.operation, request.status,
                    credential_of(self.world, request), changes, request.fault,
                )
            )  # fmt: skip

    def call_hooks(self, moment: Moment, request: Request) -> None:
        """The hooks of one moment, in the order in which they were added; requests may come side by side, hooks not."""
        with self.hooking:
            for when, hook in list(self.hooks):
                if when == moment:
                    hook(request)

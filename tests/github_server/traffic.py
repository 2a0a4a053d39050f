"""Every request on its way through: recorded, hooked, struck by planted faults, carried out."""

import time
from collections.abc import Callable
from typing import Literal

from .dispatch import Ledger, answered, canonical, elsewhere
from .exchange import Answer, Request, not_found
from .faults import Faults, answer_of
from .git_door import PATH, git_answer
from .records import World

Hook = Callable[[Request], None]
Moment = Literal["before", "after"]


class Traffic(Ledger):
    """The ledger of a running server, and what a test may do to its requests."""

    def __init__(self, world: World, base: str, check_answers: bool) -> None:
        super().__init__()
        self.world = world
        self.base = base
        self.check_answers = check_answers
        self.faults = Faults()
        self.hooks: list[tuple[Moment, Hook]] = []

    def on_request(self, hook: Hook, when: Moment = "before") -> None:
        """Call a function with every API request: before it is carried out, or after it and before the answer goes."""
        self.hooks.append((when, hook))

    def handle(self, request: Request) -> Answer | None:
        """One request, through hooks and planted faults; None closes the connection."""
        if PATH.fullmatch(request.path):
            self.git_requests.append(request)
            git = git_answer(self.world, request)
            request.status = git.status
            return git
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
        fault = self.faults.take(request)
        request.fault = fault.kind if fault else None
        if fault is not None:
            if fault.kind == "drop_before":
                return None
            time.sleep(fault.seconds if fault.kind == "delay" else 0)
            planted = answer_of(fault, elsewhere(self.world, canonical(self.world, request.path)))
            if planted is not None:
                return planted
        with self.world.lock:
            answer = answered(self.world, self, request, self.check_answers)
        self.call_hooks("after", request)
        return None if fault is not None and fault.kind == "drop_after" else answer

    def call_hooks(self, moment: Moment, request: Request) -> None:
        """The hooks of one moment, in the order in which they were added."""
        for when, hook in list(self.hooks):
            if when == moment:
                hook(request)

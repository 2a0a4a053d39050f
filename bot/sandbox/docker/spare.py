"""A container that nobody has taken yet -> the sandbox of the run that takes it, and a used one -> such a container.

Its wall clock is a donor's, which waits; its note says that it is nobody's, so that no inventory shows it and the next
sweep after a crash removes it. What the container was started with does not change when it is taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from bot.errors import SandboxError
from bot.sandbox.docker.body import DockerBody
from bot.sandbox.docker.container import GRACE
from bot.sandbox.docker.network import Attachment
from bot.sandbox.folder import Note, note_for, write_note
from bot.sandbox.living import LivingSandbox
from bot.types.sandbox import Template

SPARE = "docker-spare"
"""Provider in the note of one that nobody has taken."""
_PING_SECONDS = 1.0


def can_wait(template: Template) -> bool:
    """Whether such a sandbox can be made before its run is known, with a clock that starts later."""
    return template.network.mode == "none" and template.runtime is None


@dataclass(frozen=True)
class Spare:
    """One that waits. Whoever has it adopts or closes it, once."""

    folder: Path
    note: Note
    body: DockerBody
    attachment: Attachment

    @property
    def sandbox(self) -> LivingSandbox:
        """For looking into it before anybody takes it: it answers like any sandbox, and no clock runs."""
        return LivingSandbox(replace(self.body, facts=replace(self.body.facts, ends=math.inf)))

    def alive(self) -> bool:
        """Whether it answers now."""
        return self.body.facts.channel.ping(_PING_SECONDS)

    def adopt(self, template: Template, provider: str = "docker") -> LivingSandbox:
        """It is that run's from now on, and its time begins. Raises SandboxError: then it has to be closed."""
        facts, asked = self.body.facts, note_for(template, provider, self.note.owner)
        record = facts.record.changed(warm=True)
        try:
            write_note(self.folder, asked.changed(record=record, workspace=self.note.workspace, extra=self.note.extra))
        except OSError as error:
            raise SandboxError("sandbox_lost", f"{facts.name} has no folder any more: {error}", hint="retry") from error
        self.attachment.start_clock(int(template.limits.minutes * 60) + GRACE)
        return LivingSandbox(
            replace(self.body, facts=replace(facts, template=template, record=record, ends=asked.ends))
        )

    def close(self) -> None:
        """Nothing is left of it."""
        LivingSandbox(self.body).close()

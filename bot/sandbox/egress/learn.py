"""What a run asked for -> an allow-list for the policy file, proposed to a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from bot.sandbox.egress.judge import harmless, host_name
from bot.types.network import EgressRecord

_SIBLINGS, _PARENT_LABELS = 3, 3
"""So many names below one parent of at least so many labels become `*.parent`. A parent of two labels may be a public
suffix (`co.uk`), below which strangers register."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """An allow-list, and what a person should look at before taking it."""

    allow: tuple[str, ...] = ()
    """Patterns for `allow`."""
    private: tuple[str, ...] = ()
    """Asked for but refused, since they lead to addresses that are not public."""
    denied: tuple[tuple[str, str], ...] = ()
    """Whatever else was refused, with the code."""


def propose(records: Iterable[EgressRecord]) -> Proposal:
    """Return what would have let the run do what it did, no wider than its requests show."""
    allow: set[_Asked] = set()
    private: set[str] = set()
    denied: set[tuple[str, str]] = set()
    for record in records:
        asked = _Asked(harmless(record.host), record.port, record.method != "CONNECT")
        if record.verdict != "denied" or record.code == "byte_budget":
            if host_name(record.host) == record.host and record.port:
                allow.add(asked)
        elif record.code == "private_address":
            private.add(asked.pattern())
        elif record.host:
            denied.add((asked.pattern(), harmless(record.code)))
    return Proposal(tuple(sorted(_widened(allow))), tuple(sorted(private)), tuple(sorted(denied)))


def policy_text(proposal: Proposal) -> str:
    """Return the proposal as YAML for a task of the policy file; what was refused stands there as comments."""
    lines = ["hosts:", *(f'  - "{each}"' for each in proposal.allow)] if proposal.allow else ["hosts: []"]
    if proposal.private:
        lines += [
            "# Refused: their addresses are not public. Name those that are yours in SANDPIPER_PRIVATE_HOSTS too:"
        ]
        lines += [f'#  - "{each}"' for each in proposal.private]
    if proposal.denied:
        lines += ["# Refused for other reasons:", *(f"#   {what} ({why})" for what, why in proposal.denied)]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True, order=True)
class _Asked:
    host: str
    port: int
    plain: bool

    def pattern(self, host: str = "") -> str:
        """Return it as a pattern, for another name if one is given."""
        usual = 80 if self.plain else 443
        port = f":{self.port}" if self.port not in (0, usual) else ""
        return f"{'http://' if self.plain else ''}{host or self.host}{port}"

    @property
    def parent(self) -> str:
        """What follows the first label; empty if that is too short to be proposed."""
        parent = self.host.partition(".")[2]
        return parent if parent.count(".") + 1 >= _PARENT_LABELS else ""


def _widened(asked: set[_Asked]) -> set[str]:
    families = Counter((each.parent, each.port, each.plain) for each in asked)
    return {
        each.pattern(f"*.{each.parent}")
        if each.parent and families[each.parent, each.port, each.plain] >= _SIBLINGS
        else each.pattern()
        for each in asked
    }

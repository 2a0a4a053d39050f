"""Budgets, audit files and proposals: what is counted, written and learned of a run's requests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.sandbox.egress.budget import Budget
from bot.sandbox.egress.learn import policy_text, propose
from bot.types.network import EgressRecord, Network

AT = datetime(2026, 1, 2, tzinfo=UTC)


def record(host: str, *, port: int = 443, method: str = "CONNECT", **rest: Any) -> EgressRecord:
    rest.setdefault("verdict", "learned")
    return EgressRecord(at=AT, host=host, port=port, method=method, **rest)


@settings(deadline=None)
@given(st.lists(st.integers(0, 5_000)), st.integers(1, 20_000))
def test_exactly_the_budget_is_granted(counts: list[int], most: int) -> None:
    budget = Budget(max_requests=1, max_bytes=most)
    granted = sum(budget.spend(count) for count in counts)
    assert granted == budget.spent == min(most, sum(counts))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 50_000), st.floats(0, 0.5)), min_size=1), st.integers(1_000, 1_000_000))
def test_bandwidth_is_kept_over_every_span(pieces: list[tuple[int, float]], rate: int) -> None:
    """Whoever waits as long as told has never sent more than the rate allows, but for a slice of a second."""
    budget, now, sent = Budget(1, 1, bytes_per_second=rate), 0.0, 0
    for count, pause in pieces:
        now += pause
        now += budget.delay(count, now)
        sent += count
        assert sent <= rate * (now + 1 / 8) * (1 + 1e-9) + 1


def test_pieces_are_small_where_bandwidth_is() -> None:
    assert Budget(1, 1, bytes_per_second=8_000).chunk == 1_000
    assert Budget(1, 1, bytes_per_second=1_000).chunk == 128
    assert Budget(1, 1).chunk == Budget(1, 1, bytes_per_second=10**9).chunk
    assert Budget(1, 1).delay(10**9, 0) == 0


def test_what_was_learned_becomes_an_allow_list() -> None:
    proposal = propose(
        [
            record("pypi.org"),
            record("pypi.org", verdict="allowed"),
            record("git.example.org", port=8443),
            record("deb.example.org", port=80, method="GET"),
            record("cut.example.org", verdict="denied", code="byte_budget"),
            *(record(f"{name}.files.example.org") for name in "abc"),
            *(record(f"{name}.cdn.example.org") for name in "ab"),
            record("c.cdn.example.org", port=8443),
            *(record(f"{name}.co.uk") for name in "abc"),
            record("inside.corp", verdict="denied", code="private_address", address="10.0.0.1"),
            record("evil.org", port=22, verdict="denied", code="port_not_allowed"),
            record("", port=0, method="", verdict="denied", code="bad_request"),
        ]
    )
    assert proposal.allow == (
        *("*.files.example.org", "a.cdn.example.org", "a.co.uk", "b.cdn.example.org", "b.co.uk"),
        *("c.cdn.example.org:8443", "c.co.uk", "cut.example.org", "git.example.org:8443"),
        *("http://deb.example.org", "pypi.org"),
    )
    assert proposal.private == ("inside.corp",)
    assert proposal.denied == (("evil.org:22", "port_not_allowed"),)
    assert tuple(yaml.safe_load(policy_text(proposal))["hosts"]) == proposal.allow
    assert "#   evil.org:22 (port_not_allowed)" in policy_text(proposal)
    assert yaml.safe_load(policy_text(propose([]))) == {"hosts": []}


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            record,
            st.text(max_size=30) | st.just("a\nhosts: [evil.org]"),
            port=st.integers(0, 65_535),
            verdict=st.sampled_from(["learned", "denied"]),
            code=st.text(max_size=10) | st.just("private_address"),
        )
    )
)
def test_a_proposal_is_always_a_list_of_hosts(records: list[EgressRecord]) -> None:
    hosts = yaml.safe_load(policy_text(propose(records)))["hosts"]
    assert Network(mode="restricted", allow=hosts).allow == tuple(hosts)

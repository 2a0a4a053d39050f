"""Rows about beginnings and ends: cold start, warm pool, close, many at once."""

from __future__ import annotations

from floors import HARDENED
from rows import Goal, Row
from stand import Stand

SDK = "docker SDK: run + exec_run"
MANY = 20


def cold(stand: Stand) -> Row:
    """Row 1."""
    stocked, bare = "Sandpiper docker, namespaces in stock", "Sandpiper docker, nothing in stock"
    goals = (Goal(stocked, 0.6, SDK),)
    row = Row("1", "cold start to first output, hardened, network none", SDK, goals)
    row.add(SDK, lambda _: stand.floor.cold())
    row.add("docker SDK with the same hardening", lambda _: stand.floor.cold(**HARDENED))
    row.add(stocked, lambda _: stand.ours.cold(stock=True))
    row.add(bare, lambda _: stand.ours.cold())
    row.add(f"{stocked}, this machine's toolchain", lambda _: stand.ours.cold(stock=True, image="host"))
    row.add("Sandpiper bubblewrap", lambda _: stand.ours.cold("bubblewrap"))
    stand.add_peers(row, "cold")
    row.notes.append(
        "the SDK and the peers start as they come: bridge network, no hardening; llm-sandbox without its set-up"
    )
    return row


def pool(stand: Stand) -> Row:
    """Row 2."""
    ours = "Sandpiper, warm pool"
    row = Row("2", "acquire from the warm pool to first output", SDK, (Goal(ours, 0.02, SDK),))
    row.add(SDK, lambda _: stand.floor.cold())
    row.add(ours, lambda _: stand.ours.pooled())
    stand.add_peers(row, "acquire", names=("llm-sandbox",))
    row.notes.append("llm-sandbox hands out used containers again, with the files and processes of the last tenant")
    return row


def close(stand: Stand) -> Row:
    """Row 7."""
    floor, ours = "docker SDK: remove(force=True)", "Sandpiper docker, until nothing is left of it"
    row = Row("7", "close", floor, (Goal(ours, 0.8, floor),))
    row.add(floor, lambda _: stand.floor.close())
    row.add(ours, lambda _: stand.ours.closing(until_gone=True))
    row.add("Sandpiper docker, until the call returns", lambda _: stand.ours.closing(until_gone=False))
    row.add("Sandpiper bubblewrap", lambda _: stand.ours.closing("bubblewrap", until_gone=False))
    stand.add_peers(row, "close")
    row.notes.append("peers until the container is gone")
    return row


def bubblewrap(stand: Stand) -> Row:
    """Row 8."""
    ours, floor = "Sandpiper bubblewrap", "host subprocess"
    row = Row("8", "bubblewrap, cold start to first output", goals=(Goal(ours, 20.0),), repeat=3)
    row.add(ours, lambda _: stand.ours.cold("bubblewrap"))
    row.add(f"{ours}: close", lambda _: stand.ours.closing("bubblewrap", until_gone=False))
    row.notes.append(f"{floor}: see the row of one command; none of the peers has it")
    return row


def many(stand: Stand) -> Row:
    """Row 9."""
    floor, stocked = f"docker SDK with {MANY} threads", "Sandpiper docker, namespaces in stock"
    row = Row("9", f"{MANY} cold starts at once, wall clock", floor, (Goal(stocked, 0.5, floor),), digits=0)
    row.add(floor, lambda _: stand.floor.many(MANY))
    row.add(stocked, lambda stack: stand.ours.many(stack, MANY, stock=True))
    row.add("Sandpiper docker, nothing in stock", lambda stack: stand.ours.many(stack, MANY, stock=False))
    row.add("Sandpiper bubblewrap", lambda stack: stand.ours.many(stack, MANY, "bubblewrap", stock=False))
    stand.add_peers(row, "many", MANY)
    return row

"""What every Store must show, as plain functions over a way to open one: an adapter's test calls them all.

Each takes `reopen`, which gives a new Store over the same place, as a new process would have it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from bot.protocols import Store
from bot.types.event import Actor, Event, Other, Repository
from bot.types.output import Receipt
from bot.types.run import Run, run_id_of

Reopen = Callable[[], Store]


def event(identity: str = "1", *, attempt: int = 1) -> Event:
    """A happening with that identity."""
    return Event(
        id=identity,
        name="issues",
        repository=Repository(full_name="octo/demo", default_branch="main"),
        actor=Actor(login="octo", id=1),
        trigger=Other(reason="a test"),
        attempt=attempt,
    )


def opening_twice_gives_the_same_run(reopen: Reopen) -> None:
    """A second delivery finds the first one's run."""
    first = reopen().open(event())
    saved = reopen().save(first.changed(status="in_progress"))

    assert first.run_id == run_id_of(event())
    assert reopen().open(event(attempt=2)) == saved
    assert reopen().open(event("2")).run_id != first.run_id


def concurrent_openers_get_one_run(reopen: Reopen) -> None:
    """Five deliveries at the same time make one run."""
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: reopen().open(event()), range(8)))

    assert all(run == runs[0] for run in runs)
    assert reopen().list() == (runs[0],)


def one_at_a_time_works_on_a_run(reopen: Reopen) -> None:
    """Others come away at once; afterwards it is free again, and other runs always were."""
    one, other = reopen().open(event("1")).run_id, reopen().open(event("2")).run_id

    with reopen().claim(one) as first, reopen().claim(one) as second, reopen().claim(other) as elsewhere:
        assert (first, second, elsewhere) == (True, False, True)
    with reopen().claim(one) as again:
        assert again


def what_is_saved_is_loaded(reopen: Reopen) -> None:
    """Every field comes back, with a newer `updated_at`."""
    run = reopen().open(event("grüße \U0001f600"))
    changed = run.changed(
        status="completed",
        conclusion="success",
        intents=("note",),
        receipts=(Receipt(key="note", kind="note", url="https://example.test", id=7),),
    )

    saved = reopen().save(changed)

    assert saved.updated_at >= run.updated_at
    assert saved == changed.changed(updated_at=saved.updated_at)
    assert reopen().load(run.run_id) == saved


def runs_are_found_by_the_beginning_of_their_id(reopen: Reopen) -> None:
    """Unless that is nobody's; nonsense is nobody's."""
    run = reopen().open(event())

    assert reopen().load(run.run_id[:7]) == run
    for nobody in ("", "zz", "../../etc", "0" * 40, "*"):
        assert reopen().load(nobody) is None


def the_list_is_newest_first(reopen: Reopen) -> None:
    """By when they were opened, cut to the limit."""
    runs: list[Run] = [reopen().open(event(str(number))) for number in range(4)]
    reopen().save(runs[0])

    assert [run.run_id for run in reopen().list()] == [run.run_id for run in reversed(runs)]
    assert [run.run_id for run in reopen().list(limit=1)] == [runs[3].run_id]


def each_run_has_its_own_folder(reopen: Reopen) -> None:
    """It exists, keeps what is put there, and is not another run's."""
    one, other = reopen().open(event("1")), reopen().open(event("2"))
    (reopen().folder(one.run_id) / "file").write_text("kept")

    assert (reopen().folder(one.run_id) / "file").read_text() == "kept"
    assert not (reopen().folder(other.run_id) / "file").exists()


CONTRACT: tuple[Callable[[Reopen], None], ...] = (
    opening_twice_gives_the_same_run,
    concurrent_openers_get_one_run,
    one_at_a_time_works_on_a_run,
    what_is_saved_is_loaded,
    runs_are_found_by_the_beginning_of_their_id,
    the_list_is_newest_first,
    each_run_has_its_own_folder,
)

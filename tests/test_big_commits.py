"""Large proposals: they arrive exactly, in few requests, side by side where that helps, and never all in memory.

At a tenth of the scale that is allowed; `python bench/publish.py` measures the whole: 10,000 files and 100 MB.
"""

from __future__ import annotations

import time
from collections import Counter
from itertools import accumulate
from typing import Any

import pytest

from bot.errors import ForgeError, TaskError
from tests.big_proposal import Contents, base_files, make_proposal
from tests.forge_fixtures import NAME, Desk, desk
from tests.github_server.trees import read_commit, walk

__all__ = ["desk"]

SCALE = 0.1


def contents(desk: Desk, revision: str) -> dict[str, Contents]:
    """Everything that a commit holds."""
    git = desk.repo.git
    entries = walk(git, read_commit(git, revision).tree)
    return {path: (entry.mode, git.read(entry.sha)[1]) for path, entry in entries if entry.kind == "blob"}


def test_a_thousand_files_of_every_kind_arrive_exactly(desk: Desk) -> None:
    proposal = make_proposal(SCALE, "one")
    desk.server.commit(NAME, "main", {**dict.fromkeys(desk.files(desk.head)), **proposal.before})
    output = desk.commit(*proposal.changes(desk.blobs))
    receipt = desk.apply(output)
    assert len(output.files) >= 1000
    assert proposal.size > 8_500_000
    assert contents(desk, receipt.sha) == proposal.after
    calls = Counter(desk.calls())
    git = "/repos/{owner}/{repo}/git"
    binaries = {data for _, data in proposal.after.values() if _needs_a_blob(data)}
    assert calls.pop(f"POST {git}/blobs") == len(binaries)
    assert calls.pop(f"POST {git}/trees") <= 2 + proposal.size // 1_000_000
    assert calls == {f"GET {git}/trees/{{tree_sha}}": 1, f"POST {git}/commits": 1, f"POST {git}/refs": 1}


def _needs_a_blob(data: bytes) -> bool:
    try:
        return len(data) > 500_000 or "\0" in data.decode()
    except UnicodeDecodeError:
        return True


def test_what_github_has_already_is_not_sent_again(desk: Desk) -> None:
    """A binary that is renamed, and one whose mode changes."""
    data = bytes(range(256)) * 100
    desk.server.commit(NAME, "main", {"raw.bin": data, "tool.bin": data[::-1]})
    old, tool = desk.blob(data), desk.blob(data[::-1])
    changes = [desk.change("moved.bin", data), desk.change("raw.bin", None).changed(old=old)]
    changes.append(desk.change("tool.bin", data[::-1], "100755").changed(old=tool))
    receipt = desk.apply(desk.commit(*changes))
    assert desk.files(receipt.sha)["moved.bin"] == data
    assert not any(call.endswith("/git/blobs") for call in desk.calls())


def test_blobs_go_side_by_side_but_not_all_at_once(desk: Desk) -> None:
    moments: list[tuple[float, int]] = []

    def end(request: Any) -> None:
        if request.path.endswith("/git/blobs"):
            moments.extend([(request.at, 1), (time.monotonic(), -1)])

    desk.server.faults.add("POST", r"/git/blobs", "delay", times=-1, seconds=0.1)
    desk.server.on_request(end, "after")
    changes = [desk.change(f"{at}.bin", b"\0" + at.to_bytes(2, "big") * 600) for at in range(24)]
    receipt = desk.apply(desk.commit(*changes))
    assert len(desk.files(receipt.sha)) == 4 + 24
    together = list(accumulate(step for _, step in sorted(moments)))
    assert 4 <= max(together) <= 8


def test_a_large_file_travels_alone(desk: Desk) -> None:
    under_way: list[tuple[float, int]] = []

    def end(request: Any) -> None:
        if request.path.endswith("/git/blobs"):
            under_way.extend([(request.at, len(request.raw)), (time.monotonic(), -len(request.raw))])

    desk.server.faults.add("POST", r"/git/blobs", "delay", times=-1, seconds=0.1)
    desk.server.on_request(end, "after")
    sizes = [15_000_000, 1000, *([1_900_000] * 10)]
    changes = [desk.change(f"{at}.bin", b"\0" + bytes([at]) * size) for at, size in enumerate(sizes)]
    desk.apply(desk.commit(*changes))
    assert max(accumulate(size for _, size in sorted(under_way))) < 25_000_000


def test_one_blob_that_fails_stops_the_rest_and_nothing_is_left(desk: Desk) -> None:
    changes = [desk.change(f"{at}.bin", b"\0" + at.to_bytes(2, "big") * 600) for at in range(200)]
    desk.server.faults.add("POST", r"/git/blobs", "status", times=-1, skip=20, status=403)
    with pytest.raises(ForgeError) as caught:
        desk.apply(desk.commit(*changes))
    assert caught.value.code == "forbidden"
    assert sum(call.endswith("/git/blobs") for call in desk.calls()) < 60
    assert set(desk.repo.git.refs("refs/heads/")) == {"refs/heads/main"}


def test_a_crash_in_the_middle_ends_in_the_same_commit_when_it_is_started_again(desk: Desk) -> None:
    output = desk.commit(*(desk.change(f"{at}.bin", b"\0" + at.to_bytes(2, "big") * 600) for at in range(20)))
    blob = desk.blobs / str(output.files[-1].new and output.files[-1].new.digest)
    kept = blob.read_bytes()
    blob.unlink()
    with pytest.raises(TaskError):
        desk.apply(output)
    blob.write_bytes(kept)
    receipt = desk.apply(output, doubt=True)
    assert desk.apply(output, doubt=True) == receipt
    assert len(desk.files(receipt.sha)) == 4 + 20


@pytest.mark.parametrize(("limit", "most"), [(20, 15), (200, 15), (500, 12), (2000, 1)])
def test_a_repository_whose_list_is_cut_takes_few_requests(desk: Desk, limit: int, most: int) -> None:
    """Ten files in ten folders of a repository that is larger than GitHub's list, wherever the list is cut."""
    files = {f"{top}/{inner}/{deep}/f.txt": str(deep) for top in range(12) for inner in range(4) for deep in range(10)}
    desk.server.commit(NAME, "main", {**files, "z.txt": "z"})
    desk.repo.tree_limit = limit
    changed = [f"{at}/{at % 4}/{at % 10}/f.txt" for at in range(8)] + ["new/folder/x.txt", "z.txt"]
    receipt = desk.apply(desk.commit(*(desk.change(path, b"changed\n") for path in changed)))
    assert {path: desk.files(receipt.sha)[path] for path in changed} == dict.fromkeys(changed, b"changed\n")
    calls = Counter(desk.calls())
    assert calls["GET /repos/{owner}/{repo}/git/trees/{tree_sha}"] <= most
    assert len(desk.calls()) <= most + 3


def test_a_folder_that_is_larger_than_githubs_list_is_refused(desk: Desk) -> None:
    desk.repo.tree_limit = 1
    with pytest.raises(ForgeError) as caught:
        desk.apply(desk.commit(desk.change("src/app.py", b"2")))
    assert caught.value.code == "folder_too_large"
    assert set(desk.repo.git.refs("refs/heads/")) == {"refs/heads/main"}


def test_base_files_are_what_the_scale_says() -> None:
    assert len(base_files(1.0)) == 3000

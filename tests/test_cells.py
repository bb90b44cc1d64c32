"""The memory of the metrics: what workers count is there for all, and outlives them."""

import errno
import os
import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.cells import CAPACITY, GAUGE, Cells, Key


def read(cells: Cells) -> dict[Key, list[float]]:
    """Every block, summed over the processes."""
    found: dict[Key, list[float]] = {}
    for key, values in cells.read():
        found[key] = [a + b for a, b in zip(found.get(key, [0.0] * 99), values, strict=False)]
    return found


def leave(cells: Cells) -> None:
    """Give up the lock, as the end of a process does."""
    assert cells._keys is not None
    cells._keys.close()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Callable[[], Cells]]:
    """Makes the cells of one more worker of a group."""
    made: list[Cells] = []

    def make() -> Cells:
        made.append(Cells(tmp_path))
        return made[-1]

    yield make
    for cells in made:
        leave(cells)


def test_block_is_asked_for_by_its_key() -> None:
    """The same key has the same cells, another key others; all begin at 0."""
    cells = Cells()
    first, second = cells.block(("a",), 3), cells.block(("b",))
    assert cells.block(("a",), 3) == first
    assert second >= first + 3
    cells.values[first + 1] += 2.0
    assert read(cells) == {("a",): [0.0, 2.0, 0.0], ("b",): [0.0]}


def test_next_worker_goes_on_with_what_a_dead_one_counted(
    worker: Callable[[], Cells], tmp_path: Path
) -> None:
    """A new worker takes over the files of one that is gone: counts go on, states begin anew."""
    dead = worker()
    dead.values[dead.block(("count",))] = 5.0
    dead.values[dead.block((GAUGE, "worker"))] = 1.0
    leave(dead)
    next_one = worker()
    assert read(next_one) == {("count",): [5.0], (GAUGE, "worker"): [0.0]}
    next_one.values[next_one.block(("count",))] += 1.0
    assert read(next_one)["count",] == [6.0]
    assert len(list(tmp_path.glob("*.keys"))) == 1


def test_state_of_a_worker_that_is_gone_is_not_shown(worker: Callable[[], Cells]) -> None:
    """What it counted stays, but it is no worker any more and works on nothing."""
    gone, here = worker(), worker()
    for cells in (gone, here):
        cells.values[cells.block((GAUGE, "worker"))] = 1.0
        cells.values[cells.block(("count",))] = 3.0
    assert read(here)[GAUGE, "worker"] == [2.0]
    leave(gone)
    assert read(here) == {(GAUGE, "worker"): [1.0], ("count",): [6.0]}


def test_half_written_key_is_not_there_yet(worker: Callable[[], Cells], tmp_path: Path) -> None:
    """A worker that was killed while it noted a key leaves nothing that a reader stumbles over."""
    dead = worker()
    dead.values[dead.block(("count",))] = 5.0
    leave(dead)
    with (tmp_path / "0.keys").open("ab") as file:
        file.write(b'["half", 1')
    cells = worker()
    assert read(cells) == {("count",): [5.0]}
    cells.block(("more",))
    assert read(worker()) == {("count",): [5.0], ("more",): [0.0]}


def test_block_of_another_width_is_another_block(worker: Callable[[], Cells]) -> None:
    """After a release that counts otherwise no cell is shared with the old meaning."""
    old = worker()
    start = old.block(("histogram",), 4)
    after = old.block(("after",))
    leave(old)
    cells = worker()
    assert cells.block(("histogram",), 9) > after > start
    assert cells.block(("histogram",), 9) == cells.block(("histogram",), 9)


def test_threads_are_given_cells_of_their_own() -> None:
    """The thread that follows the store and the one that answers may ask at the same time."""
    cells = Cells()
    keys = [(f"key {i}",) for i in range(2000)]
    threads = [threading.Thread(target=lambda: [cells.block(k, 3) for k in keys]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(cells.block(key, 3) for key in keys) == list(range(0, 6000, 3))


def test_when_no_cell_is_left_counting_goes_on_unseen() -> None:
    """After thousands of versions new ones are not shown, and nothing fails or is mixed up."""
    cells = Cells()
    first = cells.block(("first",), CAPACITY - 300)
    late = cells.block(("late",), 100)
    assert late > first + CAPACITY - 300
    cells.values[late + 99] += 1.0
    assert set(read(cells)) == {("first",)}


def test_block_has_its_room_on_the_disk(worker: Callable[[], Cells], tmp_path: Path) -> None:
    """Writing to mapped memory that the disk then has no room for would kill the worker (SIGBUS)."""
    cells = worker()
    before = (tmp_path / "0.cells").stat().st_blocks
    cells.block(("wide",), 100_000)
    assert 512 * ((tmp_path / "0.cells").stat().st_blocks - before) >= 790_000


def no_room(*_: object) -> None:
    """Stands for `os.posix_fallocate` on a disk that is full."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("full_of", ["cells", "keys"])
def test_full_disk_costs_a_metric_and_not_the_request(
    worker: Callable[[], Cells],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    full_of: str,
) -> None:
    """What has no room is counted unseen and told once; what was there before or comes later is right."""
    cells, keys = worker(), tmp_path / "0.keys"
    cells.values[cells.block(("first",))] += 1.0
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if full_of == "cells":
        monkeypatch.setattr(os, "posix_fallocate", no_room)
    else:  # half of the key has room
        resource.setrlimit(resource.RLIMIT_FSIZE, (keys.stat().st_size + 10, before[1]))
    try:
        for unseen in ("second", "third"):
            cells.values[cells.block((unseen,))] += 1.0
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        monkeypatch.undo()
    cells.values[cells.block(("fourth",))] += 1.0
    assert read(cells) == {("first",): [1.0], ("fourth",): [1.0]}
    (said,) = caplog.messages
    assert said.endswith("until a restart: [Errno 28] No space left on device")

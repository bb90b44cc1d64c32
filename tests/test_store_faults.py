"""The store under faults: publishing processes that are killed, full and read-only file systems.

With LONG=1 in the environment ten times as many processes are killed.
"""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from models.errors import StoreError
from models.store import Store
from tests import tiny
from tests.publishing import KILLED, NAME, TORN, publishing
from tests.traffic import LONG

pytestmark = pytest.mark.slow

RANDOM_KILLS = 2000 if LONG else 200


class Witness:
    """Looks at a store after each fault: `current` is the version before it or one published since."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)
        self.current = self.store.publish(tiny.model(NAME, 0), {})
        self.whole = {self.current}
        self.taken = self.kept = 0

    def look(self) -> None:
        """Fail unless the store loads and its pointer is old or new."""
        before = set(self.store.versions(NAME))
        found = self.store.load(NAME).version
        assert found == self.store.current(NAME)
        assert found == self.current or found in before - self.whole
        self.kept += found == self.current
        self.taken += found != self.current
        for version in before - self.whole:  # whatever is in place is whole
            self.store.load(NAME, version)
        self.whole |= before
        self.current = found


def test_process_killed_at_any_step_leaves_the_old_version_or_the_new(tmp_path: Path) -> None:
    """Killed before each opening, syncing and renaming in turn, nothing half-made can be loaded."""
    witness = Witness(tmp_path)
    with publishing(tmp_path) as publisher:
        status, step = KILLED, 0
        while status == KILLED:
            step += 1
            status, said = publisher.order(step, step=step)
            witness.look()
    assert (status, said) == (0, witness.current)
    assert step > 20  # steps there are, else nothing was tried
    assert witness.kept >= 10
    assert witness.taken >= 2
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("act", ["publish", "activate"])
@pytest.mark.parametrize("fault", [errno.EIO, errno.ENOSPC, errno.EMFILE])
def test_step_that_fails_is_one_line_and_loses_no_version(
    tmp_path: Path, fault: int, act: str
) -> None:
    """Whichever step it is: the store loads, and rollback goes back through all that was active before."""
    witness = Witness(tmp_path)
    order = {"activate": witness.current} if act == "activate" else {}
    witness.store.publish(tiny.model(NAME, 1), {})
    witness.whole.update(witness.store.versions(NAME))
    pointer = tmp_path / NAME / "current"
    status, step = 1, 0
    with publishing(tmp_path) as publisher:
        while status:
            step += 1
            before = pointer.read_text()
            status, said = publisher.order(step, step=step, fault=fault, **order)
            assert pointer.read_text().endswith(before)
            Store(tmp_path).load(NAME)
            assert leftovers(tmp_path) == []
            if status:
                assert said.startswith(("StoreError: ", "UnreadableError: "))
                assert str(tmp_path) in said
                assert said.endswith(os.strerror(fault))
    assert step > 10
    assert Store(tmp_path).current(NAME) == said


def test_process_killed_at_any_moment_leaves_the_old_version_or_the_new(tmp_path: Path) -> None:
    """SIGKILL at 200 random moments of a publication; the next one clears up what is left."""
    witness = Witness(tmp_path)
    rng = np.random.default_rng(0)
    with publishing(tmp_path) as publisher:
        killed = 0
        for seed in range(RANDOM_KILLS):
            status, _ = publisher.order(seed, after=float(rng.uniform(0.0, 0.08)))
            killed += status == KILLED
            witness.look()
        status, said = publisher.order(RANDOM_KILLS)
    assert (status, said) == (0, witness.store.current(NAME))
    assert killed > RANDOM_KILLS / 4
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("size", [0, 10, 500, 3000, 5000])
def test_torn_write_leaves_the_old_version(tmp_path: Path, size: int) -> None:
    """A process that the kernel ends in the middle of a write has published nothing."""
    witness = Witness(tmp_path)
    with publishing(tmp_path) as publisher:
        assert publisher.order(1, torn=size) == (TORN, "")
        witness.look()
        assert witness.kept == 1
        assert publisher.order(2)[0] == 0
    witness.look()
    assert leftovers(tmp_path) == []


def test_interrupted_process_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    """Ctrl-C while a version is written takes away what was written of it, at once."""
    witness = Witness(tmp_path)
    with publishing(tmp_path) as publisher:
        for i in range(10):
            publisher.order(i, after=0.008 * i, signal=2)
            witness.look()
            assert leftovers(tmp_path) == []


def test_two_publishers_at_once_both_end_well(tmp_path: Path) -> None:
    """Versions of both are there, `current` is one of them, and a reader never finds nothing."""
    witness = Witness(tmp_path)
    with publishing(tmp_path) as one, publishing(tmp_path) as other:
        published = []
        for i in range(5):
            one.begin(100 + i)
            other.begin(200 + i)
            witness.store.load(NAME)
            published += [one.end(), other.end()]
            witness.store.load(NAME)
    assert [status for status, _ in published] == [0] * 10
    versions = {said for _, said in published}
    assert len(versions) == 10
    assert versions < set(witness.store.versions(NAME))
    assert witness.store.current(NAME) in {said for _, said in published[-2:]}


def test_publisher_goes_on_when_the_other_is_killed(tmp_path: Path) -> None:
    """The lock of a killed process is free at once, and its leftovers are taken for what they are."""
    witness = Witness(tmp_path)
    with publishing(tmp_path) as killed, publishing(tmp_path) as other:
        for i in range(10):
            killed.begin(100 + i, after=0.006 * i)
            other.begin(200 + i)
            killed.end()
            assert other.end()[0] == 0
            witness.look()
    assert leftovers(tmp_path) == []


@contextmanager
def file_system(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own, in memory."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=False
    )
    assert mounted.returncode == 0, "these tests mount a file system, and need the right to"
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_full_file_system_keeps_the_old_version(tmp_path: Path) -> None:
    """Whatever does not fit is told in one line, and leaves no trace; with room again all is well."""
    with file_system(tmp_path / "disk", "128k") as disk:
        witness = Witness(disk)
        ballast = disk / "ballast"
        for free in range(0, 40_000, 4096):
            ballast.unlink(missing_ok=True)
            room = os.statvfs(disk)
            ballast.write_bytes(bytes(max(room.f_bavail * room.f_frsize - free, 0)))
            try:
                witness.store.publish(tiny.model(NAME, 1 + free), {})
            except StoreError as error:
                assert str(error).endswith(": No space left on device")  # noqa: PT017
            witness.look()
            assert leftovers(disk) == []
        assert witness.kept > 3
        assert witness.taken > 0
        ballast.unlink()
        prune(disk, witness.current)
        assert witness.store.publish(tiny.model(NAME, 9), {}) == witness.store.current(NAME)


def test_read_only_file_system_can_be_read(tmp_path: Path) -> None:
    """The versions load; publishing, activating and rolling back say in one line why they cannot."""
    with file_system(tmp_path / "disk", "1m") as disk:
        store = Store(disk)
        first, second = (store.publish(tiny.model(NAME, seed), {}) for seed in (1, 2))
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert store.load(NAME).version == second
        assert store.versions(NAME) == sorted([first, second])
        for attempt in (
            lambda: store.publish(tiny.model(NAME, 3), {}),
            lambda: store.activate(NAME, first),
            lambda: store.rollback(NAME),
        ):
            with pytest.raises(StoreError, match=r"^\S+: Read-only file system$"):
                attempt()
        assert store.load(NAME).version == second


def leftovers(folder: Path) -> list[Path]:
    """What is still being written, or was left by who was killed."""
    return list(folder.glob("*/.new-*"))


def prune(folder: Path, current: str) -> None:
    """Remove every version but the current one."""
    for path in folder.glob(f"{NAME}/20*"):
        if path.name != current:
            subprocess.run(["rm", "-r", str(path)], check=True)

"""New versions in a group of real server processes under load: taken at once, or refused.

The long form (LONG=1) makes 100 swaps at half the measured capacity and holds the 99th percentile to
1.5 times the steady one; `-rP` shows what was measured.
"""

import asyncio
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import bundle, files
from models.bundle import WEIGHTS
from models.rows import from_json
from models.store import Store
from models.tasks import TASKS
from tests import mutants, tiny
from tests.process import fill, launched, lines
from tests.publishing import NAME, publishing
from tests.traffic import (
    LONG,
    Answer,
    Load,
    faults,
    get,
    load_for,
    measured,
    metric,
    percentile,
    request,
    wait_for,
)

pytestmark = pytest.mark.slow

SWAPS = 100 if LONG else 20
WORKERS = 2
KEY = b"a key that signs bundles, of 32 bytes or more"

ROW = {"gre": 700, "gpa": 3.7, "rank": 2}
BATCH = [{"gre": 220 + 5 * i, "gpa": 2.0 + i / 50, "rank": 1 + i % 4} for i in range(100)]


@dataclass
class Group:
    """A running group of workers."""

    url: str
    store: Store
    log: Path

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The lines of an event."""
        return [line for line in lines(self.log) if line["event"] == event]


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    """A group with a key, whose store has two versions that are signed with it."""
    store = Store(fill(tmp_path / "store", KEY))
    key = tmp_path / "key"
    key.write_bytes(KEY)
    log = tmp_path / "log"
    settings = {"store": store.folder, "workers": WORKERS, "signing_key_file": key}
    with launched(log, **settings) as (_, url):
        asyncio.run(wait_for(partial(_workers, url, WORKERS)))
        yield Group(url, store, log)


async def _workers(url: str, number: int) -> bool:
    return await metric(url, "service_workers") == number


def answers_of(store: Store, version: str) -> tuple[float, list[float]]:
    """What a version says of the row and of the batch."""
    model = store.load(NAME, version).model

    def values(rows: list[dict[str, Any]]) -> list[float]:
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        found: list[float] = model.predict(from_json(TASKS[NAME], columns)).value.tolist()
        return found

    return values([ROW])[0], values(BATCH)


class OneVersion:
    """Checks that the whole of an answer is of the version that it names."""

    def __init__(self, store: Store) -> None:
        self.expected = {v: answers_of(store, v) for v in store.versions(NAME)}
        self.seen: set[str] = set()

    def __call__(self, answer: Answer) -> str:
        """What is wrong with an answer to ROW or BATCH."""
        if answer.status != 200:
            return f"status {answer.status}"
        said = answer.json()
        version = said["model"]["version"]
        self.seen.add(version)
        if answer.headers["x-model-version"] != f"{NAME}/{version}":
            return "the header names another version"
        row, batch = self.expected[version]
        if "predictions" in said:
            found = [prediction["probability"] for prediction in said["predictions"]]
            return "" if np.allclose(found, batch, rtol=1e-5) else "a batch of two versions"
        is_its_own = math.isclose(said["probability"], row, rel_tol=1e-5)
        return "" if is_its_own else "a row of another version"


def test_swaps_under_load(group: Group) -> None:
    """No request fails or mixes versions, every worker takes a version within 2 s, and the tail stays."""
    asyncio.run(_swap_under_load(group))


async def _swap_under_load(group: Group) -> None:
    with publishing(group.store.folder) as publisher:
        order = partial(asyncio.to_thread, publisher.order, key=KEY.decode())
        published = [await order(seed) for seed in range(10, 15)]
        versions = [version for _, version in published]
        await wait_for(partial(_answers_with, group.url, versions[-1]))
        check = OneVersion(group.store)
        row = request(f"/predict/{NAME}", ROW)
        batch = request(f"/predict/{NAME}/batch", {"instances": BATCH})
        full = await load_for(Load(group.url, lambda: row, check), 2.0, 8)
        rate = len(full) / 2.0 / 2
        batches = Load(group.url, lambda: batch, check).start(1, 10.0)
        rows = Load(group.url, lambda: row, check).start(8, rate)
        for _ in range(100 if LONG else 30):  # as often as below somebody looks at the metrics
            await metric(group.url, "model_swaps_total", model=NAME)
            await asyncio.sleep(0.1)
        steady = await rows.stop()
        rows = Load(group.url, lambda: row, check).start(8, rate)
        times = []
        for i in range(SWAPS):
            version = versions[i % len(versions)]
            before = await metric(group.url, "model_swaps_total", model=NAME)
            _, said = await order(activate=version)
            assert said == version
            times.append(await wait_for(partial(_swapped, group.url, before + WORKERS), 0.1))
            taken, known = time.perf_counter(), len(rows.answers)
            await asyncio.sleep(0.05)
            ended = rows.answers[known:]
            late = {a.headers["x-model-version"] for a in ended if a.started > taken}
            assert late <= {f"{NAME}/{version}"}, "an older version answered after the swap"
        during = await rows.stop()
        answers = [*full, *steady, *during, *await batches.stop()]
    assert not faults(answers, 200)
    assert len(check.seen) == len(versions)
    ratio = percentile(during, 99) / percentile(steady, 99)
    measured(
        f"{SWAPS} swaps at {rate:.0f} requests/s, half the capacity: {len(answers)} answers, all whole;",
        f"taken by {WORKERS} workers in {np.median(times):.2f} s (median), {max(times):.2f} s (most);",
        f"p99 {percentile(steady, 99):.2f} ms steady, {percentile(during, 99):.2f} ms during the swaps,",
        f"x {ratio:.2f}",
    )
    assert np.median(times) < 2.0
    if LONG:
        assert max(times) < 2.0
        assert ratio <= 1.5


async def _answers_with(url: str, version: str) -> bool:
    info = await metric(url, "model_info", version=version)
    return info == 1.0


async def _swapped(url: str, number: float) -> bool:
    return await metric(url, "model_swaps_total", model=NAME) >= number


def corrupt(content: mutants.Content) -> mutants.Content:
    """One bit of the weights is another."""
    content = bundle.sign(content, KEY)
    data = bytearray(content[WEIGHTS])
    data[-9] ^= 1
    return content | {WEIGHTS: bytes(data)}


def of_the_future(content: mutants.Content) -> mutants.Content:
    """A format that this code does not know."""
    return bundle.sign(mutants.resealed(content, format=99), KEY)


def of_another_mind(content: mutants.Content) -> mutants.Content:
    """The model answers its canary rows otherwise than when it was saved."""
    canary = mutants.body_of(content)["canary"]
    canary["answers"]["value"][0] += 0.01
    return bundle.sign(mutants.resealed(content, canary=canary), KEY)


REFUSED = {
    "corrupt": (corrupt, "weights.joblib: is not the file that manifest.json was written for"),
    "unsigned": (lambda content: content, "manifest.json: is not signed, and a signing key is set"),
    "of an unknown format": (of_the_future, "manifest.json: format: is 99"),
    "with other answers": (of_another_mind, "manifest.json: canary: row 0: the value is"),
}


def test_refused_version_leaves_the_old_one_answering(group: Group) -> None:
    """A bad version changes no answer and no health; log and metrics say which it is, and why."""
    asyncio.run(_refuse(group))


async def _refuse(group: Group) -> None:
    good = group.store.current(NAME)
    row = request(f"/predict/{NAME}", ROW)
    load = Load(group.url, lambda: row, OneVersion(group.store)).start(4, 50)
    for i, (spoil, reason) in enumerate(REFUSED.values()):
        content = spoil(bundle.pack(tiny.model(NAME, 50 + i), {}))
        version = f"20300101T00000{i}Z-{i:08x}"
        mutants.write(content)(group.store.folder / NAME / version)
        files.replace_file(group.store.folder / NAME / "current", f"{version}\n".encode())
        await wait_for(lambda: _refused(group.url, WORKERS * (i + 1)))  # noqa: B023  # awaited here
        ready = await get(group.url, "/health/ready")
        assert (ready.status, ready.json()["models"][NAME]) == (200, good)
        assert await metric(group.url, "model_version_refused", version=version) == 1
        await asyncio.sleep(0.3)  # the log is written ten times a second
        refusals = group.logged("model version refused")
        told = [line for line in refusals if line["version"] == version]
        assert len(told) == WORKERS
        assert {(line["level"], line["previous"]) for line in told} == {("error", good)}
        assert all(line["reason"].startswith(reason) for line in told)
    answers = await load.stop()
    assert not faults(answers, 200)
    assert {a.headers["x-model-version"] for a in answers} == {f"{NAME}/{good}"}
    assert group.store.versions(NAME)[-1] == version


async def _refused(url: str, number: float) -> bool:
    return await metric(url, "model_refusals_total", model=NAME) >= number

"""The rehearsal: what cannot answer is not taken, and what is taken answers its first row as the next."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from models import bundle
from models.store import Store
from models.tasks import TASKS
from service import rehearsal
from service.registry import Registry
from tests import mutants, tiny

UNUSABLE: dict[str, dict[str, Any]] = {
    "a number that JSON cannot send": {"evaluation": {"rows": 10**30}},
    "half of a surrogate pair": {"recipe": {"name": "\ud800"}},
    "nested deeper than JSON is written": {"history": json.loads("[" * 300 + "]" * 300)},
}
"""Manifests that are sound as far as `models.bundle` knows, and of which no card can be made."""


SELDOM = {"_share", "_members_on_interval_link"}
"""What only some models need."""


def add(store: Store, details: dict[str, Any], seed: int = 0) -> str:
    """Publish a tiny model whose manifest says `details`, past the checks of publishing."""
    name = "admission"
    good = store.publish(tiny.model(name, seed), {})
    folder = store.folder / name / good
    content = {file.name: file.read_bytes() for file in folder.iterdir()}
    for file, data in mutants.resealed(content, **details).items():
        (folder / file).write_bytes(data)
    return good


@pytest.mark.parametrize("details", UNUSABLE.values(), ids=UNUSABLE)
def test_version_that_cannot_answer_is_never_active(
    details: dict[str, Any], tmp_path: Path
) -> None:
    """Neither a swap nor a start takes a version whose card fails; the older one answers."""
    store = Store(tmp_path)
    good = add(store, {})
    running = Registry(store=store, prepare=rehearsal.prepare)
    running.fill(["admission"])
    bad = add(store, details, seed=1)
    running.poll()
    started = Registry(store=store, prepare=rehearsal.prepare)
    started.fill(["admission"])
    for registry in (running, started):
        assert registry["admission"].version == good
        (refusal,) = registry.refusals
        assert refusal.version == bad
        assert refusal.reason.startswith("it fails while loading: ")


@pytest.mark.parametrize("name", TASKS)
def test_nothing_that_rows_share_is_left_to_the_first_of_them(name: str) -> None:
    """Everything that is computed once a version is there before it answers."""
    served = rehearsal.prepare(name, "v1", bundle.unpack(mutants.GOOD[name]))
    for of in (served, served.model):
        once = {key for key, value in vars(type(of)).items() if isinstance(value, cached_property)}
        assert once - vars(of).keys() - SELDOM == set()

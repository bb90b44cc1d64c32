"""The store: a version is active whole or not at all, whatever happens to whoever writes it."""

from pathlib import Path

import pytest

from models.errors import StoreError
from models.store import Store
from tests import tiny


def test_published_versions_are_active_one_after_the_other(tmp_path: Path) -> None:
    """The version published last is active, and rolling back goes to the ones before it."""
    store = Store(tmp_path)
    first, second = (store.publish(tiny.model("bikes", seed), {}) for seed in (1, 2))
    assert store.current("bikes") == second
    assert sorted(store.versions("bikes")) == sorted([first, second])
    assert store.rollback("bikes") == store.current("bikes") == first
    with pytest.raises(StoreError, match="no version was active before"):
        store.rollback("bikes")


def test_an_empty_store_has_nothing(tmp_path: Path) -> None:
    """A store that was never written to is empty, not an error; loading from it is."""
    store = Store(tmp_path / "nowhere")
    assert store.names() == []
    assert store.current("bikes") is None
    assert store.versions("bikes") == []
    with pytest.raises(StoreError, match="no version is active"):
        store.load("bikes")

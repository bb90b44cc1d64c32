"""Bundles: what is saved comes back bit for bit, and anything else is refused in one clear line."""

from pathlib import Path

import numpy as np
import pytest

from models import bundle
from models.errors import SignatureError
from models.model import Model
from tests import tiny


def test_a_loaded_model_gives_the_same_bits(model: Model, tmp_path: Path) -> None:
    """A round trip through a bundle changes no answer and no interval by a single bit."""
    bundle.save(model, {}, tmp_path / "it")
    loaded = bundle.load(tmp_path / "it").model
    columns = tiny.rows(model.task.name, 200, np.random.default_rng(1))
    for level in (0.5, 0.9, 0.99):
        before, after = model.predict(columns, level), loaded.predict(columns, level)
        assert np.array_equal(before.value, after.value)
        assert np.array_equal(before.low, after.low)
        assert np.array_equal(before.high, after.high)


def test_details_are_in_the_manifest(model: Model, tmp_path: Path) -> None:
    """What training has to say about a model stands in the manifest as it was given."""
    details = {"recipe": {"name": "tiny", "hidden": [12, 8]}, "seed": 3}
    bundle.save(model, details, tmp_path / "it")
    manifest = bundle.load(tmp_path / "it").manifest
    assert manifest["recipe"] == details["recipe"]
    assert manifest["seed"] == 3


def test_a_signed_bundle_loads_with_its_key_alone(model: Model, tmp_path: Path) -> None:
    """With a key set, a manifest that is unsigned or signed with another key is refused."""
    bundle.save(model, {}, tmp_path / "signed", key=b"ours")
    bundle.save(model, {}, tmp_path / "unsigned")
    bundle.load(tmp_path / "signed", key=b"ours")
    bundle.load(tmp_path / "signed")
    with pytest.raises(SignatureError, match="another key"):
        bundle.load(tmp_path / "signed", key=b"theirs")
    with pytest.raises(SignatureError, match="not signed"):
        bundle.load(tmp_path / "unsigned", key=b"ours")

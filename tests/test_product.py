"""The product of a training: what its user is told."""

from dataclasses import replace

import numpy as np

from training import data
from training.product import unseen


def test_choice_that_no_row_has_is_remarked() -> None:
    """Fields with a range warn in the answers; of the weather only the training can tell."""
    bikes = data.read("bikes")
    assert unseen(bikes) == []
    fair = {**bikes.columns, "weather": np.minimum(bikes.columns["weather"], 2)}
    assert unseen(replace(bikes, columns=fair)) == [
        "no row has weather heavy_precipitation; answers for it are a guess, and carry no warning"
    ]
    assert unseen(data.read("admission")) == []

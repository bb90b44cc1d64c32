"""The product of a training: what its user is told."""

from dataclasses import replace

import numpy as np

from training import data
from training.product import unseen


def test_choice_that_no_row_has_is_remarked() -> None:
    """Who trains on a file without rain is told before anybody asks about rain."""
    bikes = data.read("bikes")
    assert unseen(bikes) == []
    fair = {**bikes.columns, "weather": np.minimum(bikes.columns["weather"], 2)}
    assert unseen(replace(bikes, columns=fair)) == [
        "no row has weather heavy_precipitation; answers for it are a guess, and carry a warning"
    ]
    assert unseen(data.read("admission")) == []

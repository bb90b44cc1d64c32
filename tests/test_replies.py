"""The bytes of an answer to many rows."""

from typing import Any

import numpy as np
import pytest

from models.model import Prediction
from models.tasks import TASKS
from service import replies
from service.replies import Answered
from tests.serving import tiny_served

N_ROWS = 60


def answered(name: str, n_kinds: int, failed: dict[int, Any]) -> Answered:
    """Rows with numbers of every length and `n_kinds` different lists of warnings, none in order."""
    rng = np.random.default_rng(n_kinds)
    value, low, high = rng.choice([0.0, 1.0, 0.5, 1e-7, 1 / 3, 1e22], (3, N_ROWS)) * rng.random(
        N_ROWS
    )
    edges = 2 * len(tiny_served(name).edges)
    kinds = rng.choice(2**edges, n_kinds, replace=False)
    return Answered(Prediction(value, low, high), rng.choice(kinds, N_ROWS), failed)


def alone(all_rows: Answered, i: int) -> Answered:
    """One of the rows."""
    at, p = slice(i, i + 1), all_rows.prediction
    failed = {0: all_rows.failed[i]} if i in all_rows.failed else {}
    return Answered(Prediction(p.value[at], p.low[at], p.high[at]), all_rows.bits[at], failed)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("n_kinds", [1, 2, 4, 30])
@pytest.mark.parametrize("failed", [{}, {3: b'{"error":"100 %b"}'}])
def test_row_is_written_as_it_is_alone(name: str, n_kinds: int, failed: dict[int, Any]) -> None:
    """However many rows are written together, and whatever texts they share, each is as alone."""
    served, rows = tiny_served(name), answered(name, n_kinds, failed)
    ones = [alone(rows, i) for i in range(N_ROWS)]
    wanted = b",".join(replies.rows_json(served, one, 0.9) for one in ones)
    assert replies.rows_json(served, rows, 0.9) == wanted
    assert replies.rows_csv(served, rows) == b"".join(replies.rows_csv(served, one) for one in ones)

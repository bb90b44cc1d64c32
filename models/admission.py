"""The task `admission`: the probability that a graduate application is accepted."""

from typing import Any

import numpy as np

from models.arrays import Columns, FloatArray, Row
from models.task import Field, Task

VARIABLES = ("gre", "gpa", "rank", "log_rank", "rank_code")


def derive(columns: Columns) -> FloatArray:
    """gre, gpa, rank, its natural logarithm, and its code 0..3 for a one-hot: (n_rows, 5)."""
    rank = columns["rank"]
    rows = np.empty((len(rank), len(VARIABLES)))
    rows[:, 0] = columns["gre"]
    rows[:, 1] = columns["gpa"]
    rows[:, 2] = rank
    np.log(rows[:, 2], out=rows[:, 3])
    np.subtract(rows[:, 2], 1.0, out=rows[:, 4])
    return rows


def split(row: Row) -> tuple[tuple[Any, ...], tuple[float, ...]]:
    """The values of `recurring` and `varying` in one row."""
    return (row["rank"],), (row["gre"], row["gpa"])


ADMISSION = Task(
    name="admission",
    title="Probability that a graduate-school application is accepted",
    fields=(
        Field(
            "gre",
            "integer",
            "Score of the Graduate Record Examination, on the scale used until 2011",
            example=660,
            unit="points",
            low=200,
            high=800,
        ),
        Field("gpa", "number", "Grade point average", example=3.67, unit="points", low=0, high=4),
        Field(
            "rank",
            "integer",
            "Rank of the undergraduate school: 1 is the most, 4 the least prestigious",
            example=1,
            low=1,
            high=4,
        ),
    ),
    variables=VARIABLES,
    derive=derive,
    recurring=("rank",),
    varying=("gre", "gpa"),
    split=split,
    target="probability",
    unit="probability of admission",
    bounds=(0.0, 1.0),
    threshold=0.5,
    decision="admitted",
    limits_of_use=(
        "Teaching data: 400 applications that are hypothetical by their authors' own word.",
        "No decision on a person should rest on this model.",
        (
            "GRE scores are on the scale that was used until 2011, 200 to 800; a total on today's, such "
            "as 320, would be taken for a very low score."
        ),
        (
            "Three inputs say little about an application; the interval is about the model's own "
            "uncertainty, not about the outcome, which is yes or no."
        ),
    ),
)

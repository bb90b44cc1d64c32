"""The task `admission`: the probability that a graduate application is accepted."""

import numpy as np

from models.arrays import Columns, FloatArray
from models.task import Field, Task

VARIABLES = ("gre", "gpa", "rank", "rank_code")


def derive(columns: Columns) -> FloatArray:
    """gre, gpa, rank as numbers, and the rank as a code 0..3: (n_rows, 4)."""
    rank = columns["rank"]
    return np.column_stack([columns["gre"], columns["gpa"], rank, rank - 1]).astype(np.float64)


ADMISSION = Task(
    name="admission",
    title="Probability that a graduate-school application is accepted",
    fields=(
        Field(
            "gre",
            "integer",
            "Score of the Graduate Record Examination, on the scale used before 2011",
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
    target="probability",
    unit="probability of admission",
    bounds=(0.0, 1.0),
    limits_of_use=(
        "Teaching data: 400 applications that are hypothetical by their authors' own word.",
        "No decision on a person should rest on this model.",
        "Three inputs say little about an application; the interval is about the model's own "
        "uncertainty, not about the outcome, which is yes or no.",
    ),
)

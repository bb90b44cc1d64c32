"""Explanations of answers, computed in steps, between which other requests are answered."""

from collections.abc import Container

from starlette.types import Scope

from models import explain
from models.arrays import Columns, FloatArray
from models.explain import Explanation
from service.limits import give_way
from service.served import Served

NOTHING = Explanation(0.0, {})


async def of_row(scope: Scope, served: Served, row: Columns, answer: float) -> Explanation:
    """What each field added to the `answer` of one row. Raises Problem past the deadline."""
    work = explain.steps(served.model, row, answer)
    while True:
        try:
            next(work)
        except StopIteration as done:
            explanation: Explanation = done.value
            return explanation
        await give_way(scope)


async def of_rows(
    scope: Scope, served: Served, columns: Columns, answers: FloatArray, skipped: Container[int]
) -> list[Explanation]:
    """The explanation of each row, and NOTHING for the `skipped` ones. Raises Problem."""
    made = []
    for i, answer in enumerate(answers.tolist()):
        if i in skipped:
            made.append(NOTHING)
            continue
        row = {name: column[i : i + 1] for name, column in columns.items()}
        made.append(await of_row(scope, served, row, answer))
    return made

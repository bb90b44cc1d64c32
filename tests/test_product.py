"""The product of a training: what its user is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from models.errors import DivergedError
from tests.parts import part_of
from training import catalogue, data, intervals, product
from training.evaluate import Evaluation, Scores
from training.progress import Nobody, OnCheck
from training.recipes import Recipe


def test_choice_that_no_row_has_is_remarked() -> None:
    """Who trains on a file without rain is told before anybody asks about rain."""
    bikes, recipe = data.read("bikes"), catalogue.RECIPES["bikes"]
    assert product.shortcomings(recipe, bikes) == []
    fair = {**bikes.columns, "weather": np.minimum(bikes.columns["weather"], 2)}
    assert product.shortcomings(recipe, replace(bikes, columns=fair)) == [
        "no row has weather heavy_precipitation; answers for it are a guess, and carry a warning"
    ]
    admission = data.read("admission")
    assert product.shortcomings(catalogue.RECIPES["admission"], admission) == []


@pytest.mark.parametrize(
    ("n_days", "wanted"),
    [(171, []), (170, ["its intervals are not widened for later days"])],
)
def test_rows_that_say_nothing_about_later_days_are_remarked(
    n_days: int, wanted: list[str]
) -> None:
    """An interval that was not widened covers less of later days than its level, which nobody could see."""
    bikes = data.read("bikes")
    first = np.flatnonzero(bikes.hours < np.datetime64("2011-01-01") + np.timedelta64(n_days, "D"))
    told = intervals.shortcomings(catalogue.RECIPES["bikes"], part_of(bikes, first))
    assert [remark.split(",")[0] for remark in told] == wanted
    assert all("before the last 81, and there are 89" in remark for remark in told)
    assert intervals.shortcomings(catalogue.RECIPES["bikes-days"], part_of(bikes, first)) == []


@pytest.mark.parametrize(("n_rows", "level"), [(99, None), (98, 0.98), (49, 0.98), (48, 0.97)])
def test_rows_too_few_for_a_level_are_remarked(n_rows: int, level: float | None) -> None:
    """Of 98 rows the largest error is not rare enough for 99 %: the interval there is too narrow."""
    few = part_of(data.read("bikes"), np.arange(n_rows))
    told = intervals.shortcomings(catalogue.RECIPES["bikes-days"], few)
    words = f"its intervals above the level {level} are too narrow"
    assert [remark.split(":")[0] for remark in told] == ([] if level is None else [words])


@pytest.mark.parametrize(
    ("rmse", "coverage", "wanted"),
    [
        (34.0, 0.95, []),
        (34.0, 0.85, []),
        (
            186.7,
            0.237,
            [
                "on held-out rows its RMSE is 186.7, no better than the 161.0 of the simple baseline",
                "its intervals at 90% held only 24% of the outcomes of held-out rows",
            ],
        ),
    ],
)
def test_recipe_that_held_out_rows_speak_against_is_remarked(
    rmse: float, coverage: float, wanted: list[str]
) -> None:
    """A model that is no better than a mean is published like any other, and its card must say so."""
    interval = {"level": 0.9, "coverage": coverage, "standard_error": 0.028}
    nothing, rows = np.empty(0), np.empty(0, dtype=np.intp)
    scores = {"rmse": rmse}, {"rmse": 161.0}
    score = Scores("p1", rows, nothing, nothing, *scores, history=(), interval=interval)
    recipe = catalogue.RECIPES["bikes"]
    assert product.failings(Evaluation(recipe, "p1", 0, (score,))) == wanted


def test_model_that_held_out_rows_speak_against_says_so_on_its_card(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the training remarks about the scores stands among the limits of use, too."""
    monkeypatch.setattr(product, "failings", lambda _: ["it is bad"])
    part = part_of(data.read("bikes"), np.arange(3000))
    made = product.make(_hasty("lecture-bikes"), part, 0, Nobody())
    assert "it is bad" in made.remarks
    assert "It is bad." in made.details["remarks"]


@pytest.mark.parametrize(("n_days", "judged"), [(50, 0), (94, 0), (114, 1)])
def test_part_of_the_file_too_short_to_be_judged_is_trained_on(n_days: int, judged: int) -> None:
    """Held-out days that leave none, or too few, to learn from are no reason to refuse the file."""
    bikes = data.read("bikes")
    part = part_of(
        bikes, np.flatnonzero(bikes.hours < bikes.hours[0] + np.timedelta64(n_days, "D"))
    )
    made = product.make(_hasty("lecture-bikes"), part, 0, Nobody())
    assert (made.evaluation is not None) == judged
    told = [remark for remark in made.remarks if remark.startswith("not judged on held-out rows")]
    assert len(told) == 1 - judged
    if n_days == 94:
        few = f"301 of its {len(part)} rows are too few to train on; rows of at least 4 weeks are needed"
        assert told[0].endswith(few)


def test_only_the_fit_that_is_judged_is_stopped_by_its_validation_rows() -> None:
    """All others, that of all rows too, have as many epochs as were best there."""
    recipe = catalogue.RECIPES["lecture-bikes"]
    fit = replace(recipe.fit, epochs=30, patience=2, rate=3.0)
    watch = Noted()
    part = part_of(data.read("bikes"), np.arange(3000))
    made = product.make(replace(recipe, hidden=(4,), fit=fit), part, 0, watch)
    assert made.evaluation is not None
    best = min(made.evaluation.scores[0].history, key=lambda check: check.validation or 0.0).epoch
    assert best < 30
    assert [n for title, n in watch.stages if title == "networks"] == [30, best]
    assert {n for title, n in watch.stages if title.startswith("held-out")} == {best}


class Noted(Nobody):
    """Notes the title and the epochs of every fit."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int]] = []

    @contextmanager
    def stage(self, title: str, epochs: int) -> Iterator[OnCheck]:
        """See `Watch`."""
        self.stages.append((title, epochs))
        with super().stage(title, epochs) as on_check:
            yield on_check


def test_recipe_that_diverges_where_it_is_judged_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That is the recipe's fault, not the file's: what it gives on all rows would not be trusted."""

    def diverges(*_: object) -> Evaluation:
        raise DivergedError("the loss is not finite")

    monkeypatch.setattr(product, "evaluate", diverges)
    with pytest.raises(DivergedError):
        product.make(_hasty("lecture-bikes"), data.read("bikes"), 0, Nobody())


def _hasty(name: str) -> Recipe:
    recipe = catalogue.RECIPES[name]
    return replace(recipe, fit=replace(recipe.fit, epochs=1))

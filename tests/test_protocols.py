"""The protocols: which rows train, validate and test."""

from dataclasses import replace

import numpy as np
import pytest

from models.admission import ADMISSION
from models.arrays import IntArray
from models.bikes import BIKES
from models.errors import TrainingError
from tests.parts import part_of
from training.data import Dataset
from training.protocols import Split, choosing, main, of_task, splits, stratified_folds


def sizes(made: list[Split]) -> list[tuple[int, int, int]]:
    """Rows of each part of each split."""
    return [(len(s.train), len(s.validation), len(s.test)) for s in made]


def first_and_last(dataset: Dataset, rows: IntArray) -> list[str]:
    """The first and the last day of rows."""
    days = dataset.columns["timestamp"][rows].astype("datetime64[D]")
    return [str(days.min()), str(days.max())]


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("p1", [(15_475, 1_402, 502)]),
        ("p1_refit", [(16_877, 0, 502)]),
        ("p2", [(13_903, 1_738, 1_738)] * 5),
        ("p3", [(9_174, 1_712, 6_493)]),
        (
            "rolling",
            [
                (9_959, 1_436, 504),
                (10_916, 1_439, 504),
                (11_875, 1_440, 504),
                (12_835, 1_440, 504),
                (13_795, 1_440, 504),
                (14_755, 1_403, 503),
            ],
        ),
    ],
)
def test_sizes(bikes: Dataset, protocol: str, expected: list[tuple[int, int, int]]) -> None:
    """Each protocol has the rows that its definition gives on the embedded file."""
    assert sizes(splits(bikes, protocol)) == expected


@pytest.mark.parametrize("protocol", ["p1", "p1_refit", "p2", "p3", "rolling"])
def test_parts_are_disjoint(bikes: Dataset, protocol: str) -> None:
    """No row is in two parts of a split, and rows are numbered in rising order."""
    for split in splits(bikes, protocol):
        rows = np.concatenate([split.train, split.validation, split.test])
        assert len(np.unique(rows)) == len(rows)
        for part in (split.train, split.validation, split.test):
            assert (np.diff(part) > 0).all()


def test_p1_days(bikes: Dataset) -> None:
    """P1 tests the last 21 days and validates on the 60 before them."""
    (p1,) = splits(bikes, "p1")
    assert first_and_last(bikes, p1.train) == ["2011-01-01", "2012-10-11"]
    assert first_and_last(bikes, p1.validation) == ["2012-10-12", "2012-12-10"]
    assert first_and_last(bikes, p1.test) == ["2012-12-11", "2012-12-31"]


def test_p3_days(bikes: Dataset) -> None:
    """P3 tests the days from the 20th on, validates on 17 to 19, trains on 1 to 16."""
    (p3,) = splits(bikes, "p3")
    days = bikes.columns["timestamp"].astype("datetime64[D]")
    of_month = (days - days.astype("datetime64[M]")).astype(int) + 1
    assert np.unique(of_month[p3.train]).tolist() == list(range(1, 17))
    assert np.unique(of_month[p3.validation]).tolist() == [17, 18, 19]
    assert np.unique(of_month[p3.test]).tolist() == list(range(20, 32))


def test_rolling_days(bikes: Dataset) -> None:
    """Each rolling window trains on nothing of the 60 days before its 21 test days."""
    first = splits(bikes, "rolling")[0]
    assert first_and_last(bikes, first.train) == ["2011-01-01", "2012-02-24"]
    assert first_and_last(bikes, first.test) == ["2012-04-25", "2012-05-15"]


def test_p2_follows_the_seed(bikes: Dataset) -> None:
    """P2's partitions differ, and the same seed gives the same rows."""
    one, two = splits(bikes, "p2", seed=0), splits(bikes, "p2", seed=1)
    np.testing.assert_array_equal(one[1].test, two[0].test)
    assert not np.array_equal(one[0].test, one[1].test)


def test_cv_is_a_stratified_partition(admission: Dataset) -> None:
    """Each partition's ten tests are all rows once, with 12 or 13 admitted in each."""
    made = splits(admission, "cv", seed=3, partitions=2)
    assert len(made) == 20
    assert set(sizes(made)) == {(360, 0, 40)}
    admitted = admission.targets["admitted"]
    for k in (0, 10):
        tests = [split.test for split in made[k : k + 10]]
        np.testing.assert_array_equal(np.sort(np.concatenate(tests)), np.arange(400))
        assert {int(admitted[test].sum()) for test in tests} == {12, 13}
        for split in made[k : k + 10]:
            assert not set(split.train) & set(split.test)


def test_holdout(admission: Dataset) -> None:
    """The lecture's test is a random tenth of the applications, another for each of ten seeds."""
    made = splits(admission, "holdout")
    assert sizes(made) == [(360, 0, 40)] * 10
    assert not np.array_equal(made[0].test, made[1].test)
    for split in made:
        np.testing.assert_array_equal(np.union1d(split.train, split.test), np.arange(400))


def test_folds_are_random() -> None:
    """Folds come from the generator that is passed in and from nothing else."""
    classes = np.repeat([0.0, 1.0], 20)
    one, again = (stratified_folds(classes, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, stratified_folds(classes, np.random.default_rng(2)))


def test_other_tasks_have_the_protocols_of_their_kind() -> None:
    """A task that is not known by name is judged, and searched, as its kind is."""
    dated, rest = replace(BIKES, name="dated"), replace(BIKES, name="rest", fields=BIKES.fields[1:])
    decided = replace(ADMISSION, name="decided")
    assert list(of_task(dated)) == ["p1", "p1_refit", "p2", "p3", "rolling"]
    assert list(of_task(rest)) == ["p2"]
    assert list(of_task(decided)) == ["cv", "holdout"]
    assert [main(task) for task in (dated, rest, decided)] == ["p1", "p2", "cv"]
    assert [choosing(task) for task in (dated, rest, decided)] == ["p3", "p2", "cv"]


def test_unknown_protocol(bikes: Dataset) -> None:
    """A protocol that a task does not have is refused with those that it has."""
    with pytest.raises(TrainingError, match="bikes has no protocol 'cv': choose one of p1, "):
        splits(bikes, "cv")


def test_data_without_the_days_of_a_protocol(bikes: Dataset) -> None:
    """Data that a protocol cannot split are refused, with the split and what it would need."""
    short = replace(part_of(bikes, np.arange(2_000)), source="part.csv")
    missing = (
        r"part\.csv has no rows to be judged on in the split 'rolling 480'; it would judge six wind"
    )
    with pytest.raises(TrainingError, match=missing):
        splits(short, "rolling")
    short = replace(part_of(bikes, np.arange(700)), source="part.csv")
    missing = (
        r"rows to learn from in the split 'p1'; it would judge the last 21 days, by .* 60 days bef"
    )
    with pytest.raises(TrainingError, match=missing):
        splits(short, "p1")

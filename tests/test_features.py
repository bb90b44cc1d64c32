"""The encoder: clipped and standardised numbers, crossed codes, fitted to training rows alone."""

import numpy as np
import pytest

from models.arrays import FloatArray
from models.features import Category, Column, Encoder, Inputs, Number, fit_encoder

VARIABLES = ("warmth", "hour", "working", "flat")
ROWS = np.array(
    [[0.0, 0, 0, 7.0], [10.0, 1, 1, 7.0], [20.0, 2, 0, 7.0], [30.0, 2, 1, 7.0]], dtype=np.float64
)


def numbers(columns: tuple[Number, ...], rows: FloatArray) -> FloatArray:
    """The numbers of `rows` by an encoder fitted to ROWS, in float64."""
    return fit_encoder(VARIABLES, columns, ROWS).encode(rows, np.float64).numbers


def test_a_number_is_standardised_by_the_training_rows() -> None:
    """Mean 0 and deviation 1 over the training rows, and the same line for every other row."""
    encoded = numbers((Number("warmth"),), ROWS)
    assert encoded.mean() == pytest.approx(0.0)
    assert encoded.std() == pytest.approx(1.0)
    halfway = np.array([[15.0, 0, 0, 7.0]])
    assert numbers((Number("warmth"),), halfway).item() == pytest.approx(0.0)


def test_a_number_is_held_at_the_edge_of_the_training_rows() -> None:
    """Beyond the training range a number stays at the edge: nothing is extrapolated."""
    beyond = np.array([[-50.0, 0, 0, 7.0], [90.0, 0, 0, 7.0]])
    encoded = numbers((Number("warmth"),), beyond)
    np.testing.assert_array_equal(encoded, numbers((Number("warmth"),), ROWS[[0, 3]]))


def test_a_range_of_its_own() -> None:
    """A number may be clipped to an inner range, or to a wider one than that of the training."""
    inner = numbers((Number("warmth", 10.0, 20.0),), ROWS)[:, 0]
    assert inner[0] == inner[1]
    assert inner[2] == inner[3]
    wide = numbers((Number("warmth", None, 100.0),), np.array([[60.0, 0, 0, 7.0], ROWS[3]]))[:, 0]
    assert wide[0] > wide[1]


@pytest.mark.parametrize("value", [7.0, 13.4], ids=["exact mean", "rounded mean"])
@pytest.mark.parametrize("ends", [(None, None), (0.0, 60.0), (20.0, 60.0)])
def test_a_constant_number_is_zero(value: float, ends: tuple[float | None, float | None]) -> None:
    """A column that never varies in training says nothing, about rows in which it varies either."""
    flat = np.tile([0.0, 0.0, 0.0, value], (8645, 1))
    encoder = fit_encoder(VARIABLES, (Number("flat", *ends),), flat)
    asked = np.array([[0.0, 0.0, 0.0, other] for other in (value, 0.0, 30.0, 99.0)])
    np.testing.assert_array_equal(encoder.encode(asked, np.float64).numbers, 0.0)
    np.testing.assert_array_equal(encoder.scale, 1.0)


def test_ranges_that_meet_make_a_piecewise_linear_function() -> None:
    """Numbers whose ranges meet at knots add up to the clipped variable itself."""
    ranges = (None, 5.0), (5.0, 15.0), (15.0, None)
    columns = tuple(Number("warmth", *ends) for ends in ranges)
    encoder = fit_encoder(VARIABLES, columns, ROWS)
    rows = np.array([[w, 0, 0, 7.0] for w in (-5.0, 2.0, 7.0, 25.0, 99.0)])
    parts = encoder.encode(rows, np.float64).numbers * encoder.scale + encoder.mean
    np.testing.assert_allclose(parts.sum(axis=1) - 5.0 - 15.0, np.clip(rows[:, 0], 0.0, 30.0))


def test_categories_are_codes_after_the_numbers() -> None:
    """Each category's codes follow the numbers and the categories before it, none overlapping."""
    columns = (Category(("hour",), (3,)), Number("warmth"), Category(("working", "hour"), (2, 3)))
    encoder = fit_encoder(VARIABLES, columns, ROWS)
    assert encoder.n_inputs == 1 + 3 + 6
    assert encoder.fan_in == 1 + 1 + 1
    codes = encoder.encode(ROWS).codes
    np.testing.assert_array_equal(codes, [[1, 4], [2, 8], [3, 6], [3, 9]])


def test_dense_is_the_one_hot() -> None:
    """`with_dense` writes the numbers and a 1 at each code, and nothing else."""
    columns = (Number("warmth"), Category(("hour",), (3,)), Category(("working",), (2,)))
    encoder = fit_encoder(VARIABLES, columns, ROWS)
    inputs = encoder.encode(ROWS).with_dense(encoder.n_inputs)
    assert inputs.dense is not None
    np.testing.assert_array_equal(inputs.dense[:, :1], inputs.numbers)
    np.testing.assert_array_equal(inputs.dense[:, 1:4], np.eye(3)[ROWS[:, 1].astype(int)])
    np.testing.assert_array_equal(inputs.dense[:, 4:], np.eye(2)[ROWS[:, 2].astype(int)])


def encoded(*, dense: bool) -> tuple[Encoder, Inputs]:
    """ROWS as a number and a category, and their encoder."""
    columns = (Number("warmth"), Category(("hour",), (3,)))
    encoder = fit_encoder(VARIABLES, columns, ROWS)
    inputs = encoder.encode(ROWS)
    return encoder, inputs.with_dense(encoder.n_inputs) if dense else inputs


@pytest.mark.parametrize("dense", [False, True], ids=["codes", "dense"])
def test_take(dense: bool) -> None:  # noqa: FBT001
    """Rows are taken from every array alike."""
    encoder, inputs = encoded(dense=dense)
    taken = inputs.take(np.array([2, 0]))
    expected = encoder.encode(ROWS[[2, 0]])
    assert len(taken) == 2
    np.testing.assert_array_equal(taken.numbers, expected.numbers)
    np.testing.assert_array_equal(taken.codes, expected.codes)
    assert (taken.dense is not None) == dense
    into = inputs.take(np.array([1, 1]))
    assert inputs.take(np.array([2, 0]), into) is into
    np.testing.assert_array_equal(into.numbers, expected.numbers)
    np.testing.assert_array_equal(into.codes, expected.codes)
    np.testing.assert_array_equal(into.values, taken.values)


@pytest.mark.parametrize("dense", [False, True], ids=["codes", "dense"])
def test_part_is_a_view(dense: bool) -> None:  # noqa: FBT001
    """Consecutive rows are not copied, so that they follow what is written to the whole."""
    _, inputs = encoded(dense=dense)
    part = inputs.part(slice(1, 3))
    for array, whole in ((part.codes, inputs.codes), (part.values, inputs.values)):
        assert np.shares_memory(array, whole)
        np.testing.assert_array_equal(array, whole[1:3])


def test_a_row_is_encoded_alike_alone_and_in_a_batch() -> None:
    """Encoding has no sum over rows: a row alone gets the same bits."""
    crossed = Category(("hour", "working"), (3, 2))
    columns: tuple[Column, ...] = (Number("warmth"), Number("warmth", None, 5.0), crossed)
    encoder = fit_encoder(VARIABLES, columns, ROWS)
    batch = encoder.encode(ROWS)
    for i in range(len(ROWS)):
        alone = encoder.encode(ROWS[i : i + 1])
        np.testing.assert_array_equal(alone.numbers[0], batch.numbers[i])
        np.testing.assert_array_equal(alone.codes[0], batch.codes[i])


def test_only_numbers_or_only_codes() -> None:
    """Either kind of column may be missing."""
    only_numbers = fit_encoder(VARIABLES, (Number("warmth"),), ROWS).encode(ROWS)
    only_codes = fit_encoder(VARIABLES, (Category(("hour",), (3,)),), ROWS).encode(ROWS)
    assert only_numbers.codes.shape == (4, 0)
    assert only_codes.numbers.shape == (4, 0)
    assert isinstance(only_codes, Inputs)
    assert only_codes.numbers.dtype == np.float32

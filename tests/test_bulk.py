"""The forward pass for many rows equals the plain one, for networks and features of every form."""

from collections.abc import Sequence

import numpy as np
import pytest

from models import bulk
from models.arrays import FloatArray
from models.bulk import Bulk
from models.features import Category, Column, Encoder, Number, fit_encoder
from models.network import Layer, Network, forward
from models.tasks import TASKS
from tests import tiny

VARIABLES = ("warmth", "wind", "hour", "working", "weather")
SIZES = {"hour": 24, "working": 2, "weather": 4}
ROWS = np.column_stack(
    [
        np.random.default_rng(0).normal(100.0, 30.0, (500, 2)),
        *(np.random.default_rng(1).integers(0, size, 500) for size in SIZES.values()),
    ]
).astype(np.float64)
NUMBERS = (Number("warmth"), Number("wind", 90.0, 120.0), Number("warmth", None, 100.0))


def crossed(*variables: str) -> Category:
    """The cross of variables of `ROWS`."""
    return Category(variables, tuple(SIZES[name] for name in variables))


FEATURES: dict[str, tuple[Column, ...]] = {
    "numbers": NUMBERS,
    "one table": (*NUMBERS, crossed("hour", "working"), crossed("weather", "hour")),
    "only codes": (crossed("working", "hour"), crossed("weather")),
    "repeated": (*NUMBERS, crossed("weather"), crossed("hour"), crossed("weather")),
    "sizes differ": (*NUMBERS, crossed("hour"), Category(("hour", "working"), (30, 2))),
}


def encoder_of(columns: tuple[Column, ...]) -> Encoder:
    """An encoder of the columns, fitted to the first half of ROWS."""
    return fit_encoder(VARIABLES, columns, ROWS[:250])


def check(encoder: Encoder, networks: Sequence[Network], rows: FloatArray) -> None:
    """Assert that the outputs are those of the forward pass."""
    inputs = encoder.encode(rows)
    passes = Bulk(encoder, networks)
    found = passes.outputs(passes.encode(rows))
    for network, outputs in zip(networks, found, strict=True):
        wanted = forward(network, inputs).transpose(0, 2, 1)
        assert outputs.dtype == np.float32
        np.testing.assert_allclose(outputs, wanted, rtol=2e-5, atol=2e-5, strict=True)


def test_silu_keeps_its_digits_from_end_to_end() -> None:
    """SiLU by exp agrees with float64, also where exp overflows; NaN stays NaN; no warnings."""
    numbers = [*np.linspace(-200.0, 200.0, 4001), -3e38, -0.0, 3e38, np.nan]
    z = np.array(numbers, np.float32)
    with np.errstate(over="ignore"):
        wanted = z / (1.0 + np.exp(-z.astype(np.float64)))
    np.testing.assert_allclose(bulk._silu(z), wanted, rtol=1e-6, atol=1e-36)


def networks_for(encoder: Encoder) -> list[Network]:
    """A deep ensemble with a skip, a shallow network without, and one that is linear."""
    rng, n = np.random.default_rng(2), encoder.n_inputs
    shallow = tiny.network((n, 5, 1), 1, skip=False, rng=rng)
    last = Layer(shallow.layers[-1].weights, shallow.layers[-1].biases, "tanh")
    return [
        tiny.network((n, 9, 7, 2), 3, skip=True, rng=rng),
        Network((shallow.layers[0], last)),
        tiny.network((n, 2), 2, skip=True, rng=rng),
    ]


@pytest.mark.parametrize("columns", FEATURES.values(), ids=FEATURES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_many_rows_are_answered_as_by_the_forward_pass(
    columns: tuple[Column, ...], order: str
) -> None:
    """Up to float32's rounding, whatever the features and however the rows lie in memory."""
    encoder = encoder_of(columns)
    check(encoder, networks_for(encoder), np.asarray(ROWS, order=order))  # type: ignore[call-overload]


@pytest.mark.parametrize("columns", [FEATURES["numbers"], FEATURES["one table"]])
def test_first_layers_of_several_activations(columns: tuple[Column, ...]) -> None:
    """Side by side, each network's first layer keeps its own activation."""
    encoder = encoder_of(columns)
    plain = networks_for(encoder)[1]
    first, last = plain.layers
    kinds = ("sigmoid", "relu", "relu", "silu")
    networks = [Network((Layer(first.weights, first.biases, k), last)) for k in kinds]
    check(encoder, networks, ROWS)


def test_categories_beyond_the_largest_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Categories whose cross product would be too large are looked up separately."""
    monkeypatch.setattr(bulk, "MOST_CODES", 50)
    encoder = encoder_of(FEATURES["one table"])
    check(encoder, networks_for(encoder), ROWS)


@pytest.mark.parametrize("n_rows", [0, 1, 6, 7, 500])
def test_blocks_of_any_number_of_rows(monkeypatch: pytest.MonkeyPatch, n_rows: int) -> None:
    """No row is left out or written twice where a block ends."""
    monkeypatch.setattr(bulk, "BLOCK_BYTES", 6 * 4 * 44)
    encoder = encoder_of(FEATURES["one table"])
    networks = networks_for(encoder)
    assert Bulk(encoder, networks)._rows == 6
    check(encoder, networks, ROWS[:n_rows])


@pytest.mark.parametrize("name", TASKS)
def test_a_row_is_answered_alike_in_every_company(name: str) -> None:
    """Other rows change a row's answer by no more than float32 rounding."""
    model, rows = tiny.model(name), tiny.rows(name, 300, np.random.default_rng(3))
    whole = model.predict(rows)
    parts = [model.predict({k: v[i::7] for k, v in rows.items()}) for i in range(7)]
    for i, part in enumerate(parts):
        np.testing.assert_allclose(part.value, whole.value[i::7], rtol=1e-5)
        np.testing.assert_allclose(part.low, whole.low[i::7], rtol=1e-4, atol=1e-5)

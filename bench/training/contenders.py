"""The contenders: each trains the same network on the same rows, and says how many steps that took.

A contender is made for a `Case`; a call of what it returns goes on training for an epoch or more over the
rows, in batches of random order as its library is meant to be used, and returns the number of steps. All
have float32, a squared error, Adam, and the same dense inputs; ours gets the codes of the one-hot columns
beside them, as the product does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from sklearn.neural_network import MLPRegressor

from models.features import fit_encoder
from training import data, lecture, protocols
from training.fit import FitSettings, Rows, fit
from training.parameters import Architecture, initial
from training.pipeline import linked_targets
from training.recipes import Recipe

N_ROWS = 8192
RATE = 1e-3
EPOCHS = 8
"""Of one call of ours, so that the start of a fit counts as little as in a real one."""
Run = Callable[[], int]


@dataclass(frozen=True)
class Case:
    """A network, its batch size, and whose inputs it reads: those of a recipe for bikes."""

    recipe: Recipe
    hidden: tuple[int, ...]
    batch_size: int
    activation: str

    @property
    def n_steps(self) -> int:
        """Steps of an epoch."""
        return N_ROWS // self.batch_size


def rows_of(case: Case) -> Rows:
    """The first training rows of P1, encoded by the recipe, with the standardised rentals."""
    dataset = data.read("bikes")
    (p1,) = protocols.splits(dataset, "p1")
    rows = p1.train[:N_ROWS]
    variables = dataset.task.derive(dataset.columns)
    encoder = fit_encoder(dataset.task.variables, case.recipe.columns, variables[rows])
    inputs = encoder.encode(variables[rows]).with_dense(encoder.n_inputs)
    return Rows(inputs, linked_targets(lecture.BIKES, dataset, rows).values[0, rows])


def ours(case: Case, rows: Rows) -> Run:
    """`training.fit.fit`, as `train` calls it: shuffled batches, losses, Adam, everything."""
    parameters = initial(_architecture(case, rows), np.random.default_rng(0))
    settings = FitSettings(rate=RATE, batch_size=case.batch_size, epochs=EPOCHS)

    def run() -> int:
        fit(parameters, rows, None, settings, np.random.default_rng(0))
        return EPOCHS * case.n_steps

    return run


def n_inputs(case: Case) -> int:
    """Numbers and one-hot columns."""
    dense = rows_of(case).inputs.dense
    assert dense is not None  # noqa: S101  # rows_of made it
    return dense.shape[1]


def _architecture(case: Case, rows: Rows) -> Architecture:
    assert rows.inputs.dense is not None  # noqa: S101  # rows_of made it
    return Architecture((rows.inputs.dense.shape[1], *case.hidden, 1), case.activation)


def products(case: Case, rows: Rows) -> Run:
    """The matrix products of a step alone, dense, into arrays that are there: a lower bound.

    Forward, dL/dW and dL/da of each layer; nothing is gathered, shuffled, activated or updated.
    """
    rng = np.random.default_rng(0)
    sizes = _architecture(case, rows).sizes
    weights = [rng.normal(size=shape).astype(np.float32) for shape in pairwise(sizes)]
    layers = [rng.normal(size=(case.batch_size, n)).astype(np.float32) for n in sizes]
    gradients, deltas = [np.empty_like(w) for w in weights], [np.empty_like(a) for a in layers]

    def step() -> None:
        for i, w in enumerate(weights):
            np.matmul(layers[i], w, out=deltas[i + 1])
        for i in reversed(range(len(weights))):
            np.matmul(layers[i].T, layers[i + 1], out=gradients[i])
            if i:
                times = np.multiply if sizes[i + 1] == 1 else np.matmul  # an outer product
                times(layers[i + 1], weights[i].T, out=deltas[i])

    def run() -> int:
        for _ in range(case.n_steps):
            step()
        return case.n_steps

    return run


def scikit_learn(case: Case, rows: Rows) -> Run:
    """MLPRegressor.partial_fit on all rows, which it cuts into shuffled batches itself."""
    model = MLPRegressor(
        hidden_layer_sizes=case.hidden,
        activation=case.activation,
        alpha=0.0,
        batch_size=case.batch_size,
        learning_rate_init=RATE,
        random_state=0,
    )
    x, y = rows.inputs.dense, rows.target[:, 0]

    def run() -> int:
        model.partial_fit(x, y)
        return case.n_steps

    return run


def torch_eager(case: Case, rows: Rows) -> Run:
    """PyTorch as its tutorials write it, with the fused Adam, which is its fastest."""
    return _torch(case, rows, compiled=False)


def torch_compiled(case: Case, rows: Rows) -> Run:
    """The same with `torch.compile` around forward pass and loss."""
    torch.compiler.reset()
    return _torch(case, rows, compiled=True)


_MODULES = {"tanh": torch.nn.Tanh, "silu": torch.nn.SiLU}


def _torch(case: Case, rows: Rows, *, compiled: bool) -> Run:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    parts: list[torch.nn.Module] = []
    for n_in, n_out in pairwise(_architecture(case, rows).sizes):
        parts += [torch.nn.Linear(n_in, n_out), _MODULES[case.activation]()]
    network = torch.nn.Sequential(*parts[:-1])
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE, fused=True)
    x, y = torch.from_numpy(rows.inputs.dense), torch.from_numpy(rows.target.copy())

    def loss_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.mse_loss(network(x), y)

    loss = torch.compile(loss_of) if compiled else loss_of

    def run() -> int:
        for chosen in torch.randperm(len(x)).split(case.batch_size):
            optimizer.zero_grad()
            loss(x[chosen], y[chosen]).backward()
            optimizer.step()
        return case.n_steps

    return run


OURS, PRODUCTS = "ours", "products alone"
CONTENDERS: dict[str, Callable[[Case, Rows], Run]] = {
    OURS: ours,
    PRODUCTS: products,
    "PyTorch eager": torch_eager,
    "PyTorch compiled": torch_compiled,
    "scikit-learn": scikit_learn,
}


def of(case: Case) -> dict[str, Run]:
    """The contenders of a case, warmed up; scikit-learn has no SiLU."""
    rows = rows_of(case)
    made = {
        name: make(case, rows)
        for name, make in CONTENDERS.items()
        if name != "scikit-learn" or case.activation != "silu"
    }
    for run in made.values():
        run()
        run()
    return made

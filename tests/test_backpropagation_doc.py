"""docs/backpropagation.md says what the code does: its quotations, numbers and shapes."""

import doctest
import math
import re
from itertools import pairwise

import pytest

from models.features import Category
from tests.fences import ROOT, Fence, fences
from training import lecture
from training.data import read
from training.protocols import splits
from training.recipes import Recipe
from training.trace import work

PAGE = ROOT / "docs" / "backpropagation.md"
TEXT = PAGE.read_text(encoding="utf-8")
QUOTES = fences(PAGE, "python")
Shape = tuple[int, int]


def section(number: int) -> str:
    """The text under the heading with this number."""
    (found,) = re.findall(rf"^## {number}\. .*?(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.mark.parametrize("quote", QUOTES, ids=str)
def test_quoted_lines_stand_in_their_file(quote: Fence) -> None:
    """A quotation names its file in the first line, and has consecutive lines of it."""
    head, lines = quote.text.split("\n", 1)
    path = ROOT / head.removeprefix("# ")
    code = path.read_text(encoding="utf-8")
    assert f"\n{lines}" in code, (
        f"{quote} quotes lines that {path.name} no longer has. Where the code is right, quote the "
        f"new lines and see that the formula above them still says the same:\n{lines}"
    )


def test_every_formula_of_the_code_is_quoted() -> None:
    """The page quotes each module that the forward, the backward pass and the step consist of."""
    files = {quote.text.split("\n", 1)[0].removeprefix("# ") for quote in QUOTES}
    assert files == {
        "models/activations.py",
        "models/network.py",
        "training/backprop.py",
        "training/fit.py",
        "training/losses.py",
        "training/optimizers.py",
        "training/prior.py",
    }


def test_examples_give_what_they_show() -> None:
    """Every `>>>` of the page runs, in order, and prints what stands below it."""
    source = "".join(fence.text for fence in fences(PAGE, "pycon"))
    test = doctest.DocTestParser().get_doctest(source, {}, PAGE.name, str(PAGE), 0)
    report: list[str] = []
    results = doctest.DocTestRunner().run(test, out=report.append)
    assert results.attempted > 40
    assert not results.failed, "".join(report)


def test_exercise_table_is_what_train_trace_computes() -> None:
    """The table of the exercise has the trace's numbers: the lecture's digits, then all of them."""
    rows = re.findall(r"^\| (\S+) \| \$.*\$ \| `(.*)` \| (\S+) \| (\S+) \|$", TEXT, re.MULTILINE)
    expected = [
        (step.symbol, step.numbers, f"{step.rounded:.{step.decimals}f}", f"{step.exact:.6f}")
        for step in work().steps
    ]
    assert rows == expected


def layer_sizes(recipe: Recipe) -> tuple[int, ...]:
    """Inputs, units of each hidden layer, outputs."""
    inputs = sum(c.size if isinstance(c, Category) else 1 for c in recipe.columns)
    return (inputs, *recipe.hidden, len(recipe.targets))


def shapes(recipe: Recipe, n_rows: int) -> dict[str, Shape]:
    """The shape of every matrix of a step, by its symbol in the page's tables."""
    sizes = layer_sizes(recipe)
    found = {"X": (n_rows, sizes[0]), "y": (n_rows, sizes[-1])}
    for layer, (before, after) in enumerate(pairwise(sizes), 1):
        found[f"W^{{({layer})}}"] = (before, after)
        found[f"b^{{({layer})}}"] = (1, after)
        found |= {f"{symbol}^{{({layer})}}": (n_rows, after) for symbol in ("z", "a", r"\delta")}
    return found


def written(text: str) -> Shape:
    """`360 x 6` as a pair."""
    rows, columns = text.split(" x ")
    return int(rows), int(columns)


@pytest.mark.parametrize(
    ("number", "recipe", "n_rows"),
    [(4, lecture.GRE, 360), (6, lecture.BIKES, lecture.BIKES.fit.batch_size)],
    ids=["lecture-gre", "lecture-bikes"],
)
def test_shapes_of_one_hidden_layer(number: int, recipe: Recipe, n_rows: int) -> None:
    """The table of a network names every matrix with the shape that its recipe gives it."""
    expected = shapes(recipe, n_rows)
    seen = set()
    for cell, shape in re.findall(r"\| ([^|]*\$[^|]*) \| (\d+ x \d+) (?=\|)", section(number)):
        symbols = [s for s in expected if s in cell]
        seen.update(symbols)
        assert all(expected[symbol] == written(shape) for symbol in symbols), cell
    assert seen == set(expected)


def test_shapes_of_several_hidden_layers() -> None:
    """The table of the deep network has one row a layer, with the shapes of the recipe."""
    recipe = lecture.BIKES_DEEP
    expected = shapes(recipe, recipe.fit.batch_size)
    rows = re.findall(
        r"^\| (\d) \| (\d.*x \d+) \| (1 x \d+) \| (\d.*x \d+) \|$", section(7), re.MULTILINE
    )
    assert len(rows) == len(recipe.hidden) + 1
    for layer, weights, biases, units in rows:
        assert written(weights) == expected[f"W^{{({layer})}}"]
        assert written(biases) == expected[f"b^{{({layer})}}"]
        assert written(units) == expected[rf"\delta^{{({layer})}}"]


def test_shapes_beside_the_formulas_fit() -> None:
    """Of every (a x b) = (a x k)(k x b) the inner axes agree, and the outer ones are the result's."""
    pair = r"\((\d+) \\times (\d+)\)"
    found = re.findall(rf"{pair} = {pair}{pair}(?: \\odot {pair})?", TEXT)
    assert len(found) >= 9
    for numbers in found:
        rows, columns, left, inner, inner_too, right, *rest = numbers
        assert (rows, columns, inner) == (left, right, inner_too), numbers
        assert rest in (["", ""], [rows, columns])


def test_steps_of_an_epoch() -> None:
    """The table of batch sizes has the recipes' own, and the steps that they make of 360 rows."""
    recipes = {recipe.name: recipe for recipe in lecture.RECIPES}
    rows = re.findall(r"^\| `(\S+)` \| (\S+) \| (\d+) \| (\d+) x 6 \|", section(5), re.MULTILINE)
    assert [name for name, *_ in rows] == [
        "lecture-gre",
        "lecture-gre-minibatch",
        "lecture-gre-sgd",
    ]
    for name, size, steps, n_rows in rows:
        batch_size = recipes[name].fit.batch_size or 360
        assert size == ("all" if batch_size == 360 else str(batch_size))
        assert (int(steps), int(n_rows)) == (math.ceil(360 / batch_size), batch_size)
    rates = recipes["lecture-gre-sgd"].fit.rate, recipes["lecture-gre-minibatch"].fit.rate
    assert "takes {} for single rows and {} for 32".format(*rates) in section(5)


def test_rows_of_the_splits() -> None:
    """The page's numbers of training rows are those of the protocols."""
    (gre, *_) = splits(read("admission"), "holdout")
    assert len(gre.train) == 360
    (p1,) = splits(read("bikes"), "p1")
    size = lecture.BIKES.fit.batch_size
    steps, rest = math.ceil(len(p1.train) / size), len(p1.train) % size
    expected = f"{len(p1.train):,} training rows: {steps} steps an epoch, the last of {rest} rows"
    assert expected in section(6)


def test_arguments_of_the_prose_match_the_code() -> None:
    """What the page says of a setting is what the recipe has."""
    assert lecture.GRE.fit.on_rise == "stop"
    assert lecture.GRE.fit.check_every == 10
    assert {r.fit.on_rise for r in (lecture.GRE_SGD, lecture.GRE_MINIBATCH)} == {"warn"}
    assert "hidden layers of 32, 16 and 8 sigmoids" in section(7)
    assert lecture.BIKES_DEEP.hidden == (32, 16, 8)

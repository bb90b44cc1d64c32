"""`--set`: hyper-parameters by name, read by their type, and refused when they make no sense."""

from dataclasses import replace

import pytest

from models.errors import SettingsError
from training.admission import ADMISSION
from training.bikes import BIKES, BIKES_DAYS
from training.catalogue import RECIPES
from training.distil import Student
from training.lecture import BIKES as LECTURE_BIKES
from training.lecture import GRE
from training.overrides import check, override
from training.recipes import Recipe


def test_each_kind_of_value() -> None:
    """Numbers, whole numbers, truth values, names and lists are read by the field's type."""
    changes = ["rate=0.01", "epochs=3", "average_epochs=2", "skip=false", "hidden=7,5"]
    changed = override(BIKES, [*changes, "links=sqrt,log", "schedule=constant", "loss=linex"])
    assert (changed.fit.rate, changed.fit.epochs, changed.fit.average_epochs) == (0.01, 3, 2)
    assert (changed.skip, changed.hidden, changed.links) == (False, (7, 5), ("sqrt", "log"))
    assert (changed.fit.schedule, changed.fit.loss) == ("constant", "linex")
    assert changed.columns == BIKES.columns


def test_the_student_has_settings_of_its_own() -> None:
    """A student may be left out, or be larger; its settings begin with its name."""
    assert BIKES.student is not None
    assert override(BIKES, ["student=false"]).student is None
    changed = override(BIKES, ["student_hidden=9", "student_epochs=3", "epochs=5"])
    assert changed.student == replace(BIKES.student, hidden=(9,), epochs=3)
    assert changed.fit.epochs == 5
    assert changed.hidden == BIKES.hidden
    again = override(BIKES, ["student=false", "student=true", "student_link=log"])
    assert again.student == Student(link="log")


def test_no_hidden_layer_at_all() -> None:
    """An empty list is a list: a network without hidden layers is a linear model."""
    assert override(BIKES, ["hidden="]).hidden == ()


def test_the_last_change_counts() -> None:
    """The same key twice is no fault."""
    assert override(ADMISSION, ["epochs=3", "epochs=4"]).fit.epochs == 4


def test_the_ends_of_the_ranges_are_taken() -> None:
    """What a message names as the least is allowed: one epoch, one unit, the whole batch, no momentum."""
    fit = ["rate=1e-9", "momentum=0", "batch_size=0", "epochs=1", "average_epochs=1", "patience=0"]
    fit += ["weight_decay=0", "check_every=1"]
    networks = ["hidden=1", "crossover=0", "input_gain=1e-9", "links=identity,sqrt,power,log"]
    student = ["hidden=1", "rows=1", "rate=1e-9", "batch_size=0", "epochs=1"]
    changed = override(BIKES, [*fit, *networks, *(f"student_{change}" for change in student)])
    assert changed.student is not None
    assert changed.student.rows == changed.student.epochs == changed.fit.epochs == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("epochs=0", "epochs must be at least 1"),
        ("momentum=1", "momentum must be from 0 to below 1"),
        ("momentum=-0.1", "momentum must be from 0 to below 1"),
        ("batch_size=-1", "batch_size must be 0 (full batch) or more"),
        ("weight_decay=-1e-9", "weight_decay must not be below 0"),
        ("patience=-1", "patience must not be below 0"),
        ("check_every=0", "check_every must be at least 1"),
        ("crossover=-1", "crossover must not be below 0"),
        ("input_gain=0", "input_gain must be above 0"),
        ("rate=0", "rate must be above 0"),
        ("rate=inf", "rate must be above 0"),
        ("epochs=2.5", "must be a whole number"),
        ("rate=nan", "rate must be above 0"),
        ("rate=fast", "must be a number"),
        ("skip=yes", "must be true or false"),
        ("schedule=linear", "must be one of constant, cosine"),
        ("activation=rellu", "Did you mean 'relu'?"),
        ("links=sqr", "Did you mean 'sqrt'?"),
        ("links=", "links must have at least one entry"),
        ("hidden=0", "widths of at least 1"),
        ("average_epochs=99", "average_epochs must be from 0 to epochs"),
        ("name=mine", "there is no setting 'name'"),
        ("student=maybe", "must be true or false"),
        ("student_link=sqr", "Did you mean 'sqrt'?"),
        ("student_hidden=0", "student_hidden must have widths of at least 1"),
        ("student_rows=0", "student_rows must be at least 1"),
        ("student_epochs=0", "student_epochs must be at least 1"),
        ("student_rate=0", "student_rate must be above 0"),
        ("student_batch_size=-1", "student_batch_size must be 0 (all rows) or more"),
    ],
)
def test_what_makes_no_sense_is_refused(change: str, words: str) -> None:
    """A value of the wrong form or out of range is named with what would be right."""
    with pytest.raises(SettingsError) as caught:
        override(BIKES, [change])
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "links=sqrt,logit",
            "links must be scales for values from 0 up: identity, sqrt, power, log",
        ),
        ("links=exp", "links must be scales for values from 0 up"),
        ("interval_link=logit", "interval_link must be a scale for values from 0 up"),
        ("interval_link=exp", "interval_link must be a scale for values from 0 up"),
        ("student_link=logit", "student_link must be a scale for values from 0 up"),
    ],
)
def test_a_scale_that_cannot_hold_a_count_is_refused(change: str, words: str) -> None:
    """A count of 7 has no logit and one of 0 no logarithm: such a training would publish nonsense."""
    with pytest.raises(SettingsError, match=f"bikes: {words}"):
        override(BIKES, [change])


@pytest.mark.parametrize("changes", [["average_epochs=0"], ["schedule=constant"]])
def test_early_stopping_has_the_training_that_was_judged(changes: list[str]) -> None:
    """A training on all rows of as many epochs as were best has no other schedule, and averages nothing."""
    both = ["average_epochs=0", "schedule=constant"]
    assert override(BIKES, [*both, "patience=3"]).fit.patience == 3
    with pytest.raises(SettingsError, match="patience must be 0, or schedule constant and "):
        override(BIKES, [*changes, "patience=3"])


def test_every_scale_that_holds_the_answers_is_taken() -> None:
    """A probability has a logit, and a network may learn the logarithm of a rate (Poisson regression)."""
    for link in ("identity", "sqrt", "power", "log"):
        changes = [f"links={link}", f"interval_link={link}", f"student_link={link}"]
        assert override(BIKES, changes).links == (link,)
    poisson = ["links=exp", "loss=poisson", "standardise_target=false"]
    assert override(BIKES, poisson).links == ("exp",)
    assert override(ADMISSION, ["links=logit", "bootstrap=false"]).links == ("logit",)
    assert override(ADMISSION, ["links=logit,logit"]).links == ("logit", "logit")
    for recipe in RECIPES.values():
        assert check(recipe) == recipe


@pytest.mark.parametrize(
    ("recipe", "changes", "words"),
    [
        (BIKES, ["loss=poisson"], "loss=poisson needs links=exp, "),
        (
            BIKES,
            ["standardise_target=false"],
            "links must be identity where standardise_target is false",
        ),
        (BIKES, ["loss=linex", "standardise_target=false"], "links must be identity where "),
        (
            GRE,
            ["loss=cross_entropy"],
            "loss=cross_entropy needs links=logit, output_activation=identity ",
        ),
        (GRE, ["loss=cross_entropy", "links=logit"], "loss=cross_entropy needs links=logit, "),
        (ADMISSION, ["loss=half_mse"], "links must be identity where standardise_target is false"),
        (ADMISSION, ["standardise_target=true"], "loss=cross_entropy needs "),
        (ADMISSION, ["output_activation=sigmoid"], "loss=cross_entropy needs "),
    ],
)
def test_a_loss_whose_output_would_be_read_on_another_scale_is_refused(
    recipe: Recipe, changes: list[str], words: str
) -> None:
    """A network that learns a logit and answers with it as if it were a probability is wrong in silence."""
    with pytest.raises(SettingsError, match=f"^{recipe.name}: {words}"):
        override(recipe, changes)


def test_a_loss_is_taken_with_the_scale_of_its_output() -> None:
    """The lecture's network can learn by the cross-entropy, once its output is a logit."""
    changed = override(GRE, ["loss=cross_entropy", "links=logit", "output_activation=identity"])
    assert (changed.fit.loss, changed.links) == ("cross_entropy", ("logit",))
    assert override(LECTURE_BIKES, ["standardise_target=false", "loss=linex"]).fit.loss == "linex"


def test_a_student_needs_networks_that_it_can_stand_for() -> None:
    """Settings of a student that is not there, or of one that cannot be, are refused."""
    with pytest.raises(SettingsError, match="bikes-days has no student; set student=true first"):
        override(BIKES_DAYS, ["student_rows=5"])
    with pytest.raises(SettingsError, match="what fills gaps knows every hour"):
        override(BIKES_DAYS, ["student=true"])
    with pytest.raises(SettingsError, match="interval of a probability needs every network"):
        override(ADMISSION, ["student=true"])
    signs = f"signs=1,{','.join('0' * (BIKES.n_inputs - 1))}"
    with pytest.raises(SettingsError, match="student must be false: it would not keep the signs"):
        override(BIKES, [signs, "activation=tanh"])
    assert override(BIKES, [signs, "activation=tanh", "student=false"]).student is None


@pytest.mark.parametrize(
    ("recipe", "change", "words"),
    [
        (ADMISSION, "hidden=8,8", "hidden must have one layer, which the prior is for"),
        (ADMISSION, "hidden=", "hidden must have one layer, which the prior is for"),
        (ADMISSION, "signs=1,1", "signs must be empty or have 4 entries, one an input"),
        (ADMISSION, "signs=1", "signs must be empty or have 4 entries, one an input"),
        (ADMISSION, "signs=1,1,-1,2", "signs must be 1, -1 or 0"),
        (
            ADMISSION,
            "activation=silu",
            "activation and output_activation must be of identity, sigmoid, tanh, relu, as there are signs",
        ),
        (
            ADMISSION,
            "links=logit",
            "links must have at least two entries, as bootstrap is true: .* differences make the interval",
        ),
        (
            BIKES,
            f"signs=1,{','.join('0' * (BIKES.n_inputs - 1))}",
            "activation and output_activation must be of identity, sigmoid, tanh, relu, as there are signs",
        ),
        (BIKES_DAYS, "skip=false", "skip must be true: what fills gaps is a part of it"),
    ],
)
def test_what_the_parts_of_a_recipe_do_not_allow_is_refused(
    recipe: Recipe, change: str, words: str
) -> None:
    """What would end a training in a traceback, or be spread over all inputs, is said before it begins."""
    with pytest.raises(SettingsError, match=f"^{recipe.name}: {words}$"):
        override(recipe, [change])


def test_signs_are_one_an_input() -> None:
    """No sign at all leaves every input free, and so does 0; a category has an input for each code."""
    assert override(ADMISSION, ["signs="]).fit.signs == ()
    assert override(ADMISSION, ["signs=1,0,-1,0"]).fit.signs == (1, 0, -1, 0)
    assert override(ADMISSION, ["signs=0,0,0,0", "activation=silu"]).activation == "silu"
    with pytest.raises(SettingsError, match="have 56 entries"):
        override(LECTURE_BIKES, ["signs=1"])

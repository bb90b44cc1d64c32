"""What `service.card` writes, as pydantic classes: the documentation of `GET /models/...`."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class IntervalLevels(BaseModel):
    """The levels that `?level=` takes."""

    low: float = Field(description="The lowest level", examples=[0.5])
    high: float = Field(description="The highest level", examples=[0.99])
    default: float = Field(description="The level without `?level=`", examples=[0.9])


class CardAnswer(BaseModel):
    """What the model answers."""

    field: str = Field(description="The member of an answer that holds it", examples=["rentals"])
    unit: str = Field(description="Its unit", examples=["rentals per hour"])
    low: float | None = Field(description="No answer is lower; null: no bound", examples=[0.0])
    high: float | None = Field(description="No answer is higher; null: no bound", examples=[1.0])
    threshold: float | None = Field(
        description="The probability from which on the answer is yes; null for a quantity",
        examples=[0.5],
    )
    interval_levels: IntervalLevels = Field(description="The levels of the interval")


class CardField(BaseModel):
    """One field of a request."""

    name: str = Field(description="Its name", examples=["temperature"])
    kind: str = Field(
        description="timestamp, number, integer, category or boolean", examples=["number"]
    )
    description: str = Field(description="What it means", examples=["Air temperature"])
    required: bool = Field(description="Whether a request must have it", examples=[True])
    example: Any = Field(description="A value", examples=[24.0])
    unit: str | None = Field(default=None, description="Its unit", examples=["°C"])
    low: float | None = Field(
        default=None,
        description="The lowest value that is taken (of a timestamp: the year)",
        examples=[-30],
    )
    high: float | None = Field(
        default=None,
        description="The highest value that is taken (of a timestamp: the year)",
        examples=[50],
    )
    choices: list[str] | None = Field(
        default=None, description="The values that are taken", examples=[["clear", "mist"]]
    )
    training_range: list[float] | list[str] | None = Field(
        default=None,
        description="The lowest and the highest value that the model has seen; outside, an answer "
        "comes with a warning",
        examples=[[-7.1, 39.4]],
    )


class Baseline(BaseModel):
    """What a simple forecast reaches on the same rows."""

    model_config = ConfigDict(extra="allow")

    description: str = Field(description="What it forecasts", examples=["The base rate"])
    metrics: dict[str, float | None] = Field(
        description="Its scores", examples=[{"mae": 60.2, "rmse": 98.4}]
    )


class CardEvaluation(BaseModel):
    """How good the recipe is on rows that it has not learned from."""

    model_config = ConfigDict(extra="allow")

    protocol: str = Field(description="Which rows were held out", examples=["p3"])
    description: str = Field(
        description="The protocol in words", examples=["Days 20 to the end of every month"]
    )
    rows: int = Field(description="How many rows were held out", examples=[6025])
    metrics: dict[str, float | None] = Field(
        description="The scores", examples=[{"mae": 24.3, "rmse": 40.1}]
    )
    baseline: Baseline | None = Field(
        default=None, description="What a simple forecast reaches on the same rows"
    )
    coverage: dict[str, float | None] | None = Field(
        default=None,
        description="Of the intervals: their level, the rows, the share of outcomes inside, its "
        "standard error, their mean width and interval score",
        examples=[{"level": 0.9, "rows": 502, "coverage": 0.95, "width": 136.3, "score": 155.6}],
    )
    coverage_by_level: list[dict[str, float]] | None = Field(
        default=None,
        description="The share of outcomes inside the interval, at each level",
        examples=[[{"level": 0.8, "coverage": 0.79}]],
    )
    reliability: list[dict[str, float]] | None = Field(
        default=None,
        description="Of ten groups by probability: the mean probability, the share that happened, "
        "the rows",
        examples=[[{"said": 0.31, "happened": 0.33, "rows": 40}]],
    )


class CardNetwork(BaseModel):
    """The networks that answer."""

    members: int = Field(description="How many are averaged", examples=[4])
    inputs: int = Field(description="Inputs of each, one-hot columns included", examples=[80])
    hidden: list[int] = Field(description="Units of each hidden layer", examples=[[64, 32]])
    outputs: int = Field(description="Outputs of each", examples=[2])
    activations: list[str] = Field(
        description="Of each layer, the output's last", examples=[["silu", "silu", "identity"]]
    )
    skip: bool = Field(description="Whether inputs also go straight to the output", examples=[True])
    links: dict[str, int] = Field(
        description="How many members learned on which scale", examples=[{"sqrt": 4, "log": 4}]
    )
    parameters: int = Field(description="Weights and biases of all", examples=[40_000])


class TrainingData(BaseModel):
    """The file that the model learned from."""

    file: str = Field(description="Its name", examples=["hour.csv"])
    sha256: str = Field(description="Its digest", examples=["0a1b2c3d"])
    rows: int = Field(description="Its rows", examples=[17_379])


class Distillation(BaseModel):
    """How near one network comes to those that it answers for."""

    networks: int = Field(description="How many it answers for", examples=[8])
    rows: int = Field(description="Made-up rows on which all were asked", examples=[10_000])
    difference: float = Field(
        description="The root of the mean squared difference of the answers", examples=[1.9]
    )
    answer: float = Field(description="The mean of their answers", examples=[182.7])


class CardTraining(BaseModel):
    """How the model came to be."""

    model_config = ConfigDict(extra="allow")

    recipe: dict[str, Any] | None = Field(
        default=None,
        description="Every hyper-parameter by its name",
        examples=[{"name": "bikes", "hidden": [64, 32]}],
    )
    seed: int | None = Field(default=None, description="Of the random numbers", examples=[1])
    data: TrainingData | None = Field(default=None, description="What it learned from")
    history: list[dict[str, Any]] | None = Field(
        default=None,
        description="The losses while it learned",
        examples=[[{"epoch": 1, "training": 0.4, "validation": 0.5}]],
    )
    distillation: Distillation | None = Field(
        default=None, description="Where one network has learned what several answer"
    )
    weights: dict[str, Any] | None = Field(
        default=None,
        description="Digest and size of the file of weights",
        examples=[{"sha256": "1a2b3c4d", "bytes": 400_000}],
    )
    libraries: dict[str, str] | None = Field(
        default=None, description="Their versions", examples=[{"numpy": "2.3.4"}]
    )
    git_commit: str | None = Field(
        default=None, description="Of the code that trained it", examples=["340fc00"]
    )


class CardLinks(BaseModel):
    """Where to go on."""

    predict: str = Field(description="Answers a row", examples=["/predict/bikes"])
    batch: str = Field(description="Answers many rows", examples=["/predict/bikes/batch"])
    versions: str = Field(description="Lists the versions", examples=["/models/bikes/versions"])


class Card(BaseModel):
    """A model card: what a form needs to be built, and a reviewer to trust the model."""

    name: str = Field(description="The model's name", examples=["bikes"])
    version: str = Field(
        description="The version that answers", examples=["20261124T013000Z-1a2b3c4d"]
    )
    title: str = Field(description="What it forecasts", examples=["Bike rentals in one hour"])
    created: str | None = Field(
        description="When it was trained (UTC)", examples=["2026-11-24T01:30:00Z"]
    )
    answer: CardAnswer = Field(description="What it answers")
    fields: list[CardField] = Field(description="What it is asked, in order")
    evaluation: CardEvaluation | None = Field(
        description="How good it is on held-out rows; null where it was not measured"
    )
    limits_of_use: list[str] = Field(
        description="What it should not be used for, and what its data did not suffice for",
        examples=[["Teaching data"]],
    )
    network: CardNetwork = Field(description="What it is")
    training: CardTraining = Field(description="How it came to be")
    links: CardLinks = Field(description="Where to go on")


class Listed(BaseModel):
    """A model, in short."""

    name: str = Field(description="The model's name", examples=["bikes"])
    version: str = Field(
        description="The version that answers", examples=["20261124T013000Z-1a2b3c4d"]
    )
    title: str = Field(description="What it forecasts", examples=["Bike rentals in one hour"])
    predict: str = Field(description="The route that answers a row", examples=["/predict/bikes"])
    card: str = Field(description="The route of its card", examples=["/models/bikes"])


class Models(BaseModel):
    """What is served."""

    models: list[Listed] = Field(description="Every model")


class Versions(BaseModel):
    """The versions of a model in the store, and the one that answers."""

    name: str = Field(description="The model's name", examples=["bikes"])
    current: str = Field(
        description="The version that answers", examples=["20261124T013000Z-1a2b3c4d"]
    )
    versions: list[str] = Field(
        description="Every version, the newest first", examples=[["20261124T013000Z-1a2b3c4d"]]
    )

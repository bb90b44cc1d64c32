"""What comes in and what goes out, as pydantic classes, written out.

The request classes are the contract of `POST /predict/...`; a test holds them equal to the tasks'
fields (`models.bikes.BIKES`, `models.admission.ADMISSION`). They take numbers for numbers and
nothing else for them: no text, no booleans, no NaN. The answer classes document what
`service.replies` writes.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from service import timestamps


def _parse_timestamp(value: Any) -> datetime:
    if not isinstance(value, str):
        raise PydanticCustomError("timestamp_type", "not a text")
    try:
        return timestamps.parse(value)
    except ValueError as error:
        raise PydanticCustomError("timestamp", "not a timestamp", {"reason": str(error)}) from None


Timestamp = Annotated[
    datetime,
    BeforeValidator(_parse_timestamp),
    WithJsonSchema({"type": "string", "pattern": timestamps.PATTERN}),
]
WholeNumber = Annotated[float, Field(multiple_of=1), WithJsonSchema({"type": "integer"})]
"""A whole number: JSON makes no difference between 660 and 660.0, so neither is refused."""

_CONFIG = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)


class BikesRequest(BaseModel):
    """One hour, and its weather."""

    model_config = _CONFIG

    timestamp: Timestamp = Field(
        description="The hour of the forecast, ISO 8601, in Washington, D.C.: without an offset "
        "local time, with one it is converted to America/New_York; minutes are dropped; "
        "1970 to 2100",
        examples=["2012-06-01T17:00:00"],
        json_schema_extra={"unit": "local time"},
    )
    temperature: float = Field(
        ge=-30,
        le=50,
        description="Air temperature, °C",
        examples=[24.0],
        json_schema_extra={"unit": "°C"},
    )
    feels_like: float | None = Field(
        default=None,
        ge=-40,
        le=60,
        description="Felt temperature, °C; when missing it is filled from the other fields",
        examples=[25.0],
        json_schema_extra={"unit": "°C"},
    )
    humidity: float = Field(
        ge=0,
        le=100,
        description="Relative humidity, %",
        examples=[55.0],
        json_schema_extra={"unit": "%"},
    )
    wind_speed: float = Field(
        ge=0,
        le=120,
        description="Wind speed, km/h",
        examples=[12.0],
        json_schema_extra={"unit": "km/h"},
    )
    weather: Literal["clear", "mist", "light_precipitation", "heavy_precipitation"] = Field(
        description="Weather situation", examples=["clear"]
    )
    holiday: bool | None = Field(
        default=None,
        description="Whether the day is a public holiday; by default what the calendar of the "
        "District of Columbia says",
        examples=[False],
    )


class AdmissionRequest(BaseModel):
    """One application."""

    model_config = _CONFIG

    gre: WholeNumber = Field(
        ge=200,
        le=800,
        description="Score of the Graduate Record Examination, on the scale used before 2011",
        examples=[660],
        json_schema_extra={"unit": "points"},
    )
    gpa: float = Field(
        ge=0,
        le=4,
        description="Grade point average",
        examples=[3.67],
        json_schema_extra={"unit": "points"},
    )
    rank: WholeNumber = Field(
        ge=1,
        le=4,
        description="Rank of the undergraduate school: 1 is the most, 4 the least prestigious",
        examples=[1],
    )


Request = BikesRequest | AdmissionRequest

REQUESTS: dict[str, type[Request]] = {"bikes": BikesRequest, "admission": AdmissionRequest}
"""The request class of each task."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Interval(BaseModel):
    """Where the outcome, or for a probability its true value, lies with probability `level`."""

    level: float = Field(examples=[0.9])
    low: Finite = Field(examples=[247.0])
    high: Finite = Field(examples=[391.8])


class ModelName(BaseModel):
    """Which model answered, in which version."""

    name: str = Field(examples=["bikes"])
    version: str = Field(examples=["20261124T013000Z-1a2b3c4d"])


class Explanation(BaseModel):
    """What moved the answer away from the baseline: Shapley values, which add up to the answer.

    A field that was not given is filled from the others, so its effect is theirs and its own contribution
    is 0.
    """

    baseline: Finite = Field(
        description="The mean answer over the background rows, some rows of the training data, as "
        "if the fields that were not given were missing in them, too",
        examples=[189.6],
    )
    contributions: dict[str, Finite] = Field(
        description="What each field adds, in the unit of the answer",
        examples=[{"timestamp": 98.1, "temperature": 24.7}],
    )


Warnings = Annotated[
    list[str],
    Field(
        description="Where an input lies outside what the model was trained on",
        examples=[[]],
    ),
]


class _Row(BaseModel):
    interval: Interval
    warnings: Warnings
    explanation: Explanation | None = Field(default=None, description="With ?explain=true")


class BikesRow(_Row):
    """The forecast of one hour."""

    rentals: Finite = Field(ge=0, description="Rentals per hour", examples=[312.4])


class AdmissionRow(_Row):
    """The assessment of one application."""

    probability: Finite = Field(ge=0, le=1, description="Probability of admission", examples=[0.58])
    admitted: bool = Field(description="Whether the probability reaches the threshold")
    threshold: Finite = Field(ge=0, le=1, examples=[0.5])


class BikesAnswer(BikesRow):
    """The forecast of one hour, and which model made it."""

    model: ModelName


class AdmissionAnswer(AdmissionRow):
    """The assessment of one application, and which model made it."""

    model: ModelName


class FaultEntry(BaseModel):
    """One thing that is wrong."""

    detail: str = Field(description="What to mend, in words")
    pointer: str | None = Field(default=None, description="Where in the body: a JSON pointer")
    parameter: str | None = Field(default=None, description="Which query parameter")


class ProblemDocument(BaseModel):
    """A failure, as RFC 9457 describes it."""

    type: str = Field(examples=["/problems/invalid-input"])
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FaultEntry] | None = None


class RowError(BaseModel):
    """Why one row of a batch has no answer."""

    detail: str
    errors: list[FaultEntry]


class FailedRow(BaseModel):
    """In the place of a row that cannot be answered."""

    error: RowError


class BikesBatchAnswer(BaseModel):
    """The forecasts, in the order of the rows."""

    predictions: list[BikesRow | FailedRow]
    model: ModelName


class AdmissionBatchAnswer(BaseModel):
    """The assessments, in the order of the rows."""

    predictions: list[AdmissionRow | FailedRow]
    model: ModelName


ANSWERS: dict[str, type[BaseModel]] = {"bikes": BikesAnswer, "admission": AdmissionAnswer}
BATCH_ANSWERS: dict[str, type[BaseModel]] = {
    "bikes": BikesBatchAnswer,
    "admission": AdmissionBatchAnswer,
}

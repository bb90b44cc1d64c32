"""What comes in and what goes out, as pydantic classes, written out.

The request classes are the contract of `POST /predict/...`; a test holds them equal to the tasks'
fields (`models.bikes.BIKES`, `models.admission.ADMISSION`). They take numbers for numbers and
nothing else for them: no text, no booleans, no NaN. The answer classes document what
`service.replies` writes.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from models import timestamps
from models.interval import HIGHEST_LEVEL, LOWEST_LEVEL


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


def _whole(value: float) -> float:
    if value % 1:
        raise PydanticCustomError("multiple_of", "not a whole number")
    return value


WholeNumber = Annotated[float, Field(multiple_of=1), AfterValidator(_whole)]
"""A whole number: JSON makes no difference between 660 and 660.0, so neither is refused.

pydantic takes what is off by less than 1e-9, too, as 1.9999999999999998, which is no rank: as an integer it
would be 1.
"""

_CONFIG = ConfigDict(
    strict=True, extra="forbid", allow_inf_nan=False, frozen=True, hide_input_in_errors=True
)


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
        description="Felt temperature, °C; the air temperature where it is missing",
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
        description="Weather situation, from the best to the worst", examples=["clear"]
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
        description="Score of the Graduate Record Examination, on the scale used until 2011",
        examples=[660],
        json_schema_extra={"type": "integer", "unit": "points"},
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
        json_schema_extra={"type": "integer"},
    )


Request = BikesRequest | AdmissionRequest

REQUESTS: dict[str, type[Request]] = {"bikes": BikesRequest, "admission": AdmissionRequest}
"""The request class of each task."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Interval(BaseModel):
    """Where the outcome, or for a probability its true value, lies with probability `level`."""

    level: float = Field(
        ge=LOWEST_LEVEL,
        le=HIGHEST_LEVEL,
        description="The share of such intervals that contain the outcome, or for a probability its true "
        "value",
        examples=[0.9],
    )
    low: Finite = Field(description="The lower end, in the unit of the answer", examples=[247.0])
    high: Finite = Field(description="The upper end, in the unit of the answer", examples=[391.8])


class ModelName(BaseModel):
    """Which model answered, in which version."""

    name: str = Field(description="The model's name", examples=["bikes"])
    version: str = Field(
        description="When it was trained (UTC), and the beginning of its weights' digest",
        examples=["20261124T013000Z-1a2b3c4d"],
    )


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
    interval: Interval = Field(description="How far the answer may be off")
    warnings: Warnings
    explanation: Explanation | None = Field(default=None, description="With ?explain=true")


class BikesRow(_Row):
    """The forecast of one hour."""

    rentals: Finite = Field(
        ge=0,
        description="Rentals in the hour",
        examples=[312.4],
        json_schema_extra={"unit": "rentals per hour"},
    )


class AdmissionRow(_Row):
    """The assessment of one application."""

    probability: Finite = Field(ge=0, le=1, description="Probability of admission", examples=[0.58])
    admitted: bool = Field(
        description="Whether the probability reaches the threshold", examples=[True]
    )
    threshold: Finite = Field(
        ge=0, le=1, description="The probability from which on the answer is yes", examples=[0.5]
    )


class BikesAnswer(BikesRow):
    """The forecast of one hour, and which model made it."""

    model: ModelName = Field(description="What answered")


class AdmissionAnswer(AdmissionRow):
    """The assessment of one application, and which model made it."""

    model: ModelName = Field(description="What answered")


class FaultEntry(BaseModel):
    """One thing that is wrong."""

    detail: str = Field(
        description="What is wrong and what would be right, in words",
        examples=["humidity must be between 0 and 100 %"],
    )
    pointer: str | None = Field(
        default=None,
        description="Where in the body: a JSON pointer (RFC 6901)",
        examples=["/humidity"],
    )
    parameter: str | None = Field(
        default=None, description="Which query parameter", examples=["level"]
    )
    header: str | None = Field(
        default=None, description="Which header", examples=["X-Request-Timeout"]
    )


class ProblemDocument(BaseModel):
    """A failure, as RFC 9457 describes it."""

    type: str = Field(
        description="The kind of problem: a URI reference at which it is explained",
        examples=["/problems/invalid-input"],
    )
    title: str = Field(
        description="The kind of problem, in words", examples=["The input cannot be taken"]
    )
    status: int = Field(ge=400, le=599, description="The HTTP status", examples=[422])
    detail: str = Field(
        description="What is wrong with this request",
        examples=["humidity must be between 0 and 100 %"],
    )
    instance: str = Field(description="The path that was asked for", examples=["/predict/bikes"])
    errors: list[FaultEntry] | None = Field(
        default=None, description="Every fault of the input, when the status is 422"
    )


class RowError(BaseModel):
    """Why one row of a batch has no answer."""

    detail: str = Field(
        description="The first fault, and how many others there are",
        examples=["humidity must be between 0 and 100 %"],
    )
    errors: list[FaultEntry] = Field(description="Every fault of the row")


class FailedRow(BaseModel):
    """In the place of a row that cannot be answered."""

    error: RowError = Field(description="What is wrong with the row")


class BikesBatchAnswer(BaseModel):
    """The forecasts, in the order of the rows."""

    predictions: list[BikesRow | FailedRow] = Field(
        description="One entry a row: its forecast, or why it has none"
    )
    model: ModelName = Field(description="What answered")


class AdmissionBatchAnswer(BaseModel):
    """The assessments, in the order of the rows."""

    predictions: list[AdmissionRow | FailedRow] = Field(
        description="One entry a row: its assessment, or why it has none"
    )
    model: ModelName = Field(description="What answered")


ANSWERS: dict[str, type[BaseModel]] = {"bikes": BikesAnswer, "admission": AdmissionAnswer}
BATCH_ANSWERS: dict[str, type[BaseModel]] = {
    "bikes": BikesBatchAnswer,
    "admission": AdmissionBatchAnswer,
}

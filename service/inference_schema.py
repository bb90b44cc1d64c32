"""The messages of the Open Inference Protocol v2 (REST), as pydantic classes.

https://github.com/kserve/open-inference-protocol: `specification/protocol/inference_rest.md`, with
Triton's extension "binary tensor data". What a message has besides these members is not looked at,
as the protocol wants it for extensions.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Datatype = Literal[
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BYTES",
]
LARGEST_SIZE = 2**63 - 1
Size = Annotated[int, Field(ge=0, le=LARGEST_SIZE)]

_TAKEN = ConfigDict(strict=True, frozen=True, hide_input_in_errors=True)
_LEVEL = "The level of the intervals, 0.5 to 0.99"


class ServerLive(BaseModel):
    """The server takes requests."""

    live: bool = Field(description="Always true", examples=[True])


class ServerReady(BaseModel):
    """Every model can answer."""

    live: bool = Field(description="Always true", examples=[True])
    ready: bool = Field(description="Always true", examples=[True])


class ModelReady(BaseModel):
    """A model can answer."""

    name: str = Field(description="The model's name", examples=["bikes"])
    ready: bool = Field(description="Always true", examples=[True])


class ServerMetadata(BaseModel):
    """What the server is."""

    name: str = Field(description="Its name", examples=["backprop-service"])
    version: str = Field(description="The version of its code", examples=["0.1.0"])
    extensions: list[str] = Field(
        description="The extensions of the protocol that it has", examples=[["binary_tensor_data"]]
    )


class TensorMetadata(BaseModel):
    """An input or an output."""

    name: str = Field(description="Its name", examples=["temperature"])
    datatype: str = Field(description="The type of its elements", examples=["FP64"])
    shape: list[int] = Field(description="-1 stands for any number of rows", examples=[[-1]])


class ModelMetadata(BaseModel):
    """What a model takes and gives."""

    name: str = Field(description="The model's name", examples=["bikes"])
    versions: list[str] = Field(
        description="The version that answers", examples=[["20261124T013000Z-1a2b3c4d"]]
    )
    platform: str = Field(description="What computes", examples=["backprop_numpy"])
    inputs: list[TensorMetadata] = Field(description="What it takes, a column each")
    outputs: list[TensorMetadata] = Field(description="What it gives, a column each")


class TensorParameters(BaseModel):
    """What is said of one tensor."""

    model_config = _TAKEN

    binary_data_size: Size | None = Field(
        default=None,
        description="Bytes of the tensor behind the JSON, instead of `data`",
        examples=[16],
    )
    binary_data: bool | None = Field(
        default=None, description="Whether an output is wanted behind the JSON", examples=[False]
    )
    classification: int | None = Field(
        default=None, description="Of an extension that the server does not have", examples=[0]
    )


class RequestTensor(BaseModel):
    """An input: a column of the rows."""

    model_config = _TAKEN

    name: str = Field(description="The field of the model", examples=["gre"])
    shape: list[Size] = Field(
        description="[rows], or [rows, 1]", min_length=1, max_length=2, examples=[[2]]
    )
    datatype: Datatype = Field(description="The type of the elements", examples=["INT64"])
    parameters: TensorParameters | None = Field(default=None, description="What is said of it")
    data: list[Any] | None = Field(
        default=None,
        description="The elements, flat or nested as the shape says; null or NaN in an "
        "optional field is a missing value",
        examples=[[660, 520]],
    )


class RequestedOutput(BaseModel):
    """An output that is wanted."""

    model_config = _TAKEN

    name: str = Field(description="Its name", examples=["probability"])
    parameters: TensorParameters | None = Field(default=None, description="How it is wanted")


class RequestParameters(BaseModel):
    """What is said of the whole request."""

    model_config = _TAKEN

    binary_data_output: bool | None = Field(
        default=None,
        description="Whether outputs are wanted behind the JSON where they do not say so themselves",
        examples=[False],
    )
    level: float | None = Field(default=None, description=_LEVEL, examples=[0.9])


class InferenceRequest(BaseModel):
    """Rows, by column."""

    model_config = _TAKEN

    id: str | None = Field(default=None, description="Comes back in the answer", examples=["42"])
    parameters: RequestParameters | None = Field(default=None, description="Of the whole request")
    inputs: list[RequestTensor] = Field(description="A column each, of one length", fail_fast=True)
    outputs: list[RequestedOutput] | None = Field(
        default=None, fail_fast=True, description="Which outputs are wanted; without it all"
    )


class ResponseTensor(BaseModel):
    """An output: one element a row."""

    name: str = Field(description="Its name", examples=["probability"])
    shape: list[int] = Field(description="[rows]", examples=[[2]])
    datatype: str = Field(description="The type of the elements", examples=["FP64"])
    parameters: TensorParameters | None = Field(
        default=None, description="With `binary_data_size`, if the elements are behind the JSON"
    )
    data: list[Any] | None = Field(
        default=None, description="The elements", examples=[[0.58, 0.23]]
    )


class InferenceResponse(BaseModel):
    """The answers, by column."""

    model_name: str = Field(description="What answered", examples=["admission"])
    model_version: str = Field(
        description="In which version", examples=["20261124T013000Z-1a2b3c4d"]
    )
    id: str | None = Field(default=None, description="That of the request", examples=["42"])
    outputs: list[ResponseTensor] = Field(description="A column each, in the order asked for")


class InferenceError(BaseModel):
    """Why there is no answer."""

    error: str = Field(
        description="What is wrong, in words",
        examples=["row 3: humidity must be between 0 and 100 %"],
    )

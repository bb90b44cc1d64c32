"""What several routes say about themselves in the OpenAPI document."""

from typing import Any

from service.errors import KINDS, MEDIA_TYPE
from service.schemas import ProblemDocument

LEVEL = "The level of the interval: the share of outcomes that it is to contain"
EXPLAIN = (
    "Whether the answer says what each field added to it (exact Shapley values against rows of the "
    "training data; they and the baseline add up to the answer)"
)
STRICT = "Whether one bad row refuses the whole batch"

HEADERS = {
    "X-Request-ID": {
        "description": "The name of the request: the caller's, if it sent a sane one",
        "schema": {"type": "string"},
    },
    "X-Model-Version": {
        "description": "Name and version of the model that answers",
        "schema": {"type": "string"},
    },
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that can fail with these statuses."""
    schema = {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}
    return {
        kind.status: {
            "description": f"{kind.title}. {kind.remedy}",
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for kind in KINDS
        if kind.status in statuses
    }

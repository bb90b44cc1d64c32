"""The model card: what a client needs to build a form, and a reviewer to trust the model."""

from typing import Any

import numpy as np

from models.interval import HIGHEST_LEVEL, LOWEST_LEVEL
from models.task import Field
from service.served import Served

_PRIVATE = ("canary", "digests", "signature")
"""Members of a manifest that say nothing to a reader."""


def card(served: Served) -> dict[str, Any]:
    """The card of one version, as JSON."""
    task = served.model.task
    return {
        "name": served.name,
        "version": served.version,
        "title": task.title,
        "answer": {
            "field": task.target,
            "unit": task.unit,
            "threshold": served.model.threshold,
            "interval_levels": [LOWEST_LEVEL, HIGHEST_LEVEL],
        },
        "fields": [_field(field, served) for field in task.fields],
        "limits_of_use": list(task.limits_of_use),
        "training": {k: v for k, v in served.manifest.items() if k not in _PRIVATE},
    }


def _field(field: Field, served: Served) -> dict[str, Any]:
    described = {
        "name": field.name,
        "kind": field.kind,
        "description": field.description,
        "unit": field.unit,
        "low": field.low,
        "high": field.high,
        "choices": list(field.choices) or None,
        "required": field.required,
        "example": field.example,
        "training_range": _training_range(field, served),
    }
    return {key: value for key, value in described.items() if value is not None}


def _training_range(field: Field, served: Served) -> list[Any] | None:
    found = served.model.ranges.get(field.name)
    if found is None:
        return None
    if field.kind == "timestamp":
        return [str(np.datetime64(int(hours), "h")) + ":00:00" for hours in found]
    return list(found)

"""The model card: what a client needs to build a form, and a reviewer to trust the model."""

from collections import Counter
from datetime import datetime
from typing import Any

import numpy as np

from models.interval import DEFAULT_LEVEL, HIGHEST_LEVEL, LOWEST_LEVEL
from models.model import Head, Model
from models.task import Field, Task
from service.served import Served

_TRAINING = (
    "recipe",
    "seed",
    "data",
    "history",
    "distillation",
    "weights",
    "libraries",
    "git_commit",
)
"""The members of a manifest that say how the model came to be."""


def card(served: Served) -> dict[str, Any]:
    """The card of one version, as JSON; `service.card_schema` documents its members."""
    task, manifest = served.model.task, served.manifest
    return {
        "name": served.name,
        "version": served.version,
        "title": task.title,
        "created": _moment(manifest.get("created")),
        "answer": _answer(task, served.model),
        "fields": [_field(field, served) for field in task.fields],
        "evaluation": manifest.get("evaluation"),
        "limits_of_use": [*task.limits_of_use, *manifest.get("remarks", ())],
        "network": _network(served.model.head),
        "training": {name: manifest[name] for name in _TRAINING if name in manifest},
        "links": {
            "predict": f"/predict/{served.name}",
            "batch": f"/predict/{served.name}/batch",
            "versions": f"/models/{served.name}/versions",
        },
    }


def _moment(created: str | None) -> str | None:
    """`20261124T013000Z` as `2026-11-24T01:30:00Z`."""
    if created is None:
        return None
    return datetime.fromisoformat(created).isoformat().replace("+00:00", "Z")


def _answer(task: Task, model: Model) -> dict[str, Any]:
    low, high = (float(bound) if np.isfinite(bound) else None for bound in task.bounds)
    return {
        "field": task.target,
        "unit": task.unit,
        "low": low,
        "high": high,
        "threshold": model.threshold,
        "interval_levels": {"low": LOWEST_LEVEL, "high": HIGHEST_LEVEL, "default": DEFAULT_LEVEL},
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


def _network(head: Head) -> dict[str, Any]:
    network = head.network
    arrays = [array for layer in network.layers for array in (layer.weights, layer.biases)]
    if network.skip is not None:
        arrays.append(network.skip)
    return {
        "members": network.n_members,
        "inputs": network.n_inputs,
        "hidden": [layer.weights.shape[2] for layer in network.layers[:-1]],
        "outputs": network.n_outputs,
        "activations": [layer.activation for layer in network.layers],
        "skip": network.skip is not None,
        "links": dict(Counter(head.links)),
        "parameters": sum(array.size for array in arrays),
    }

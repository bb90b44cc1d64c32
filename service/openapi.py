"""The OpenAPI document: what FastAPI makes of the routes, completed.

Every answer gets its headers, and FastAPI's own form of a validation error, which this service does
not use, is taken out.
"""

from typing import Any

from service.routes.documented import HEADERS
from service.schemas import ProblemDocument

_UNUSED = ("HTTPValidationError", "ValidationError")


def document(made: dict[str, Any]) -> dict[str, Any]:
    """Complete `made`, in place, and return it."""
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    for name in _UNUSED:
        schemas.pop(name, None)
    template = "#/components/schemas/{model}"
    problem = ProblemDocument.model_json_schema(ref_template=template)
    schemas |= {**problem.pop("$defs", {}), ProblemDocument.__name__: problem}
    for path, methods in made["paths"].items():
        for operation in methods.values():
            for response in operation["responses"].values():
                response["headers"] = {
                    name: header
                    for name, header in HEADERS.items()
                    if name == "X-Request-ID" or path.startswith("/predict/")
                }
    return made

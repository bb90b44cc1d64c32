"""GET /problems and /problems/{kind}: where the `type` of a problem leads."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from service.errors import KINDS, NOT_FOUND, Kind, Problem
from service.fault_messages import instead_of
from service.routes import documented


class ProblemKind(BaseModel):
    """A kind of problem."""

    type: str = Field(
        description="The member `type` of such problems", examples=["/problems/invalid-input"]
    )
    title: str = Field(description="What is wrong", examples=["The input cannot be taken"])
    status: int = Field(ge=400, le=599, description="The HTTP status", examples=[422])
    remedy: str = Field(
        description="What a caller can do", examples=["Mend what each entry of errors says."]
    )
    example: str = Field(
        description="What such a problem may say", examples=["humidity must be between 0 and 100 %"]
    )


def router() -> APIRouter:
    """The routes of this module."""
    routes = APIRouter(prefix="/problems", tags=["problems"])

    @routes.get("", summary="Every kind of problem, by status")
    async def list_problems() -> list[ProblemKind]:
        return [_described(kind) for kind in KINDS]

    @routes.get("/{kind}", summary="A kind of problem", responses=documented.problems(404))
    async def problem_kind(
        kind: Annotated[str, Path(description="The end of its `type`", examples=["invalid-input"])],
    ) -> ProblemKind:
        known = {each.slug: each for each in KINDS}
        if kind not in known:
            words = f"There is no kind of problem {kind[:50]}; {instead_of(kind, known)}"
            raise Problem(NOT_FOUND, words)
        return _described(known[kind])

    return routes


def _described(kind: Kind) -> ProblemKind:
    return ProblemKind.model_validate(kind, from_attributes=True)

"""The ladder document: the rungs of a supervision ladder, as the API and the database hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

from app.domain.supervision.rungs import Ladder, Rung
from app.errors import Invalid
from app.schemas.codes import Card, Role, Stage, Target
from app.schemas.limit import AnyLimit
from app.validation import problem, refusal, validated

Term = Annotated[int, Field(strict=True, ge=1)]


def _ends_at_same_time(value: Any) -> Any:
    return {"ends": "same_time", **value} if isinstance(value, Mapping) else value


def _in_order(terms: tuple[int, int | None]) -> tuple[int, int | None]:
    if terms[1] is not None and terms[1] < terms[0]:
        raise refusal("terms_order")
    return terms


Name = Annotated[str, BeforeValidator(lambda value: "" if value is None else value), Field(max_length=200)]


class RungDocument(BaseModel):
    """One rung. ``offset``: from the deadline of ``target``, none or zero: at it; ``terms``: first and last term of an order
    for which the rung is raised, null: no last one."""

    model_config = ConfigDict(frozen=True)

    code: Annotated[str, Field(min_length=1, max_length=32)]
    target: Target
    offset: Annotated[AnyLimit | None, BeforeValidator(_ends_at_same_time)] = None
    card: Card | None = None
    stage: Stage | None = None
    notify: tuple[Role, ...] = ()
    order: StrictBool = False
    name: Name = ""
    name_en: Name = ""
    terms: Annotated[tuple[Term, Term | None], AfterValidator(_in_order)] = (1, None)

    def rung(self) -> Rung:
        """The domain value."""
        offset = self.offset if self.offset is not None and self.offset.amount else None
        return Rung(self.code, self.target, offset, self.card, self.stage, self.notify, self.order, self.name,
                    self.name_en, *self.terms)  # fmt: skip


class LadderDocument(BaseModel):
    """One version of a ladder; rungs of one target in the order in which they are climbed."""

    model_config = ConfigDict(frozen=True)

    code: Annotated[str, Field(min_length=1, max_length=64)]
    version: Annotated[int, Field(strict=True, ge=1)] = 1
    rungs: Annotated[list[RungDocument], Field(min_length=1, max_length=100)]

    def ladder(self) -> Ladder:
        """The domain value. Raises ``Invalid`` at the code of each rung that another one has too."""
        codes = [rung.code for rung in self.rungs]
        twice = [n for n, code in enumerate(codes) if code in codes[:n]]
        if twice:
            raise Invalid(problem("duplicate", ["rungs", n, "code"], value=codes[n]) for n in twice)
        return Ladder(self.code, self.version, tuple(rung.rung() for rung in self.rungs))


def read_ladder(document: object) -> Ladder:
    """The ladder that ``document`` describes. Raises ``Invalid`` with a pointer to each problem."""
    return validated(LadderDocument.model_validate, document).ladder()

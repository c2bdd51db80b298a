"""Shapes that all nouns share."""

from collections.abc import Iterable
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

#: What only Holdfast sets, whatever the noun.
READONLY = frozenset(
    {"id", "organization_id", "tenant_id", "status", "version", "usage", "cost", "created_at", "updated_at", "warnings"}
)


def _names(given: Any) -> Iterable[str]:
    return cast("dict[str, Any]", given) if isinstance(given, dict) else ()


class Strict(BaseModel):
    """Input in which every name must be known."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _names_are_known(cls, given: Any) -> Any:
        for name in _names(given):
            if name not in cls.model_fields:
                raise cls._unknown(name)
        return given

    @classmethod
    def _unknown(cls, name: str) -> PydanticCustomError:
        if name in READONLY:
            return PydanticCustomError("field_readonly", "Holdfast sets this field.", {"name": name})
        known = list(cls.model_fields)
        return PydanticCustomError("field_unknown", "There is no such field.", {"name": name, "known": known})


def _no_nul(given: str) -> str:
    if "\x00" in given:
        raise PydanticCustomError("text_nul", "The text contains the character U+0000.")
    return given


#: Text of a query; that of bodies is looked through before it is parsed.
PlainText = Annotated[str, AfterValidator(_no_nul)]


class Paging(Strict):
    """The parameters of every list."""

    limit: int = Field(default=50, ge=1, le=200, description="How many items at most.")
    cursor: str | None = Field(default=None, max_length=500, description="`next_cursor` of the answer before.")


NextCursor = Annotated[str | None, Field(description="Give it as `cursor` for what follows; null at the end.")]


class Notice(BaseModel):
    """Something that is no error yet."""

    code: str
    message: str
    hint: str = ""


class Problem(BaseModel):
    """RFC 9457 problem details; `field` is a JSON pointer into the body, or a parameter's or header's name."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    code: str
    detail: str
    hint: str
    field: str | None
    request_id: str

"""Arguments of the workflow's updates, held to the rules of the REST API before an update is accepted."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, NoReturn, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StringConstraints,
    ValidationError,
    model_validator,
)

from runtimes.json_text import Faulty, value_of
from runtimes.meant import guess
from runtimes.turns import MAX_DECIDER, MAX_LIMIT, MAX_NOTE, UNREADABLE
from workflows import policies
from workflows.refusals import reject

#: Longest name of a client's that a refusal repeats.
_ECHO = 80
_CODES = {"missing": "field_missing", "extra_forbidden": "field_unknown"}


def _short_enough(content: str) -> str:
    if len(content) > policies.MAX_INLINE_MESSAGE:
        reject("body_too_large", "The message is too long for Temporal; send it through the REST API.")
    return content


Id = Annotated[str, StringConstraints(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


class _Update(BaseModel):
    """One argument, an object whose names are all known; null is what typed languages write for none."""

    model_config = ConfigDict(extra="forbid", strict=True)
    example: ClassVar[str]
    written_as_null: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _without_nothing(cls, given: Any) -> Any:
        fields = cast("dict[str, Any]", given)
        optional = {*cls.model_fields, *cls.written_as_null}
        return {name: value for name, value in fields.items() if value is not None or name not in optional}

    @classmethod
    def read(cls, given: Sequence[Any]) -> Self:
        """The update, if it can be accepted.

        Raises:
            ApplicationError: it is refused.
        """
        try:
            return cls.model_validate(_object(given, cls.example))
        except ValidationError as invalid:
            errors = invalid.errors(include_url=False, include_input=False)
            unknown = [error for error in errors if error["type"] == "extra_forbidden"]
            _refuse([*unknown, *errors][0], list(cls.model_fields))


class SentMessage(_Update):
    """A message: its text, or the id of one that the API has stored."""

    example: ClassVar[str] = 'The update takes {"content": "hello"}.'
    #: `QueuedMessage` writes it.
    written_as_null: ClassVar[frozenset[str]] = frozenset({"key"})

    content: Annotated[str, StringConstraints(min_length=1), AfterValidator(_short_enough)] | None = None
    message_id: Id | None = None

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if self.content is None and self.message_id is None:
            reject("field_missing", "'content' is missing.")
        if self.content is not None and self.message_id is not None:
            told = "'message_id' names a message that the API has stored: its id alone, or 'content' alone."
            reject("value_invalid", told)
        return self


class MadeDecision(_Update):
    """A decision about an approval; only a yes raises a limit."""

    example: ClassVar[str] = 'The update takes {"approval_id": "...", "approve": true, "note": ""}.'

    approval_id: Id
    approve: bool
    note: Annotated[str, StringConstraints(max_length=MAX_NOTE)] = ""
    decided_by: Annotated[str, StringConstraints(max_length=MAX_DECIDER)] = ""
    limit: Annotated[StrictInt | StrictFloat, Field(gt=0, le=MAX_LIMIT)] | None = None

    @model_validator(mode="after")
    def _raises_with_a_yes(self) -> Self:
        if self.limit is not None and not self.approve:
            reject("value_invalid", "'limit' is for an approval; a denial raises none.")
        return self


def read_turn(given: Sequence[Any]) -> int | None:
    """The number of the turn to interrupt, if it is named.

    Raises:
        ApplicationError: it is no number.
    """
    turn = value_of(given[0]) if given else None
    if len(given) > 1 or isinstance(turn, bool) or not isinstance(turn, int | None):
        reject("type_error", "The argument is not the number of a turn.", "Give a whole number, or none.")
    return turn


def _object(given: Sequence[Any], example: str) -> dict[str, Any]:
    if len(given) != 1:
        reject("type_error", f"The update has {len(given)} arguments.", example)
    value = given[0]
    if isinstance(value, Faulty):
        place = f" It is at '{value.fault.field}'." if value.fault.field else ""
        reject(value.fault.code, f"{value.fault.detail}{place}")
    if isinstance(value, str) and value.startswith(UNREADABLE):
        reject("type_error", value, example)
    if not isinstance(value, dict):
        reject("type_error", "The argument is no object.", example)
    return cast("dict[str, Any]", value)


def _refuse(error: Mapping[str, Any], known: Sequence[str]) -> NoReturn:
    kind, name = error["type"], str(error["loc"][0])[:_ECHO] if error["loc"] else ""
    code = _CODES.get(kind, "type_error" if kind.endswith("_type") else "value_invalid")
    if code == "field_unknown":
        reject(code, f"There is no field '{name}' here.", guess(name, known))
    if kind == "missing":
        reject(code, f"'{name}' is missing.")
    reject(code, f"'{name}': {error['msg']}.")

"""What agents and executions may both say of turns: limits, and the shape of the output."""

from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from control_plane.api.schemas import Notice, Strict
from services.bounded.checker import check_schema
from services.budget import Limits

#: Bytes of JSON: it travels with every attempt and every prompt.
MAX_SCHEMA = 64 * 1024
#: Characters that are told of what is wrong with one.
MISTAKE_LIMIT = 500


class Budget(Limits, Strict):
    """Limits of an execution over all its turns; what is left out is not limited.

    `tokens` are input and output together; `seconds` count while a worker runs a turn.
    """


def _is_usable(schema: dict[str, Any]) -> dict[str, Any]:
    if len(orjson.dumps(schema)) > MAX_SCHEMA:
        raise PydanticCustomError("schema_invalid", "A JSON schema has at most {bytes} bytes.", {"bytes": MAX_SCHEMA})
    try:
        check_schema(schema)
    except ValueError as error:
        reason = f"The output schema cannot be used: {str(error)[:MISTAKE_LIMIT]}"
        raise PydanticCustomError("schema_invalid", "{reason}", {"reason": reason}) from error
    return schema


OutputSchema = Annotated[
    dict[str, Any], AfterValidator(_is_usable), Field(description="JSON schema that the last answer has to fit.")
]


SessionConcurrency = Annotated[
    Literal["queue", "reject", "parallel"],
    Field(description="What a start does while its session has an execution that has not ended."),
]


def budget_warnings(asked: Limits, agents: Limits) -> list[Notice]:
    """What a start asked for in vain: it lowers limits, and raises none."""
    theirs = agents.model_dump(exclude_none=True)
    higher = [name for name, value in asked.model_dump(exclude_none=True).items() if value > theirs.get(name, value)]
    if not higher:
        return []
    limits = ", ".join(f"{name} = {theirs[name]:g}" for name in higher)
    return [
        Notice(
            code="budget_not_raised",
            message=f"The agent's own limits hold: {limits}.",
            hint="A start lowers an agent's limits only; raise them in its configuration.",
        )
    ]

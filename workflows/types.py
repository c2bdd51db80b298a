"""Input, state and result of `AgentExecutionWorkflow`: plain JSON that any client can write."""

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from temporalio.workflow import Info

from runtimes.json_text import Faulty, JsonFault, value_of
from runtimes.turns import START_FIELDS, Admission, TurnOutcome, TurnStatus
from runtimes.types import ExecutionError, FinishReason, ToolMessage, Usage

_IDS = UUID("6f0b2f0e-0d0c-4f8e-9d52-6a1c5f5d8b31")
#: Fields of the input that only the workflow itself sets.
OWN_FIELDS = frozenset({"admission", "turn", "pending", "closing", "usage", "last"})


def workflow_id_of(execution_id: object) -> str:
    """The id of the workflow that the API starts for an execution."""
    return f"agent-execution/{execution_id}"


def own_id(info: Info) -> UUID:
    """Make the id of an execution that its client did not name: the same after a reset."""
    return uuid5(_IDS, f"{info.workflow_id}/{info.first_execution_run_id}")


class QueuedMessage(BaseModel):
    """A user message that waits for its turn: by reference, or inline from a Temporal client.

    `key` is the id of the update that brought an inline one: after a reset it is known by that.
    """

    message_id: str | None = None
    content: str | None = None
    key: str | None = None


class AgentExecutionInput(BaseModel):
    """What starts an execution; `{"agent_id": "...", "prompt": "..."}` is enough.

    The state is the input: the fields from `admission` on are the workflow's own, carried over
    continue-as-new.
    """

    model_config = ConfigDict(extra="ignore")

    agent_id: str
    prompt: str | None = None
    execution_id: str | None = None
    session_id: str | None = None
    runtime: str | None = None
    organization_id: str | None = None
    interactive: bool = False
    metadata: dict[str, Any] = Field(default_factory=dict[str, Any])

    admission: Admission | None = None
    turn: int = 0
    pending: list[QueuedMessage] = Field(default_factory=list[QueuedMessage])
    closing: bool = False
    usage: Usage = Field(default_factory=Usage)
    last: TurnOutcome | None = None

    @classmethod
    def read(cls, given: Any, info: Info) -> "AgentExecutionInput":
        """The state to begin with; of an input that cannot be read only its defaults: admission refuses it."""
        try:
            return cls.model_validate(given if _is_admitted(given, info) else from_client(given))
        except ValidationError:
            return cls.model_construct(agent_id="?")

    def take(self, outcome: TurnOutcome) -> None:
        """Count the turn that was dispatched last; one that had been taken before, or withdrawn, counts nothing."""
        if outcome.turn is not None and outcome.turn < self.turn:
            self.turn -= 1
            return
        self.turn = outcome.turn or self.turn
        self.last = outcome
        self.usage += outcome.usage

    def result(self, execution_id: str) -> "AgentExecutionResult":
        """Give the result of the execution, where it came to its end."""
        last = self.last or TurnOutcome(status=TurnStatus.COMPLETED)
        return AgentExecutionResult(
            success=last.error is None,
            execution_id=execution_id,
            session_id=self.admission.session_id if self.admission else "",
            response=last.response,
            usage=self.usage,
            tool_messages=last.tool_messages,
            model=last.model,
            runtime=self.admission.runtime if self.admission else "",
            finish_reason=last.finish_reason,
            output=last.output,
            error=last.error,
            metadata=self.metadata,
        )


def read_arguments(given: Sequence[Any]) -> tuple[Any, JsonFault | None]:
    """Read the arguments of a start: the one, or a list where there are more; and the first fault of their texts."""
    faults = [each.fault for each in given if isinstance(each, Faulty)]
    values = [value_of(each) for each in given]
    return values if len(values) > 1 else values[0], faults[0] if faults else None


def from_client(given: Any) -> Any:
    """Read a client's input: our own fields are not for it, and typed languages write empty values for none.

    Of fields that nobody knows, which are refused, only the names go on: there may be secrets in them.
    """
    if isinstance(given, list):
        return [from_client(each) for each in cast("list[Any]", given)]
    if not isinstance(given, dict):
        return given
    fields = cast("dict[str, Any]", given)
    wanted = {name: value for name, value in fields.items() if name not in OWN_FIELDS and value not in (None, "")}
    return {name: value if name in START_FIELDS else True for name, value in wanted.items()}


def _is_admitted(given: Any, info: Info) -> bool:
    """Whether an admission in the input is this workflow's own, not one that was copied from another."""
    try:
        execution_id = given["admission"]["execution_id"]
    except (TypeError, KeyError):
        return False
    return info.continued_run_id is not None or info.workflow_id == workflow_id_of(execution_id)


class AgentExecutionResult(BaseModel):
    """The result of an execution; long texts are cut, the whole ones are in the database.

    The API adds what executions used that it had started, to `usage` and as `children_usage`.
    """

    success: bool
    execution_id: str
    session_id: str
    response: str = ""
    usage: Usage = Field(default_factory=Usage)
    children_usage: Usage = Field(default_factory=Usage)
    tool_messages: list[ToolMessage] = Field(default_factory=list[ToolMessage])
    model: str = ""
    runtime: str = ""
    finish_reason: FinishReason | None = None
    output: Any = None
    error: ExecutionError | None = None
    metadata: dict[str, Any] = Field(default_factory=dict[str, Any])


class ExecutionState(BaseModel):
    """The answer of the query `state`: `waits_for` says what it waits for, `waits` which approvals and executions."""

    execution_id: str
    turn: int
    running: bool
    queued_messages: int
    closing: bool
    waits: list[str] = Field(default_factory=list[str])
    waits_for: str = ""

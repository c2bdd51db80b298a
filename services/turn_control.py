"""What the gateways may do to the turn that they serve."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NoReturn, Protocol

from runtimes.errors import BudgetExceeded, RuntimeFailure
from services.budget import Budget


class QuestionKind(StrEnum):
    """What a human is asked: may this call run, may it run again, may the limit be raised.

    `child` asks nobody: the turn waits for another execution.
    """

    TOOL_CALL = "tool_call"
    OUTCOME_UNKNOWN = "outcome_unknown"
    BUDGET = "budget"
    CHILD = "child"


@dataclass(frozen=True, slots=True)
class Question:
    """Something that a turn has to wait for; the same question of a later attempt has the same `key` and `digest`.

    `of_call`: a tool call that is under way waits for the answer.
    """

    kind: QuestionKind
    key: str
    digest: str
    name: str
    detail: Mapping[str, Any] = field(default_factory=dict[str, Any])
    of_call: bool = True


class TurnControl(Protocol):
    """Ends or suspends the turn from inside."""

    def abort(self, failure: RuntimeFailure) -> None:
        """End the turn with this failure, whatever its runtime makes of it; the first one wins."""
        ...

    async def ask(self, question: Question) -> NoReturn:
        """Put a question and suspend the turn; whoever asks is cancelled, and asks again in the next attempt."""
        ...


def budget_question(exceeded: BudgetExceeded, budget: Budget, *, of_call: bool) -> Question:
    """Whether a limit may be raised; asked anew for each value that it is raised to."""
    limit = getattr(budget.limits, exceeded.limit)
    detail = {"limit": exceeded.limit, "value": limit}
    return Question(QuestionKind.BUDGET, exceeded.limit, str(limit), exceeded.limit, detail, of_call)

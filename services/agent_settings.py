"""What an agent's configuration says of its turns, whatever their runtime."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runtimes.errors import ConfigurationInvalid
from services.budget import Limits
from services.control_plane_client.models import Decision
from services.tools.desk import UnknownOutcome
from services.turn_control import QuestionKind

Settings = TypeVar("Settings", bound=BaseModel)

#: Seconds that a decision may take, unless the agent says otherwise.
APPROVAL_SECONDS = 7 * 24 * 3600.0


class AgentSettings(BaseModel):
    """Fields of `configuration` that the executor reads; the others are the runtime's and the model's.

    `on_budget`: what happens at a limit; `on_outcome_unknown`: what happens to a call that may not be repeated and
    that was cut off before its result was there.
    """

    model_config = ConfigDict(extra="ignore")

    budget: Limits = Limits()
    on_budget: Literal["stop", "pause"] = "stop"
    on_outcome_unknown: UnknownOutcome = UnknownOutcome.TELL_MODEL
    output_schema: dict[str, Any] | None = None
    approval_timeout_seconds: Annotated[float, Field(gt=0, le=366 * 24 * 3600)] = APPROVAL_SECONDS

    def limits(self, asked: Mapping[str, Any], decisions: Sequence[Decision]) -> Limits:
        """The execution's limits: the agent's, lowered by what the start asked for, raised by what humans allowed."""
        limits = self.budget.within(Limits.model_validate(asked))
        allowed = {
            decision.key: decision.limit
            for decision in decisions
            if decision.kind is QuestionKind.BUDGET and decision.status == "approved" and decision.limit is not None
        }
        return limits.model_copy(update=raised(allowed))


def raised(allowed: Mapping[str, float]) -> dict[str, float]:
    """Limits as their kinds have them, of what humans allowed."""
    return {name: value if name in {"cost_usd", "seconds"} else int(value) for name, value in allowed.items()}


def read_settings(model: type[Settings], configuration: Mapping[str, Any]) -> Settings:
    """The part of an agent's configuration that a model describes.

    Raises:
        ConfigurationInvalid: a field has no possible value.
    """
    try:
        return model.model_validate(configuration)
    except ValidationError as error:
        first = error.errors()[0]
        where = "/".join(str(step) for step in first["loc"])
        raise ConfigurationInvalid(f"The agent's configuration is wrong at '{where}': {first['msg']}.") from error

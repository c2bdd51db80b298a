"""What an agent takes over from the template that it is made from."""

from collections.abc import Mapping
from typing import Any

from control_plane.api.agents.schemas import CreateAgent
from control_plane.errors import FieldMissing
from runtimes.templates import Template

#: What a template may say for its agents, and an agent for itself.
INHERITED = ("model_id", "system_prompt", "toolsets")


def definition(body: CreateAgent, template: Template | None) -> dict[str, Any]:
    """The new agent's columns.

    Raises:
        FieldMissing: neither the body nor the template names a model.
    """
    values = merged(body, template)
    if not values["model_id"]:
        raise FieldMissing("'model_id' is missing.", hint=_where_models_come_from(template), field="/model_id")
    return values


def merged(body: CreateAgent, template: Template | None) -> dict[str, Any]:
    """What the body names, else what the template has.

    `configuration` is merged key by key; a key's value is taken as a whole, and so are the toolsets.
    """
    values = body.model_dump(mode="json")
    values["toolsets"] = [toolset.model_dump(mode="json", exclude_unset=True) for toolset in body.toolsets]
    defaults: Mapping[str, Any] = template.defaults if template else {}
    for name in INHERITED:
        if name not in body.model_fields_set and name in defaults:
            values[name] = defaults[name]
    own = body.configuration.model_dump(mode="json", exclude_unset=True)
    values["configuration"] = {**defaults.get("configuration", {}), **own}
    return values


def _where_models_come_from(template: Template | None) -> str:
    return f"The template '{template.name}' has none." if template else "Name one as `provider/model`."

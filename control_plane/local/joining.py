"""The settings that a worker which is started by hand takes from the local stack of its data directory."""

import os
from typing import Any

from pydantic import SecretStr

from control_plane.local.credentials import read_credentials
from control_plane.local.directory import DataDirectory
from control_plane.local.environment import scripted_provider, temporal_environment
from control_plane.local.state import StackState, running_stack
from control_plane.settings import Settings
from control_plane.temporal import is_configured


def joined(settings: Settings, directory: DataDirectory) -> tuple[Settings, StackState | None]:
    """The settings of a worker, and the stack that it joins: the running one, unless they name another API.

    The stack's Temporal goes into this process's environment, where Temporal's own settings are looked for.

    Raises:
        SettingsInvalid: Temporal's settings cannot be used.
    """
    state = running_stack(directory)
    given = settings.model_fields_set
    if state is None or given >= {"api_url", "api_key"} or ("api_url" in given and settings.api_url != state.api_url):
        return settings, None
    if not is_configured():
        os.environ.update(temporal_environment(state.temporal_address))
    return settings.model_copy(update=_of_stack(settings, state, directory)), state


def _of_stack(settings: Settings, state: StackState, directory: DataDirectory) -> dict[str, Any]:
    """Give the values that the settings leave open."""
    found: dict[str, Any] = {"api_url": state.api_url}
    credentials = read_credentials(directory.credentials)
    if settings.api_key is None and credentials is not None:
        found["api_key"] = SecretStr(credentials.worker_key)
    if credentials is not None and credentials.identity_secret:
        found["identity_secret"] = SecretStr(credentials.identity_secret)
    if not settings.providers and state.model_url is not None:
        found["providers"] = scripted_provider(state.model_url)
    return found

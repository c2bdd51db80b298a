"""Where the API is and which key it is asked with."""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from control_plane.local.credentials import read_credentials
from control_plane.local.directory import DataDirectory
from control_plane.local.state import running_stack
from control_plane.settings import Settings


class Source(StrEnum):
    """Where an API's URL came from."""

    SETTINGS = "--api-url, HOLDFAST_API_URL or holdfast.toml"
    STACK = "the running local stack"
    DEFAULT = "the default"


@dataclass(frozen=True)
class ApiLocation:
    """An API and the key for it."""

    url: str
    key: str | None
    source: Source
    #: A sentence about the local stack, for error messages.
    stack: str
    #: Whether somebody may be about to answer there: anywhere else, or here while the local stack runs.
    expected: bool = True


def find_api(settings: Settings, directory: DataDirectory) -> ApiLocation:
    """Option, environment and file win; else the running local stack, whose key goes to no other API."""
    state = running_stack(directory)
    stack = f"local stack in {directory.root}: {'running' if state else 'not running'}"
    key = settings.api_key.get_secret_value() if settings.api_key else None
    given = settings.api_url if "api_url" in settings.model_fields_set else None
    if state is not None and given in (None, state.api_url):
        source = Source.SETTINGS if given else Source.STACK
        return ApiLocation(state.api_url, key or _local_key(directory), source, stack)
    source = Source.SETTINGS if given else Source.DEFAULT
    return ApiLocation(settings.api_url, key, source, stack, expected=not is_here(settings.api_url))


def is_here(url: str) -> bool:
    """Whether the URL is one of this machine."""
    return urlsplit(url).hostname in {"localhost", "127.0.0.1", "::1"}


def _local_key(directory: DataDirectory) -> str | None:
    credentials = read_credentials(directory.credentials)
    return credentials.api_key if credentials else None

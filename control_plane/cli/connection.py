"""Where the API is and which key it is asked with."""

from dataclasses import dataclass, replace
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
    #: By which the local stack's own API proves itself before it gets a key; empty where that is not to be had.
    identity_secret: str = ""


def find_api(settings: Settings, directory: DataDirectory) -> ApiLocation:
    """Option, environment and file win; else the running local stack, whose key goes to no other API."""
    state = running_stack(directory)
    key = settings.api_key.get_secret_value() if settings.api_key else None
    stack = f"local stack in {directory.root}: {'running' if state else 'not running'}"
    if "api_url" not in settings.model_fields_set:
        source, url = (Source.STACK, state.api_url) if state else (Source.DEFAULT, settings.api_url)
    else:
        source, url = Source.SETTINGS, settings.api_url
    if state is not None and url == state.api_url:
        return _of_the_stack(ApiLocation(url, key, source, stack), directory)
    return ApiLocation(url, key, source, stack, expected=not is_here(url))


def _of_the_stack(location: ApiLocation, directory: DataDirectory) -> ApiLocation:
    """The location with what only the stack's own files know."""
    own = read_credentials(directory.credentials)
    if own is None:
        return location
    return replace(location, key=location.key or own.api_key, identity_secret=own.identity_secret)


def is_here(url: str) -> bool:
    """Whether the URL is one of this machine."""
    return urlsplit(url).hostname in {"localhost", "127.0.0.1", "::1"}

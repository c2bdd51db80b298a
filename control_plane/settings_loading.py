"""Reading the settings, and saying what is wrong with them."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from control_plane.settings import PREFIX, ProviderSettings, Settings, SettingsInvalid
from control_plane.settings_files import CONFIG_VARIABLE, SECRETS_VARIABLE, config_file, secret_file, secret_files
from runtimes.meant import guess, meant

#: Names with our prefix that are no settings: where settings are, and the switches of the test suite.
OTHER_VARIABLES = re.compile(r"HOLDFAST_(CONFIG|SECRETS_DIR|TEST_.*)")
#: What Kubernetes puts into every container for a Service whose name begins with `holdfast`.
SERVICE_LINKS = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)")


def load_settings(**arguments: Any) -> Settings:
    """Read the settings; `arguments` win over environment and file.

    Raises:
        SettingsInvalid: a value cannot be used or a key is unknown.
    """
    _check_named(CONFIG_VARIABLE, "file")
    _check_named(SECRETS_VARIABLE, "directory")
    if unknown := [*_unknown_variables(), *_unknown_secrets()]:
        raise SettingsInvalid(unknown)
    try:
        return Settings(**arguments)
    except ValidationError as invalid:
        origin = Origin(arguments)
        raise SettingsInvalid([origin.describe(error) for error in _causes(invalid)]) from None
    except SettingsError as invalid:
        raise SettingsInvalid([f"{invalid}. Write the value as JSON, or use {PREFIX}<KEY>__<NAME>."]) from None
    except TOMLDecodeError as invalid:
        raise SettingsInvalid([f"{config_file()} is not valid TOML: {invalid}. Correct the file."]) from None


class Origin:
    """Finds out where a bad value came from, and says what to do about it."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._arguments = arguments

    def describe(self, error: ErrorDetails) -> str:
        """One sentence: key, what is wrong, where it is set, what to do."""
        key = ".".join(str(part) for part in error["loc"])
        if error["type"] == "extra_forbidden":
            return f"{key}: there is no such setting ({self._place(error)}).{_suggestion(error['loc'])}"
        return f"{key}: {_complaint(error)} ({self._place(error)}). Correct the value or remove it."

    def _place(self, error: ErrorDetails) -> str:
        top = str(error["loc"][0])
        if top in self._arguments:
            return "given as an option"
        variable = PREFIX + "__".join(str(part) for part in error["loc"]).upper()
        for name in (variable, PREFIX + top.upper()):
            if os.environ.get(name):
                return f"from the environment variable {name}"
        if (secret := secret_file(error["loc"])) is not None:
            return f"from {secret}"
        if (file := config_file()) and file.is_file():
            return f"from {file}"
        return f"to be set as {variable}"


def _complaint(error: ErrorDetails) -> str:
    message = error["msg"].removeprefix("Value error, ")
    shown = error["loc"][0] not in Settings.secrets and error["type"] != "missing"
    return f"{error['input']!r}: {message}" if shown else message


def _causes(invalid: ValidationError) -> Iterator[ErrorDetails]:
    return (error for error in invalid.errors(include_url=False) if error["type"] != "default_factory_not_called")


def _suggestion(location: tuple[int | str, ...]) -> str:
    known = ProviderSettings.model_fields if location[0] == "providers" else Settings.model_fields
    return f" {guess(str(location[-1]), known)}"


def _unknown_variables() -> list[str]:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    return [
        f"{name}: there is no such setting.{_close_variable(name, known)} Unset it."
        for name in sorted(os.environ)
        if name.startswith(PREFIX) and name.split("__")[0] not in known and not _foreign(name)
    ]


def _foreign(name: str) -> bool:
    return bool(OTHER_VARIABLES.fullmatch(name) or SERVICE_LINKS.fullmatch(name))


def _close_variable(name: str, known: set[str]) -> str:
    return f" {meant(name, known)}".rstrip()


def _check_named(variable: str, what: str) -> None:
    named = os.environ.get(variable)
    if named and not Path(named).expanduser().exists():
        raise SettingsInvalid([f"{variable}: {named} does not exist. Create the {what} or unset the variable."])


def _unknown_secrets() -> list[str]:
    known = set(Settings.model_fields)
    return [
        f"{path}: there is no such setting. {guess(path.name, known)}".rstrip() + " Remove the file."
        for path in secret_files()
        if path.name.lower().split("__")[0] not in known
    ]

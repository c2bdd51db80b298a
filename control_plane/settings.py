"""Every setting of every process, and where it comes from.

Order: argument, environment (`HOLDFAST_…`), files of secrets, `holdfast.toml`, then the providers' usual key variables.
"""

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Annotated, Any, ClassVar

from pydantic import AnyHttpUrl, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NestedSecretsSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from runtimes.meant import guess, meant
from runtimes.types import Wire

PREFIX = "HOLDFAST_"
CONFIG_VARIABLE = "HOLDFAST_CONFIG"
CONFIG_FILE = "holdfast.toml"
#: Names a directory with one file per setting, such as Kubernetes mounts for a Secret.
SECRETS_VARIABLE = "HOLDFAST_SECRETS_DIR"
#: Names with our prefix that are no settings: where settings are, and the switches of the test suite.
OTHER_VARIABLES = re.compile(r"HOLDFAST_(CONFIG|SECRETS_DIR|TEST_.*)")
#: What Kubernetes puts into every container for a Service whose name begins with `holdfast`.
SERVICE_LINKS = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)")


class SettingsInvalid(ValueError):
    """Settings that cannot be used: one sentence per problem, with the key, its origin and the remedy."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class LogFormat(StrEnum):
    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def data_home() -> Path:
    """The platform's directory for a user's data, with `holdfast` in it."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "holdfast"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "holdfast"


def _words(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [word.strip() for word in value.split(",") if word.strip()]


def _absolute(value: object) -> object:
    if not isinstance(value, str | Path):
        return value
    try:
        return Path(value).expanduser().absolute()
    except FileNotFoundError:
        raise ValueError("the directory in which the command runs was deleted") from None


def _http_url(value: object) -> object:
    return str(AnyHttpUrl(value)).rstrip("/") if isinstance(value, str) else value


#: A TOML list; in the environment a JSON list or words with commas between them.
Words = Annotated[list[str], NoDecode, BeforeValidator(_words)]
Directory = Annotated[Path, BeforeValidator(_absolute)]
HttpUrl = Annotated[str, BeforeValidator(_http_url)]
Port = Annotated[int, Field(ge=1, le=65535)]


class ProviderSettings(BaseModel):
    """Where a provider's models are reached; `models` empty means that any name is passed on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: HttpUrl
    api_key: SecretStr | None = None
    wire: Wire = Wire.OPENAI
    models: Words = Field(default_factory=list[str])


class KnownProvider(BaseModel):
    """A provider that is configured by the variables that its own SDK reads."""

    name: str
    wire: Wire
    base_url: str
    key_variable: str
    url_variable: str

    def read(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The provider's settings, empty without a key."""
        if not (key := environ.get(self.key_variable, "").strip()):
            return {}
        base_url = environ.get(self.url_variable, "").strip() or self.base_url
        return {"api_key": key, "base_url": base_url, "wire": self.wire}


KNOWN_PROVIDERS = (
    KnownProvider(
        name="openai",
        wire=Wire.OPENAI,
        base_url="https://api.openai.com/v1",
        key_variable="OPENAI_API_KEY",
        url_variable="OPENAI_BASE_URL",
    ),
    KnownProvider(
        name="anthropic",
        wire=Wire.ANTHROPIC,
        base_url="https://api.anthropic.com",
        key_variable="ANTHROPIC_API_KEY",
        url_variable="ANTHROPIC_BASE_URL",
    ),
)


#: What Temporal's worker controller sets for the workers that it deploys.
VERSION_VARIABLES = {"deployment_name": "TEMPORAL_DEPLOYMENT_NAME", "build_id": "TEMPORAL_WORKER_BUILD_ID"}


def _workspaces(values: dict[str, Any]) -> Path:
    return values["data_dir"] / "workspaces"


class Settings(BaseSettings):
    """Settings of all processes; sizes in bytes, times in seconds. Use `load_settings` for clear errors."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )
    #: Fields whose values no message ever shows.
    secrets: ClassVar[frozenset[str]] = frozenset({"database_url", "api_key", "providers"})

    data_dir: Directory = Field(default_factory=data_home)

    database_url: SecretStr | None = None
    database_role: str = "holdfast_app"
    database_pool_size: int = Field(default=10, ge=1)

    api_host: str = "127.0.0.1"
    api_port: Port = 8080
    api_url: HttpUrl = "http://127.0.0.1:8080"
    api_key: SecretStr | None = None
    max_body_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    allowed_hosts: Words = Field(default_factory=lambda: ["localhost", "127.0.0.1", "::1"])
    reconcile_interval_seconds: float = Field(default=5.0, gt=0)

    heartbeat_timeout_seconds: float = Field(default=15.0, ge=1)
    turn_timeout_seconds: float = Field(default=3600.0, ge=1)
    worker_slots: int | None = Field(default=None, ge=1)
    worker_grace_seconds: float = Field(default=30.0, ge=0)
    worker_health_host: str = "127.0.0.1"
    worker_health_port: Port | None = None
    deployment_name: Annotated[str, Field(pattern=r"^[^.:]*$")] = ""
    build_id: str = ""
    cancel_deadline_seconds: float = Field(default=5.0, gt=0)
    stale_after_seconds: float = Field(default=600.0, gt=0)
    workspace_dir: Directory = Field(default_factory=_workspaces)
    python_tool_modules: Words = Field(default_factory=list[str])
    sandbox_network: bool = False
    sandbox_paths: Words = Field(default_factory=list[str])
    web_allow: Words = Field(default_factory=list[str])
    mcp_commands: Words = Field(default_factory=list[str])
    providers: dict[str, ProviderSettings] = Field(default_factory=dict[str, ProviderSettings])

    frameworks_file: Directory | None = None

    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.CONSOLE

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = TomlConfigSettingsSource(settings_cls, config_file())
        usual = InitSettingsSource(settings_cls, {"providers": _usual_providers(), **_usual_versions()})
        return init_settings, env_settings, _secret_files(file_secret_settings), file, usual


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


def config_file() -> Path | None:
    """The settings file: `HOLDFAST_CONFIG`, else the nearest `holdfast.toml` from here upwards."""
    if named := os.environ.get(CONFIG_VARIABLE):
        return Path(named).expanduser().absolute()
    try:
        here = Path.cwd()
    except FileNotFoundError:
        return None
    candidates = (directory / CONFIG_FILE for directory in (here, *here.parents))
    return next((path for path in candidates if path.is_file()), None)


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


def _usual_versions() -> dict[str, str]:
    return {name: os.environ[variable] for name, variable in VERSION_VARIABLES.items() if os.environ.get(variable)}


def _usual_providers() -> dict[str, dict[str, str]]:
    found = {provider.name: provider.read(os.environ) for provider in KNOWN_PROVIDERS}
    return {name: values for name, values in found.items() if values}


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


def _secret_files(plain: PydanticBaseSettingsSource) -> PydanticBaseSettingsSource:
    return NestedSecretsSettingsSource(
        plain,
        secrets_dir=os.environ.get(SECRETS_VARIABLE) or None,
        secrets_prefix="",
        secrets_nested_delimiter="__",
    )


def _secrets() -> list[Path]:
    """The files; Kubernetes keeps their earlier versions beside them, with two dots before their names."""
    named = os.environ.get(SECRETS_VARIABLE)
    found = Path(named).expanduser().iterdir() if named else ()
    return sorted(path for path in found if not path.name.startswith("."))


def secret_file(location: tuple[int | str, ...]) -> Path | None:
    name = "__".join(str(part) for part in location)
    return next((path for path in _secrets() if path.name.lower() in (name, str(location[0]))), None)


def _unknown_secrets() -> list[str]:
    known = set(Settings.model_fields)
    return [
        f"{path}: there is no such setting. {guess(path.name, known)}".rstrip() + " Remove the file."
        for path in _secrets()
        if path.name.lower().split("__")[0] not in known
    ]

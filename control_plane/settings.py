"""Every setting of every process, and where it comes from.

Order: argument, environment (`HOLDFAST_…`), files of secrets, `holdfast.toml`, then the providers' usual key variables.
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, AnyHttpUrl, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from control_plane.secret_keys import read_keys
from control_plane.settings_files import config_file, secret_source
from runtimes.types import Wire
from services.dialects import OutputLimit, SystemRole

PREFIX = "HOLDFAST_"


class SettingsInvalid(ValueError):
    """Settings that cannot be used: one sentence per problem, with the key, its origin and the remedy."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Process(StrEnum):
    """Processes, and what else reads settings."""

    API = "api"
    WORKFLOWS = "workflows"
    POOL = "pool"
    MIGRATE = "migrate"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class ReadBy:
    """Says which processes read a setting."""

    processes: tuple[Process, ...]


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


def _is_keys(value: SecretStr) -> SecretStr:
    read_keys(value.get_secret_value())
    return value


#: A TOML list; in the environment a JSON list or words with commas between them.
Words = Annotated[list[str], NoDecode, BeforeValidator(_words)]
Directory = Annotated[Path, BeforeValidator(_absolute)]
HttpUrl = Annotated[str, BeforeValidator(_http_url)]
Keys = Annotated[SecretStr, AfterValidator(_is_keys)]
Port = Annotated[int, Field(ge=1, le=65535)]
#: What Temporal, timers and the kernel's limits hold; nobody means more.
Seconds = Annotated[float, Field(le=10**8)]
Count = Annotated[int, Field(le=10**9)]


class ProviderSettings(BaseModel):
    """Where a provider's models are reached."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    base_url: HttpUrl
    """where it is reached"""
    api_key: SecretStr | None = None
    """its key, if it needs one"""
    wire: Wire = Wire.OPENAI
    """the protocol that it speaks"""
    models: Words = Field(default_factory=list[str])
    """its models; empty: any name is passed on"""
    stream_options: bool | None = None
    """whether it takes the field `stream_options`; unset, as the next two: as its vendor is known to, else as the
    framework asks, until the provider refuses it ([dialects](models.md#dialects))"""
    output_limit: OutputLimit | None = None
    """the field by which it takes the limit of an answer's tokens"""
    system_role: SystemRole | None = None
    """the role by which it takes the system prompt"""


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


_API = ReadBy((Process.API,))
_POOL = ReadBy((Process.POOL,))
_COMMAND = ReadBy((Process.COMMAND,))
_API_AND_COMMAND = ReadBy((Process.API, Process.COMMAND))
_DATABASE = ReadBy((Process.API, Process.MIGRATE, Process.COMMAND))
_WORKERS = ReadBy((Process.WORKFLOWS, Process.POOL))
_WORKERS_AND_COMMAND = ReadBy((Process.WORKFLOWS, Process.POOL, Process.COMMAND))
_PROCESSES = ReadBy((Process.API, Process.WORKFLOWS, Process.POOL))


class Settings(BaseSettings):
    """Settings of all processes; sizes in bytes, times in seconds. Use `load_settings` for clear errors.

    What stands below a field is its description in docs/configuration.md (`make docs`).
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )
    #: Fields whose values no message ever shows.
    secrets: ClassVar[frozenset[str]] = frozenset(
        {"database_url", "api_key", "identity_secret", "providers", "secrets_key", "worker_secrets"}
    )

    data_dir: Annotated[Directory, _COMMAND] = Field(default_factory=data_home)
    """where the local stack keeps everything"""

    database_url: Annotated[SecretStr | None, _DATABASE] = None
    """`postgresql://…`; unix sockets by `?host=/path`"""
    database_role: Annotated[str, _DATABASE] = "holdfast_app"
    """what the API acts as in the database"""
    database_api_user: Annotated[str | None, ReadBy((Process.MIGRATE,))] = None
    """the user that the API logs in as, where it is not the one that migrates: `migrate` lets it act as the role"""
    database_pool_size: Annotated[Count, _API] = Field(default=10, ge=1)
    """connections of one API process"""
    secrets_key: Annotated[Keys | None, ReadBy((Process.API, Process.MIGRATE))] = None
    """the key under which [secrets](secrets.md) are sealed in the database: 32 bytes in base64; several with commas
    between them: the first seals, all open"""

    api_host: Annotated[str, _API] = "127.0.0.1"
    """where the API listens"""
    api_port: Annotated[Port, _API_AND_COMMAND] = 8080
    """and on which port"""
    api_url: Annotated[HttpUrl, _WORKERS_AND_COMMAND] = "http://127.0.0.1:8080"
    """where workers and the command find the API"""
    api_key: Annotated[SecretStr | None, _WORKERS_AND_COMMAND] = None
    """what they call it with"""
    identity_secret: Annotated[SecretStr | None, _PROCESSES] = None
    """by which the API proves that it is ours before workers send it a key: the same for both; where it is set, workers
    speak to no other program at the API's address and port"""
    max_body_bytes: Annotated[Count, _API] = Field(default=16 * 1024 * 1024, ge=1024)
    """larger requests are refused with 413"""
    allowed_hosts: Annotated[Words, _API] = Field(default_factory=lambda: ["localhost", "127.0.0.1", "::1"])
    """names in `Host` that the API answers to; `*` for any"""
    reconcile_interval_seconds: Annotated[Seconds, _API] = Field(default=5.0, gt=0)
    """how often database and Temporal are compared; executions that wait for a message, once a minute"""

    heartbeat_timeout_seconds: Annotated[Seconds, _API] = Field(default=15.0, ge=1)
    """silence after which a worker's turns go to another"""
    turn_timeout_seconds: Annotated[Seconds, _API] = Field(default=3600.0, ge=1)
    """how long one turn may take"""
    worker_slots: Annotated[Count | None, _POOL] = Field(default=None, ge=1)
    """turns that a worker runs at once; unset: [by memory](operations.md#memory)"""
    worker_grace_seconds: Annotated[Seconds, _WORKERS_AND_COMMAND] = Field(default=30.0, ge=0)
    """what turns get to end when a worker stops"""
    worker_health_host: Annotated[str, _WORKERS] = "127.0.0.1"
    """where a worker serves its health and metrics"""
    worker_health_port: Annotated[Port | None, _WORKERS] = None
    """and on which port; unset: it serves none"""
    deployment_name: Annotated[str, _WORKERS] = Field(default="", pattern=r"^[^.:]*$")
    """a worker's deployment for Temporal's [worker versioning](pools.md#versions); empty: by its queue"""
    build_id: Annotated[str, _WORKERS] = ""
    """the build that a worker is, for the same; empty: none"""
    cancel_deadline_seconds: Annotated[Seconds, _POOL] = Field(default=5.0, gt=0)
    """what a cancelled runtime gets to end"""
    stale_after_seconds: Annotated[Seconds, _POOL] = Field(default=600.0, gt=0)
    """silence of a runtime that counts as a hang; so long a worker also keeps what it cannot write to the journal"""
    workspace_dir: Annotated[Directory, _POOL] = Field(default_factory=_workspaces)
    """directories for the `file_system` toolset, one per execution"""
    python_tool_modules: Annotated[Words, _POOL] = Field(default_factory=list[str])
    """prefixes of modules whose functions the `python` toolset may use; functions that are no coroutines run in
    threads, as many as there are slots"""
    sandbox_network: Annotated[bool, _POOL] = False
    """whether agents may give their commands, and Claude Code, the network, which is then all of the worker's own"""
    sandbox_paths: Annotated[Words, _POOL] = Field(default_factory=list[str])
    """directories that commands in the sandbox may read, beside the system's programs"""
    sandbox_cpu_seconds: Annotated[Count, _POOL] = Field(default=3600, ge=1)
    """the most that an agent may ask for its commands, for each process"""
    sandbox_memory_mb: Annotated[Count, _POOL] = Field(default=4096, ge=16)
    """the same, for all processes of a command"""
    sandbox_processes: Annotated[Count, _POOL] = Field(default=1024, ge=4)
    """the same, at once"""
    sandbox_file_size_mb: Annotated[Count, _POOL] = Field(default=4096, ge=1)
    """the same, of one file"""
    sandbox_disk_mb: Annotated[Count, _POOL] = Field(default=4096, ge=1)
    """what a workspace may have on disk while a command runs; looked at every second or so"""
    sandbox_files: Annotated[Count, _POOL] = Field(default=200_000, ge=100)
    """the same in files and directories"""
    web_allow: Annotated[Words, ReadBy((Process.API, Process.POOL))] = Field(default_factory=list[str])
    """places (`host:port`) that agents may ask although they are no part of the internet, such as `wiki.internal:443`;
    workers ask there, the API accepts URLs that lead there"""
    mcp_commands: Annotated[Words, _POOL] = Field(default_factory=list[str])
    """programs that agents may have started as MCP servers, by name or path as agents write them"""
    worker_secrets: Annotated[dict[str, SecretStr], ReadBy((Process.POOL, Process.COMMAND))] = Field(
        default_factory=dict[str, SecretStr]
    )
    """[secrets](secrets.md#of-a-worker) that agents may refer to, by name, in place of those that organizations store:
    `HOLDFAST_WORKER_SECRETS__NAME`"""
    worker_secrets_for: Annotated[Words, _POOL] = Field(default_factory=list[str])
    """the organizations whose agents may, by their ids, or `*` for all; unset: the one that the worker's key is of"""
    providers: Annotated[dict[str, ProviderSettings], ReadBy((Process.POOL, Process.COMMAND))] = Field(
        default_factory=dict[str, ProviderSettings]
    )
    """where models are reached, by name"""

    frameworks_file: Annotated[Directory | None, ReadBy((Process.API, Process.POOL, Process.COMMAND))] = None
    """[the frameworks file](frameworks.md): plugins, preferences and limits of runtimes; read again when it changes"""

    log_level: Annotated[LogLevel, _PROCESSES] = LogLevel.INFO
    """messages of this urgency and above are logged"""
    log_format: Annotated[LogFormat, _PROCESSES] = LogFormat.CONSOLE
    """their form"""

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
        return init_settings, env_settings, secret_source(file_secret_settings), file, usual


def _usual_versions() -> dict[str, str]:
    return {name: os.environ[variable] for name, variable in VERSION_VARIABLES.items() if os.environ.get(variable)}


def _usual_providers() -> dict[str, dict[str, str]]:
    found = {provider.name: provider.read(os.environ) for provider in KNOWN_PROVIDERS}
    return {name: values for name, values in found.items() if values}

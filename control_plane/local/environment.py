"""The environment of each process of the local stack: what it needs to know, and nothing else."""

import json
import os
from collections.abc import Mapping
from typing import Any

from control_plane.local.ports import LOOPBACK
from control_plane.settings import KNOWN_PROVIDERS, PREFIX, ProviderSettings, Settings
from control_plane.settings_files import CONFIG_VARIABLE
from runtimes.types import Wire

SCRIPTED = "scripted"
#: Given to one process or another on purpose, never passed on from the settings.
GIVEN = frozenset(
    {
        "providers",
        "database_url",
        "api_key",
        "api_url",
        "api_host",
        "api_port",
        "identity_secret",
        "secrets_key",
        "worker_secrets",
        "worker_health_host",
        "worker_health_port",
    }
)
#: Would lead our processes to another Temporal or PostgreSQL.
FOREIGN = (PREFIX, "TEMPORAL_", "PG")


def base_environment(settings: Settings, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What every process gets: the surroundings without credentials, and the settings that apply to all."""
    secret = {name for known in KNOWN_PROVIDERS for name in (known.key_variable, known.url_variable)}
    kept = {name: value for name, value in environ.items() if name not in secret and not name.startswith(FOREIGN)}
    direct = ",".join(filter(None, (environ.get("NO_PROXY"), LOOPBACK, "localhost")))
    ours = {CONFIG_VARIABLE: os.devnull, "NO_PROXY": direct, "no_proxy": direct}
    return kept | ours | _settings(settings)


def scripted_provider(model_url: str) -> dict[str, ProviderSettings]:
    """The scripted model as a provider, under the names of the documents."""
    return {
        SCRIPTED: ProviderSettings(base_url=f"{model_url}/v1", wire=Wire.OPENAI, models=[SCRIPTED, "large", "small"])
    }


def temporal_environment(address: str) -> dict[str, str]:
    """Point to the stack's Temporal, whatever else is configured."""
    return {"TEMPORAL_ADDRESS": address, "TEMPORAL_NAMESPACE": "default", "TEMPORAL_CONFIG_FILE": os.devnull}


def provider_environment(providers: Mapping[str, ProviderSettings]) -> dict[str, str]:
    """The providers with their keys, for runtime workers only."""
    return {PREFIX + "PROVIDERS": json.dumps({name: _plain(provider) for name, provider in providers.items()})}


def worker_secrets_environment(settings: Settings) -> dict[str, str]:
    """The secrets that agents may refer to, for runtime workers only."""
    plain = {name: value.get_secret_value() for name, value in settings.worker_secrets.items()}
    return {PREFIX + "WORKER_SECRETS": json.dumps(plain)} if plain else {}


def _settings(settings: Settings) -> dict[str, str]:
    given = settings.model_dump(mode="json", include=settings.model_fields_set - GIVEN | {"data_dir"})
    return {PREFIX + name.upper(): _text(value) for name, value in given.items() if value is not None}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _plain(provider: ProviderSettings) -> dict[str, Any]:
    plain = provider.model_dump(mode="json", exclude={"api_key"})
    return plain | {"api_key": provider.api_key.get_secret_value()} if provider.api_key else plain

"""How every process reaches Temporal."""

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig
from temporalio.runtime import Runtime


async def connect(*, lazy: bool, identity: str | None = None, runtime: Runtime | None = None) -> Client:
    """A client by Temporal's own settings: `TEMPORAL_*` and temporal.toml, TLS and API key included."""
    config = ClientConfig.load_client_connect_config()
    config.setdefault("target_host", "127.0.0.1:7233")
    return await Client.connect(
        **config, data_converter=pydantic_data_converter, lazy=lazy, identity=identity, runtime=runtime
    )

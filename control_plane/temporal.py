"""How every process reaches Temporal."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta

from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import (
    Client,
    Plugin,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleSpec,
    ScheduleState,
)
from temporalio.converter import DataConverter
from temporalio.envconfig import ClientConfig, ClientConnectConfig
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay, wait_exponential

from activities.errors import ReadableFailures
from activities.payloads import ForgivingPayloads
from control_plane.settings import SettingsInvalid

DATA_CONVERTER = DataConverter(payload_converter_class=ForgivingPayloads, failure_converter_class=ReadableFailures)
DEFAULT_ADDRESS = "127.0.0.1:7233"
DEFAULT_NAMESPACE = "default"
#: A paused schedule that never runs: whoever makes it first has the namespace.
CLAIM = "holdfast-installation"
OWNER = "installation_id"
#: Seconds that a worker waits for Temporal before it ends.
PATIENCE = 30.0
RPC_TIMEOUT = timedelta(seconds=5)
#: What the SDK's text means to people.
REASONS = (
    ("Connection refused", "connection refused"),
    ("dns error", "there is no such host"),
    ("InvalidContentType", "it speaks no TLS"),
    ("InvalidCertificate", "its certificate is not trusted"),
)


class TemporalUnreachable(Exception):
    """Temporal cannot be used; `checks` says what was looked at, `hint` what to do."""

    hint = (
        "Start Temporal, or say where it is: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_TLS, TEMPORAL_API_KEY,"
        " or a profile in temporal.toml."
    )

    def __init__(self, message: str, checks: tuple[str, ...]) -> None:
        super().__init__(message)
        self.checks = checks


def is_configured() -> bool:
    """Whether a setting says where Temporal is.

    Raises:
        SettingsInvalid: Temporal's settings cannot be used.
    """
    return "target_host" in _config()


async def claim_namespace(client: Client, installation_id: str) -> str:
    """Claim the client's namespace for an installation; gives the id of the one that has it.

    Raises:
        RPCError: Temporal does not answer or refuses.
    """
    nothing = Schedule(
        action=ScheduleActionStartWorkflow("HoldfastInstallation", id=CLAIM, task_queue=CLAIM),
        spec=ScheduleSpec(),
        state=ScheduleState(paused=True, note=f"This namespace serves the Holdfast installation {installation_id}."),
    )
    while (owner := await namespace_owner(client)) is None:
        with suppress(ScheduleAlreadyRunningError):
            await client.create_schedule(CLAIM, nothing, memo={OWNER: installation_id}, rpc_timeout=RPC_TIMEOUT)
    return owner


async def namespace_owner(client: Client) -> str | None:
    """The id of the installation that the client's namespace serves; None where none has claimed it.

    Raises:
        RPCError: Temporal does not answer or refuses.
    """
    try:
        claim = await client.get_schedule_handle(CLAIM).describe(rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND and "schedule" in error.message.lower():
            return None
        raise
    return str(await claim.memo_value(OWNER, ""))


async def missing_search_attributes(address: str, names: Sequence[str]) -> list[str]:
    """Those of the search attributes that the server at an address, without TLS, does not know.

    Raises:
        TemporalUnreachable: it does not answer.
    """
    client = await Client.connect(address, lazy=True)
    request = ListSearchAttributesRequest(namespace=DEFAULT_NAMESPACE)
    try:
        known = await client.operator_service.list_search_attributes(request, timeout=RPC_TIMEOUT)
    except (RPCError, RuntimeError) as error:
        raise TemporalUnreachable(str(error), (address,)) from error
    return [name for name in names if name not in known.custom_attributes]


async def connect(
    *,
    lazy: bool,
    identity: str | None = None,
    runtime: Runtime | None = None,
    plugins: Sequence[Plugin] = (),
) -> Client:
    """A client by Temporal's own settings: `TEMPORAL_*` and temporal.toml, TLS and API key included.

    Raises:
        SettingsInvalid: these settings cannot be used.
    """
    config = _config()
    config.setdefault("target_host", DEFAULT_ADDRESS)
    try:
        return await Client.connect(
            **config, data_converter=DATA_CONVERTER, lazy=lazy, identity=identity, runtime=runtime, plugins=plugins
        )
    except ValueError as invalid:
        raise SettingsInvalid([f"Temporal's address {config.get('target_host')!r}: {invalid}."]) from invalid


async def connect_patiently(
    identity: str, runtime: Runtime, say: Callable[[str], None], plugins: Sequence[Plugin] = ()
) -> Client:
    """A client of a Temporal that answers and has our namespace; `say` is told while it is waited for.

    Raises:
        SettingsInvalid: Temporal's settings cannot be used.
        TemporalUnreachable: it did not come within 30 s.
    """

    def tell(state: RetryCallState) -> None:
        if state.attempt_number == 1 and state.outcome is not None:
            say(f"{state.outcome.exception()} Trying again for {PATIENCE:.0f} s.")

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(TemporalUnreachable),
        stop=stop_after_delay(PATIENCE),
        wait=wait_exponential(multiplier=0.1, max=2.0),
        before_sleep=tell,
        reraise=True,
    )
    return await retrying(_connect_for_sure, identity, runtime, plugins)


async def _connect_for_sure(identity: str, runtime: Runtime, plugins: Sequence[Plugin]) -> Client:
    try:
        client = await connect(lazy=False, identity=identity, runtime=runtime, plugins=plugins)
        request = DescribeNamespaceRequest(namespace=client.namespace)
        await client.workflow_service.describe_namespace(request, timeout=RPC_TIMEOUT)
    except (RuntimeError, RPCError) as error:
        raise _unreachable(str(error)) from error
    return client


def _config() -> ClientConnectConfig:
    try:
        return ClientConfig.load_client_connect_config()
    except (RuntimeError, OSError, ValueError) as invalid:
        raise SettingsInvalid([f"Temporal's settings (TEMPORAL_*, temporal.toml): {invalid}"]) from invalid


def _unreachable(text: str) -> TemporalUnreachable:
    config = _config()
    known = (meaning for sign, meaning in REASONS if sign in text)
    reason = next(known, text.removeprefix("Failed client connect: ").rstrip("."))
    return TemporalUnreachable(
        f"Temporal at {config.get('target_host', DEFAULT_ADDRESS)} cannot be used: {reason}.",
        (_source(config), f"namespace {config.get('namespace', DEFAULT_NAMESPACE)}"),
    )


def _source(config: ClientConnectConfig) -> str:
    if os.environ.get("TEMPORAL_ADDRESS"):
        return "address from TEMPORAL_ADDRESS"
    if "target_host" not in config:
        return "the default address: neither TEMPORAL_ADDRESS nor temporal.toml names one"
    profile = os.environ.get("TEMPORAL_PROFILE", "default")
    return f"address from the profile '{profile}' in {os.environ.get('TEMPORAL_CONFIG_FILE', 'temporal.toml')}"

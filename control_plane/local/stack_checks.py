"""The checks of `holdfast doctor` on a running local stack."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from shlex import quote
from typing import Any

import httpx
import psycopg

from control_plane.local.added import AddedRuntime, added_runtimes
from control_plane.local.checks import Check, failed, passed, warned
from control_plane.local.credentials import read_credentials
from control_plane.local.directory import DataDirectory
from control_plane.local.identity import proves_itself
from control_plane.local.processes import find
from control_plane.local.secrets_key import KEY_LOST, SecretsKeyUnusable, lost_keys
from control_plane.local.state import ProcessPhase, StackState
from control_plane.local.temporal import SEARCH_ATTRIBUTES
from control_plane.settings import Settings
from control_plane.temporal import TemporalUnreachable, missing_search_attributes
from services.control_plane_client.identity import not_ours

SECONDS = 5.0
#: Seconds by which two clocks may differ; a worker's announcement is live for so long.
CLOCK_SKEW, LIVE_SECONDS = 2.0, 30
RESTART = "Restart the stack: holdfast down, then holdfast up."


@dataclass(frozen=True)
class StackChecks:
    """Looks at every part of one stack from outside."""

    settings: Settings
    directory: DataDirectory
    state: StackState

    def run(self) -> list[Check]:
        """All of them, in the order in which they depend on each other."""
        checks: tuple[Callable[[], list[Check]], ...] = (
            self._processes,
            self._api,
            self._database,
            self._temporal,
            self._added,
        )
        return [found for check in checks for found in check()]

    def _processes(self) -> list[Check]:
        down = [
            process.title
            for process in self.state.processes
            if process.phase is not ProcessPhase.READY or process.identity is None or find(process.identity) is None
        ]
        if down:
            fix = f"They are restarted; see {self.directory.logs}"
            return [failed("stack", f"not ready: {', '.join(down)}", fix)]
        return [passed("stack", f"{len(self.state.processes)} processes, supervisor {self.state.supervisor.pid}")]

    def _api(self) -> list[Check]:
        credentials = read_credentials(self.directory.credentials)
        headers = {"Authorization": f"Bearer {credentials.api_key}"} if credentials else {}
        try:
            secret = credentials.identity_secret if credentials else ""
            if secret and not proves_itself(self.state.api_url, secret):
                return [failed("api", not_ours(self.state.api_url), RESTART)]
            with httpx.Client(base_url=self.state.api_url, trust_env=False, timeout=SECONDS) as client:
                ready = client.get("/health/ready")
                listed = client.get("/api/v1/agents", params={"limit": 1}, headers=headers)
        except httpx.TransportError as error:
            return [failed("api", f"{self.state.api_url}: {error}", f"See {self.directory.log('api')}")]
        return [_ready(ready, self.state.api_url), _key(listed)]

    def _database(self) -> list[Check]:
        try:
            with psycopg.connect(self.state.database_url, connect_timeout=int(SECONDS)) as connection:
                return [
                    passed("database", self.state.database_url),
                    _role(connection, self.settings.database_role),
                    self._sealed(connection),
                    _clock(connection),
                    _workers(connection),
                ]
        except psycopg.Error as error:
            return [failed("database", str(error).strip(), f"See {self.directory.log('postgres')}")]

    def _sealed(self, connection: psycopg.Connection[tuple[Any, ...]]) -> Check:
        try:
            lost = lost_keys(connection, self.directory.secrets_key)
        except SecretsKeyUnusable as unusable:
            return failed("secrets", str(unusable), "Put it back from where you keep it, then restart the stack.")
        if lost:
            return failed("secrets", lost, f"{KEY_LOST} Then restart the stack.")
        return passed("secrets", "every stored secret has its key")

    def _temporal(self) -> list[Check]:
        address = self.state.temporal_address
        try:
            missing = asyncio.run(missing_search_attributes(address, SEARCH_ATTRIBUTES))
        except TemporalUnreachable as error:
            return [failed("temporal", f"{address}: {error}", f"See {self.directory.log('temporal')}")]
        if missing:
            return [failed("temporal", f"search attributes missing: {', '.join(missing)}", RESTART)]
        return [passed("temporal", f"{address}, search attributes registered")]

    def _added(self) -> list[Check]:
        """The runtimes that were added to this stack."""
        phases = {process.name: process.phase for process in self.state.processes}
        return [_runtime(added, phases.get(added.process)) for added in added_runtimes(self.directory)]


def _runtime(added: AddedRuntime, phase: ProcessPhase | None) -> Check:
    name, again = f"runtime_{added.name}", f"holdfast runtimes add {added.name}"
    if added.source:
        again = f"{again} --from {quote(added.source)}"
    if not added.command.exists():
        return failed(name, f"its environment is gone: {added.environment}", again)
    if added.holdfast != version("holdfast"):
        return warned(name, f"it runs Holdfast {added.holdfast}", again)
    if phase is not ProcessPhase.READY:
        return failed(name, f"its pool is {phase or 'not there'}", f"See its log, then: {again}")
    return passed(name, f"its pool serves, out of {added.environment}")


def _ready(response: httpx.Response, url: str) -> Check:
    if response.is_success:
        return passed("api", url)
    problem = _problem(response)
    detail, fix = problem.get("detail") or f"HTTP {response.status_code}", problem.get("hint") or RESTART
    return failed("api", f"{url}: not ready. {detail}", fix)


def _problem(response: httpx.Response) -> dict[str, str]:
    try:
        return response.json()
    except ValueError:
        return {}


def _key(response: httpx.Response) -> Check:
    if response.is_success:
        return passed("api_key", "accepted")
    return failed("api_key", f"HTTP {response.status_code}", RESTART)


def _one(connection: psycopg.Connection[tuple[Any, ...]], query: str, *values: object) -> tuple[Any, ...] | None:
    return connection.execute(query.encode(), values).fetchone()


def _role(connection: psycopg.Connection[tuple[Any, ...]], role: str) -> Check:
    found = _one(connection, "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = %s", role)
    if found is None:
        return failed("database_role", f"{role} does not exist", "holdfast migrate")
    if found[0]:
        return failed(
            "database_role", f"{role} bypasses row-level security", f"ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS"
        )
    return passed("database_role", f"{role} is bound by row-level security")


def _clock(connection: psycopg.Connection[tuple[Any, ...]]) -> Check:
    found = _one(connection, "SELECT clock_timestamp()")
    skew = abs((datetime.now(UTC) - found[0]).total_seconds()) if found else 0.0
    if skew > CLOCK_SKEW:
        return warned("clock", f"{skew:.1f} s off the database's", "Synchronise the clocks (NTP).")
    return passed("clock", f"{skew:.2f} s off the database's")


def _workers(connection: psycopg.Connection[tuple[Any, ...]]) -> Check:
    query = (
        "SELECT string_agg(kind || ' ' || pool, ', ' ORDER BY kind), count(DISTINCT kind) FROM workers"
        " WHERE seen_at > now() - make_interval(secs => %s) AND NOT draining"
    )
    names, kinds = _one(connection, query, LIVE_SECONDS) or (None, 0)
    if kinds < 2:
        return failed("workers", f"live: {names or 'none'}", "See the workers' logs, then restart the stack.")
    return passed("workers", f"live: {names}")

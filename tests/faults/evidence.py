"""What the witnesses of one execution say: database, event log, scripted model, ledger, Temporal, readers."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg.rows import dict_row

from runtimes.types import Usage
from tests.faults.field import Field, Run
from tests.readers import Reader
from tests.stack import Event

Row = dict[str, Any]

#: Ends of an attempt that may cut off one model call.
CUT_SHORT = {"lost", "preempted", "failed"}


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that is known of one execution after its end, which should have been `expected`."""

    expected: str
    execution: Row
    events: list[Event]
    attempts: list[Row]
    steps: list[Row]
    requests: list[Row]
    effects: list[str]
    temporal: str
    readers: list[Reader]
    complaints: list[str]
    survivors: list[psutil.Process]
    workspaces: list[Path]

    @property
    def id(self) -> str:
        """The execution's id."""
        return str(self.execution["id"])

    @property
    def usage(self) -> Usage:
        """What the execution says it has used."""
        return Usage.model_validate(self.execution["usage"])

    @property
    def calls_needed(self) -> int:
        """Model calls that the turn consists of."""
        return len({request["round"] for request in self.requests})

    @property
    def cut_short(self) -> int:
        """Attempts that may have cut off a model call."""
        return sum(attempt["status"] in CUT_SHORT for attempt in self.attempts)

    def steps_with(self, kind: str, status: str) -> list[Row]:
        """The journal's steps of a kind and status."""
        return [step for step in self.steps if (step["kind"], step["status"]) == (kind, status)]

    def events_of(self, kind: str) -> list[Event]:
        """The events of a type, in order."""
        return [event for event in self.events if event["type"] == kind]

    def effects_per_call(self) -> Counter[str]:
        """How often each line was written."""
        return Counter(self.effects)


async def gathered(field: Field, run: Run, expected: str) -> Evidence:
    """Ask all witnesses."""
    async with await psycopg.AsyncConnection.connect(_libpq(field.database_url)) as connection:
        rows = _Rows(connection, run.execution)
        return Evidence(
            expected=expected,
            execution=(await rows.of("executions", key="id"))[0],
            events=await rows.of("events", order="seq"),
            attempts=await rows.of("attempts", order="attempt"),
            steps=await rows.of("steps", order="turn, ordinal"),
            requests=await field.model_calls(run.token),
            effects=field.ledger.lines(run.token),
            temporal=await field.temporal_status(run.execution),
            readers=[follower.reader for follower in run.followers],
            complaints=[complaint for follower in run.followers if (complaint := follower.complaint())],
            survivors=[child for strike in run.strikes for child in strike.children if child.is_running()],
            workspaces=_workspaces(field, run),
        )


async def idle_transactions(field: Field) -> list[Row]:
    """Connections that hold a transaction open without doing anything in it."""
    async with await psycopg.AsyncConnection.connect(_libpq(field.database_url)) as connection:
        return await _all(
            connection,
            "SELECT pid, query FROM pg_stat_activity WHERE datname = current_database()"
            " AND starts_with(state, 'idle in transaction') AND now() - state_change > interval '2 seconds'",
        )


async def has_journal(database_url: str) -> bool:
    """Whether the schema has a step journal."""
    async with await psycopg.AsyncConnection.connect(_libpq(database_url)) as connection:
        return bool(await _all(connection, "SELECT 1 FROM pg_tables WHERE tablename = 'steps'"))


def _workspaces(field: Field, run: Run) -> list[Path]:
    """Those at the worker that ended the execution; one that was shut out cannot know whose they are now."""
    ended = [call for call in field.calls if call.execution == run.execution and call.verb == "close"]
    last = max(ended, key=lambda call: call.attempt, default=None)
    if last is None or last.worker in {strike.worker for strike in run.strikes}:
        return []
    place = field.directory / last.worker / "workspaces" / run.execution
    return [place] if place.exists() else []


@dataclass(frozen=True, slots=True)
class _Rows:
    connection: psycopg.AsyncConnection
    execution: str

    async def of(self, table: str, *, key: str = "execution_id", order: str = "1") -> list[Row]:
        query = f"SELECT * FROM {table} WHERE {key} = %s ORDER BY {order}"
        return await _all(self.connection, query, self.execution)


async def _all(connection: psycopg.AsyncConnection, query: str, *parameters: str) -> list[Row]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query.encode(), parameters)
        return await cursor.fetchall()


def _libpq(url: str) -> str:
    return url.replace("+psycopg", "")

"""The journal as people read it."""

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row, Select, and_, null, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from control_plane import errors
from control_plane.api.steps.schemas import ListSteps
from control_plane.api.steps.schemas import Step as StepBody
from db.models.journal import Blob, Step

#: What a step may be shown with: its column, its blob's, and the name of the blob's bytes.
WHOLE = {"request": (Step.request, Step.request_blob), "response": (Step.response, Step.response_blob)}
_HEAVY = {column.key for pair in WHOLE.values() for column in pair}


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of one execution, inside the caller's transaction."""

    connection: AsyncConnection
    execution_id: UUID

    async def page(self, wanted: ListSteps, after: tuple[int, int] | None) -> Sequence[Row[Any]]:
        """Steps, one more than asked for where there are more."""
        query = self._query(wanted.whole)
        if wanted.turn is not None:
            query = query.where(Step.turn == wanted.turn)
        if after is not None:
            query = query.where(tuple_(Step.turn, Step.ordinal) > after)
        return (await self.connection.execute(query.order_by(Step.turn, Step.ordinal).limit(wanted.most + 1))).all()

    async def get(self, turn: int, ordinal: int) -> Row[Any]:
        """One step, whole.

        Raises:
            errors.NotFound: the execution has no such step.
        """
        query = self._query(WHOLE).where(Step.turn == turn, Step.ordinal == ordinal)
        row = (await self.connection.execute(query)).first()
        if row is None:
            raise errors.NotFound(f"Turn {turn} of the execution has no step {ordinal}.")
        return row

    def _query(self, whole: Collection[str]) -> Select[Any]:
        columns = [column for column in Step.__table__.columns if column.key not in _HEAVY]
        query: Select[Any] = select(*columns).where(Step.execution_id == self.execution_id)
        for name, (column, blob) in WHOLE.items():
            if name not in whole:
                query = query.add_columns(null().label(name))
                continue
            kept = aliased(Blob)
            same = and_(kept.execution_id == Step.execution_id, kept.hash == blob)
            query = query.outerjoin(kept, same).add_columns(column, kept.data.label(f"{name}_data"))
        return query


def body_of(row: Row[Any], whole: Collection[str]) -> StepBody:
    """The step as the API shows it; what was not asked for is not in it."""
    values = row._asdict()  # pyright: ignore[reportPrivateUsage]
    shown = {name: _value(values, name) for name in WHOLE if name in whole}
    kept = {name: value for name, value in values.items() if name not in WHOLE}
    return StepBody.model_validate(kept | shown)


def _value(values: dict[str, Any], name: str) -> Any:
    data = values[f"{name}_data"]
    return values[name] if data is None else orjson.loads(zlib.decompress(data))

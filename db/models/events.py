"""The event log, and the text of messages that are still open."""

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Created, Owned


class Event(Owned, Created, Base):
    """One entry of an execution's log, numbered from 1 without gaps."""

    __tablename__ = "events"

    execution_id: Mapped[UUID] = mapped_column(ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    turn: Mapped[int | None]
    attempt: Mapped[int | None]
    type: Mapped[str]
    data: Mapped[dict[str, Any]]


class Delta(Owned, Base):
    """A piece of an open message; gone once the message completes."""

    __tablename__ = "deltas"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    execution_id: Mapped[UUID] = mapped_column(primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    message: Mapped[int] = mapped_column(primary_key=True)
    offset: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]

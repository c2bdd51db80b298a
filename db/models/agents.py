"""Agents, the versions that executions pin, and the templates that agents are made from."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from db.enums import AgentType
from db.models.base import Base, Created, Owned, one_of


class Agent(Owned, Created, Base):
    __tablename__ = "agents"
    __table_args__ = (
        Index("uq_agents_organization_id_name", "organization_id", "name", unique=True),
        Index("ix_agents_organization_id_runtime", "organization_id", "runtime"),
        Index("ix_agents_organization_id_template", "organization_id", "template"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    name: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    #: Null where the resolver decides at each execution.
    runtime: Mapped[str | None] = mapped_column(server_default="default", index=True)
    #: The name of the template that it was made from.
    template: Mapped[str | None]
    model_id: Mapped[str]
    system_prompt: Mapped[str] = mapped_column(server_default="")
    toolsets: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"))
    configuration: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    version: Mapped[int] = mapped_column(server_default="1")
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AgentVersion(Owned, Created, Base):
    """What an agent was; `spec` has the shape of the worker API's `AgentSpec`."""

    __tablename__ = "agent_versions"

    agent_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    spec: Mapped[dict[str, Any]]


class Template(Owned, Created, Base):
    """A preset of an organization's own; the built-in ones are in the code."""

    __tablename__ = "templates"
    __table_args__ = (one_of("type", AgentType),)

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(server_default="")
    description: Mapped[str] = mapped_column(server_default="")
    type: Mapped[str]
    preferred_runtimes: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"))
    required_capabilities: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"))
    defaults: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

"""Tenants and their credentials."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Created, Owned


class Installation(Base):
    """The one row that names this database's installation."""

    __tablename__ = "installation"
    __table_args__ = (CheckConstraint("is_only", name="only"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))
    is_only: Mapped[bool] = mapped_column(server_default=text("true"), unique=True)


class Organization(Created, Base):
    __tablename__ = "organizations"
    __table_args__ = (Index("uq_organizations_operator", "operator", unique=True, postgresql_where=text("operator")),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    #: The one whose worker keys serve every organization.
    operator: Mapped[bool] = mapped_column(server_default=text("false"))


class ApiKey(Owned, Created, Base):
    """A credential; of the secret only its SHA-256 is kept."""

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    prefix: Mapped[str]
    hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

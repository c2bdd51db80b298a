"""Messages whose sender has no answer yet: nobody but that sender withdraws them, and nobody else delivers them."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column("messages", sa.Column("sender", sa.Uuid(), nullable=True))

"""Secrets of which the key is not there: the API says so when it starts, not when the first agent fails."""

import asyncio
from collections.abc import Sequence

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from control_plane.api.state import ApiState

log = structlog.get_logger(__name__)

#: Seconds between two tries while the database does not answer, or is not migrated yet.
RETRY_SECONDS = 5.0
_SEALED = text("SELECT * FROM holdfast_sealed_key_ids()")


async def lost_key_ids(state: ApiState) -> Sequence[str]:
    """List the ids of keys under which secrets are sealed, of any organization, and which the API does not have."""
    async with state.database.transaction(None) as connection:
        sealed = (await connection.execute(_SEALED)).scalars().all()
    return sealed if state.keyring is None else state.keyring.lacks(sealed)


async def warn_of_lost_keys(state: ApiState) -> None:
    """Say in the log which keys are lost, as soon as the database answers."""
    while True:
        try:
            lost = await lost_key_ids(state)
            break
        except SQLAlchemyError:
            await asyncio.sleep(RETRY_SECONDS)
    if lost:
        hint = "Add them to HOLDFAST_SECRETS_KEY, behind the key that seals, or set those secrets anew."
        log.warning("secrets cannot be opened: their keys are not there", key_ids=list(lost), hint=hint)

"""Who somebody with an API key is."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from uuid import UUID

from sqlalchemy import text

from control_plane.errors import KeyExpired, KeyInvalid, KeyRevoked
from control_plane.key_text import KEY_LENGTH, PREFIX, key_hash
from db.enums import Scope
from db.session import Database

#: Seconds that a key is known without asking the database; a revoked key works this long at most.
CACHE_SECONDS = 4.0
CACHE_SIZE = 10_000

FIND_KEY = text("SELECT id, organization_id, scopes, expires_at, revoked_at, operator FROM holdfast_key(:hash)")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request comes from; `operator`: a key of the organization that runs the workers."""

    organization_id: UUID
    key_id: UUID
    scopes: frozenset[Scope]
    operator: bool


@dataclass(frozen=True, slots=True)
class _Known:
    principal: Principal
    expires_at: datetime | None
    revoked_at: datetime | None
    stale_at: float


class Credentials:
    """Looks keys up, and remembers them for a few seconds of `clock`."""

    def __init__(self, database: Database, clock: Callable[[], float] = monotonic) -> None:
        self._database = database
        self._clock = clock
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    async def principal(self, key: str) -> Principal:
        """Who holds the key.

        Raises:
            KeyInvalid, KeyExpired, KeyRevoked: the key opens nothing (any more).
            sqlalchemy.exc.OperationalError: the database cannot be reached.
        """
        if len(key) != KEY_LENGTH or not key.startswith(PREFIX):
            raise KeyInvalid("The API key is not valid.")
        hashed = key_hash(key)
        known = self._known.get(hashed)
        if known is None or known.stale_at < self._clock():
            known = await self._find(hashed)
        if known.revoked_at is not None:
            raise KeyRevoked("The API key has been revoked.")
        if known.expires_at is not None and known.expires_at <= datetime.now(UTC):
            raise KeyExpired("The API key has expired.")
        return known.principal

    def forget(self, key_id: UUID) -> None:
        """Ask the database again at the key's next use."""
        for hashed in [hashed for hashed, known in self._known.items() if known.principal.key_id == key_id]:
            del self._known[hashed]

    async def _find(self, hashed: bytes) -> _Known:
        self._known.pop(hashed, None)
        async with self._database.transaction(None) as connection:
            row = (await connection.execute(FIND_KEY, {"hash": hashed})).first()
        if row is None:
            raise KeyInvalid("The API key is not valid.")
        scopes = frozenset(Scope(scope) for scope in row.scopes)
        principal = Principal(row.organization_id, row.id, scopes, row.operator)
        known = _Known(principal, row.expires_at, row.revoked_at, self._clock() + CACHE_SECONDS)
        self._known[hashed] = known
        if len(self._known) > CACHE_SIZE:
            self._known.popitem(last=False)
        return known

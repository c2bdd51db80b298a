"""Routes of secrets."""

import re
from typing import Annotated

from fastapi import APIRouter, Path, Query

from control_plane.api.auth import Reader, Writer
from control_plane.api.openapi import CHANGING, KEYED, LISTING, WITH_BODY, problems
from control_plane.api.pagination import Cursors, page
from control_plane.api.schemas import Notice, Paging
from control_plane.api.secrets.schemas import Secret, SecretPage, SetSecret, StoredSecret
from control_plane.api.secrets.service import Secrets
from control_plane.api.state import State
from control_plane.errors import NotFound, ValueInvalid
from control_plane.secret_errors import SecretInUse, SecretsKeyMissing
from services.tools.configuration import HEADER_VALUE, REFERENCE_NAME

router = APIRouter(prefix="/api/v1/secrets", tags=["secrets"])

_NAME_RULE = "1 to 200 letters, digits, '.', '_' and '-', beginning with a letter or digit"


Name = Annotated[str, Path(description=_NAME_RULE)]


@router.put("/{secret}", operation_id="set_secret", responses=problems(WITH_BODY, SecretsKeyMissing))
async def set_secret(secret: Name, body: SetSecret, principal: Writer, state: State) -> StoredSecret:
    """Store a secret, or give it another value: the next attempt at a turn uses that."""
    if not re.fullmatch(REFERENCE_NAME, secret, re.ASCII):
        raise ValueInvalid(f"A secret's name has {_NAME_RULE}.", field="secret")
    value = body.value.get_secret_value()
    async with state.database.transaction(principal.organization_id) as connection:
        secrets = Secrets(connection, principal.organization_id, state.keyring)
        stored = await secrets.put(secret, value)
    return StoredSecret(**stored.model_dump(), warnings=_warnings(value))


@router.get("", operation_id="list_secrets", responses=problems(LISTING))
async def list_secrets(query: Annotated[Paging, Query()], principal: Reader, state: State) -> SecretPage:
    """Secrets by name; their values are never shown."""
    cursors = Cursors("secrets", principal.organization_id)
    after = cursors.decode(query.cursor, str)[0] if query.cursor else ""
    async with state.database.transaction(principal.organization_id) as connection:
        found = await Secrets(connection, principal.organization_id, state.keyring).page(query, after)
    shown, cursor = page(found, query.limit, lambda each: cursors.encode(each.name))
    return SecretPage(items=list(shown), next_cursor=cursor)


@router.get("/{secret}", operation_id="get_secret", responses=problems(KEYED, NotFound))
async def get_secret(secret: Name, principal: Reader, state: State) -> Secret:
    """One secret, without its value."""
    async with state.database.transaction(principal.organization_id) as connection:
        return await Secrets(connection, principal.organization_id, state.keyring).get(secret)


@router.delete(
    "/{secret}", operation_id="delete_secret", status_code=204, responses=problems(CHANGING, NotFound, SecretInUse)
)
async def delete_secret(secret: Name, principal: Writer, state: State) -> None:
    """Delete a secret that nothing refers to any more."""
    async with state.database.transaction(principal.organization_id) as connection:
        await Secrets(connection, principal.organization_id, state.keyring).delete(secret)


def _warnings(value: str) -> list[Notice]:
    if re.fullmatch(HEADER_VALUE, value):
        return []
    return [
        Notice(
            code="secret_unfit_for_headers",
            message="No header can hold this value: a line break, a space at an end, or a character beyond ASCII.",
            hint="It can stand in a server's env. For a header, set it again without that.",
        )
    ]

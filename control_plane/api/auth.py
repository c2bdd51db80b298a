"""Who may do what: the dependencies that routes name."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.datastructures import Headers

from control_plane.api.credentials import Principal
from control_plane.api.request_tracing import tell_caller
from control_plane.api.state import ApiState
from control_plane.errors import AuthMissing, ScopeMissing
from db.enums import Scope

#: What a scope opens beside itself.
IMPLIED = {Scope.ADMIN: frozenset({Scope.READ, Scope.WRITE})}


class Requires(SecurityBase):
    """A dependency that lets pass who holds a scope, and says who that is."""

    scheme_name = "apiKey"

    def __init__(self, scope: Scope) -> None:
        self.model = HTTPBearer(description="An API key: hf_…; the header `X-API-Key` takes it too.")
        self.scope = scope

    async def __call__(self, request: Request) -> Principal:
        """The caller.

        Raises:
            AuthMissing, KeyInvalid, KeyExpired, KeyRevoked: there is no key, or it opens nothing.
            ScopeMissing: the key lacks the scope.
        """
        state: ApiState = request.app.state.api
        principal = await state.credentials.principal(_key(request.headers))
        if not self._opened_by(principal):
            raise ScopeMissing(f"This needs a key with the scope '{self.scope}'.", scope=self.scope.value)
        tell_caller(request, principal)
        return principal

    def _opened_by(self, principal: Principal) -> bool:
        if self.scope in principal.scopes:
            return True
        return any(self.scope in IMPLIED.get(scope, ()) for scope in principal.scopes)


def _key(headers: Headers) -> str:
    given = headers.get("authorization")
    if given is None:
        key = headers.get("x-api-key", "")
    else:
        scheme, _, key = given.partition(" ")
        key = key.strip() if scheme.lower() == "bearer" else ""
    if not key:
        raise AuthMissing("The request carries no API key.")
    return key


Reader = Annotated[Principal, Depends(Requires(Scope.READ))]
Writer = Annotated[Principal, Depends(Requires(Scope.WRITE))]
Admin = Annotated[Principal, Depends(Requires(Scope.ADMIN))]
WorkerKey = Annotated[Principal, Depends(Requires(Scope.WORKER))]

"""Whose rows a worker may touch."""

from uuid import UUID

from control_plane.api.credentials import Principal
from control_plane.errors import NotFound


def organization_of(principal: Principal, asked: str) -> UUID:
    """The organization that a worker names: those of the operator serve every one, others only their own.

    Raises:
        NotFound: it is none that the worker serves.
    """
    try:
        organization_id = UUID(asked)
    except ValueError:
        raise NotFound("There is no such organization.") from None
    if not principal.operator and organization_id != principal.organization_id:
        raise NotFound("There is no such organization.")
    return organization_id

"""Waiting for a result for longer than one request may take."""

from collections.abc import Callable
from time import monotonic
from typing import Any

from control_plane.cli.client import ApiClient

#: The longest wait (seconds) that the API takes.
LONGEST_WAIT = 60


def await_result(api: ApiClient, execution_id: str, seconds: int, *, say: Callable[[str], None]) -> dict[str, Any]:
    """The result once it is there, else what the API said last: `{execution_id, status}`.

    Raises:
        CliError: the API refused, or was away for too long; `say` is told when it is away.
    """
    deadline = monotonic() + seconds
    while True:
        left = max(0.0, deadline - monotonic())
        wait = min(LONGEST_WAIT, int(left + 0.999))
        found = api.retrying(left, say)(api.get, f"/executions/{execution_id}/result", wait=wait)
        if "response" in found or monotonic() >= deadline:
            return found

"""Names of worker pools: each is part of a task queue, of a scaler's trigger and of a URL."""

from typing import Annotated

from pydantic import StringConstraints

POOL_NAME = r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$"
POOL_RULE = "1 to 63 letters, digits, '-', '_' and '.', the first one a letter or a digit"
#: The pool of the workflow workers, which runs no turns.
WORKFLOWS = "workflows"

PoolName = Annotated[str, StringConstraints(pattern=POOL_NAME)]

"""Six variants of our processes that are broken on purpose, to see that the suite notices.

`python -m tests.faults.mutants NAME worker --pool native` is `holdfast worker --pool native` with one thing broken.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from control_plane.cli.main import main
from db.sql import Sql
from services.cancellation import RunningTurn
from services.control_plane_client.models import StepStatus
from services.journal import Journal

#: Seconds by which a commit comes after what it should come before.
LATE = 0.2


def no_fence() -> None:
    """Appends of older attempts are taken like those of the newest one."""
    _rewrite_sql(
        ("AND attempt = :attempt AND attempt_batch < :batch", ""),
        (
            "attempt_turn AS turn, attempt\n    ), emptied",
            "attempt_turn AS turn, CAST(:attempt AS integer) AS attempt\n    ), emptied",
        ),
    )


def skipped_number() -> None:
    """Each append leaves one number out."""
    _rewrite_sql(("last_seq = last_seq + :count", "last_seq = last_seq + :count + 1"))


def no_journal_lookup() -> None:
    """No call finds what an earlier attempt recorded."""

    async def replay(*_: Any, **__: Any) -> None:
        return None

    _change(Journal, replay=replay)


def no_memory() -> None:
    """Nor does a call know that the model may only have worded it anew."""
    no_journal_lookup()

    async def forgotten(*_: Any, **__: Any) -> None:
        return None

    _change(Journal, forgotten=forgotten)


def commit_after_release() -> None:
    """Whoever waits for a commit goes on before it."""
    write = Journal.write
    late: set[asyncio.Task[None]] = set()

    async def write_later(*args: Any, **kwargs: Any) -> None:
        await asyncio.sleep(LATE)
        await write(*args, **kwargs)

    async def released(journal: Journal, step: Any, *args: Any, **kwargs: Any) -> None:
        if step.status is not StepStatus.DONE:
            return await write(journal, step, *args, **kwargs)
        late.add(asyncio.create_task(write_later(journal, step, *args, **kwargs)))
        return None

    _change(Journal, write=released)


def swallowed_cancellation() -> None:
    """A turn that is told to stop goes on."""

    def stop(*_: Any) -> None:
        """Nobody hears it."""

    _change(RunningTurn, stop=stop)


def _change(owner: type, **changed: Any) -> None:
    """Give a class other methods."""
    for name, value in changed.items():
        setattr(owner, name, value)


def _rewrite_sql(*changes: tuple[str, str]) -> None:
    """Change statements as they are made; their modules are not imported yet."""
    make = Sql.__init__

    def remake(statement: Sql, *parts: str) -> None:
        whole = "".join(parts)
        for old, new in changes:
            whole = whole.replace(old, new)
        make(statement, whole)

    _change(Sql, __init__=remake)


MUTANTS: dict[str, Callable[[], None]] = {
    mutant.__name__: mutant
    for mutant in (no_fence, no_journal_lookup, no_memory, commit_after_release, skipped_number, swallowed_cancellation)
}


if __name__ == "__main__":
    MUTANTS[sys.argv.pop(1)]()
    sys.argv[0] = "holdfast"
    sys.exit(main())

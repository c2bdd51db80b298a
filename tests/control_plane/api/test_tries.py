"""How often a turn is begun before its execution fails."""

import pytest

from control_plane.api.internal.service import MAX_TRIES
from runtimes.types import Usage
from services.control_plane_client.models import AttemptEnd, Step, StepKind, StepStatus
from tests.control_plane.installation import Installation
from tests.control_plane.turns import Turn


@pytest.fixture
async def turn(installation: Installation) -> Turn:
    """The first turn of an execution, begun once."""
    return await installation.turn()


async def _exhaust(turn: Turn) -> list[bool]:
    """Whether each further try is said to be the last."""
    return [(await turn.retry())["last_try"] for _ in range(MAX_TRIES - 1)]


@pytest.mark.parametrize("ends", [False, True], ids=["begun again", "ended"])
async def test_what_a_lost_attempt_used_is_told_as_its_own(
    turn: Turn, installation: Installation, *, ends: bool
) -> None:
    used = Usage(model_calls=1, input_tokens=7)
    await turn.step(Step(ordinal=1, kind=StepKind.MODEL_CALL, status=StepStatus.DONE, usage=used))

    if ends:
        body = {"organization_id": str(turn.owner.id), "end": "cancelled"}
        await turn.http.post(f"{turn.path}/finish", json=body, headers=turn.owner.auth("worker"))
    else:
        await turn.retry()

    events = await installation.log(turn.execution["id"])
    (usage,) = [event for event in events if event["type"] == "usage"]
    assert (usage["attempt"], usage["turn"], usage["data"]["input_tokens"]) == (1, 1, 7)
    attempts = [event["attempt"] for event in events if event["attempt"] is not None]
    assert attempts == sorted(attempts)


async def test_the_last_try_is_said_to_be_the_last(turn: Turn) -> None:
    assert await _exhaust(turn) == [False, False, False, True]


async def test_a_turn_whose_workers_all_fell_silent_is_not_begun_again(turn: Turn) -> None:
    await _exhaust(turn)

    with pytest.raises(AssertionError, match="worker_lost"):
        await turn.retry()


async def test_what_a_frozen_worker_was_given_does_not_count(turn: Turn) -> None:
    tries = [(await turn.retry(swallowed=7))["last_try"] for _ in range(MAX_TRIES - 1)]

    assert tries == [False, False, False, True]


async def test_a_turn_that_is_handed_out_anew_has_all_its_tries(turn: Turn) -> None:
    await _exhaust(turn)
    await turn.close(AttemptEnd.PREEMPTED)

    opened = await turn.open()

    assert opened.get("last_try", False) is False

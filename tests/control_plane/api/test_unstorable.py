"""What models, tools and frameworks say is stored, also where it has characters that PostgreSQL does not take."""

from runtimes.turns import ExecutionEnd
from runtimes.types import ExecutionError
from services.control_plane_client.models import AttemptEnd, Step, StepKind, StepStatus
from tests.control_plane.installation import Installation

NUL = "a\0b"
SHOWN = "a\ufffdb"
ERROR = ExecutionError(code="runtime_crashed", message=NUL)


async def test_an_output(installation: Installation) -> None:
    turn = await installation.turn()

    await turn.close(AttemptEnd.COMPLETED, response="x", output={"text": NUL, NUL: [NUL]})

    result = await installation.http.get(f"/api/v1/executions/{turn.execution['id']}/result")
    assert result.json()["output"] == {"text": SHOWN, SHOWN: [SHOWN]}


async def test_the_error_of_an_attempt_and_of_an_execution(installation: Installation) -> None:
    turn = await installation.turn()
    body = {"organization_id": str(turn.owner.id), "end": ExecutionEnd.FAILED, "error": ERROR.model_dump()}

    await turn.close(AttemptEnd.FAILED, error=ERROR)
    answer = await turn.http.post(f"{turn.path}/finish", json=body, headers=turn.owner.auth("worker"))

    assert answer.is_success, answer.text
    assert (await installation.get(turn.execution["id"]))["error"]["message"] == SHOWN
    told = [event["data"]["error"]["message"] for event in (await installation.log(turn.execution["id"]))[-2:]]
    assert told == [SHOWN, SHOWN]


async def test_the_arguments_that_are_asked_about(installation: Installation) -> None:
    turn = await installation.turn()

    asked = await turn.ask(tool_call_id="c", arguments={"text": NUL})

    approval = (await installation.http.get(f"/api/v1/approvals/{asked}")).json()
    assert approval["detail"]["arguments"] == {"text": SHOWN}


async def test_the_name_and_the_id_of_a_call(installation: Installation) -> None:
    turn = await installation.turn()

    await turn.step(
        Step(ordinal=1, kind=StepKind.TOOL_CALL, status=StepStatus.CLAIMED, attempt=1, key=NUL, name=NUL, hash="h")
    )

    steps = (await installation.http.get(f"/api/v1/executions/{turn.execution['id']}/steps")).json()["items"]
    assert (steps[0]["key"], steps[0]["name"]) == (SHOWN, SHOWN)


async def test_a_message_whose_id_is_none_is_refused_once(installation: Installation) -> None:
    turn = await installation.turn()
    await turn.close(AttemptEnd.COMPLETED, response="x", ends_turn=False)
    request = {"turn": 2, "dispatch": 1, "try_number": 1, "token": "t", "worker_id": "w", "message_id": "zzz"}

    answer = await turn.http.post(
        f"{turn.path}/attempts",
        json=request | {"organization_id": str(turn.owner.id)},
        headers=turn.owner.auth("worker"),
    )

    assert (answer.status_code, answer.json()["code"]) == (422, "value_invalid")


async def test_the_note_of_a_decision_through_temporal_is_refused_once(installation: Installation) -> None:
    turn = await installation.turn()
    asked = await turn.ask()
    decision = {"approval_id": asked, "approve": True, "note": NUL}

    answer = await turn.http.post(
        f"{turn.path}/approvals",
        json={"organization_id": str(turn.owner.id), "decision": decision},
        headers=turn.owner.auth("worker"),
    )

    assert (answer.status_code, answer.json()["code"]) == (422, "value_invalid")

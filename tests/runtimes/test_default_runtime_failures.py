"""What goes wrong between the default runtime and its provider, on both wires."""

import time
from contextlib import suppress

import pytest

from runtimes.errors import (
    ContextTooLong,
    ModelAnswerInvalid,
    ModelAuthentication,
    ModelConnectionBroken,
    ModelFailure,
    ModelOverloaded,
    ModelRateLimited,
    ModelRequestRejected,
    ModelTimeout,
    ModelUnknown,
    RuntimeFailure,
)
from runtimes.factory import RuntimeFactory
from runtimes.types import ModelEndpoint, Wire
from tests.runtimes.turns import Turns


@pytest.mark.parametrize(
    ("script", "failure", "retryable"),
    [
        ("[[error 429 retry-after 7]]", ModelRateLimited, True),
        ("[[error 401]]", ModelAuthentication, False),
        ("[[error 403]]", ModelAuthentication, False),
        ("[[error 404]]", ModelUnknown, False),
        ("[[error 400]]", ModelRequestRejected, False),
        ("[[error 500]]", ModelFailure, True),
        ("[[error 503]]", ModelOverloaded, True),
        ("[[error 529]]", ModelOverloaded, True),
        ("[[context-too-long]]", ContextTooLong, False),
        ("[[drop]]", ModelConnectionBroken, True),
        ("[[emit 3;; drop]]", ModelConnectionBroken, True),
        ("[[emit 3;; stream-error]]", ModelFailure, True),
        ("[[html]]", ModelAnswerInvalid, True),
        ("[[garbage]]", ModelAnswerInvalid, True),
        ("[[empty]]", ModelAnswerInvalid, True),
    ],
)
async def test_what_goes_wrong_at_the_provider_is_typed(
    agno: Turns, script: str, failure: type[RuntimeFailure], retryable: bool
) -> None:
    with pytest.raises(failure) as raised:
        await agno.run(script)

    assert type(raised.value) is failure
    assert raised.value.retryable is retryable


async def test_retry_after_is_kept(agno: Turns) -> None:
    with pytest.raises(ModelRateLimited) as raised:
        await agno.run("[[error 429 retry-after 7]]")

    assert raised.value.retry_after == 7


async def test_a_failed_call_is_made_once(agno: Turns) -> None:
    marker = f"once-{time.time_ns()}"

    with suppress(ModelFailure):
        await agno.run(f"{marker} [[error 500]]")

    assert len(await agno.calls(marker)) == 1


async def test_a_stream_that_breaks_off_in_the_middle_is_no_answer(agno: Turns) -> None:
    with pytest.raises((ModelConnectionBroken, ModelAnswerInvalid)):
        await agno.run("[[emit 2;; garbage]]")


@pytest.mark.parametrize("script", ["[[hang]]", "[[emit 3;; hang]]"])
async def test_silence_of_the_provider_has_an_end(agno: Turns, script: str) -> None:
    with pytest.raises(ModelTimeout):
        await agno.run(script, configuration={"runtime_config": {"request_timeout_seconds": 0.2}})


async def test_an_endpoint_that_nobody_serves_is_a_broken_connection(factory: RuntimeFactory, wire: Wire) -> None:
    endpoint = ModelEndpoint("http://127.0.0.1:9", "none", wire, "m", "gone")

    with pytest.raises(ModelConnectionBroken) as raised:
        await Turns(factory, "default", None, endpoint).run("hello")

    assert "base_url" in raised.value.hint

"""The calls of a model that a framework means, and those of them that may run."""

from typing import Any

import pytest

from runtimes.errors import LimitReached
from runtimes.types import FinishReason, TurnFinished
from services.asked_calls import AskedCall, AskedCalls


def asked(*calls: tuple[str, str, str], **limits: Any) -> AskedCalls:
    """One answer with these calls: id, tool, arguments."""
    found = AskedCalls(**limits)
    found.answered(FinishReason.STOP, [AskedCall(*call) for call in calls])
    return found


def taken(calls: AskedCalls, call_id: str | None, name: str, arguments: dict[str, int] | str) -> str:
    call = calls.take(call_id, name, arguments)
    return "" if call is None else call.id


def test_a_call_is_found_by_its_id_whatever_its_arguments_became() -> None:
    calls = asked(("a", "pay", '{"sum": 1'), ("b", "pay", '{"sum": 2}'))

    assert taken(calls, "a", "pay", {}) == "a"


def test_without_an_id_it_is_found_by_its_arguments() -> None:
    calls = asked(("a", "pay", '{"sum": 1}'), ("b", "pay", '{"sum": 2}'))

    assert [taken(calls, None, "pay", {"sum": 2}), taken(calls, None, "pay", {"sum": 1})] == ["b", "a"]


def test_the_only_open_call_of_a_tool_is_meant() -> None:
    calls = asked(("a", "pay", "[1]"), ("b", "look", "{}"))

    assert taken(calls, "renamed", "pay", {}) == "a"


def test_else_the_order_decides() -> None:
    calls = asked(("a", "pay", "[1]"), ("b", "pay", "[2]"))

    assert [taken(calls, None, "pay", {}) for _ in range(3)] == ["a", "b", ""]


def test_a_call_of_code_has_the_same_id_in_each_attempt() -> None:
    first, second = ([AskedCalls(turn=3).own_id("pay", {"sum": 1})] for _ in range(2))
    calls = AskedCalls(turn=3)

    assert first == second
    assert calls.own_id("pay", {"sum": 1}) != calls.own_id("pay", {"sum": 1})


@pytest.mark.parametrize("finish", [FinishReason.LENGTH, FinishReason.CONTENT_FILTER])
def test_calls_of_an_answer_that_was_cut_are_refused(finish: FinishReason) -> None:
    calls, call = AskedCalls(), AskedCall("a", "pay", "{}")

    calls.answered(finish, [call])

    assert finish.value in call.refusal
    calls.check()


@pytest.mark.parametrize("limits", [{"most_answers": 1}, {"most_calls": 1}])
def test_the_answer_that_reaches_a_limit_runs_nothing_and_is_the_last(limits: dict[str, int]) -> None:
    calls = asked(("a", "pay", "{}"), ("b", "pay", "{}"), **limits)

    told = "Not run: with this answer the turn reached max_turns or tool_call_limit (tool_limit). The turn ends here."
    assert {call.refusal for call in calls.untold()} == {told}
    with pytest.raises(LimitReached, match="without an answer"):
        calls.check()


def test_calls_that_no_tool_saw_are_those_of_ours_and_of_none() -> None:
    calls = AskedCalls(ours={"pay"})
    own, unknown, handoff = (AskedCall(name, name, "{}") for name in ("pay", "nosuch", "handoff"))
    unknown.is_known = False

    calls.answered(FinishReason.STOP, [own, unknown, handoff])

    assert list(calls.untold()) == [own, unknown]


#: The end of the last answer, what was said, the framework's own reason, and the code of the failure.
_ENDS = [
    (FinishReason.LENGTH, "", FinishReason.LENGTH, "limit_reached"),
    (FinishReason.LENGTH, " ", FinishReason.STOP, "limit_reached"),
    (FinishReason.LENGTH, "Once upon", FinishReason.LENGTH, None),
    (FinishReason.CONTENT_FILTER, "", FinishReason.STOP, "content_refused"),
    (FinishReason.CONTENT_FILTER, "I will not.", FinishReason.CONTENT_FILTER, None),
    (FinishReason.STOP, "", FinishReason.STOP, None),
    (FinishReason.STOP, "Once more.", FinishReason.TOOL_LIMIT, "limit_reached"),
]


@pytest.mark.parametrize(("end", "said", "reason", "code"), _ENDS)
def test_an_answer_that_was_cut_before_a_word_is_none(
    end: FinishReason, said: str, reason: FinishReason, code: str | None
) -> None:
    calls = AskedCalls()
    calls.answered(end, [])

    failure = calls.failure(TurnFinished(response=said, finish_reason=reason))

    assert (failure.code if failure else None) == code
    assert failure is None or not failure.retryable


def test_a_turn_whose_calls_were_cut_and_that_said_nothing_has_no_answer() -> None:
    calls = AskedCalls()
    calls.answered(FinishReason.LENGTH, [AskedCall("a", "pay", '{"su')])

    failure = calls.failure(TurnFinished(response="", finish_reason=FinishReason.STOP))

    assert isinstance(failure, LimitReached)
    assert failure.finish_reason is FinishReason.LENGTH

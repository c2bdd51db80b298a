"""What a runtime says, and what it says it has used."""

from functools import partial
from itertools import pairwise

from runtimes.types import Capability, FinishReason, Message
from services.conformance.bench import Bench, Case
from services.conformance.scenario import Scenario, expect, expect_answer, expect_success, expect_that


async def plain_answer(bench: Bench) -> None:
    taken = await bench.run(Case("Hello [[say Grüße, 世界 \N{WAVING HAND SIGN}.]]"))

    expect_answer(taken, "Grüße, 世界 \N{WAVING HAND SIGN}.")
    expect("model calls", [call.outcome for call in taken.calls], ["completed"])


async def streamed_answer(bench: Bench) -> str:
    taken = await bench.run(Case("[[emit 40 @100]]"))

    wanted = " ".join(f"tok{number}" for number in range(1, 41))
    expect_answer(taken, wanted)
    pieces = taken.record.pieces
    expect("the text that was streamed", taken.record.journal.told, [wanted])
    expect_that(len(pieces) > 1, "the answer came in one piece")
    expect_that(wanted.startswith("".join(pieces)), f"the pieces are not the answer's: {pieces}")
    return f"{len(pieces)} pieces"


async def history(bench: Bench) -> None:
    before = [Message(role="user", content="What is one?"), Message(role="assistant", content="A number.")]

    taken = await bench.run(Case("[[history]]", system_prompt="Be brief.", history=before))

    expect_success(taken)
    lines = taken.response.splitlines()
    wanted = [("", "Be brief."), ("user: ", "What is one?"), ("assistant: ", "A number."), ("user: ", "[[history]]")]
    places = [
        next((at for at, line in enumerate(lines) if line.startswith(role) and text in line), -1)
        for role, text in wanted
    ]
    missing = [text for (_, text), at in zip(wanted, places, strict=True) if at < 0]
    expect("messages that the model did not get", missing, [])
    expect_that(all(one < other for one, other in pairwise(places)), f"the order of the messages: {lines}")


async def usage(bench: Bench) -> None:
    script = '[[usage 100 50 cached 40 reasoning 30;; tool add {"a": 1, "b": 2};; usage 200 20 cached 5;; say done]]'

    taken = await bench.run(Case(script, functions=["add"]))

    expect_answer(taken, "done")
    money = {"cost_usd", "known_cost_usd", "reserved_cost_usd"}
    used = taken.outcome.usage.model_dump(exclude=money) if taken.outcome else {}
    wanted = {"input_tokens": 300, "output_tokens": 70, "cached_input_tokens": 45, "reasoning_tokens": 30}
    expect("usage", used, {**wanted, "model_calls": 2, "tool_calls": 1, "reserved_tokens": 0})
    expect("usage in the journal", sum(step.usage.input_tokens for step in taken.steps), 300)


async def stopped_by_length(bench: Bench) -> None:
    taken = await bench.run(Case("[[say Once upon a;; finish length]]"))

    expect_answer(taken, "Once upon a", FinishReason.LENGTH)


async def stopped_by_filter(bench: Bench) -> None:
    taken = await bench.run(Case("[[say I will not;; finish content_filter]]"))

    expect_answer(taken, "I will not", FinishReason.CONTENT_FILTER)


async def cut_before_a_word(finish: str, code: str, bench: Bench) -> None:
    taken = await bench.run(Case(f"[[finish {finish};; empty]]"))

    expect("failure", taken.failure and taken.failure.code, code)
    expect("model calls", len(taken.calls), 1)


async def empty_answer(bench: Bench) -> None:
    taken = await bench.run(Case("[[empty]]", configuration={"model_retries": {"attempts": 1}}))

    expect("failure", taken.failure and taken.failure.code, "model_answer_empty")


SCENARIOS = (
    Scenario("plain answer", plain_answer),
    Scenario("streamed answer", streamed_answer, needs=frozenset({Capability.STREAMING})),
    Scenario("history and system prompt", history),
    Scenario("usage", usage, needs=frozenset({Capability.TOOLS})),
    Scenario("stopped by length", stopped_by_length),
    Scenario("stopped by a filter", stopped_by_filter),
    Scenario("cut before a word", partial(cut_before_a_word, "length", "limit_reached")),
    Scenario("filtered before a word", partial(cut_before_a_word, "content_filter", "content_refused")),
    Scenario("empty answer", empty_answer),
)

"""Faults other than kills at exact points; each ends with the checker's word.

A scenario raises AssertionError where a promise is broken.
"""

import asyncio
import json
import signal
import subprocess
from collections.abc import Awaitable, Callable

from tests.faults.checker import check
from tests.faults.evidence import Evidence
from tests.faults.field import HEARTBEAT_TIMEOUT, Field, Run
from tests.faults.gate import Call, Moment
from tests.faults.proxy import Mode

Scenario = Callable[[Field], Awaitable[None]]

#: How long each outage lasts, in seconds.
OUTAGE = 5.0
#: Seconds in which the work that must not go on would have gone on.
LONG_ENOUGH = 1.5
#: Seconds after SIGTERM in which a worker with a grace of 1 s has ended; generous for a busy machine.
DRAINED = 30.0


def two_effects(field: Field, seconds: float = 0) -> str:
    """Text, two tools with an effect each, and more text."""
    return f"emit 16 @20;; {field.ledger.call('TOKEN-a')};; {field.ledger.call('TOKEN-b', seconds)};; emit 60 @20"


async def expect_effects(field: Field, run: Run, *letters: str, perhaps: str = "") -> Evidence:
    """The execution completes, every promise is kept, and these effects were done, each once."""
    await field.result(run.execution, timeout=150)
    evidence = await check(field, run)
    done = {effect.removeprefix(f"{run.token}-") for effect in evidence.effects}
    assert done - {perhaps} == set(letters), evidence.effects
    return evidence


async def frozen_before_a_claim(field: Field) -> None:
    """A worker stops in the middle of a claim; when it wakes up the claim is refused and nothing is done twice."""
    await field.recover()
    done_by_heir = asyncio.Event()

    async def freeze(call: Call) -> None:
        field.processes[call.worker].pause()
        await done_by_heir.wait()
        field.processes[call.worker].resume()

    field.trap(Moment.ASKED, lambda call: any(call.steps("tool_call", "claimed")), freeze, goes_on=True)
    run = await field.fire(two_effects(field))
    await field.until(lambda: _has_effects(field, run, 2))
    done_by_heir.set()
    await expect_effects(field, run, "a", "b")


async def frozen_in_a_tool(field: Field) -> None:
    """A worker stops in the middle of a tool, and wakes up while its heir is at work."""
    await field.recover()
    run = await field.fire(two_effects(field, seconds=2))
    await field.until(lambda: _has_begun(field, run, 2))
    worker, attempt = field.holder(run.execution)

    field.processes[worker].pause()
    await field.until(lambda: _streams(field, run, attempt + 1))
    field.processes[worker].resume()

    await expect_effects(field, run, "a", perhaps="b")


async def drained_in_a_tool(field: Field) -> None:
    """SIGTERM while a long tool runs: the turn is handed back, no retry is spent, another worker goes on."""
    await field.recover()
    run = await field.fire(two_effects(field, seconds=30))
    await field.until(lambda: _has_begun(field, run, 2))

    evidence = await _drained(field, run, "a")

    assert len(evidence.steps_with("tool_call", "unknown")) == 1


async def drained_in_a_stream(field: Field) -> None:
    """SIGTERM while text streams: the turn is handed back, no retry is spent, another worker goes on."""
    await field.recover()
    streaming = field.trap(Moment.ASKED, lambda call: "tok20" in call.text, _nothing, goes_on=True)
    run = await field.fire(two_effects(field))
    await streaming

    await _drained(field, run, "a", "b")


async def api_away(field: Field) -> None:
    """The control plane is killed in mid-turn and comes back."""

    async def away(_: Run) -> None:
        field.processes["api"].kill()
        await asyncio.sleep(OUTAGE)
        field.processes["api"].start()

    await _outage(field, away)


async def postgres_away(field: Field) -> None:
    """PostgreSQL stops at once in mid-turn, as in a crash, and comes back."""
    postgres = field.postgres
    assert postgres is not None

    async def away(_: Run) -> None:
        await asyncio.to_thread(postgres.stop_immediately)
        await asyncio.sleep(OUTAGE)
        await asyncio.to_thread(postgres.start)

    await _outage(field, away)


async def temporal_away(field: Field) -> None:
    """Temporal is killed in mid-turn and comes back."""

    async def away(_: Run) -> None:
        field.processes["temporal"].kill()
        await asyncio.sleep(OUTAGE)
        field.processes["temporal"].start()

    await _outage(field, away)


async def api_unreachable(field: Field) -> None:
    """The way from the worker to the control plane swallows everything for a while."""

    async def away(run: Run) -> None:
        link = field.links[field.holder(run.execution)[0]]
        link.api.set(Mode.BLACKHOLE)
        await asyncio.sleep(OUTAGE)
        link.api.set(Mode.PASS)

    await _outage(field, away)


async def temporal_unreachable(field: Field) -> None:
    """The way from a worker to Temporal swallows everything until another worker has the turn."""
    await field.recover()
    run = await field.fire(two_effects(field, seconds=2 * HEARTBEAT_TIMEOUT))
    await field.until(lambda: _has_begun(field, run, 2))
    worker, attempt = field.holder(run.execution)

    field.links[worker].temporal.set(Mode.BLACKHOLE)
    await field.until(lambda: _opened(field, run, attempt + 1))
    field.links[worker].temporal.set(Mode.PASS)

    await expect_effects(field, run, "a", perhaps="b")


async def uncommitted_model_call(field: Field) -> None:
    """As long as a model's answer is not in the journal, nothing is done with it."""
    await field.recover()
    seen: list[int] = []

    async def hold(call: Call) -> None:
        await asyncio.sleep(LONG_ENOUGH)
        seen.append(len(field.ledger.begun(run.token)))

    field.trap(Moment.ASKED, lambda call: any(call.steps("model_call", "done")), hold, goes_on=True)
    run = await field.fire(two_effects(field))

    await expect_effects(field, run, "a", "b")
    assert seen == [0], "a tool ran on an answer that was not committed"


async def uncommitted_tool_call(field: Field) -> None:
    """As long as a tool's result is not in the journal, no model sees it."""
    await field.recover()
    seen: list[int] = []

    async def hold(call: Call) -> None:
        before = len(await field.model_calls(run.token))
        await asyncio.sleep(LONG_ENOUGH)
        seen.append(len(await field.model_calls(run.token)) - before)

    field.trap(Moment.ASKED, lambda call: any(call.steps("tool_call", "done")), hold, goes_on=True)
    run = await field.fire(two_effects(field))

    await expect_effects(field, run, "a", "b")
    assert seen == [0], "a model was asked with a result that was not committed"


async def undisturbed(field: Field) -> None:
    """Nothing happens to it: calls, effects and events are exactly what the script asks for."""
    await field.recover()
    run = await field.fire(two_effects(field))

    evidence = await expect_effects(field, run, "a", "b")

    assert len(evidence.requests) == evidence.usage.model_calls == 3
    assert evidence.usage.tool_calls == 2
    assert len(evidence.attempts) == 1


async def all_restarted_while_suspended(field: Field) -> None:
    """A human answers after every process was restarted."""
    await field.recover()
    run = await field.fire(two_effects(field), agent="asking")
    await field.until_suspended(run)

    await _restart_everything(field)
    await field.approve_all(run)

    evidence = await expect_effects(field, run, "a", "b")
    assert len(evidence.requests) == 3


async def idempotent_effect_uncommitted(field: Field) -> None:
    """A tool that says that it may be repeated is repeated, with the same key."""
    await field.recover()
    killed = field.trap(
        Moment.ASKED, lambda call: any(call.steps("tool_call", "done")), lambda call: field.kill(call.worker)
    )
    run = await field.fire(two_effects(field), agent="idempotent")
    run.strikes.append(await killed)
    await field.result(run.execution, timeout=150)

    evidence = await check(field, run, but="I5")

    assert evidence.effects_per_call() == {f"{run.token}-a": 2, f"{run.token}-b": 1}
    keys = field.ledger.keys(f"{run.token}-a")
    assert keys[0] == keys[1] != ""


async def workspace_moves(field: Field) -> None:
    """What commands did to files is there for the heir, once."""
    await field.recover()
    killed = field.trap(
        Moment.ASKED,
        lambda call: any(call.steps("tool_call", "claimed")) and _has_committed(field, call.execution),
        lambda call: field.kill(call.worker),
    )
    shell = "Bash" if field.pool == "claude_code" else "shell"
    write, read = ({"command": command} for command in ("echo TOKEN-note >> note", "cat note"))
    run = await field.fire(
        f"tool {shell} {json.dumps(write)};; tool {shell} {json.dumps(read)};; result", agent="shell"
    )
    run.strikes.append(await killed)

    result = await field.result(run.execution, timeout=150)

    await check(field, run)
    assert str(result["response"]).count(f"{run.token}-note") == 1, result["response"]


async def _restart_everything(field: Field) -> None:
    assert field.postgres is not None
    for name, process in field.processes.items():
        # The witness of model calls keeps its log in memory.
        if name != "model":
            process.kill()
    await asyncio.to_thread(field.postgres.stop_immediately)
    await asyncio.to_thread(field.postgres.start)
    await field.recover()


async def _outage(field: Field, away: Callable[[Run], Awaitable[None]]) -> None:
    """Something goes away in the middle of the second tool, and nobody loses anything by it."""
    await field.recover()
    run = await field.fire(two_effects(field, seconds=2))
    await field.until(lambda: _has_begun(field, run, 2))
    await away(run)
    await expect_effects(field, run, "a", "b")


async def _drained(field: Field, run: Run, *letters: str) -> Evidence:
    worker, _ = field.holder(run.execution)
    run.strikes.append(await field.strike(worker, signal.SIGTERM))
    try:
        code = await asyncio.to_thread(field.processes[worker].wait, DRAINED)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"the worker has not let go of its turn after {DRAINED:g} s") from None
    evidence = await expect_effects(field, run, *letters)
    statuses = [attempt["status"] for attempt in evidence.attempts]
    assert code == 0
    assert statuses == ["preempted", "completed"], statuses
    assert {attempt["try_number"] for attempt in evidence.attempts} == {1}
    return evidence


def _has_committed(field: Field, execution: str) -> bool:
    """Whether a tool call of the execution is in the journal."""
    return any(call.execution == execution and any(call.steps("tool_call", "done")) for call in field.calls)


async def _nothing(_: Call) -> None:
    """The moment itself is what matters."""


async def _has_effects(field: Field, run: Run, number: int) -> bool:
    return len(field.ledger.lines(run.token)) >= number


async def _has_begun(field: Field, run: Run, number: int) -> bool:
    return len(field.ledger.begun(run.token)) >= number


async def _streams(field: Field, run: Run, attempt: int) -> bool:
    return any(call.execution == run.execution and call.attempt == attempt and call.text for call in field.calls)


async def _opened(field: Field, run: Run, attempt: int) -> bool:
    return any(call.execution == run.execution and call.attempt == attempt for call in field.calls)


SCENARIOS: dict[str, Scenario] = {
    scenario.__name__.replace("_", " "): scenario
    for scenario in (
        undisturbed,
        frozen_before_a_claim,
        frozen_in_a_tool,
        drained_in_a_tool,
        drained_in_a_stream,
        api_away,
        postgres_away,
        temporal_away,
        api_unreachable,
        temporal_unreachable,
        uncommitted_model_call,
        uncommitted_tool_call,
        idempotent_effect_uncommitted,
        workspace_moves,
        all_restarted_while_suspended,
    )
}

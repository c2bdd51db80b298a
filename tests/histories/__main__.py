"""Records histories of executions, for the replay tests: `python -m tests.histories VERSION [KIND ...]`.

Histories are only ever added: what is here was run by some version, and must replay with every later one.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from uuid import uuid4

from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

from db.migrate import upgrade
from tests.builds import build, make_current, say
from tests.postgres import embedded_postgres
from tests.stack import Stack

HERE = Path(__file__).parent


async def _one_turn(stack: Stack) -> str:
    execution = await stack.start("[[say hi]]")
    await stack.result(execution)
    return execution


async def _interactive(stack: Stack) -> str:
    execution = await stack.start("[[say one]]", interactive=True)
    await stack.until_status(execution, "waiting")
    await stack.http.post(f"/api/v1/executions/{execution}/messages", json={"content": "[[say two]]"})
    await stack.http.post(f"/api/v1/executions/{execution}/close")
    await stack.result(execution)
    return execution


async def _interrupted(stack: Stack) -> str:
    return await _stopped(stack, "interrupt")


async def _cancelled(stack: Stack) -> str:
    return await _stopped(stack, "cancel")


async def _stopped(stack: Stack, how: str) -> str:
    execution = await stack.start("[[emit 500 @20]]")
    await stack.until_event(execution, "message.delta")
    await stack.http.post(f"/api/v1/executions/{execution}/{how}")
    await stack.result(execution)
    return execution


async def _failed(stack: Stack) -> str:
    execution = await stack.start("[[error 401]]")
    await stack.result(execution)
    return execution


async def _continued_as_new(stack: Stack) -> str:
    execution = await stack.start(None, interactive=True)
    for number in range(5):
        await stack.http.post(f"/api/v1/executions/{execution}/messages", json={"content": f"[[say {number}]]"})
    await stack.http.post(f"/api/v1/executions/{execution}/close")
    await stack.result(execution)
    return execution


async def _started_by_temporal(stack: Stack) -> str:
    handle = await stack.temporal.start_workflow(
        "AgentExecutionWorkflow", {"agent_id": "demo", "prompt": "[[say hi]]"}, id=str(uuid4()), task_queue="holdfast"
    )
    return (await handle.result())["execution_id"]


async def _preempted(stack: Stack) -> str:
    execution = await stack.start("[[emit 40 @20]]")
    await stack.until_event(execution, "message.delta")
    worker = stack.processes["default"]
    worker.terminate()
    await asyncio.to_thread(worker.wait)
    worker.start()
    await stack.result(execution)
    return execution


async def _interrupted_without_a_worker(stack: Stack) -> str:
    execution = await stack.start("[[emit 500 @20]]")
    await stack.until_event(execution, "message.delta")
    worker = stack.processes["default"]
    worker.terminate()
    await asyncio.to_thread(worker.wait)
    await stack.http.post(f"/api/v1/executions/{execution}/interrupt")
    await stack.result(execution)
    worker.start()
    return execution


async def _refused(stack: Stack) -> str:
    execution = str(uuid4())
    given = {"agent_id": "demo", "promt": "hi", "execution_id": execution}
    await stack.temporal.start_workflow("AgentExecutionWorkflow", given, id=execution, task_queue="holdfast")
    await stack.until(lambda: _is_kept(stack, execution))
    return execution


async def _suspended(stack: Stack) -> str:
    execution = await stack.start("""[[tool write_file {"path": "x", "content": "y"};; say done]]""", "careful")
    await stack.until_event(execution, "execution.waiting")
    (asked,) = (await stack.http.get(f"/api/v1/executions/{execution}/approvals")).json()["items"]
    await stack.http.post(f"/api/v1/approvals/{asked['id']}/approve", json={})
    await stack.result(execution)
    return execution


async def _decided_by_temporal(stack: Stack) -> str:
    execution = await stack.start("""[[tool write_file {"path": "x", "content": "y"};; say done]]""", "careful")
    await stack.until_event(execution, "execution.waiting")
    (asked,) = (await stack.http.get(f"/api/v1/executions/{execution}/approvals")).json()["items"]
    handle = stack.temporal.get_workflow_handle((await stack.get(execution))["workflow_id"])
    decision = {"approval_id": asked["id"], "approve": False}
    await handle.execute_update("decide_approval", decision)  # pyright: ignore[reportUnknownMemberType]
    await stack.result(execution)
    return execution


async def _parent(stack: Stack) -> str:
    execution = await stack.start("""[[tool run_agent {"agent": "demo", "prompt": "hi"};; say done]]""", "delegating")
    await stack.result(execution)
    return execution


async def _child(stack: Stack) -> str:
    parent = await _parent(stack)
    listed = (await stack.http.get("/api/v1/executions", params={"limit": 200})).json()["items"]
    return next(each["id"] for each in listed if each["parent_id"] == parent)


async def _cancelled_without_a_pool(stack: Stack) -> str:
    execution = await stack.start("[[say never]]", "homeless")
    await stack.until_status(execution, "waiting_for_pool")
    await stack.http.post(f"/api/v1/executions/{execution}/cancel")
    await stack.until_status(execution, "cancelled")
    return execution


async def _waited_for_a_pool(stack: Stack) -> str:
    execution = await stack.start("[[say hi]]", "homeless")
    await stack.until_status(execution, "waiting_for_pool")
    stack.add_worker("scripted").start()
    await stack.result(execution)
    return execution


async def _cancelled_with_a_dead_worker(stack: Stack) -> str:
    return await _stopped_with_a_dead_worker(stack, "cancel")


async def _interrupted_with_a_dead_worker(stack: Stack) -> str:
    return await _stopped_with_a_dead_worker(stack, "interrupt")


async def _stopped_with_a_dead_worker(stack: Stack, how: str) -> str:
    execution = await stack.start("[[emit 500 @20]]")
    await stack.until_event(execution, "message.delta")
    worker = stack.processes["default"]
    worker.kill()
    await stack.http.post(f"/api/v1/executions/{execution}/{how}")
    await stack.result(execution)
    worker.start()
    return execution


async def _overtaken(stack: Stack) -> str:
    """A message that is there before the first workflow task."""
    workflows = stack.processes["workflows"]
    workflows.kill()
    execution = await stack.start("[[say one]]", interactive=True)
    sending = asyncio.create_task(say(stack, execution, "[[say two]]"))
    await asyncio.sleep(1)
    workflows.start()
    await sending
    await stack.http.post(f"/api/v1/executions/{execution}/close")
    await stack.result(execution)
    return execution


async def _waited_for_its_session(stack: Stack) -> str:
    first = await stack.start("[[emit 20 @20]]")
    execution = await stack.start("[[say two]]", session_id=(await stack.get(first))["session_id"])
    await stack.result(execution)
    return execution


async def _odd_signals(stack: Stack) -> str:
    execution = await stack.start("[[say one]]", interactive=True)
    await stack.until_status(execution, "waiting")
    handle = stack.temporal.get_workflow_handle((await stack.get(execution))["workflow_id"])
    await handle.signal("close", {})
    await handle.signal("answered")
    await handle.signal("close")
    await stack.result(execution)
    return execution


async def _from_a_loose_client(stack: Stack) -> str:
    """Values that were accepted once and are refused now."""
    execution = str(uuid4())
    prompt = """[[tool write_file {"path": "x", "content": "y"};; say done]]"""
    given = {"agent_id": "careful", "prompt": prompt, "interactive": True, "execution_id": execution}
    doubled = b'{"agent_id": "demo", ' + json.dumps(given).encode()[1:]
    handle = await stack.temporal.start_workflow(
        "AgentExecutionWorkflow",
        args=[RawValue(Payload(metadata={"encoding": b"json/plain"}, data=doubled))],
        id=execution,
        task_queue="holdfast",
    )
    await stack.until(lambda: _is_kept(stack, execution))
    await stack.until_event(execution, "execution.waiting")
    (asked,) = (await stack.http.get(f"/api/v1/executions/{execution}/approvals")).json()["items"]
    decision = {"approval_id": asked["id"], "approve": "yes", "more": 1}
    await handle.execute_update("decide_approval", decision)  # pyright: ignore[reportUnknownMemberType]
    await stack.until_event(execution, "turn.completed")
    message = {"content": "[[say two]]", "message_id": str(uuid4()), "more": 1}
    await handle.execute_update("send_message", message)  # pyright: ignore[reportUnknownMemberType]
    await handle.signal("close")
    await stack.result(execution)
    return execution


async def _moved_to_a_newer_build(stack: Stack) -> str:
    """The last kind: from here on the queue is for versioned workers."""
    await asyncio.to_thread(stack.processes["workflows"].stop)
    build(stack, "workflows-a", "a", "--workflows")
    await make_current(stack, "holdfast", "a")
    execution = await stack.start("[[say one]]", interactive=True)
    await stack.until_status(execution, "waiting")
    build(stack, "workflows-b", "b", "--workflows")
    await make_current(stack, "holdfast", "b")
    await say(stack, execution, "[[say two]]")
    await stack.http.post(f"/api/v1/executions/{execution}/close")
    await stack.result(execution)
    return execution


async def _is_kept(stack: Stack, execution: str) -> bool:
    return (await stack.http.get(f"/api/v1/executions/{execution}")).is_success


KINDS: dict[str, Callable[[Stack], Awaitable[str]]] = {
    "one-turn": _one_turn,
    "interactive": _interactive,
    "interrupted": _interrupted,
    "cancelled": _cancelled,
    "failed": _failed,
    "continued-as-new": _continued_as_new,
    "started-by-temporal": _started_by_temporal,
    "preempted": _preempted,
    "interrupted-without-a-worker": _interrupted_without_a_worker,
    "refused": _refused,
    "suspended": _suspended,
    "decided-by-temporal": _decided_by_temporal,
    "parent": _parent,
    "child": _child,
    "cancelled-without-a-pool": _cancelled_without_a_pool,
    "waited-for-a-pool": _waited_for_a_pool,
    "cancelled-with-a-dead-worker": _cancelled_with_a_dead_worker,
    "interrupted-with-a-dead-worker": _interrupted_with_a_dead_worker,
    "overtaken": _overtaken,
    "waited-for-its-session": _waited_for_its_session,
    "odd-signals": _odd_signals,
    "from-a-loose-client": _from_a_loose_client,
    "moved-to-a-newer-build": _moved_to_a_newer_build,
}


async def _record(version: str, kinds: Sequence[str]) -> None:
    with embedded_postgres() as server, tempfile.TemporaryDirectory() as directory:
        upgrade(server.url)
        settings = {"HOLDFAST_WORKER_GRACE_SECONDS": "0", "HOLDFAST_HEARTBEAT_TIMEOUT_SECONDS": "3"}
        dynamic_config = ("limit.historyCount.suggestContinueAsNew=20",)
        stack = Stack(Path(directory), server.url, settings, pools=("default",), dynamic_config=dynamic_config)
        async with stack:
            await stack.agent("demo")
            await stack.agent("careful", toolsets=[{"type": "file_system", "approval": "always"}])
            await stack.agent("delegating", toolsets=[{"type": "task", "agents": ["demo"]}])
            await stack.agent("homeless", runtime="scripted", model_id="none")
            for kind in kinds:
                await _save(stack, await KINDS[kind](stack), f"{version}-{kind}")


async def _save(stack: Stack, execution: str, name: str) -> None:
    await asyncio.sleep(1)
    workflow_id = (await stack.get(execution))["workflow_id"]
    first = [run async for run in stack.temporal.list_workflows(f"WorkflowId='{workflow_id}'")][-1]
    history = await stack.temporal.get_workflow_handle(workflow_id, run_id=first.run_id).fetch_history()
    (HERE / f"{name}.json").write_text(history.to_json())
    print(f"{name}: {len(history.events)} events")


if __name__ == "__main__":
    asyncio.run(_record(sys.argv[1], sys.argv[2:] or list(KINDS)))

"""One example of each answer, for the OpenAPI document."""

from typing import Any

from control_plane.api.agents.schemas import EXAMPLE as NEW_AGENT
from control_plane.api.templates.schemas import EXAMPLE as NEW_TEMPLATE

AGENT_ID = "01a1fc59-5b47-7662-aa3d-035e4b201bd4"
SESSION_ID = "01a1fc75-068f-71dd-b826-b4e21cef6a02"
EXECUTION_ID = "01a1fc75-0691-7bb3-9a0c-6f6e2d1c8f55"
MESSAGE_ID = "39ec40b1-77c3-5cd4-8c54-c329789923c0"
APPROVAL_ID = "5f0d7c0e-3a51-5b0c-9d3c-0f27b2a4f6e1"
KEY_ID = "01a1fc58-cf14-70a9-a552-ba7325dc0bb8"
MORNING, LATER = "2026-11-21T09:30:00.125Z", "2026-11-21T09:30:02.480Z"

Example = dict[str, Any]

USAGE: Example = {
    "input_tokens": 812,
    "output_tokens": 64,
    "cached_input_tokens": 512,
    "reasoning_tokens": 0,
    "model_calls": 2,
    "tool_calls": 1,
    "cost_usd": 0.0016,
    "known_cost_usd": 0.0016,
    "reserved_tokens": 0,
    "reserved_cost_usd": 0.0,
}
AGENT: Example = NEW_AGENT | {
    "id": AGENT_ID,
    "template": "customer-service-bot",
    "version": 3,
    "created_at": MORNING,
    "updated_at": LATER,
    "warnings": [],
}
TEMPLATE: Example = NEW_TEMPLATE | {"built_in": False, "created_at": MORNING, "updated_at": LATER, "warnings": []}
RESOLUTION: Example = {
    "runtime": "default",
    "stage": "default",
    "pool": "default",
    "task_queue": "holdfast.default",
    "deploy": None,
    "required": {"tools": "toolset file_system"},
    "candidates": [
        {
            "runtime": "default",
            "stage": "default",
            "taken": True,
            "score": {"configuration": 100, "capabilities": 20, "weight": 0, "capacity": 9, "total": 129},
            "pools": ["default"],
            "reason": "taken, on pool default",
        }
    ],
}
EXECUTION: Example = {
    "id": EXECUTION_ID,
    "agent_id": AGENT_ID,
    "agent_name": "support",
    "agent_version": 3,
    "session_id": SESSION_ID,
    "workflow_id": f"agent-execution/{EXECUTION_ID}",
    "runtime": "default",
    "task_queue": "holdfast.default",
    "resolution": RESOLUTION,
    "interactive": False,
    "status": "completed",
    "source": "api",
    "metadata": {"customer": "4711"},
    "attempt": 1,
    "turn": 1,
    "last_seq": 9,
    "response": "It has been sent.",
    "output": None,
    "model": "gpt-5.4-mini",
    "finish_reason": "stop",
    "error": None,
    "usage": USAGE,
    "seconds": 2.3,
    "budget": {"tokens": 20000},
    "output_schema": None,
    "priority": 3,
    "parent_id": None,
    "created_at": MORNING,
    "started_at": MORNING,
    "finished_at": LATER,
    "warnings": [],
}
RESULT: Example = {
    "success": True,
    "execution_id": EXECUTION_ID,
    "session_id": SESSION_ID,
    "response": "It has been sent.",
    "usage": USAGE,
    "tool_messages": [
        {
            "tool_call_id": "call_1",
            "name": "read_file",
            "arguments": '{"path": "orders.csv"}',
            "result": "4711,sent",
            "is_error": False,
        }
    ],
    "model": "gpt-5.4-mini",
    "runtime": "default",
    "finish_reason": "stop",
    "error": None,
    "metadata": {"customer": "4711"},
}
APPROVAL: Example = {
    "id": APPROVAL_ID,
    "execution_id": EXECUTION_ID,
    "agent_name": "support",
    "turn": 1,
    "kind": "tool_call",
    "name": "write_file",
    "key": "call_2",
    "digest": "6a1f0c9d2be37c55",
    "detail": {"tool_call_id": "call_2", "arguments": {"path": "orders.csv", "text": "4711,cancelled"}},
    "status": "pending",
    "note": "",
    "limit": None,
    "decided_by": None,
    "decided_at": None,
    "created_at": MORNING,
    "expires_at": "2026-11-28T09:30:00.125Z",
    "warnings": [],
}
STEP: Example = {
    "execution_id": EXECUTION_ID,
    "turn": 1,
    "ordinal": 2,
    "attempt": 1,
    "kind": "tool_call",
    "status": "done",
    "name": "read_file",
    "key": "call_1",
    "effect": "read_only",
    "usage": dict.fromkeys(USAGE, 0) | {"tool_calls": 1},
    "timings": {"total": 0.012},
    "error": None,
    "started_at": MORNING,
    "ended_at": LATER,
}
SESSION: Example = {
    "id": SESSION_ID,
    "agent_id": AGENT_ID,
    "title": "Where is my order?",
    "metadata": {},
    "created_at": MORNING,
    "updated_at": LATER,
}
MESSAGE: Example = {
    "id": MESSAGE_ID,
    "execution_id": EXECUTION_ID,
    "turn": 1,
    "role": "assistant",
    "content": "It has been sent.",
    "created_at": LATER,
}
KEY: Example = {
    "id": KEY_ID,
    "name": "dashboard",
    "prefix": "hf_0Ab3dEfG",
    "scopes": ["read"],
    "expires_at": None,
    "revoked_at": None,
    "created_at": MORNING,
}
SECRET: Example = {"name": "GITHUB", "version": 2, "moved": False, "created_at": MORNING, "updated_at": LATER}
RUNTIME: Example = {
    "name": "default",
    "title": "Agno",
    "origin": "built in",
    "requirement": "holdfast[agno]",
    "package": "agno",
    "versions": ">=3.1.10,<3.2",
    "python": ">=3.11",
    "contract": 1,
    "extra": "agno",
    "capabilities": ["hitl", "mcp", "memory", "resume", "streaming", "structured_output", "tools"],
    "wires": ["anthropic", "openai"],
    "templates": ["chat-assistant", "generic-conversation"],
    "weight": 0,
    "settings": {"tool_call_limit": {"type": "integer", "minimum": 1}},
    "environment": {"AGNO_TELEMETRY": "false"},
    "memory_mb": 10,
    "slots": 100,
    "installed_version": "",
    "installed_versions": ["3.1.10"],
    "unsupported_versions": [],
    "live": True,
    "workers": 2,
    "pools": ["default"],
}
POOL: Example = {
    "pool": "default",
    "task_queue": "holdfast.default",
    "kind": "runtime",
    "workers": 2,
    "slots": 200,
    "running": 17,
    "runtimes": ["default"],
    "build_ids": ["7c2e9b1"],
    "draining": 0,
    "seen_at": LATER,
}
WORKER: Example = {
    "id": "default-agents-7d9f-1-3fa2c1",
    "host": "agents-7d9f",
    "pid": 1,
    "version": "0.2.0",
    "deployment": "holdfast-default",
    "build_id": "7c2e9b1",
    "slots": 100,
    "running": 9,
    "memory_limit": 4_294_967_296,
    "memory_used": 612_368_384,
    "runtimes": [{"name": "default", "version": "3.1.10", "capabilities": ["streaming", "tools"]}],
    "draining": False,
    "drain_requested_at": None,
    "drain_requested_by": None,
    "started_at": MORNING,
    "seen_at": LATER,
}


def _page(item: Example) -> Example:
    return {"items": [item], "next_cursor": None}


METRICS: Example = {
    "execution_id": EXECUTION_ID,
    "status": "completed",
    "runtime": "default",
    "queued_seconds": 0.021,
    "first_token_seconds": 0.612,
    "running_seconds": 3.408,
    "total_seconds": 3.431,
    "turns": 1,
    "attempts": {"total": 2, "lost": 1, "by_status": {"lost": 1, "completed": 1}},
    "model_calls": {"total": 2, "completed": 2, "failed": 0, "cached": 0, "replayable": 1, "seconds": 2.97},
    "tool_calls": {"write_file": {"completed": 1, "failed": 0, "unknown": 0, "running": 0, "replayable": 1}},
    "usage": USAGE,
    "output_tokens_per_second": 14.1,
    "errors": {},
}

#: By the name of the answer's schema.
ANSWERS: dict[str, Example] = {
    "Agent": AGENT,
    "AgentPage": _page(AGENT),
    "Template": TEMPLATE,
    "TemplatePage": _page(TEMPLATE),
    "Resolution": RESOLUTION,
    "Execution": EXECUTION,
    "ExecutionPage": _page(EXECUTION),
    "ExecutionPending": {"execution_id": EXECUTION_ID, "status": "running"},
    "AgentExecutionResult": RESULT,
    "MessageQueued": {"message_id": MESSAGE_ID, "execution_id": EXECUTION_ID, "status": "queued"},
    "Approval": APPROVAL,
    "ApprovalPage": _page(APPROVAL),
    "Step": STEP | {"request": {"arguments": {"path": "orders.csv"}}, "response": {"text": "4711,sent"}},
    "StepPage": _page(STEP),
    "ExecutionMetrics": METRICS,
    "Session": SESSION,
    "SessionPage": _page(SESSION),
    "SessionMessagePage": _page(MESSAGE),
    "NewKey": KEY | {"key": "hf_0Ab3dEfGh1JkLmN0pQrStUvWxYz0123456789abcdef"},
    "KeyPage": _page(KEY),
    "Secret": SECRET,
    "SecretPage": _page(SECRET),
    "Runtime": RUNTIME,
    "RuntimeList": {"items": [RUNTIME], "broken": []},
    "WorkerPoolList": {"items": [POOL]},
    "WorkerPoolDetail": POOL | {"workers": 1, "slots": 100, "running": 9, "live_workers": [WORKER]},
    "Health": {"status": "ok"},
    "Readiness": {"status": "ok", "installation_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7"},
    "RuntimeHealth": {"runtimes": {"default": True, "scripted": False}},
    "ModelHealth": {"providers": {"openai": True, "anthropic": False}},
}

#: Two events of a log as they are streamed.
STREAM = """\
id: 3.10
event: message.delta
data: {"type":"message.delta","attempt":1,"data":{"message":0,"offset":0,"text":"It has bee"}}

id: 4
event: message.completed
data: {"seq":4,"turn":1,"attempt":1,"type":"message.completed","data":{"message":0,"text":"It has been sent."}}

"""

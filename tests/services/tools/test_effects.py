"""What running a tool's call once more would do, and who decides whether it runs."""

from pathlib import Path
from typing import Any

from runtimes.types import Effect
from services.tools.spec import ApprovalRule, Call, ToolSpec
from services.tools.toolsets import Toolsets
from tests.services.tools.sample_functions import TENANT

SAMPLES = "tests.services.tools.sample_functions"


def tools(kind: str, **fields: Any) -> dict[str, ToolSpec]:
    specs = Toolsets([SAMPLES]).build([{"type": kind, **fields}], Path("/nonexistent"))
    return {spec.name: spec for spec in specs}


def test_files_that_are_only_looked_at_stay_as_they_are() -> None:
    specs = tools("file_system")

    assert {name: (spec.effect, spec.writes) for name, spec in specs.items()} == {
        "read_file": (Effect.READ_ONLY, False),
        "write_file": (Effect.IDEMPOTENT, True),
        "edit_file": (Effect.AT_MOST_ONCE, True),
        "list_files": (Effect.READ_ONLY, False),
        "search_files": (Effect.READ_ONLY, False),
    }


def test_a_function_is_run_once_unless_its_toolset_says_more() -> None:
    assert tools("python", functions=[f"{SAMPLES}:add"])["add"].effect is Effect.AT_MOST_ONCE
    assert tools("python", functions=[f"{SAMPLES}:add"], effect="read_only")["add"].effect is Effect.READ_ONLY


def test_one_tool_may_differ_from_its_toolset() -> None:
    differs = {"approval": "never", "effect": "read_only", "timeout_seconds": 3, "output_limit": 200}
    specs = tools("file_system", approval="always", timeout_seconds=9, tools={"edit_file": differs})

    edit, write = specs["edit_file"], specs["write_file"]
    assert (edit.approval, edit.effect, edit.timeout_seconds, edit.output_limit) == ("never", "read_only", 3, 200)
    assert (write.approval, write.effect, write.timeout_seconds) == (ApprovalRule.ALWAYS, "idempotent", 9)


def test_the_policy_of_most_toolsets_asks_for_all_that_has_an_effect() -> None:
    asked = {name for name, spec in tools("file_system", approval="policy").items() if spec.needs_approval({})}

    assert asked == {"write_file", "edit_file"}


async def test_a_function_gets_the_idempotency_key_which_no_model_sees() -> None:
    pay = tools("python", functions=[f"{SAMPLES}:pay"])["pay"]

    assert list(pay.parameters["properties"]) == ["amount"]
    assert pay.parameters["required"] == ["amount"]
    assert await pay.handler({"amount": 5}, Call("call_1", "key-1")) == "paid 5 as key-1"
    assert await pay.handler({"amount": 5, "idempotency_key": "forged"}, Call("call_1", "key-1")) == "paid 5 as key-1"


async def test_context_variables_reach_the_threads() -> None:
    tenant = tools("python", functions=[f"{SAMPLES}:tenant"])["tenant"]
    token = TENANT.set("acme")

    seen = await tenant.handler({}, Call("call_1", "key-1"))

    TENANT.reset(token)
    assert seen == "acme"

"""The toolset `python`."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from runtimes.errors import ToolsetInvalid
from services.tools.spec import Call, ToolSpec
from services.tools.toolsets import Toolsets

CALL = Call("call_1", "key-1")
SAMPLES = "tests.services.tools.sample_functions"


def built(*functions: str, allowed: str = SAMPLES, **fields: Any) -> list[ToolSpec]:
    toolset = {"type": "python", "functions": list(functions), **fields}
    return Toolsets([allowed]).build([toolset], Path("/nonexistent"))


def test_a_function_becomes_a_tool() -> None:
    (add,) = built(f"{SAMPLES}:add", timeout_seconds=5.0)

    assert (add.name, add.description, add.timeout_seconds) == ("add", "Add two numbers.", 5.0)
    assert add.parameters["required"] == ["first"]
    assert add.parameters["properties"]["second"] == {"default": 2, "title": "Second", "type": "integer"}
    assert add.parameters["additionalProperties"] is False


async def test_results_are_text_for_the_model() -> None:
    add, weather = built(f"{SAMPLES}:add", f"{SAMPLES}:weather")

    assert await add.handler({"first": 40}, CALL) == "42"
    assert json.loads(await weather.handler({"city": "Graz"}, CALL)) == {"city": "Graz", "unit": "celsius"}


async def test_a_plain_function_does_not_hold_the_event_loop() -> None:
    (thread_name,) = built(f"{SAMPLES}:thread_name")

    assert "MainThread" not in await thread_name.handler({}, CALL)


@pytest.mark.parametrize("allowed", ["tests", "tests.services", "tests.services.tools", "tests.services.*", SAMPLES])
def test_modules_below_an_allowed_one_are_allowed(allowed: str) -> None:
    assert len(built(f"{SAMPLES}:add", allowed=allowed)) == 1


@pytest.mark.parametrize(
    "path",
    [
        "os:system",
        "subprocess:run",
        "builtins:eval",
        f"{SAMPLES}_more:add",
        "tests.services.tool:add",
        "antigravity:fly",
    ],
)
def test_other_modules_are_not_even_imported(path: str) -> None:
    with pytest.raises(ToolsetInvalid) as raised:
        built(path)

    assert SAMPLES in raised.value.hint
    assert "antigravity" not in sys.modules


def test_without_the_setting_nothing_is_allowed() -> None:
    with pytest.raises(ToolsetInvalid, match="allows no functions"):
        Toolsets().build([{"type": "python", "functions": [f"{SAMPLES}:add"]}], Path("/nonexistent"))


@pytest.mark.parametrize("name", ["rmtree", "asyncio", "Callable", "an_object", "Unit", "no_such_name", "Iterator"])
def test_what_an_allowed_module_only_imports_is_no_tool(name: str) -> None:
    with pytest.raises(ToolsetInvalid, match="is no function that module"):
        built(f"{SAMPLES}:{name}")


@pytest.mark.parametrize(
    "path",
    [
        f"{SAMPLES}:_private",
        f"{SAMPLES}:add.__globals__",
        f"{SAMPLES}:",
        SAMPLES,
        "../secret:add",
        "",
        f"{SAMPLES}:add\n",
        f"{SAMPLES}:ädd",
    ],
)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ToolsetInvalid, match="is no path to a function"):
        built(path)


@pytest.mark.parametrize("name", ["starred", "untyped", "strange", "generator"])
def test_a_signature_that_no_model_can_fill_is_refused(name: str) -> None:
    with pytest.raises(ToolsetInvalid, match=name):
        built(f"{SAMPLES}:{name}")


def test_a_module_that_cannot_be_imported_is_told() -> None:
    with pytest.raises(ToolsetInvalid, match="cannot be imported: ModuleNotFoundError"):
        built("tests.services.tools.nowhere:add", allowed="tests")

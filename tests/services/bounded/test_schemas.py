"""Schemas and values that nobody trusts."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import psutil
import pytest

from services.bounded.checker import Checker, check_schema
from services.bounded.process import BoundedProcesses, WorkUnbounded
from tests.services.bounded.hostile import TREE, TWICE, deep, doubled, woven

PROCESSES = BoundedProcesses()
REFUSED: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "doubled": (doubled(20), "more than 10000 schemas"),
    "doubled below unknown words": ({"x": {"y": doubled(20)["$defs"]}, **doubled(20)}, "more than 10000 schemas"),
    "woven": (woven(12), "more than 10000 schemas"),
    "long": ({"enum": ["x" * 600_000]}, "bytes"),
    "deep": (deep(150, "not"), "levels deep"),
    "remote": ({"$ref": "http://example.com/schema"}, "must not refer to"),
    "of a file": ({"$ref": "file:///etc/passwd"}, "must not refer to"),
    "with a base of its own": ({"properties": {"a": {"$id": "http://x/", "$ref": "#/$defs/b"}}}, "must not contain"),
    "dynamic": ({"$dynamicRef": "#node"}, "must not contain"),
    "nowhere": ({"$ref": "#/$defs/none"}, "there is no schema"),
    "expressions": ({"properties": {f"p{i}": {"pattern": f"a{i}"} for i in range(300)}}, "regular expressions"),
    "large expressions": (
        {"properties": {f"p{i}": {"pattern": f"\\p{{L}}{{{100 + i}}}"} for i in range(40)}},
        "regular expressions are large",
    ),
    "no schema": ({"type": "strin"}, r"^'/type' is not valid: a type is one of array, [a-z, ]+\Z"),
    "no list": ({"properties": {"type": {"required": "a"}}}, r"^'/properties/type/required' is not valid: [^\n]+\Z"),
}
USABLE: Mapping[str, tuple[Mapping[str, Any], Any]] = {
    "tree": (TREE, {"name": "a", "below": [{"name": "b"}]}),
    "names like keywords": ({"properties": {"$ref": {"type": "string"}, "$id": {}, "enum": {"type": "integer"}}}, {}),
    "with an id": ({"$id": "https://example.com/s", "$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}, "x"),
    "escaped": ({"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": {"type": "string"}}}, "x"),
    "booleans": ({"properties": {"a": True, "b": {"$ref": "#/$defs/any"}}, "$defs": {"any": True}}, {"a": 1}),
    "shared often": (doubled(6), "x"),
    "long numbers": ({"type": "integer"}, 12345678901234567890123456789),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_too_large_or_unclear_is_refused_at_once(name: str) -> None:
    schema, why = REFUSED[name]
    began = time.perf_counter()

    with pytest.raises(ValueError, match=why):
        check_schema(schema)

    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("name", USABLE)
async def test_usable_schemas_stay_usable(name: str) -> None:
    schema, value = USABLE[name]

    assert await Checker(schema, PROCESSES).mistakes(value, 5, 100) == []


async def test_the_first_mistakes_are_told_the_same_way_in_either_place() -> None:
    here = Checker({"items": {"type": "string"}}, PROCESSES)
    there = Checker({"items": {"type": "string"}, "properties": {"a": {"$ref": "#"}}}, PROCESSES)

    mistakes = await here.mistakes([1, 2, 3], 2, 100)

    assert mistakes == [("/0", '1 is not of type "string"'), ("/1", '2 is not of type "string"')]
    assert await there.mistakes([1, 2, 3], 2, 100) == mistakes


async def test_a_check_without_end_ends_and_holds_nobody_up() -> None:
    checker, other = Checker(TWICE, PROCESSES), Checker({"type": "object"}, PROCESSES)
    slowest = 0.0
    hostile = [asyncio.create_task(checker.mistakes(deep(24), 5, 100)) for _ in range(6)]

    while not all(task.done() for task in hostile):
        began = time.perf_counter()
        assert await other.mistakes({}, 5, 100) == []
        await asyncio.sleep(0.01)
        slowest = max(slowest, time.perf_counter() - began)

    for task in hostile:
        with pytest.raises(WorkUnbounded):
            await task
    assert slowest < 0.5


async def test_no_job_has_the_workers_environment_or_files() -> None:
    """A job's process comes from one that never had them."""
    processes = BoundedProcesses()
    await processes.run("page_text", b"<p>x", content_type="text/html", charset=None)

    for each in servers():
        assert set(each.environ()) == {"PATH", "LANG"}
        assert each.open_files() == []
        assert each.net_connections("inet") == []


async def test_it_is_started_anew_where_it_was_killed() -> None:
    processes = BoundedProcesses()
    await processes.run("page_text", b"<p>x", content_type="text/html", charset=None)

    for each in servers():
        each.kill()
        each.wait()

    assert await processes.run("page_text", b"<p>y", content_type="text/html", charset=None) == "y"


def servers() -> list[psutil.Process]:
    """Processes that make those of jobs, as far as they live."""
    alive = [each for each in psutil.Process().children() if each.status() != psutil.STATUS_ZOMBIE]
    return [each for each in alive if "services.bounded.server" in " ".join(each.cmdline())]

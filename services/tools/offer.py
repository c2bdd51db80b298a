"""The tools that a turn has offered to its model: later attempts offer the same, whatever there is by then."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn, cast

from runtimes.types import Effect
from services.tools.absent import Absent
from services.tools.spec import ApprovalRule, Call, ToolFailed, ToolSpec

#: Characters of the reasons that a model is told.
_REASON_LIMIT = 1000
_GONE = "The tool '{name}' cannot be called any more: it is not there as it was when the turn began. {reason}"
#: Fields of a tool that are kept as they are.
_KEPT = ("name", "description", "writes", "timeout_seconds", "output_limit", "label")


def written(specs: Sequence[ToolSpec]) -> bytes:
    """The tools as they are kept; the order of their schemas' keys is kept, too."""
    return json.dumps([_row(spec) for spec in specs]).encode()


def restored(kept: bytes, specs: Sequence[ToolSpec], absent: Sequence[Absent]) -> list[ToolSpec]:
    """The tools as an earlier attempt has offered them, with what runs them now.

    A tool that is gone, or that takes other arguments by now, answers each call with an error; `absent` tells why
    some are not there, and each call of one looks whether it is there again.
    """
    rows = cast("list[dict[str, Any]]", json.loads(kept))
    live = {spec.name: spec for spec in specs}
    return [_tool(row, live.get(row["name"]), absent) for row in rows]


def _row(spec: ToolSpec) -> dict[str, Any]:
    own = {name: getattr(spec, name) for name in _KEPT}
    return {**own, "parameters": spec.parameters, "effect": spec.effect.value, "approval": spec.approval.value}


def _tool(row: Mapping[str, Any], live: ToolSpec | None, absent: Sequence[Absent]) -> ToolSpec:
    fields = {name: row[name] for name in (*_KEPT, "parameters")}
    rules: dict[str, Any] = {"effect": Effect(row["effect"]), "approval": ApprovalRule(row["approval"])}
    if live is not None and json.loads(json.dumps(live.parameters)) == row["parameters"]:
        return replace(live, **fields, **rules)
    why = " ".join(each.reason for each in absent)[:_REASON_LIMIT]
    reason = "It takes other arguments now." if live is not None else why
    gone = _GONE.format(name=row["name"], reason=reason).strip()
    again = partial(_again, row, absent) if any(each.may_have(row["name"]) for each in absent) else None
    return ToolSpec(**fields, **rules, handler=_refuse, gone=gone, again=again)


async def _again(row: Mapping[str, Any], absent: Sequence[Absent]) -> ToolSpec:
    """The tool as it is now, after another look at the servers that it may belong to."""
    for each in absent:
        if each.may_have(row["name"]) and (live := await each.tool(row["name"])) is not None:
            return _tool(row, live, absent)
    return _tool(row, None, absent)


async def _refuse(_: Mapping[str, Any], __: Call) -> NoReturn:
    raise ToolFailed("The tool is gone.")

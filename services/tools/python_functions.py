"""The toolset `python`: plain functions of modules that the worker's operator allows."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any, cast

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic_core import ArgsKwargs, to_json

from runtimes.errors import ToolsetInvalid
from runtimes.import_paths import check_path, module_at
from runtimes.types import Effect
from services.tools.configuration import PythonToolset
from services.tools.spec import Call, ToolSpec
from services.tools.threads import in_thread

#: The parameter that Holdfast fills itself, with the call's idempotency key.
KEY = "idempotency_key"
_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def python_tools(wanted: PythonToolset, allowed: Sequence[str], threads: Executor) -> list[ToolSpec]:
    """Tools for `package.module:function` paths; `allowed` are modules, with all that is below them.

    Functions that are no coroutines run in `threads`, with the caller's context variables; nothing can stop them
    there. A function's parameter
    `idempotency_key` is not the model's to fill.

    Raises:
        ToolsetInvalid: a path leads to what is not allowed or is no plain function.
    """
    functions = {path: _function(path, allowed) for path in wanted.functions}
    return [_tool(path, function, wanted, threads) for path, function in functions.items()]


def check_allowed(path: str, allowed: Sequence[str]) -> None:
    """Accept a path to a function of an allowed module, whether or not there is such a function.

    Raises:
        ToolsetInvalid: it is no path, or leads to a module that is not allowed.
    """
    check_path(path, allowed, "function", ToolsetInvalid)


def _function(path: str, allowed: Sequence[str]) -> Callable[..., Any]:
    check_allowed(path, allowed)
    module_name, _, name = path.partition(":")
    found = getattr(module_at(path, ToolsetInvalid), name, None)
    if not inspect.isfunction(found) or found.__module__ != module_name:
        raise ToolsetInvalid(
            f"'{path}' is no function that module '{module_name}' defines itself.",
            hint="Functions that a module only imports, classes and other callables are no tools.",
        )
    return found


def _tool(path: str, function: Callable[..., Any], wanted: PythonToolset, threads: Executor) -> ToolSpec:
    _check_signature(path, function)
    try:
        adapter = TypeAdapter[Any](cast("Any", function))
        parameters = _without_key(adapter.json_schema())
    except (PydanticUserError, NameError) as error:
        raise ToolsetInvalid(f"The types of '{path}' have no JSON schema: {str(error)[:300]}") from error
    is_async = inspect.iscoroutinefunction(function)
    run = _run_async if is_async else partial(_run_in_thread, threads)
    return ToolSpec(
        name=function.__name__,
        description=inspect.getdoc(function) or "",
        parameters=parameters,
        handler=partial(_run, partial(run, adapter), keyed=KEY in inspect.signature(function).parameters),
        effect=Effect(wanted.effect),
        timeout_seconds=wanted.seconds_of(function.__name__),
        stops=is_async,
    )


def _without_key(schema: dict[str, Any]) -> dict[str, Any]:
    properties = {name: value for name, value in schema.get("properties", {}).items() if name != KEY}
    required = [name for name in schema.get("required", ()) if name != KEY]
    return schema | {"properties": properties, "required": required}


def _check_signature(path: str, function: Callable[..., Any]) -> None:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ToolsetInvalid(f"'{path}' is a generator; a tool returns its result.")
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in _KINDS or parameter.annotation is inspect.Parameter.empty:
            raise ToolsetInvalid(
                f"Parameter '{parameter.name}' of '{path}' cannot be filled by a model.",
                hint="Each parameter of a tool has a name and a type; *args, **kwargs and / are not possible.",
            )


async def _run(
    run: Callable[[ArgsKwargs], Awaitable[Any]], arguments: Mapping[str, Any], call: Call, *, keyed: bool
) -> str:
    given = {**arguments, KEY: call.idempotency_key} if keyed else dict(arguments)
    result = await run(ArgsKwargs((), given))
    return result if isinstance(result, str) else to_json(result, fallback=str).decode()


async def _run_async(adapter: TypeAdapter[Any], arguments: ArgsKwargs) -> Any:
    return await adapter.validate_python(arguments)


async def _run_in_thread(threads: Executor, adapter: TypeAdapter[Any], arguments: ArgsKwargs) -> Any:
    return await in_thread(threads, partial(adapter.validate_python, arguments))

"""Objects that agents name by import path, of modules that the worker's operator allows."""

import re
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, TypeVar

from runtimes.discreet import discreet
from runtimes.errors import ConfigurationInvalid
from runtimes.meant import meant

T = TypeVar("T")

#: `package.module:name`.
IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z]\w{0,63}", re.ASCII)


def check_path(path: str, allowed: Sequence[str], what: str, refusal: type[ConfigurationInvalid]) -> None:
    """Accept a path `package.module:name` into allowed modules, whether or not there is something.

    `what` is the word for what is looked for; `allowed` are modules, with all that is below them.
    """
    if not IMPORT_PATH.fullmatch(path):
        raise refusal(f"'{path[:200]}' is no path to a {what}.", hint=f"Write package.module:{what}.")
    module_name = path.partition(":")[0]
    if not any(module_name == prefix or module_name.startswith(f"{prefix}.") for prefix in allowed):
        raise refusal(f"The worker allows no {what}s of module '{module_name}'.", hint=_remedy(allowed))


def module_at(path: str, refusal: type[ConfigurationInvalid]) -> Any:
    """The module of a path that was accepted."""
    name = path.partition(":")[0]
    return refused_as(refusal, f"Module '{name}' cannot be imported", lambda: import_module(name))


def refused_as(refusal: type[ConfigurationInvalid], told: str, work: Callable[[], T]) -> T:
    """Give the result of somebody else's code; an exception of it is a refusal, which `told` begins."""
    try:
        return work()
    except SystemExit as error:
        raise refusal(f"{told}: it ends the process.") from error
    except Exception as error:
        said, hidden = discreet(f"{type(error).__name__}: {error}")
        raise refusal(f"{told}: {said}", private=", ".join(hidden)) from error


def object_at(path: str, allowed: Sequence[str], what: str) -> Any:
    """What a path leads to.

    Raises:
        ConfigurationInvalid: it is no path, its module is not allowed, or nothing is there.
    """
    check_path(path, allowed, what, ConfigurationInvalid)
    module, name = module_at(path, ConfigurationInvalid), path.partition(":")[2]
    if not hasattr(module, name):
        public = [each for each in dir(module) if not each.startswith("_")]
        raise ConfigurationInvalid(f"Module '{module.__name__}' has no '{name}'. {meant(name, public)}".rstrip())
    return getattr(module, name)


def _remedy(allowed: Sequence[str]) -> str:
    names = f"Allowed are: {', '.join(allowed)}." if allowed else "It allows no modules at all."
    return f"{names} The setting is HOLDFAST_PYTHON_TOOL_MODULES, on the worker."

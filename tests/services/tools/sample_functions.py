"""Functions that the tests offer as tools."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from shutil import rmtree
from typing import Any, Literal

Unit = Literal["celsius", "fahrenheit"]
__all__ = ["rmtree"]
TENANT: ContextVar[str] = ContextVar("tenant", default="nobody")


def add(first: int, second: int = 2) -> int:
    """Add two numbers."""
    return first + second


async def weather(city: str, *, unit: Unit = "celsius") -> dict[str, str]:
    """Tell the weather."""
    await asyncio.sleep(0)
    return {"city": city, "unit": unit}


def pay(amount: int, idempotency_key: str) -> str:
    """Pay once."""
    return f"paid {amount} as {idempotency_key}"


def tenant() -> str:
    return TENANT.get()


def rest(seconds: float) -> str:
    """Block a thread."""
    time.sleep(seconds)
    return "rested"


def thread_name() -> str:
    return threading.current_thread().name


def explode(word: str) -> str:
    raise LookupError(f"no {word} at /etc/secret")


def starred(*words: str) -> str:
    return "".join(words)


def untyped(word) -> str:  # type: ignore # noqa: ANN001
    return str(word)  # pyright: ignore


def strange(thing: threading.Thread) -> str:
    return str(thing)


def generator() -> Iterator[int]:
    yield 1


def _private(word: str) -> str:
    return word


class Callable:
    def __call__(self, word: str) -> str:
        return word


an_object: Any = Callable()
renamed = _private

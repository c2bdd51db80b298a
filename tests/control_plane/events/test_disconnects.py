"""Readers that go away in the middle of a query leave nothing broken behind."""

import asyncio
import random

import httpx
import pytest

from tests.readers import Reader
from tests.stack import Stack

READERS, ROUNDS = 8, 12
#: What the pool says of a connection that was cut off in a query.
BROKEN = ("Exception during reset or similar", "query cancellation interrupted", "Traceback")


@pytest.mark.timeout(200)
async def test_readers_that_go_away_break_no_connection(stack: Stack) -> None:
    execution = await stack.start("[[emit 60000 @100]]")
    await stack.until_event(execution, "message.delta")
    log = stack.processes["api"].log
    before = len(log.read_text())

    await asyncio.gather(*(_come_and_go(stack, execution, seed) for seed in range(READERS)))
    await stack.http.post(f"/api/v1/executions/{execution}/cancel")
    await stack.until_status(execution, "cancelled")

    said = log.read_text()[before:]
    assert [sign for sign in BROKEN if sign in said] == []


async def _come_and_go(stack: Stack, execution: str, seed: int) -> None:
    """Connect again and again, and hang up a moment later."""
    choices = random.Random(seed)
    async with httpx.AsyncClient(base_url=stack.api_url, headers=stack.http.headers, trust_env=False) as client:
        for _ in range(ROUNDS):
            await Reader(execution).read(client, choices.randint(1, 30))

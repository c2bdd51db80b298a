import asyncio
import signal

import httpx
import pytest

from tests.services.scripted_model.conftest import Provider, launched


def chat(prompt: str) -> dict[str, object]:
    return {"model": "m", "stream": True, "messages": [{"role": "user", "content": prompt}]}


async def test_a_hundred_streams_pause_at_the_same_time(provider: Provider) -> None:
    async def call(number: int) -> str:
        response = await http.post("/v1/chat/completions", json=chat(f"[[say {number};; wait 1;; say after]]"))
        return response.text

    started = asyncio.get_running_loop().time()
    async with httpx.AsyncClient(base_url=provider.url, timeout=30, limits=httpx.Limits(max_connections=100)) as http:
        answers = await asyncio.gather(*map(call, range(100)))
    took = asyncio.get_running_loop().time() - started

    assert all("data: [DONE]" in answer for answer in answers)
    assert 1 <= took < 10


async def test_a_stream_at_full_speed_lets_others_through(provider: Provider) -> None:
    flood = asyncio.create_task(provider.http.post("/v1/messages", json=chat("[[emit 200000]]")))
    await provider.last_request("emit 200000", "running")

    short = await provider.http.post("/v1/messages", json=chat("[[say me too]]"))

    assert "me" in short.text
    assert not flood.done()
    assert (await flood).text.count("text_delta") == 200_000


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_cleanly_and_soon_even_when_calls_hang(signal_number: int) -> None:
    async with launched() as provider:
        prompts = ("[[hang]]", "[[say begun;; hang]]", "[[emit 1000 @10]]")
        calls = [asyncio.create_task(provider.http.post("/v1/messages", json=chat(prompt))) for prompt in prompts]
        await asyncio.gather(*(provider.last_request(prompt, "running") for prompt in prompts))

        provider.process.send_signal(signal_number)
        async with asyncio.timeout(5):
            code = await provider.process.wait()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert code == 0
    assert all(isinstance(outcome, httpx.TransportError) for outcome in outcomes)


async def test_it_says_that_it_is_healthy(provider: Provider) -> None:
    response = await provider.http.get("/health")

    assert response.json() == {"status": "ok"}

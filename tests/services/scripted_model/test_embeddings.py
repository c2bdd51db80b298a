import math
from typing import Any

import openai as sdk
import pytest
from openai import AsyncOpenAI

from tests.services.scripted_model.conftest import Provider


async def embed(client: AsyncOpenAI, text: Any, **more: Any) -> list[list[float]]:
    answer = await client.embeddings.create(model="any-model", input=text, **more)
    return [item.embedding for item in answer.data]


async def test_the_same_text_has_the_same_vector_and_another_text_another_one(openai: AsyncOpenAI) -> None:
    [one, two], [again] = await embed(openai, ["one", "two"]), await embed(openai, "one")

    assert again == one != two
    assert len(one) == 256
    assert math.isclose(math.hypot(*one), 1, rel_tol=1e-5)


async def test_vectors_come_as_numbers_or_packed_and_as_long_as_asked_for(openai: AsyncOpenAI) -> None:
    [plain] = await embed(openai, "text", encoding_format="float", dimensions=8)
    [packed] = await embed(openai, "text", dimensions=8)

    assert plain == pytest.approx(packed, rel=1e-5)
    assert len(plain) == 8


@pytest.mark.parametrize("tokens", [[1, 2], [[1, 2], [3]]])
async def test_tokens_are_embedded_too(openai: AsyncOpenAI, tokens: list[Any]) -> None:
    vectors = await embed(openai, tokens)

    assert len(vectors) == (1 if tokens == [1, 2] else 2)


async def test_directions_fail_a_call_and_tell_its_usage(openai: AsyncOpenAI) -> None:
    with pytest.raises(sdk.RateLimitError):
        await embed(openai, ["harmless", "[[error 429 times 1;; usage 7 0]] embedded"])
    answer = await openai.embeddings.create(model="m", input=["harmless", "[[error 429 times 1;; usage 7 0]] embedded"])

    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (7, 7)


async def test_embeddings_are_logged_as_what_they_are(openai: AsyncOpenAI, provider: Provider) -> None:
    await embed(openai, "a text to be logged")

    [logged] = await provider.requests(contains="to be logged", kind="embedding")
    assert (logged["path"], logged["outcome"], logged["tokens_sent"]) == ("/v1/embeddings", "completed", 0)
    assert await provider.requests(contains="to be logged", kind="answer") == []


@pytest.mark.parametrize("body", [{"model": "m"}, {"model": "m", "input": []}, {"model": "m", "input": {}}])
async def test_a_request_that_is_none_is_refused(provider: Provider, body: dict[str, Any]) -> None:
    answer = await provider.http.post("/v1/embeddings", json=body)

    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")

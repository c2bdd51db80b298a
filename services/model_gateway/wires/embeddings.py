"""The OpenAI wire: embeddings."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from runtimes.errors import RuntimeFailure
from runtimes.types import Wire
from services.model_gateway.pricing import Tokens
from services.model_gateway.wires.openai_errors import openai_error
from services.model_gateway.wires.wire import ModelWire, count, items, likeness, mapping


class EmbeddingsWire(ModelWire):
    path = "/v1/embeddings"
    operation = "embeddings"
    family = Wire.OPENAI
    streams = False

    def shape(self, body: Mapping[str, Any]) -> Iterator[Any]:
        yield likeness(_first(body.get("input"))), body.get("dimensions"), body.get("encoding_format")

    def is_answer(self, answer: Mapping[str, Any]) -> bool:
        return bool(items(answer.get("data")))

    def tokens(self, answer: Mapping[str, Any]) -> Tokens:
        return Tokens(input=count(mapping(answer.get("usage")).get("prompt_tokens")))

    def error(self, failure: RuntimeFailure) -> dict[str, Any]:
        return openai_error(failure)


def _first(said: Any) -> Any:
    """A text, or the first one of a list."""
    texts = cast("list[Any]", said) if isinstance(said, list) else [said]
    return texts[0] if texts else ""

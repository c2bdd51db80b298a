"""Embeddings on the OpenAI wire: vectors that follow from the text alone."""

import base64
import math
import random
from array import array
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, Field, ValidationError

from services.scripted_model.actions import FinishReason, Text, Thoughts, ToolCalls, Usage
from services.scripted_model.conversation import Conversation, Message
from services.scripted_model.errors import ModelError, Problem
from services.scripted_model.openai_wire import error_object
from services.scripted_model.stage import WholeStage

#: Numbers of a vector unless the request says how many.
DIMENSIONS = 256
_Tokens = Annotated[list[int], Field(min_length=1)]


class _EmbeddingsRequest(BaseModel):
    model: str
    input: str | Annotated[list[str], Field(min_length=1)] | _Tokens | Annotated[list[_Tokens], Field(min_length=1)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(gt=0, le=4096)] = DIMENSIONS

    def texts(self) -> list[str]:
        """What is to be embedded; tokens are written as their numbers."""
        if isinstance(self.input, str):
            return [self.input]
        if all(isinstance(item, int) for item in self.input):
            return [str(self.input)]
        return [str(item) for item in self.input]


class EmbeddingsWire:
    """The last text's directions are followed where they make a call fail or wait, or tell its usage."""

    name = "openai"
    request_id_header = "x-request-id"

    def read(self, body: bytes) -> Conversation:
        texts = _read(body).texts()
        return Conversation("", [Message("user", text) for text in texts], message_count=len(texts))

    def error(self, problem: Problem) -> bytes:
        return orjson.dumps({"error": error_object(problem)})


class VectorStage(WholeStage):
    """Answers with vectors, whatever there is to say."""

    async def speak(self, text: Text) -> None:
        """Embeddings say nothing."""

    def think(self, thoughts: Thoughts) -> None:
        """They think nothing."""

    def call_tools(self, tools: ToolCalls) -> None:
        """Nor do they call anything."""

    def body(self, reason: FinishReason, usage: Usage) -> bytes:
        request = _read(self.log.body)
        data = [
            {"object": "embedding", "index": index, "embedding": _encoded(vector(text, request.dimensions), request)}
            for index, text in enumerate(request.texts())
        ]
        used = {"prompt_tokens": usage.input, "total_tokens": usage.input}
        return orjson.dumps({"object": "list", "data": data, "model": request.model, "usage": used})


def vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """A unit vector, the same for the same text, another one for any other."""
    dice = random.Random(text)  # noqa: S311  no secret
    numbers = [dice.gauss(0, 1) for _ in range(dimensions)]
    length = math.sqrt(sum(number * number for number in numbers))
    return [number / length for number in numbers]


def _read(body: bytes) -> _EmbeddingsRequest:
    try:
        return _EmbeddingsRequest.model_validate_json(body)
    except ValidationError as error:
        raise ModelError(Problem(400, f"Invalid request: {error}")) from error


def _encoded(numbers: Sequence[float], request: _EmbeddingsRequest) -> Any:
    if request.encoding_format == "float":
        return numbers
    return base64.b64encode(array("f", numbers).tobytes()).decode()

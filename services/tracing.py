"""The spans of a turn, by OpenTelemetry's conventions for generative AI.

Where nobody records them they are empty and cost next to nothing: no attribute is made.
"""

import json
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue

from runtimes.errors import RuntimeFailure
from runtimes.turns import TurnRequest
from runtimes.types import ModelEndpoint, ToolResult, Usage
from services.control_plane_client.models import AttemptOpened, CloseAttempt, Step

TRACER: Tracer = trace.get_tracer("holdfast")
TOOL_FAILED = "tool_error"
#: How the wires call the most tokens that an answer may have.
MAX_TOKENS = ("max_completion_tokens", "max_output_tokens", "max_tokens")

Attributes = Mapping[str, AttributeValue | None]


@dataclass(slots=True)
class TurnTrace:
    """One attempt's span, with those of its model calls and tool calls below it.

    The calls come in tasks and threads of the frameworks' own making: what they hang on is said here, not there.
    `captures_content`: prompts, arguments, results and answers are told, too.
    """

    span: Span = INVALID_SPAN
    captures_content: bool = False
    common: dict[str, AttributeValue] = field(default_factory=dict[str, AttributeValue])
    _open: set[Span] = field(default_factory=set[Span])

    @property
    def context(self) -> Context:
        """The context in which this attempt's calls are made."""
        return trace.set_span_in_context(self.span)

    def model_known(self, endpoint: ModelEndpoint) -> None:
        """The turn's model is found."""
        if self.span.is_recording():
            describe(self.span, {"gen_ai.provider.name": endpoint.provider, "gen_ai.request.model": endpoint.model})

    def model_call(self, endpoint: ModelEndpoint, step: Step, asked: Mapping[str, Any], operation: str) -> Span:
        """A model is asked; `asked` is the request's body."""
        span = self._begin(f"{operation} {endpoint.model}", SpanKind.CLIENT)
        if span.is_recording():
            describe(span, self.common | _step(step) | _model(endpoint, asked, operation))
        return span

    def model_answered(self, span: Span, model: str, usage: Usage, first_token: float | None) -> None:
        """The answer is there, and in the journal; its first token came that many seconds after the request."""
        if span.is_recording():
            told = {"gen_ai.response.model": model, "gen_ai.response.time_to_first_chunk": first_token}
            describe(span, told | _usage(usage))
        self._end(span)

    def model_failed(self, span: Span, code: str, usage: Usage) -> None:
        """There is no answer."""
        if span.is_recording():
            describe(span, _usage(usage))
        self._end(span, code)

    def tool_call(self, step: Step, arguments: str, *, is_known: bool = True) -> Span:
        """A tool is run; a name that nobody knows, as models make them up, names no span."""
        span = self._begin(f"execute_tool {step.name}" if is_known else "execute_tool", SpanKind.INTERNAL)
        if span.is_recording():
            content = {"gen_ai.tool.call.arguments": arguments} if self.captures_content else {}
            describe(span, self.common | _step(step) | _tool(step) | content)
        return span

    @contextmanager
    def tool(self, step: Step, arguments: str) -> Generator[Callable[[ToolResult], ToolResult]]:
        """A tool is run in here, and what it calls hangs on its span; its result passes through what is given."""
        span = self.tool_call(step, arguments)

        def returned(result: ToolResult) -> ToolResult:
            self.tool_returned(span, result)
            return result

        if not span.is_recording():
            yield returned
            return
        with trace.use_span(span, record_exception=False, set_status_on_exception=False):
            yield returned

    def tool_returned(self, span: Span, result: ToolResult) -> None:
        """The tool's result is there, and in the journal."""
        if span.is_recording() and self.captures_content:
            span.set_attribute("gen_ai.tool.call.result", result.text)
        self._end(span, TOOL_FAILED if result.is_error else "")

    def replayed(self, step: Step) -> None:
        """The journal gave the answer of a step that was done before: nothing was called."""
        self._tell("holdfast.step.replayed", step)

    def outcome_unknown(self, step: Step) -> None:
        """A tool call was begun by a worker that was lost, and is not begun again by itself."""
        self._tell("holdfast.step.outcome_unknown", step)

    def _tell(self, event: str, step: Step) -> None:
        if self.span.is_recording():
            self.span.add_event(event, _known(_step(step) | {"holdfast.step.name": step.name}))

    def _begin(self, name: str, kind: SpanKind) -> Span:
        if not self.span.is_recording():
            return INVALID_SPAN
        span = TRACER.start_span(name, self.context, kind)
        self._open.add(span)
        return span

    def _end(self, span: Span, error: str = "") -> None:
        if span.is_recording():
            fail(span, error)
            span.end()
        self._open.discard(span)

    def closed(self, prompt: str, close: CloseAttempt) -> None:
        """The attempt has its end, and the control plane knows it."""
        if not self.span.is_recording():
            return
        told: dict[str, AttributeValue | None] = {
            "gen_ai.response.model": close.model or None,
            "gen_ai.response.finish_reasons": [close.finish_reason.value] if close.finish_reason else None,
            "holdfast.attempt.end": close.end.value,
        }
        if self.captures_content:
            told["gen_ai.input.messages"] = _message("user", prompt)
            told["gen_ai.output.messages"] = _message("assistant", close.response)
        describe(self.span, told | _usage(close.usage))

    def end(self) -> None:
        """End the attempt's span, and what is left open below it."""
        for span in tuple(self._open):
            span.set_attribute("holdfast.step.unfinished", True)
            self._end(span)
        self.span.end()


@contextmanager
def traced_turn(turn: TurnRequest, opened: AttemptOpened, *, captures_content: bool) -> Generator[TurnTrace]:
    """The span of an attempt, and the present one while it lasts."""
    span = TRACER.start_span(f"invoke_agent {opened.agent.name}")
    if not span.is_recording():
        yield TurnTrace(span)
        return
    common = _attempt(turn, opened)
    turn_trace = TurnTrace(span, captures_content, common)
    describe(span, common | _agent(opened))
    try:
        with trace.use_span(span, record_exception=False, set_status_on_exception=False):
            yield turn_trace
    except RuntimeFailure as failure:
        fail(span, failure.code)
        raise
    finally:
        turn_trace.end()


def describe(span: Span, attributes: Attributes) -> None:
    """Set the attributes that are known."""
    span.set_attributes(_known(attributes))


def fail(span: Span, code: str) -> None:
    """Mark a span as failed with an error's code; an empty one means that it did not fail."""
    if code:
        span.set_attribute("error.type", code)
        span.set_status(Status(StatusCode.ERROR))


def _known(attributes: Attributes) -> dict[str, AttributeValue]:
    return {name: value for name, value in attributes.items() if value is not None}


def _attempt(turn: TurnRequest, opened: AttemptOpened) -> dict[str, AttributeValue]:
    return {
        "gen_ai.agent.id": opened.agent.id,
        "gen_ai.agent.name": opened.agent.name,
        "gen_ai.conversation.id": opened.session_id,
        "holdfast.execution.id": turn.execution_id,
        "holdfast.organization.id": turn.organization_id,
        "holdfast.turn": turn.turn,
        "holdfast.attempt": opened.attempt,
    }


def _agent(opened: AttemptOpened) -> dict[str, AttributeValue]:
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.version": str(opened.agent.version),
        "gen_ai.request.model": opened.agent.model_id,
        "holdfast.runtime": opened.agent.runtime,
    }


def _step(step: Step) -> dict[str, AttributeValue]:
    return {"holdfast.step.ordinal": step.ordinal, "holdfast.step.kind": step.kind.value}


def _model(endpoint: ModelEndpoint, asked: Mapping[str, Any], operation: str) -> dict[str, AttributeValue | None]:
    place = urlsplit(endpoint.base_url)
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": endpoint.provider,
        "gen_ai.request.model": endpoint.model,
        "gen_ai.request.stream": bool(asked.get("stream")),
        "gen_ai.request.max_tokens": next((_number(asked[name]) for name in MAX_TOKENS if name in asked), None),
        "gen_ai.request.temperature": _number(asked.get("temperature")),
        "gen_ai.request.top_p": _number(asked.get("top_p")),
        "server.address": place.hostname,
        "server.port": place.port,
    }


def _tool(step: Step) -> dict[str, AttributeValue]:
    return {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": step.name,
        "gen_ai.tool.call.id": step.key,
        "gen_ai.tool.type": "function",
        "holdfast.tool.effect": str(step.effect),
    }


def _usage(usage: Usage) -> dict[str, AttributeValue | None]:
    return {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_input_tokens or None,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens or None,
        "holdfast.cost.usd": usage.cost_usd,
    }


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) else None


def _message(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}], ensure_ascii=False)

"""Errors of a turn. The hierarchy:

RuntimeFailure
├── ConfigurationInvalid      the agent's definition cannot be run; not retried
│   ├── RuntimeUnknown
│   ├── RuntimeNotInstalled
│   ├── RuntimeUnfit
│   ├── ModelUnknown
│   ├── CredentialMissing
│   ├── ToolsetInvalid
│   ├── SandboxUnavailable
│   ├── SecretMissing
│   ├── SecretUnusable
│   └── AgentUnknown
├── ModelFailure              a provider refused or failed
│   ├── ModelRateLimited      retried, after `retry_after`
│   ├── ModelOverloaded       retried
│   ├── ModelAuthentication   not retried
│   ├── ModelQuotaExhausted   not retried
│   ├── ModelNotFound         not retried
│   ├── ContentRefused        not retried
│   ├── ModelRequestRejected  not retried
│   ├── ContextTooLong        not retried
│   ├── ModelTimeout          retried
│   ├── ModelConnectionBroken retried
│   ├── ModelAnswerEmpty      not retried
│   └── ModelAnswerInvalid    retried
├── McpServerFailed           a server of an agent's tools cannot be used, or no longer; retried
│   └── McpServerRefused      it wants other credentials; not retried
├── BudgetExceeded            a limit of the execution is reached; not retried
├── LimitReached              a turn reached its limit of model calls or tool calls without an answer; not retried
├── OutputInvalid             the answer does not fit the output schema; not retried
├── RuntimeStalled            nothing came from the runtime for too long; retried
├── RuntimeCrashed            the framework raised what nobody expected; retried
├── ControlPlaneUnavailable   the control plane did not answer for too long; retried
├── WorkerRefused             the control plane does not accept the worker's key; retried, by another one
├── WorkerLost                every worker that began the turn fell silent; not retried
├── ExecutionClosed           there is nothing left to run
└── AttemptFenced             a newer attempt has taken over; this one must stop
"""

from typing import ClassVar

from runtimes.discreet import discreet
from runtimes.types import ExecutionError, FinishReason


class RuntimeFailure(Exception):
    """A turn failed.

    `message` is one sentence for the user, `hint` what to do; `retry_after` is in seconds; `final` says that the turn
    has been tried as often as it may, whatever the failure. `partial` is what the model had said by then. `private` is
    for the operator's log alone; the messages of kinds that quote somebody else are without the operator's places.
    `is_of_the_turn`: the turn has no answer, and says nothing about the next one of its execution.
    """

    code = "runtime_failed"
    retryable = False
    is_of_the_turn = False
    finish_reason: FinishReason | None = None
    default_hint = ""
    quotes: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "", retry_after: float | None = None, private: str = "") -> None:
        told, hidden = discreet(message) if self.quotes else (message, [])
        self.message = told.encode(errors="replace").decode()
        self.private = private or ", ".join(hidden)
        super().__init__(self.message)
        self.hint = hint or self.default_hint
        self.retry_after = retry_after
        self.final = False
        self.partial = ""

    def as_error(self) -> ExecutionError:
        """The error in the shape that API, CLI and workflow failures share."""
        return ExecutionError(code=self.code, message=self.message, hint=self.hint, retryable=self.retryable)


class ConfigurationInvalid(RuntimeFailure):
    code = "configuration_invalid"


class RuntimeUnknown(ConfigurationInvalid):
    code = "runtime_unknown"
    default_hint = "See: holdfast runtimes list"


class RuntimeNotInstalled(ConfigurationInvalid):
    code = "runtime_not_installed"


class RuntimeUnfit(ConfigurationInvalid):
    """The runtime does not take the agent's settings."""

    code = "runtime_unfit"
    default_hint = "Take the settings out of runtime_config, or name a runtime that takes them."


class ModelUnknown(ConfigurationInvalid):
    code = "model_unknown"
    default_hint = "Write the agent's model_id as provider/model."


class CredentialMissing(ConfigurationInvalid):
    code = "credential_missing"


class ToolsetInvalid(ConfigurationInvalid):
    code = "toolset_invalid"


class SandboxUnavailable(ConfigurationInvalid):
    code = "sandbox_unavailable"
    quotes = True
    default_hint = "Install bubblewrap (apt-get install bubblewrap) and allow user namespaces to the worker."


class SecretMissing(ConfigurationInvalid):
    code = "secret_missing"
    default_hint = "See: holdfast secrets list"


class SecretUnusable(ConfigurationInvalid):
    """It is there, and cannot be opened, or cannot stand where it is used."""

    code = "secret_unusable"


class AgentUnknown(ConfigurationInvalid):
    code = "agent_unknown"
    default_hint = "See: holdfast agents list"


class ModelFailure(RuntimeFailure):
    code = "model_failed"
    retryable = True
    quotes = True


class ModelRateLimited(ModelFailure):
    code = "model_rate_limited"


class ModelOverloaded(ModelFailure):
    code = "model_overloaded"


class ModelAuthentication(ModelFailure):
    code = "model_authentication"
    retryable = False
    default_hint = "Check the provider's API key in the worker's settings."


class ModelQuotaExhausted(ModelFailure):
    code = "model_quota_exhausted"
    retryable = False
    default_hint = "Check the plan and the billing of the account behind the provider's API key."


class ModelNotFound(ModelFailure):
    code = "model_not_found"
    retryable = False
    default_hint = "Check the agent's model_id."


class ContentRefused(ModelFailure):
    code = "content_refused"
    retryable = False
    default_hint = "The provider's own rules refuse what the prompt asks for; change it."


class ModelRequestRejected(ModelFailure):
    code = "model_request_rejected"
    retryable = False


class ContextTooLong(ModelFailure):
    code = "context_too_long"
    retryable = False
    default_hint = "Start a new session or shorten the prompt."


class ModelTimeout(ModelFailure):
    code = "model_timeout"


class ModelConnectionBroken(ModelFailure):
    code = "model_connection_broken"


class ModelAnswerEmpty(ModelFailure):
    """The model ended its answer without a word and without a call."""

    code = "model_answer_empty"
    retryable = False
    is_of_the_turn = True
    default_hint = "Lower the model's reasoning_effort, raise max_tokens, or name another model."


class ModelAnswerInvalid(ModelFailure):
    code = "model_answer_invalid"
    default_hint = "Check the provider's base_url: what answers there is perhaps no model."


class McpServerFailed(RuntimeFailure):
    code = "mcp_server_failed"
    retryable = True
    default_hint = "Check the server in the agent's toolset, and that it can be reached from the worker."


class McpServerRefused(McpServerFailed):
    code = "mcp_server_refused"
    retryable = False


class BudgetExceeded(RuntimeFailure):
    """`limit` names the limit that is reached; `is_inherited`: it is that of an execution above."""

    code = "budget_exceeded"
    limit = ""
    is_inherited = False
    default_hint = "Raise the limit in the agent's configuration (budget), or start with a smaller task."


class LimitReached(RuntimeFailure):
    code = "limit_reached"
    is_of_the_turn = True
    finish_reason = FinishReason.TOOL_LIMIT
    default_hint = "Raise max_turns or tool_call_limit in the agent's runtime_config, or start with a smaller task."


class AnswerCut(LimitReached):
    """The limit of an answer's tokens was reached before the model said anything."""

    finish_reason = FinishReason.LENGTH
    default_hint = "Raise max_tokens in the agent's configuration, or lower the model's reasoning_effort."


class OutputInvalid(RuntimeFailure):
    code = "output_invalid"
    is_of_the_turn = True
    default_hint = "Make the output_schema simpler, or tell in the system prompt what is wanted."


class RuntimeStalled(RuntimeFailure):
    code = "runtime_stalled"
    retryable = True


class RuntimeCrashed(RuntimeFailure):
    code = "runtime_crashed"
    retryable = True
    quotes = True


class ControlPlaneUnavailable(RuntimeFailure):
    code = "control_plane_unavailable"
    retryable = True
    quotes = True


class WorkerRefused(RuntimeFailure):
    code = "worker_refused"
    retryable = True
    default_hint = "Give the worker a key of its own as HOLDFAST_API_KEY: holdfast keys create NAME --scope worker"


class WorkerLost(RuntimeFailure):
    code = "worker_lost"
    default_hint = "Look at the workers' logs: holdfast pools list"


class ExecutionClosed(RuntimeFailure):
    code = "execution_closed"


class AttemptFenced(RuntimeFailure):
    code = "attempt_fenced"

"""Errors of the API. The hierarchy, with status and code:

HoldfastError
├── BadRequest 400 · IdempotencyKeyInvalid idempotency_key_invalid
│   ├── BodyRequired body_required · BodyNotUtf8 body_not_utf8 · JsonInvalid json_invalid · JsonTooDeep json_too_deep
│   └── JsonDuplicateKey json_duplicate_key · CursorInvalid cursor_invalid · SeqInvalid seq_invalid
├── Unauthorized 401
│   └── AuthMissing auth_missing · KeyInvalid key_invalid · KeyExpired key_expired · KeyRevoked key_revoked
├── Forbidden 403
│   └── ScopeMissing scope_missing · HostForbidden host_forbidden · OriginDenied origin_denied
├── NotFound 404 not_found
│   └── AgentUnknown agent_unknown
├── MethodNotAllowed 405 method_not_allowed
├── BodyTimeout 408 body_timeout
├── Conflict 409
│   ├── NameConflict name_conflict · AgentInUse agent_in_use · SessionInUse session_in_use
│   ├── TemplateInUse template_in_use · TemplateBuiltIn template_built_in · PoolMissing pool_missing
│   ├── ExecutionClosed execution_closed · ExecutionNotInteractive execution_not_interactive
│   ├── TurnNotRunning turn_not_running · QueueFull queue_full · SessionBusy session_busy
│   ├── ApprovalClosed approval_closed · ArgumentsChanged args_changed · DepthExceeded depth_exceeded
│   └── AttemptFenced attempt_fenced · WorkerLost worker_lost · those of secrets, in secret_errors
├── ApprovalExpired 410 approval_expired
├── VersionConflict 412 version_conflict
├── TooLarge 413
│   └── BodyTooLarge body_too_large · PromptTooLarge prompt_too_large
├── UriTooLong 414 uri_too_long
├── ContentTypeUnsupported 415 content_type_unsupported
├── SeqBeyondEnd 416 seq_beyond_end
├── ValidationFailed 422
│   ├── FieldMissing field_missing · FieldUnknown field_unknown · FieldReadonly field_readonly
│   ├── TypeMismatch type_error · ValueInvalid value_invalid · NumberOutOfRange number_out_of_range · TextNul text_nul
│   ├── TextNotUtf8 text_not_utf8 · MetadataLimits metadata_limits · TemplateUnknown template_unknown
│   ├── RuntimeUnknown runtime_unknown · RuntimeUnfit runtime_unfit · SchemaInvalid schema_invalid
│   ├── OptionUnsupported option_unsupported · UrlForbidden url_forbidden · CommandForbidden command_forbidden
│   └── IdempotencyMismatch idempotency_mismatch
├── HeadersTooLarge 431 headers_too_large
├── InternalError 500 internal_error
├── TemporalRejected 502 temporal_rejected
│   └── InstallationForeign installation_foreign
└── Unavailable 503
    └── DatabaseUnavailable database_unavailable · TemporalUnavailable temporal_unavailable
"""

from collections.abc import Mapping
from typing import Any


class HoldfastError(Exception):
    """An answer that is no success.

    `detail` says what happened in this case, `hint` what to do, `field` where in the input it is: a JSON
    pointer into the body, or the name of a parameter or header. `extra` joins the members of the problem.
    """

    status = 500
    code = "internal_error"
    title = "Internal error"
    default_hint = ""
    default_headers: Mapping[str, str] = {}

    def __init__(
        self,
        detail: str,
        *,
        hint: str = "",
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint or self.default_hint
        self.field = field
        self.headers = {**self.default_headers, **(headers or {})}
        self.extra = extra


class BadRequest(HoldfastError):
    status = 400
    code = "bad_request"
    title = "Bad request"


class BodyRequired(BadRequest):
    code = "body_required"
    title = "Body required"
    default_hint = "Send a JSON object with Content-Type: application/json."


class BodyNotUtf8(BadRequest):
    code = "body_not_utf8"
    title = "Body is not UTF-8"


class JsonInvalid(BadRequest):
    code = "json_invalid"
    title = "Invalid JSON"


class JsonDuplicateKey(BadRequest):
    code = "json_duplicate_key"
    title = "Duplicate key in JSON"


class JsonTooDeep(BadRequest):
    code = "json_too_deep"
    title = "JSON nested too deeply"


class CursorInvalid(BadRequest):
    code = "cursor_invalid"
    title = "Invalid cursor"
    default_hint = "Use a next_cursor from an answer to the same list, or start without one."


class SeqInvalid(BadRequest):
    code = "seq_invalid"
    title = "Invalid event position"


class IdempotencyKeyInvalid(BadRequest):
    code = "idempotency_key_invalid"
    title = "Invalid Idempotency-Key"
    default_hint = "Use 1 to 255 printable ASCII characters, for example a UUID."


class Unauthorized(HoldfastError):
    status = 401
    code = "unauthorized"
    title = "Unauthorized"
    default_headers: Mapping[str, str] = {"WWW-Authenticate": 'Bearer realm="holdfast"'}


class AuthMissing(Unauthorized):
    code = "auth_missing"
    title = "API key missing"
    default_hint = "Send the header: Authorization: Bearer hf_…"


class KeyInvalid(Unauthorized):
    code = "key_invalid"
    title = "API key invalid"
    default_hint = "Check the key; create another one with: holdfast keys create"


class KeyExpired(Unauthorized):
    code = "key_expired"
    title = "API key expired"
    default_hint = "Create another one with: holdfast keys create"


class KeyRevoked(Unauthorized):
    code = "key_revoked"
    title = "API key revoked"
    default_hint = "Create another one with: holdfast keys create"


class Forbidden(HoldfastError):
    status = 403
    code = "forbidden"
    title = "Forbidden"


class ScopeMissing(Forbidden):
    code = "scope_missing"
    title = "The API key lacks a scope"


class OperatorOnly(Forbidden):
    code = "operator_only"
    title = "For the operator only"


class HostForbidden(Forbidden):
    code = "host_forbidden"
    title = "Host not allowed"
    default_hint = "Add the host name to the setting allowed_hosts (HOLDFAST_ALLOWED_HOSTS)."


class OriginDenied(Forbidden):
    code = "origin_denied"
    title = "Request from a foreign web page"


class NotFound(HoldfastError):
    status = 404
    code = "not_found"
    title = "Not found"


class AgentUnknown(NotFound):
    code = "agent_unknown"
    title = "Unknown agent"
    default_hint = "See: holdfast agents list"


class MethodNotAllowed(HoldfastError):
    status = 405
    code = "method_not_allowed"
    title = "Method not allowed"


class BodyTimeout(HoldfastError):
    status = 408
    code = "body_timeout"
    title = "Body came too slowly"


class Conflict(HoldfastError):
    status = 409
    code = "conflict"
    title = "Conflict"


class NameConflict(Conflict):
    code = "name_conflict"
    title = "Name already taken"


class AgentInUse(Conflict):
    code = "agent_in_use"
    title = "Agent in use"
    default_hint = "Wait for its executions to end, or cancel them."


class SessionInUse(Conflict):
    code = "session_in_use"
    title = "Session in use"
    default_hint = "Wait for its executions to end, or cancel them."


class TemplateInUse(Conflict):
    code = "template_in_use"
    title = "Template in use"
    default_hint = "Delete its agents first, or leave it: it does nothing by itself."


class TemplateBuiltIn(Conflict):
    code = "template_built_in"
    title = "Built-in template"
    default_hint = "Make a template of your own, under another name."


class PoolMissing(Conflict):
    code = "pool_missing"
    title = "No live pool"


class ExecutionClosed(Conflict):
    code = "execution_closed"
    title = "Execution already ended"


class ExecutionNotInteractive(Conflict):
    code = "execution_not_interactive"
    title = "Execution is not interactive"
    default_hint = 'Start it with "interactive": true to send it further messages.'


class TurnNotRunning(Conflict):
    code = "turn_not_running"
    title = "No turn is running"


class QueueFull(Conflict):
    code = "queue_full"
    title = "Too many messages wait"
    default_hint = "Send it again when a turn has ended."


class ApprovalClosed(Conflict):
    code = "approval_closed"
    title = "Already decided"


class ArgumentsChanged(Conflict):
    code = "args_changed"
    title = "Not what was seen"
    default_hint = "Look at it again: holdfast approvals show ID"


class DepthExceeded(Conflict):
    code = "depth_exceeded"
    title = "Too many executions have started each other"
    default_hint = "Let the agent do it itself."


class SessionBusy(Conflict):
    """`executions` has not ended, of the same session."""

    code = "session_busy"
    title = "The session has an execution that has not ended"
    default_hint = "Wait for its end, or let this one wait for it: session_concurrency: queue"


class AttemptFenced(Conflict):
    code = "attempt_fenced"
    title = "A newer attempt has taken over"


class PresentUnknown(AttemptFenced):
    """Another run of the workflow than the last one, or no later try: whether it is the present one, Temporal knows."""


class WorkerLost(Conflict):
    code = "worker_lost"
    title = "Every worker that began the turn fell silent"
    default_hint = "Look at the workers' logs: holdfast pools list"


class ApprovalExpired(HoldfastError):
    status = 410
    code = "approval_expired"
    title = "Approval expired"
    default_hint = "The turn goes on without it."


class VersionConflict(HoldfastError):
    status = 412
    code = "version_conflict"
    title = "Version conflict"
    default_hint = "Read it again and repeat the change with the ETag of that answer."


class TooLarge(HoldfastError):
    status = 413
    code = "too_large"
    title = "Too large"


class BodyTooLarge(TooLarge):
    code = "body_too_large"
    title = "Body too large"


class PromptTooLarge(TooLarge):
    code = "prompt_too_large"
    title = "Prompt too large"


class UriTooLong(HoldfastError):
    status = 414
    code = "uri_too_long"
    title = "URI too long"


class ContentTypeUnsupported(HoldfastError):
    status = 415
    code = "content_type_unsupported"
    title = "Unsupported content type"
    default_hint = "Send JSON, uncompressed, with Content-Type: application/json."


class SeqBeyondEnd(HoldfastError):
    status = 416
    code = "seq_beyond_end"
    title = "Position beyond the log's end"


class ValidationFailed(HoldfastError):
    status = 422
    code = "validation_failed"
    title = "Invalid input"


class FieldMissing(ValidationFailed):
    code = "field_missing"
    title = "Field missing"


class FieldUnknown(ValidationFailed):
    code = "field_unknown"
    title = "Unknown field"


class FieldReadonly(ValidationFailed):
    code = "field_readonly"
    title = "Read-only field"
    default_hint = "Leave it out: Holdfast sets it."


class TypeMismatch(ValidationFailed):
    code = "type_error"
    title = "Wrong type"


class ValueInvalid(ValidationFailed):
    code = "value_invalid"
    title = "Invalid value"


class UrlForbidden(ValidationFailed):
    code = "url_forbidden"
    title = "Forbidden URL"
    default_hint = "Only http and https to hosts of the internet; the setting `web_allow` lets other places in."


class CommandForbidden(ValidationFailed):
    code = "command_forbidden"
    title = "Forbidden command"
    default_hint = "No shell reads it: the program first, then its arguments one by one."


class NumberOutOfRange(ValidationFailed):
    code = "number_out_of_range"
    title = "Number out of range"
    default_hint = "Numbers must be finite, whole numbers fit into 64 bits."


class TextNul(ValidationFailed):
    code = "text_nul"
    title = "Text contains NUL"
    default_hint = "Remove the character U+0000: the database cannot store it."


class TextNotUtf8(ValidationFailed):
    code = "text_not_utf8"
    title = "Text is not Unicode"
    default_hint = "Remove the half of a surrogate pair (\\ud800 to \\udfff) that stands alone."


class MetadataLimits(ValidationFailed):
    code = "metadata_limits"
    title = "Metadata over the limits"


class RuntimeUnknown(ValidationFailed):
    code = "runtime_unknown"
    title = "Unknown runtime"
    default_hint = "See: holdfast runtimes list"


class RuntimeUnfit(ValidationFailed):
    code = "runtime_unfit"
    title = "No runtime fits"
    default_hint = "See what is required, and by what: holdfast runtimes resolve AGENT"


class TemplateUnknown(ValidationFailed):
    code = "template_unknown"
    title = "Unknown template"
    default_hint = "See: holdfast templates list"


class OptionUnsupported(ValidationFailed):
    code = "option_unsupported"
    title = "Option of another runtime"


class SchemaInvalid(ValidationFailed):
    code = "schema_invalid"
    title = "Not a usable JSON schema"
    default_hint = "Give a JSON schema that refers to nothing outside of itself."


class IdempotencyMismatch(ValidationFailed):
    code = "idempotency_mismatch"
    title = "Idempotency-Key used with another request"
    default_hint = "Repeat the very same body, or use a new key."


class HeadersTooLarge(HoldfastError):
    status = 431
    code = "headers_too_large"
    title = "Headers too large"


class InternalError(HoldfastError):
    default_hint = "Try again; if it stays, look for the request id in the API's log."


class TemporalRejected(HoldfastError):
    status = 502
    code = "temporal_rejected"
    title = "Temporal refuses"
    default_hint = "Check the API's TEMPORAL_NAMESPACE and credentials, and what they may do in Temporal."


class InstallationForeign(TemporalRejected):
    code = "installation_foreign"
    title = "Another installation's namespace"
    default_hint = "Give each installation a namespace of its own (TEMPORAL_NAMESPACE); see docs/operations.md."


class Unavailable(HoldfastError):
    status = 503
    code = "unavailable"
    title = "Unavailable"
    default_hint = "Try again in a moment."
    default_headers: Mapping[str, str] = {"Retry-After": "1"}


class DatabaseUnavailable(Unavailable):
    code = "database_unavailable"
    title = "Database unavailable"


class TemporalUnavailable(Unavailable):
    code = "temporal_unavailable"
    title = "Temporal unavailable"

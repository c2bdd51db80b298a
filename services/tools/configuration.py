"""What an agent's definition may say of its toolsets; the API and the workers read it alike."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator
from pydantic_core import PydanticCustomError

from runtimes.import_paths import IMPORT_PATH
from runtimes.meant import guess

#: A program's name or path, without what a shell would make something of.
PROGRAM = re.compile(r"[A-Za-z0-9_./+-]{1,1000}", re.ASCII)

Approval = Literal["never", "always", "policy"]
EffectName = Literal["read_only", "idempotent", "at_most_once"]
Seconds = Annotated[float, Field(gt=0, le=3600)]
#: Names and values that an environment can hold.
VariableName = Annotated[str, Field(pattern=r"^[^=\x00]{1,200}$")]
VariableValue = Annotated[str, Field(pattern=r"^[^\x00]*$", max_length=100_000)]
#: What a header of a request can hold, and what a query can: every HTTP client sends it as it is.
HEADER_VALUE = r"([\x21-\x7e]([\t\x20-\x7e]*[\x21-\x7e])?)?"
QUERY_VALUE = r"[\t\x20-\x7e]*"
#: A token of HTTP.
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}", re.ASCII)
#: Headers that the client sets itself: where a message begins and ends, whom it is for, how it is packed, the protocol.
CLIENT_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "last-event-id",
        "mcp-protocol-version",
        "mcp-session-id",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
#: Of an organization's secret.
REFERENCE_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}"
SecretName = Annotated[str, Field(pattern=f"^{REFERENCE_NAME}$")]
ServerName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,32}$")]
#: A name of files' kind: `*` stands for anything, `?` for one character, `[ab]` for one of these.
Pattern = Annotated[str, Field(min_length=1, max_length=500)]


def _is_function_path(path: str) -> str:
    if not IMPORT_PATH.fullmatch(path):
        raise PydanticCustomError("path_invalid", "'{path}' is no path to a function.", {"path": path[:200]})
    return path


def _is_header_name(name: str) -> str:
    if not HEADER_NAME.fullmatch(name):
        message = "'{header}' is no name of a header: letters, digits and '-', without spaces."
        raise PydanticCustomError("header_invalid", message, {"header": name[:200]})
    if name.lower() in CLIENT_HEADERS:
        message = "The client sets the header '{header}' itself; leave it out."
        raise PydanticCustomError("header_invalid", message, {"header": name})
    return name


def _is_text_of(rule: str, message: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(rule, value):
            raise PydanticCustomError("value_invalid", message)  # pyright: ignore[reportArgumentType]
        return value

    return AfterValidator(check)


HeaderValue = Annotated[
    str,
    Field(max_length=100_000, json_schema_extra={"pattern": f"^{HEADER_VALUE}$"}),
    _is_text_of(HEADER_VALUE, "A header's value has visible ASCII characters, with spaces between them."),
]
QueryValue = Annotated[
    str,
    Field(max_length=100_000, json_schema_extra={"pattern": f"^{QUERY_VALUE}$"}),
    _is_text_of(QUERY_VALUE, "A query has ASCII characters; encode others as %XX."),
]
HeaderName = Annotated[
    str, Field(json_schema_extra={"pattern": f"^{HEADER_NAME.pattern}$"}), AfterValidator(_is_header_name)
]
FunctionPath = Annotated[
    str,
    Field(max_length=300, json_schema_extra={"pattern": f"^{IMPORT_PATH.pattern}$"}),
    AfterValidator(_is_function_path),
]


class Known(BaseModel):
    """Input in which every name must be known."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _names_are_known(cls, given: Any) -> Any:
        names = cast("dict[str, Any]", given) if isinstance(given, dict) else ()
        for name in names:
            if name not in cls.model_fields:
                known = list(cls.model_fields)
                raise PydanticCustomError("field_unknown", "There is no such field.", {"name": name, "known": known})
        return cast("Any", given)


class SecretReference(Known):
    """Stands for the value of a secret: one of the worker's settings, or one that the organization keeps."""

    secret: SecretName


def _form(given: Any) -> str:
    return "reference" if isinstance(given, dict | SecretReference) else "text"


_Reference = Annotated[SecretReference, Tag("reference")]
#: Values that may be secret.
VariableGiven = Annotated[Annotated[VariableValue, Tag("text")] | _Reference, Discriminator(_form)]
HeaderGiven = Annotated[Annotated[HeaderValue, Tag("text")] | _Reference, Discriminator(_form)]
QueryGiven = Annotated[Annotated[QueryValue, Tag("text")] | _Reference, Discriminator(_form)]
#: Values by name, plain or secret.
Values = dict[str, str | SecretReference]


class ToolOverride(Known):
    """What is different for one tool of a toolset."""

    approval: Approval | None = None
    effect: EffectName | None = None
    timeout_seconds: Seconds | None = None
    output_limit: Annotated[int, Field(ge=100, le=1_000_000, description="Characters.")] | None = None


class ToolsetConfiguration(Known):
    """What all toolsets share: `tools` says what is different for some of them."""

    #: The names of its tools, where they are always the same.
    fixed_names: ClassVar[Sequence[str]] = ()

    approval: Approval = "never"
    timeout_seconds: Seconds = 120.0
    tools: Annotated[dict[str, ToolOverride], Field(max_length=200)] = Field(default_factory=dict[str, ToolOverride])

    def names(self) -> Sequence[str]:
        """The names of its tools, as far as they are known before it is opened."""
        return self.fixed_names

    def seconds_of(self, tool: str) -> float:
        """How long one call may take."""
        override = self.tools.get(tool)
        return (override.timeout_seconds if override else None) or self.timeout_seconds

    @model_validator(mode="after")
    def _tools_exist(self) -> Self:
        names = self.names()
        unknown = next((name for name in self.tools if names and name not in names), None)
        if unknown is not None:
            context = {"name": "tools", "tool": unknown[:100], "hint": guess(unknown, names)}
            raise PydanticCustomError("tool_unknown", "The toolset has no tool '{tool}'.", context)
        return self


class PythonToolset(ToolsetConfiguration):
    """Functions of modules that the worker's settings allow, as `package.module:function`."""

    type: Literal["python"]
    functions: Annotated[list[FunctionPath], Field(min_length=1, max_length=100)]
    effect: EffectName = "at_most_once"

    def names(self) -> Sequence[str]:
        """The functions' own names."""
        return [path.rpartition(":")[2] for path in self.functions]


class FileSystemToolset(ToolsetConfiguration):
    """Files in the execution's own workspace directory."""

    fixed_names = ("read_file", "write_file", "edit_file", "list_files", "search_files")

    type: Literal["file_system"]


class SandboxedToolset(ToolsetConfiguration):
    """What runs in the sandbox; `memory_mb` is for all processes of a call, `cpu_seconds` for each of them."""

    cpu_seconds: Annotated[int, Field(ge=1, le=3600)] = 60
    memory_mb: Annotated[int, Field(ge=16, le=65536)] = 1024
    processes: Annotated[int, Field(ge=4, le=4096)] = 128
    file_size_mb: Annotated[int, Field(ge=1, le=65536)] = 256
    network: Annotated[bool, Field(description="Only where the worker's settings allow it.")] = False


class CommandPolicy(Known):
    """Which commands a human is asked for.

    One that fits a pattern of `ask`, and, where there is a list `allow`, one that fits none of it.
    """

    allow: Annotated[list[Pattern], Field(max_length=200)] = Field(default_factory=list[str])
    ask: Annotated[list[Pattern], Field(max_length=200)] = Field(default_factory=list[str])


class ShellToolset(SandboxedToolset):
    """Command lines, run by bash in the sandbox."""

    fixed_names = ("shell",)

    type: Literal["shell"]
    policy: CommandPolicy | None = None

    @model_validator(mode="after")
    def _policy_is_used(self) -> Self:
        override = self.tools.get("shell")
        if self.policy is not None and "policy" not in (self.approval, override and override.approval):
            message = "A policy needs approval to be 'policy'."
            raise PydanticCustomError("policy_unused", message, {"name": "policy"})
        return self


class PythonCodeToolset(SandboxedToolset):
    """Python code, run in the sandbox."""

    fixed_names = ("python",)

    type: Literal["python_code"]


class WebToolset(ToolsetConfiguration):
    """Pages of the internet."""

    fixed_names = ("web_fetch",)

    type: Literal["web"]


def _is_program(command: list[str]) -> list[str]:
    if not PROGRAM.fullmatch(command[0]):
        message = "'{program}' is no name or path of a program; write its arguments one by one behind it."
        raise PydanticCustomError("command_forbidden", message, {"program": command[0][:200]})
    return command


class McpServer(Known):
    """A server that is started with the turn (`command`), or one that is there (`url`)."""

    command: Annotated[
        list[Annotated[str, Field(max_length=4000)]] | None,
        Field(min_length=1, max_length=100),
        AfterValidator(lambda command: command and _is_program(command)),
    ] = None
    env: Annotated[dict[VariableName, VariableGiven], Field(max_length=100)] = Field(default_factory=Values)
    network: bool = False
    url: Annotated[str, Field(min_length=1, max_length=4000)] | None = None
    query: Annotated[QueryGiven, Field(description="What follows the url's `?`.")] | None = None
    headers: Annotated[dict[HeaderName, HeaderGiven], Field(max_length=100)] = Field(default_factory=Values)
    only: Annotated[list[str], Field(min_length=1, max_length=200)] | None = None

    @field_validator("url")
    @classmethod
    def _query_is_text(cls, url: str | None) -> str | None:
        if not re.fullmatch(QUERY_VALUE, (url or "").partition("?")[2]):
            message = "The url's query has a character that a request cannot hold; encode it as %XX."
            raise PydanticCustomError("server_invalid", message)
        return url

    @field_validator("headers")
    @classmethod
    def _headers_are_given_once(cls, headers: Values) -> Values:
        names = [name.lower() for name in headers]
        twice = next((name for name in headers if names.count(name.lower()) > 1), None)
        if twice is not None:
            message = "The header '{header}' is given twice: its case makes no difference."
            raise PydanticCustomError("header_invalid", message, {"header": twice})
        return headers

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise PydanticCustomError("server_invalid", "A server has either a command or a url.")
        of_other = ("headers", "query") if self.command else ("env",)
        given = next((name for name in of_other if getattr(self, name)), None)
        if given is not None:
            message = "A server with a command has no headers and no query, and one with a url no env."
            raise PydanticCustomError("server_invalid", message, {"name": given})
        if self.query is not None and "?" in (self.url or ""):
            raise PydanticCustomError("server_invalid", "The url has a query of its own.", {"name": "query"})
        return self


class McpToolset(ToolsetConfiguration):
    """Tools of MCP servers; each is called `server__tool`."""

    type: Literal["mcp"]
    servers: Annotated[dict[ServerName, McpServer], Field(min_length=1, max_length=20)]


class TaskToolset(ToolsetConfiguration):
    """Other agents of the organization, by their names or ids, each run as an execution of its own."""

    fixed_names = ("run_agent",)

    type: Literal["task"]
    agents: Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=50)] = Field(
        default_factory=list[str], description="Needed where the runtime brings no agents of its own."
    )


#: All types of toolsets, and what is said of each.
TOOLSETS: dict[str, type[ToolsetConfiguration]] = {
    "file_system": FileSystemToolset,
    "mcp": McpToolset,
    "python": PythonToolset,
    "python_code": PythonCodeToolset,
    "shell": ShellToolset,
    "task": TaskToolset,
    "web": WebToolset,
}

"""The secrets that an attempt at a turn has in hand: put in where they are used, and out of what is said."""

import re
from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import contextmanager

from runtimes.errors import RuntimeFailure, SecretMissing, SecretUnusable
from services.tools.configuration import HEADER_VALUE, QUERY_VALUE, McpServer, SecretReference
from services.tools.spec import ToolFailed

#: What our own errors never tell; shorter values say little, and stand in many texts by chance.
_UNTOLD_LENGTH = 6
#: What servers' answers do not show. An environment holds a region or a locale as well as a token, and an answer
#: must not be mutilated where it speaks of one.
_TOKEN = re.compile(r"(?!https?://[^@]*$)(?=.*[0-9])(?=.*[A-Za-z]).{12,}", re.DOTALL)
#: `Authorization: Bearer …`.
_SCHEME = re.compile(r"(?:Basic|Bearer|Token) +(?P<credentials>.+)", re.IGNORECASE)
#: Fits nothing.
_NOTHING = re.compile(r"(?!)")
_HIDDEN = "[secret]"


#: Stands for every organization.
EVERYONE = "*"


class WorkerSecrets:
    """Secrets of the worker's own settings, by names without regard to case, and whose agents may refer to them.

    Without `organizations` it is the one that runs the worker: an agent can send what it may refer to anywhere.
    """

    def __init__(self, values: Mapping[str, str] | None = None, organizations: Collection[str] = ()) -> None:
        self._values = {name.lower(): value for name, value in (values or {}).items()}
        self._organizations = frozenset(organizations)

    def of(self, organization_id: str, *, is_own: bool) -> Mapping[str, str]:
        """Those that an organization's agents may refer to."""
        listed = organization_id in self._organizations or EVERYONE in self._organizations
        return self._values if listed or (is_own and not self._organizations) else {}


class SecretValues:
    """Values by the names of their secrets; `broken` says of some why they cannot be had.

    The worker's `own` go before those of the organization; their names are in lower case.
    """

    def __init__(
        self,
        values: Mapping[str, str] | None = None,
        broken: Mapping[str, str] | None = None,
        own: Mapping[str, str] | None = None,
    ) -> None:
        self._values = dict(values or {})
        self._broken = dict(broken or {})
        self._own = dict(own or {})

    def of(self, given: Mapping[str, str | SecretReference]) -> dict[str, str]:
        """The values of an environment, or of headers; see `value`."""
        return {name: self.value(value) for name, value in given.items()}

    def value(self, given: str | SecretReference) -> str:
        """A plain value, or that of a secret.

        Raises:
            SecretMissing: there is no secret of this name.
            SecretUnusable: it cannot be opened.
        """
        if isinstance(given, str):
            return given
        name = given.secret
        if name.lower() in self._own:
            return self._own[name.lower()]
        if name in self._broken:
            raise SecretUnusable(f"The secret '{name}' cannot be opened. {self._broken[name]}")
        if name not in self._values:
            hint = f"Set it: holdfast secrets set {name}"
            raise SecretMissing(f"There is no secret '{name}', which the agent refers to.", hint=hint)
        return self._values[name]


class ServerValues:
    """The values that one MCP server is given; they are told to nobody else."""

    def __init__(self, server: McpServer, secrets: SecretValues) -> None:
        self._server = server
        self._secrets = secrets
        self._untold = self._unshown = _NOTHING
        self.env: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        self.query = ""

    def resolve(self) -> None:
        """Put the secrets in.

        Raises:
            SecretMissing, SecretUnusable: one cannot be used.
        """
        server, secrets = self._server, self._secrets
        self.env, self.headers = secrets.of(server.env), secrets.of(server.headers)
        query = secrets.value(server.query) if server.query is not None else ""
        given = [*self.env.values(), *self.headers.values(), query]
        given += [match["credentials"] for value in given if (match := _SCHEME.fullmatch(value))]
        self._untold = _any_of(value for value in given if len(value) >= _UNTOLD_LENGTH)
        self._unshown = _any_of(value for value in given if _TOKEN.fullmatch(value))
        self._check(query)
        self.query = f"?{query}" if query else ""

    def shown(self, text: str) -> str:
        """An answer of the server, without what looks like a credential."""
        return self._unshown.sub(_HIDDEN, text)

    @contextmanager
    def untold(self) -> Generator[None]:
        """Keep the values out of what goes wrong here."""
        try:
            yield
        except ToolFailed as failure:
            raise ToolFailed(self._untold.sub(_HIDDEN, str(failure))) from None
        except RuntimeFailure as failure:
            failure.message = self._untold.sub(_HIDDEN, failure.message)
            failure.args = (failure.message,)
            raise

    def _check(self, query: str) -> None:
        """Refuse a value that a request cannot carry: its library would repeat it."""
        server = self._server
        for name, value in self.env.items():
            if "\0" in value:
                _refuse(server.env[name], name)
        for name, value in self.headers.items():
            if not re.fullmatch(HEADER_VALUE, value):
                _refuse(server.headers[name], name)
        if server.query is not None and not re.fullmatch(QUERY_VALUE, query):
            _refuse(server.query, "query")


def _refuse(given: str | SecretReference, place: str) -> None:
    whose = f"the secret '{given.secret}'" if isinstance(given, SecretReference) else "the value"
    raise SecretUnusable(f"In '{place[:100]}' {whose} cannot stand: it has a character that is not allowed there.")


def _any_of(values: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted({*map(re.escape, values)}, key=len, reverse=True)
    return re.compile("|".join(longest_first)) if longest_first else _NOTHING

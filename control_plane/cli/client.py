"""The API as the CLI uses it."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from control_plane.cli.connection import ApiLocation, is_here
from control_plane.cli.failures import CliError, ExitCode, from_problem, usage_error
from control_plane.local.identity import proves_itself
from services.control_plane_client.identity import not_ours

PREFIX = "/api/v1"
#: Answers of an API that is starting, stopping or cut off from what it needs.
PASSING = frozenset({502, 503, 504})
#: Seconds that a request which may be repeated is tried again for.
PATIENCE = 30.0
CONNECT_SECONDS, READ_SECONDS = 5.0, 90.0


class ApiClient:
    """Sends requests; whatever is no success becomes a `CliError`."""

    def __init__(self, location: ApiLocation, *, patience: float = PATIENCE) -> None:
        self.location = location
        self._patience = patience
        #: Whether somebody was there, if only to break the connection.
        self._met = False
        self._is_proven = not location.identity_secret
        headers = {"Authorization": f"Bearer {location.key}"} if location.key else {}
        self.http = httpx.Client(
            base_url=location.url,
            headers=headers,
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            trust_env=not is_here(location.url),
            event_hooks={"request": [self._prove], "response": [self._heard]},
        )

    def get(self, path: str, **query: Any) -> Any:
        """Read; query parameters that are None are left out.

        Raises:
            CliError: the answer is no success, or there is none.
        """
        return self.send("GET", path, query=query)

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send one request and give the body of the answer, None if it has none.

        Raises:
            CliError: the answer is no success, or there is none.
        """
        given = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            response = self.http.request(method, PREFIX + path, json=body, params=given, headers=headers)
        except httpx.TransportError as error:
            raise self.unreachable(error) from error
        except UnicodeEncodeError as error:
            raise usage_error("The text is not valid Unicode.", hint="Send it as UTF-8.") from error
        except ValueError as error:
            raise usage_error("A number is not finite.", hint="JSON has neither NaN nor infinity.") from error
        return answer(response)

    def send_for_sure(
        self, method: str, path: str, *, body: Any, headers: Mapping[str, str], say: Callable[[str], None]
    ) -> Any:
        """Send a request that may safely arrive twice, again and again while the API is away; `say` is told.

        Raises:
            CliError: the answer is no success, or there was none for too long.
        """
        return self.retrying(self._patience, say)(self.send, method, path, body=body, headers=headers)

    def retrying(self, seconds: float, say: Callable[[str], None]) -> Retrying:
        """Tries again while the API is away, for so long; `say` is told once."""

        def tell(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            if state.attempt_number == 1 and isinstance(error, CliError):
                say(f"{error.detail} Trying again for {seconds:.0f} s.")

        return Retrying(
            retry=retry_if_exception(self.may_pass),
            stop=stop_after_delay(seconds),
            wait=wait_random_exponential(multiplier=0.2, max=2.0),
            before_sleep=tell,
            reraise=True,
        )

    def may_pass(self, error: BaseException) -> bool:
        """Whether the same request may succeed in a moment; not where nobody was met or is expected."""
        if not isinstance(error, CliError):
            return False
        if error.code == "api_unreachable":
            return self._met or self.location.expected
        return error.as_problem().get("status") in PASSING

    def _prove(self, request: httpx.Request) -> None:
        """Make sure, once, that the local stack's own API gets the key."""
        if not self._is_proven and not proves_itself(self.location.url, self.location.identity_secret):
            raise CliError(
                not_ours(self.location.url),
                exit_code=ExitCode.UNREACHABLE,
                code="api_not_ours",
                checks=(self.location.stack,),
                hint="Wait until the stack has its port again, or restart it: holdfast down, then holdfast up.",
            )
        self._is_proven = True

    def _heard(self, response: httpx.Response) -> None:
        self._met = True

    def unreachable(self, error: httpx.TransportError) -> CliError:
        """The API did not answer: what failed, what was looked at, what to do."""
        location = self.location
        self._met = self._met or not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        return CliError(
            f"The Holdfast API at {location.url} cannot be reached: {_reason(error)}.",
            exit_code=ExitCode.TIMEOUT if isinstance(error, httpx.ReadTimeout) else ExitCode.UNREACHABLE,
            code="api_unreachable",
            checks=(f"URL from {location.source}", location.stack),
            hint="Start the local stack with `holdfast up`, or name another API with --api-url or HOLDFAST_API_URL.",
        )


def answer(response: httpx.Response) -> Any:
    """The body of a success.

    Raises:
        CliError: it is none.
    """
    if not response.is_success:
        problem = _problem(response)
        raise from_problem(response.status_code, problem) if problem else _stranger(response)
    try:
        return response.json() if response.content else None
    except ValueError:
        raise _stranger(response) from None


def _problem(response: httpx.Response) -> dict[str, Any] | None:
    """The problem document; None where the answer is none of ours."""
    try:
        body = response.json()
    except ValueError:
        return None
    if not (isinstance(body, dict) and "code" in body and "detail" in body):
        return None
    return cast("dict[str, Any]", body) | {"status": response.status_code}


def _stranger(response: httpx.Response) -> CliError:
    """What answers is no Holdfast API, or what stands before one that is away."""
    text = f"HTTP {response.status_code} from {response.url} is no answer of a Holdfast API."
    nowhere = ExitCode.UNREACHABLE
    if response.status_code in PASSING:
        return CliError(text, exit_code=nowhere, code="api_unreachable", hint="The API behind it is away.")
    hint = "Name the API with --api-url or HOLDFAST_API_URL."
    return CliError(text, exit_code=nowhere, code="not_an_api", hint=hint)


def _reason(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.ConnectTimeout):
        return f"no connection in {CONNECT_SECONDS:.0f} s"
    if isinstance(error, httpx.ReadTimeout):
        return f"no answer in {READ_SECONDS:.0f} s"
    text = str(error)
    return "connection refused" if "refused" in text else text or type(error).__name__

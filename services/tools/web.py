"""The toolset `web`: pages of the internet, and no address of the worker's own network."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import httpx2

from runtimes.types import Effect
from services.bounded.process import BoundedProcesses, WorkUnbounded
from services.egress import Egress, UrlForbidden
from services.tools.configuration import WebToolset
from services.tools.spec import Call, ToolFailed, ToolSpec
from services.tools.web_pages import body_of

#: Bytes of an answer, unpacked, and redirects that are followed.
BODY_LIMIT = 5_000_000
REDIRECTS = 5
#: Characters that are shown of an answer that is an error.
_ERROR_LIMIT = 2000
_TIMEOUT = httpx2.Timeout(20.0, connect=10.0)
_HEADERS = {"User-Agent": "holdfast", "Accept": "text/*, application/json;q=0.9", "Accept-Encoding": "gzip, deflate"}

#: Seconds of processor and megabytes in which a page has to be read: some HTML takes far more than its length.
_READ_SECONDS = 15
_READ_MB = 1000

_DESCRIPTION = "Fetch a page of the internet by its URL (http or https) and read its text; links stay visible."


def web_tools(wanted: WebToolset, egress: Egress, processes: BoundedProcesses) -> list[ToolSpec]:
    """The tool `web_fetch`."""
    url = {"type": "string", "minLength": 1, "maxLength": 4000, "description": "An absolute URL."}
    return [
        ToolSpec(
            name="web_fetch",
            description=_DESCRIPTION,
            parameters={
                "type": "object",
                "properties": {"url": url},
                "required": ["url"],
                "additionalProperties": False,
            },
            handler=partial(_fetch, egress, processes),
            effect=Effect.READ_ONLY,
            timeout_seconds=wanted.seconds_of("web_fetch"),
        )
    ]


async def _fetch(egress: Egress, processes: BoundedProcesses, arguments: Mapping[str, Any], _: Call) -> str:
    try:
        async with httpx2.AsyncClient(transport=egress.transport(), timeout=_TIMEOUT, headers=_HEADERS) as client:
            return await _follow(client, egress, processes, str(arguments["url"]))
    except UrlForbidden as error:
        raise ToolFailed(str(error)) from error
    except httpx2.HTTPError as error:
        raise ToolFailed(f"The page could not be fetched: {type(error).__name__}: {error}") from error


async def _follow(client: httpx2.AsyncClient, egress: Egress, processes: BoundedProcesses, url: str) -> str:
    """Every hop is checked like the first; no header that one host set goes to the next."""
    here = egress.check(url)
    for _ in range(REDIRECTS + 1):
        async with client.stream("GET", here, follow_redirects=False) as response:
            if not response.has_redirect_location:
                return await _read(response, processes)
            here = egress.check(str(here.join(response.headers["Location"])))
        client.cookies.clear()
    raise ToolFailed(f"The URL redirects more than {REDIRECTS} times.")


async def _read(response: httpx2.Response, processes: BoundedProcesses) -> str:
    body = await body_of(response.aiter_raw(), response.headers.get("Content-Encoding", ""), BODY_LIMIT)
    kind = response.headers.get("Content-Type", "text/plain")
    text = await _text(processes, body, kind, response.charset_encoding)
    if response.is_error:
        raise ToolFailed(f"{response.url} answered {response.status_code}.\n{text[:_ERROR_LIMIT]}")
    return f"[{response.url}]\n\n{text}"


async def _text(processes: BoundedProcesses, body: bytes, kind: str, charset: str | None) -> str:
    try:
        return await processes.run(
            "page_text", body, seconds=_READ_SECONDS, memory_mb=_READ_MB, content_type=kind, charset=charset
        )
    except WorkUnbounded as error:
        raise ToolFailed(f"The page cannot be read. {error}") from error

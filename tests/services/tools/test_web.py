"""The toolset `web`."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest

from runtimes.types import Effect
from services.egress import Egress
from services.tools.spec import Call, ToolFailed, ToolSpec
from services.tools.toolsets import Toolsets
from tests.services.tools.web_site import Site, web_site

Fetch = Callable[[str], Awaitable[str]]


@pytest.fixture
async def site() -> AsyncGenerator[Site]:
    async with web_site() as site:
        yield site


def tool(egress: Egress) -> ToolSpec:
    (spec,) = Toolsets(egress=egress).build([{"type": "web"}], Path("/nonexistent"))
    return spec


@pytest.fixture
def fetch(site: Site) -> Fetch:
    spec = tool(Egress([site.place]))

    async def run(path: str) -> str:
        return await spec.handler({"url": site.url(path)}, Call("call_1", "key-1"))

    return run


def test_a_page_can_be_fetched_again() -> None:
    assert (tool(Egress()).name, tool(Egress()).effect) == ("web_fetch", Effect.READ_ONLY)


async def test_a_page_becomes_readable_text_with_its_links(fetch: Fetch, site: Site) -> None:
    text = await fetch("/page")

    assert text == f"[{site.url('/page')}]\n\nT\n\n# Prices\n\nOne **apple** costs [2\xa0€](/more)."


@pytest.mark.parametrize(("path", "text"), [("/json", '{"a": 1}'), ("/packed", "small")])
async def test_other_text_stays_as_it_is(fetch: Fetch, path: str, text: str) -> None:
    assert (await fetch(path)).endswith(f"\n\n{text}")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/image", "image/png"),
        ("/large", "larger than 5000000 bytes"),
        ("/bomb", "larger than 5000000 bytes"),
        ("/unknown", "packed as 'br'"),
        ("/broken", "cannot be undone"),
        ("/deep", "nested too deeply"),
        ("/nowhere", "answered 404.\nnothing here"),
        ("/to//to//to//to//to//to//page", "redirects more than 5 times"),
    ],
)
async def test_what_cannot_be_read_is_told(fetch: Fetch, path: str, told: str) -> None:
    with pytest.raises(ToolFailed, match=told):
        await fetch(path)


async def test_redirects_are_followed_and_take_no_cookie_along(fetch: Fetch, site: Site) -> None:
    text = await fetch("/to//to//json")

    assert text.startswith(f"[{site.url('/json')}]")
    assert "Cookie" not in site.headers
    assert site.headers["Host"] == site.place


async def test_a_host_that_is_not_there_is_told() -> None:
    spec = tool(Egress(["127.0.0.1:1"]))

    with pytest.raises(ToolFailed, match="could not be fetched: ConnectError"):
        await spec.handler({"url": "http://127.0.0.1:1/"}, Call("call_1", "key-1"))

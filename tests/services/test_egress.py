"""Which addresses an agent can have asked for."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

import httpx2
import pytest

from services.egress import Egress, UrlForbidden
from tests.services.tools.web_site import Site, web_site

PUBLIC = "93.184.216.34"


@dataclass
class Names:
    """A resolver; each name has answers that come one after the other."""

    answers: dict[str, list[Sequence[str]]]
    asked: list[str] = field(default_factory=list[str])

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answers = self.answers[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture
async def site() -> AsyncGenerator[Site]:
    async with web_site() as site:
        yield site


async def ask(egress: Egress, url: str) -> str:
    async with httpx2.AsyncClient(transport=egress.transport(), timeout=5) as client:
        return (await client.get(egress.check(url))).text


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://0/",
        "http://0.0.0.0/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://127。0。0。1/",
        "http://[::1]/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[fe80::1%25lo]/",
        "http://[fd00::1]/",
        "http://[ff02::1]/",
        "http://10.0.0.1/",
        "http://172.16.0.1/",
        "http://192.168.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://100.64.0.1/",
        "http://192.0.0.8/",
        "http://198.18.0.1/",
        "http://168.63.129.16/metadata/instance",
        "http://192.31.196.1/",
        "http://192.175.48.1/",
        "http://[3fff::1]/",
        "http://[3fff:fff:ffff::1]/",
        "http://[2620:4f:8000::1]/",
        "http://[::ffff:168.63.129.16]/",
        "http://[::168.63.129.16]/",
        "http://[64:ff9b::a83f:8110]/",
        "http://[64:ff9b:1::a83f:8110]/",
        "http://[2002:a83f:8110::]/",
        "http://[2002:c01f:c401::1]/",
        "http://[64:ff9b::c0af:3001]/",
        "http://224.0.0.1/",
        "http://240.0.0.1/",
        "http://255.255.255.255/",
        "http://example.com:22/",
        "http://user:password@example.com/",
        "http://example.com\\@127.0.0.1/",
        "http://127.0.0.1\\@example.com/",
        "http://127.0.0.1%00.example.com/",
        "http:///etc/passwd",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "ftp://example.com/",
        "data:text/plain,x",
        "//127.0.0.1/",
        "http://①②⑦.⓪.⓪.①/",
        "not a url",
        "",
    ],
)
async def test_no_connection_is_made(url: str) -> None:
    with pytest.raises((UrlForbidden, httpx2.InvalidURL)):
        await ask(Egress(), url)


async def test_a_host_with_one_private_address_is_refused(site: Site) -> None:
    names = Names({"mixed.example": [[PUBLIC, "127.0.0.1"]]})

    with pytest.raises(UrlForbidden, match="private and local"):
        await ask(Egress(resolver=names.resolve), "http://mixed.example/")

    assert site.visits == []


async def test_a_name_that_changes_after_the_check_is_of_no_use(site: Site) -> None:
    """The connection goes to the address that was checked: nobody asks for the name again."""
    names = Names({"rebind.example": [[PUBLIC], ["127.0.0.1"]]})
    egress = Egress([], names.resolve)

    assert await egress.addresses(egress.check("http://rebind.example/")) == [PUBLIC]
    with pytest.raises(UrlForbidden):
        await ask(egress, "http://rebind.example/")

    assert site.visits == []


async def test_the_connection_goes_where_the_check_looked(site: Site) -> None:
    names = Names({"shop.example": [["127.0.0.1"], [PUBLIC]]})
    egress = Egress([f"shop.example:{site.port}"], names.resolve)

    text = await ask(egress, f"http://shop.example:{site.port}/json")

    assert text == '{"a": 1}'
    assert (site.headers["Host"], names.asked) == (f"shop.example:{site.port}", ["shop.example"])


async def test_a_redirect_to_a_private_address_is_refused(site: Site) -> None:
    """Whoever follows redirects through the transport is checked at every hop."""
    names = Names({"shop.example": [["127.0.0.1"]]})
    egress = Egress([f"shop.example:{site.port}"], names.resolve)

    async with httpx2.AsyncClient(transport=egress.transport(), follow_redirects=True) as client:
        with pytest.raises(UrlForbidden):
            await client.get(f"http://shop.example:{site.port}/to/http://127.0.0.1:{site.port}/json")

    assert len(site.visits) == 1


async def test_the_next_address_is_tried_where_one_does_not_answer(site: Site) -> None:
    names = Names({"two.example": [["127.0.0.2", "127.0.0.1"]]})

    assert await ask(Egress([f"two.example:{site.port}"], names.resolve), f"http://two.example:{site.port}/json")


async def test_no_variable_sends_it_through_a_proxy(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    assert await ask(Egress([site.place]), site.url("/json"))


@pytest.mark.parametrize("url", ["https://example.com/a?b=c", "http://example.com:80", "http://example.com:443/"])
def test_the_internet_is_open(url: str) -> None:
    assert str(Egress().check(url)).startswith(url.partition("?")[0].removesuffix(":80"))


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:220:1:248:1893:25c8:1946", "1.1.1.1"])
async def test_addresses_of_the_internet_are_open(address: str) -> None:
    names = Names({"example.com": [[address]]})
    egress = Egress(resolver=names.resolve)

    assert await egress.addresses(egress.check("https://example.com/")) == [address]


def test_what_the_operator_allows_is_allowed_at_its_port_only() -> None:
    egress = Egress(["127.0.0.1:8080", "[::1]:9000", "WIKI.internal:443"])

    assert [str(egress.check(url).host) for url in ("http://127.0.0.1:8080/", "http://[::1]:9000/")] == [
        "127.0.0.1",
        "::1",
    ]
    assert egress.check("https://wiki.internal/").host == "wiki.internal"
    with pytest.raises(UrlForbidden):
        egress.check("http://127.0.0.1:8081/")

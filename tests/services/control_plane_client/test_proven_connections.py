"""A session that opens connections only to an API that proves itself."""

import aiohttp
import pytest
from aiohttp import web

from services.control_plane_client.identity import PATH, proof_of
from services.control_plane_client.proven_connections import ApiNotOurs, proving
from tests.stack import free_port

SECRET = "shared with the true API"


class _Api:
    """Answers with the proof of whoever knows `secret` and listens at `claimed`."""

    def __init__(self, secret: str, claimed: int) -> None:
        self._secret, self._claimed = secret, claimed
        self.keys: list[str] = []

    async def prove(self, request: web.Request) -> web.Response:
        self.keys += request.headers.getall("Authorization", [])
        return web.Response(text=proof_of(self._secret, request.query["nonce"], self._claimed))

    async def work(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers["Authorization"])
        return web.Response()


async def _ask(port: int, api: _Api, times: int = 1) -> None:
    app = web.Application()
    app.router.add_get(PATH, api.prove)
    app.router.add_post("/work", api.work)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession(
            url, headers={"Authorization": "Bearer key"}, trace_configs=[proving(url, SECRET)]
        ) as session:
            for _ in range(times):
                async with session.post("/work"):
                    pass
    finally:
        await runner.cleanup()


async def test_an_api_that_knows_the_secret_gets_the_key_with_each_request() -> None:
    port = free_port()
    api = _Api(SECRET, port)

    await _ask(port, api, times=3)

    assert api.keys == ["Bearer key"] * 3


async def test_a_program_that_does_not_know_the_secret_gets_no_key() -> None:
    port = free_port()
    api = _Api("a guess", port)

    with pytest.raises(ApiNotOurs, match="it cannot prove that it is our API"):
        await _ask(port, api)

    assert api.keys == []


async def test_the_proof_of_the_true_api_at_another_port_is_worth_nothing() -> None:
    port = free_port()
    api = _Api(SECRET, port + 1)

    with pytest.raises(ApiNotOurs):
        await _ask(port, api)

    assert api.keys == []

"""Connections that are opened only to an API that has just proved itself."""

import aiohttp
from yarl import URL

from services.control_plane_client.identity import PATH, PROOF_SECONDS, is_proof, new_nonce, not_ours

#: Longest answer that is looked at, in bytes.
LONGEST_PROOF = 1024


class ApiNotOurs(aiohttp.ClientConnectionError):
    """A program that does not know our secret listens at the API's address."""


def proving(api_url: str, secret: str) -> aiohttp.TraceConfig:
    """Makes a session ask for a proof before each new connection.

    The session's requests fail with `ApiNotOurs` where there is none, before anything of them was sent.
    """

    async def prove(*_: object) -> None:
        await _prove(URL(api_url), secret)

    config = aiohttp.TraceConfig()
    config.on_connection_create_start.append(prove)
    return config


async def _prove(url: URL, secret: str) -> None:
    nonce = new_nonce()
    timeout = aiohttp.ClientTimeout(total=PROOF_SECONDS)
    asked = url.with_path(PATH).with_query(nonce=nonce)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(asked, allow_redirects=False) as response,
    ):
        told = await response.content.read(LONGEST_PROOF)
    if not is_proof(told.decode(errors="replace"), secret, nonce, url.port):
        raise ApiNotOurs(not_ours(str(url)))

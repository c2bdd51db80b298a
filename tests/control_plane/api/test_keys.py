"""API keys: shown once, listed without their secret, revoked at once."""

import httpx

from tests.control_plane.api.organizations import UNKNOWN, Organization, code
from tests.stack import Stack

KEYS = "/api/v1/keys"


def bearer(key: str) -> dict[str, str]:
    """The header that a key goes into."""
    return {"Authorization": f"Bearer {key}"}


async def test_a_new_key_opens_what_its_scopes_say(stack: Stack, nobody: httpx.AsyncClient) -> None:
    made = await stack.http.post(KEYS, json={"name": "reader", "scopes": ["read", "read"]})

    key = made.json()
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    assert key["scopes"] == ["read"]
    assert key["key"].startswith(key["prefix"])
    assert (await nobody.get("/api/v1/agents", headers=bearer(key["key"]))).status_code == 200
    assert code(await nobody.post("/api/v1/agents", json={}, headers=bearer(key["key"]))) == (403, "scope_missing")


async def test_a_list_of_keys_shows_no_secret(stack: Stack) -> None:
    made = (await stack.http.post(KEYS, json={"name": "secret", "scopes": ["read"]})).json()

    listed = await stack.http.get(KEYS, params={"limit": 1})

    assert made.pop("key") not in listed.text
    assert listed.json()["items"] == [made]


async def test_a_revoked_key_opens_nothing(stack: Stack, nobody: httpx.AsyncClient) -> None:
    key = (await stack.http.post(KEYS, json={"name": "gone", "scopes": ["read"]})).json()
    assert (await nobody.get("/api/v1/agents", headers=bearer(key["key"]))).status_code == 200

    first = await stack.http.delete(f"{KEYS}/{key['id']}")
    revoked_at = (await stack.http.get(KEYS, params={"limit": 1})).json()["items"][0]["revoked_at"]
    second = await stack.http.delete(f"{KEYS}/{key['id']}")

    assert (first.status_code, second.status_code) == (204, 204)
    assert code(await nobody.get("/api/v1/agents", headers=bearer(key["key"]))) == (401, "key_revoked")
    assert revoked_at is not None
    assert (await stack.http.get(KEYS, params={"limit": 1})).json()["items"][0]["revoked_at"] == revoked_at


async def test_a_key_ends_when_it_should(stack: Stack) -> None:
    body = {"name": "temporary", "scopes": ["read"], "expires_at": "2099-12-31T23:00:00+02:00"}

    key = (await stack.http.post(KEYS, json=body)).json()

    assert key["expires_at"] == "2099-12-31T21:00:00Z"


async def test_keys_are_listed_page_by_page(nobody: httpx.AsyncClient, theirs: Organization) -> None:
    for number in range(3):
        await nobody.post(KEYS, json={"name": f"page {number}", "scopes": ["read"]}, headers=theirs.auth())
    whole = (await nobody.get(KEYS, headers=theirs.auth())).json()["items"]

    first = (await nobody.get(KEYS, params={"limit": 2}, headers=theirs.auth())).json()
    rest = (await nobody.get(KEYS, params={"cursor": first["next_cursor"]}, headers=theirs.auth())).json()

    assert first["items"] + rest["items"] == whole
    assert rest["next_cursor"] is None


async def test_an_unknown_key_cannot_be_revoked(stack: Stack) -> None:
    assert code(await stack.http.delete(f"{KEYS}/{UNKNOWN}")) == (404, "not_found")

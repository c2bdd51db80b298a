"""The clients that may ask a server of this machine."""

import pytest
from starlette.datastructures import Headers

from services.loopback_guard import refusal


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"host": "127.0.0.1:8233"}),
        ("POST", {"host": "localhost:8233"}),
        ("POST", {"host": "[::1]:8233", "origin": "http://[::1]:8233"}),
        ("POST", {"host": "127.0.0.1:8233", "origin": "http://127.0.0.1:8233", "sec-fetch-site": "same-origin"}),
        ("GET", {"host": "127.0.0.1:8233", "sec-fetch-site": "cross-site"}),
    ],
)
def test_programs_people_and_its_own_pages_may(method: str, headers: dict[str, str]) -> None:
    assert refusal(method, Headers(headers)) is None


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"host": "rebound.example:8233"}),
        ("GET", {"host": "127.0.0.1.example"}),
        ("GET", {}),
        ("POST", {"host": "127.0.0.1:8233", "origin": "https://evil.example"}),
        ("GET", {"host": "127.0.0.1:8233", "origin": "http://127.0.0.1:3000"}),
        ("POST", {"host": "127.0.0.1:8233", "origin": "null"}),
        ("POST", {"host": "127.0.0.1:8233", "sec-fetch-site": "cross-site"}),
    ],
)
def test_other_origins_pages_may_not(method: str, headers: dict[str, str]) -> None:
    assert refusal(method, Headers(headers)) is not None

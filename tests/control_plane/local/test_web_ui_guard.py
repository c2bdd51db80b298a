"""A web page of another origin gets nothing from the servers of a local stack."""

from collections.abc import Generator

import httpx
import pytest

from control_plane.local.ports import UNREACHABLE
from tests.control_plane.local.stack_at_work import StackAtWork
from tests.stack import free_port

pytestmark = pytest.mark.timeout(200)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Generator[StackAtWork]:
    stack = StackAtWork(tmp_path_factory.mktemp("guarded") / "data")
    stack.up("--port", str(free_port()), "--temporal-port", str(free_port()), "--ui-port", str(free_port()))
    yield stack
    stack("down")


def _asked(url: str, **headers: str) -> httpx.Response:
    return httpx.get(url, headers=headers, trust_env=False)


@pytest.mark.parametrize("server", ["temporal_ui_url", "model_url", "api_url"])
def test_a_page_that_was_led_here_under_another_name_is_refused(stack: StackAtWork, server: str) -> None:
    url = stack.json("status")[server]
    path = {"temporal_ui_url": "/api/v1/namespaces", "model_url": "/requests", "api_url": "/api/v1/agents"}[server]

    assert _asked(f"{url}{path}", Host="rebound.example").status_code == 403


@pytest.mark.parametrize("server", ["temporal_ui_url", "model_url"])
def test_a_request_of_another_web_page_is_refused(stack: StackAtWork, server: str) -> None:
    url = stack.json("status")[server]

    answer = httpx.post(f"{url}/requests", headers={"Origin": "https://evil.example"}, trust_env=False)

    assert answer.status_code == 403


def test_temporal_s_own_pages_pass_the_guard(stack: StackAtWork) -> None:
    url = stack.json("status")["temporal_ui_url"]

    page, namespaces = _asked(url), _asked(f"{url}/api/v1/namespaces", Origin=url)

    assert "<html" in page.text
    assert "default" in {one["namespaceInfo"]["name"] for one in namespaces.json()["namespaces"]}


def test_what_answers_any_page_listens_where_no_browser_goes(stack: StackAtWork) -> None:
    ports = stack.json("status")["ports"]

    assert {ports["temporal_http"], ports["temporal_metrics"], ports["temporal_ui_hidden"]} <= set(UNREACHABLE)

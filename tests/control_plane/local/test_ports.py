"""The choice of ports."""

import socket
from collections.abc import Iterator

import pytest

from control_plane.local.ports import HIDDEN, UNREACHABLE, USUAL, choose_ports

#: The uses whose ports are for people and programs.
PEOPLE = USUAL.model_dump().keys() - set(HIDDEN)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_taken_port_gives_way_to_the_next_and_that_is_said(taken: int) -> None:
    said: list[str] = []

    ports = choose_ports({"api": taken}, None, said.append)

    assert taken < ports.api <= taken + 100
    assert said[0] == f"Port {taken} (api) is taken: using {ports.api}."


def test_the_ports_used_before_are_used_again() -> None:
    said: list[str] = []
    before = choose_ports(dict.fromkeys(PEOPLE, 42000), None, said.append)
    said.clear()

    again = choose_ports({}, before, said.append)

    assert again == before
    assert said == []


def test_no_port_is_given_twice() -> None:
    ports = choose_ports(dict.fromkeys(PEOPLE, 42100), None, lambda _: None)

    assert len(set(ports.model_dump().values())) == len(USUAL.model_dump())


def test_what_answers_any_web_page_gets_ports_that_no_browser_reaches() -> None:
    ports = choose_ports({}, USUAL.model_copy(update=dict.fromkeys(HIDDEN, 42200)), lambda _: None).model_dump()

    assert {ports[use] for use in HIDDEN} <= set(UNREACHABLE)

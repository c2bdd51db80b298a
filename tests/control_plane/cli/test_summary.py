"""The line that closes an execution."""

from typing import Any

import pytest

from control_plane.cli.watch import summary


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ({"cost_usd": 0.5, "known_cost_usd": 0.5}, "failed · $0.5000 · execution 1"),
        ({"cost_usd": None, "known_cost_usd": 0.5}, "failed · at least $0.5000 · execution 1"),
        ({"cost_usd": None, "known_cost_usd": 0.0}, "failed · execution 1"),
        ({"cost_usd": 0.5}, "failed · $0.5000 · execution 1"),
    ],
)
def test_a_cost_of_which_only_a_part_is_known_is_told_as_such(usage: dict[str, Any], told: str) -> None:
    assert summary({"id": "1", "status": "failed", "usage": usage}) == told

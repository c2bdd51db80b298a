"""The depth to which models' values may be nested."""

import json
from typing import Any

import pytest

from runtimes.depth import LEVELS, is_deep
from runtimes.tool_arguments import decoded


def nested(levels: int) -> Any:
    """Objects within one another."""
    return {} if levels == 1 else {"a": nested(levels - 1), "b": [1]} if levels > 2 else {"a": {}}


@pytest.mark.parametrize(("levels", "deep"), [(1, False), (2, False), (LEVELS, False), (LEVELS + 1, True)])
def test_levels_are_counted(levels: int, deep: bool) -> None:
    assert is_deep(nested(levels)) == deep
    assert isinstance(decoded(json.dumps(nested(levels))), str) == deep


@pytest.mark.parametrize("levels", [300, 2000, 200_000])
def test_arguments_that_nobody_could_write_again_stay_text(levels: int) -> None:
    text = '{"a":' * levels + "1" + "}" * levels

    assert decoded(text) == text


def test_what_is_wide_is_not_deep() -> None:
    assert not is_deep({"a": [[1]] * 10_000, "b": {str(number): {} for number in range(10_000)}})

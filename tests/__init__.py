import pytest

pytest.register_assert_rewrite("tests.invariants", "tests.stack")

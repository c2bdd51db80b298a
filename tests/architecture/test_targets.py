"""Tests that `make test` leaves out are run by another target, whole."""

import re

from tests.architecture.source import ROOT

#: A recipe that runs tests: by path, or as a module.
RUN = re.compile(r"^\t@\$\(BIN\)/(?:pytest|python -m) (tests[\w./]*)(.*)$", re.MULTILINE)


def test_everything_that_is_left_out_of_make_test_has_a_target() -> None:
    recipes = RUN.findall((ROOT / "Makefile").read_text())
    whole = [re.sub(r"\.(?!py$)", "/", place) for place, options in recipes if "not whole" not in options]
    marked = [str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py") if is_marked(path.read_text())]

    assert len(marked) > 5
    assert [path for path in marked if not path.startswith(tuple(whole))] == []


def is_marked(text: str) -> bool:
    """Whether some of its tests are left out."""
    return re.search(r"^[^\"'#]*\bmark\.whole\b", text, re.MULTILINE) is not None

"""What somebody perhaps meant who wrote a name that nothing has."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

#: Characters of a name, and names, that are looked at: to compare takes the square of their length.
_LENGTH = 200
_KNOWN = 1000


def meant(name: str, known: Iterable[str]) -> str:
    """A question for the name that is most like it; empty if none is."""
    close = get_close_matches(name[:_LENGTH], [each for each in islice(known, _KNOWN) if len(each) <= _LENGTH], n=1)
    return f"Did you mean '{close[0]}'?" if close else ""


def guess(name: str, known: Iterable[str]) -> str:
    """The question, or all that is known."""
    names = sorted(known)
    return meant(name, names) or (f"Known: {', '.join(names)}." if names else "There are none.")

"""What somebody perhaps meant who wrote a name that nothing has."""

from collections.abc import Iterable
from difflib import get_close_matches


def meant(name: str, known: Iterable[str]) -> str:
    """A question for the name that is most like it; empty if none is."""
    close = get_close_matches(name, list(known), n=1)
    return f"Did you mean '{close[0]}'?" if close else ""


def guess(name: str, known: Iterable[str]) -> str:
    """The question, or all that is known."""
    names = sorted(known)
    return meant(name, names) or (f"Known: {', '.join(names)}." if names else "There are none.")

"""The tools that the bodies call."""


def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


def mul(a: int, b: int) -> str:
    """Multiply two numbers."""
    return str(a * b)


def now() -> str:
    """Tell the time."""
    return "noon"


def nul() -> str:
    """Tell something with a character that cannot be stored."""
    return "a\0b"


def slow(label: str, seconds: float = 0) -> str:
    """Do something that could take long."""
    return f"did {label}"

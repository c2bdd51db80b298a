"""What the benchmarks' agents have for tools."""


def add(first: int, second: int) -> int:
    """Add two numbers."""
    return first + second

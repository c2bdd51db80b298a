"""Output of any length in bounded memory: its beginning and its end."""

#: Bytes that are kept of the beginning, and of the end.
KEPT = 512 * 1024


class Output:
    """Keeps what was written first and last."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, data: bytes) -> None:
        """Take what was written next."""
        room = KEPT - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > 2 * KEPT:
            self._drop()

    def text(self) -> str:
        """What was kept, as UTF-8; where something is missing, it says so."""
        self._drop()
        gap = f"\n[{self._dropped} bytes are not shown]\n".encode() if self._dropped else b""
        return (self._head + gap + self._tail).decode(errors="replace")

    def _drop(self) -> None:
        surplus = max(len(self._tail) - KEPT, 0)
        self._dropped += surplus
        del self._tail[:surplus]

"""Arguments of a tool call as they come, in a time that grows with their length only."""

import re

from services.model_gateway.wires.mending import is_object

#: What changes where a JSON text is: inside of its strings a backslash takes the next character along.
_MARKS = re.compile(r'\\.|["{}\[\]\\]', re.DOTALL)
_BLANKS = " \t\r\n"


class Arguments:
    """A text in pieces that is to become a JSON object."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._begin()

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def add(self, piece: str) -> None:
        """Take the next piece."""
        if piece:
            self._pieces.append(piece)
            self._unread.append(piece)

    def replace(self, text: str) -> None:
        """Forget what came; the whole text is another one."""
        self._pieces = [text] if text else []
        self._begin()
        self._unread = list(self._pieces)

    @property
    def text(self) -> str:
        """All that has come."""
        self._pieces = ["".join(self._pieces)] if self._pieces else []
        return self._pieces[0] if self._pieces else ""

    @property
    def are_whole(self) -> bool:
        """Whether they are a whole object."""
        unread, self._unread = "".join(self._unread), []
        at = self._read(unread) if not self._is_closed else 0
        if self._is_closed and unread[at:].strip(_BLANKS):
            self._is_object = False
        return self._is_object

    def _begin(self) -> None:
        self._unread: list[str] = []
        self._depth = 0
        self._is_quoted = self._is_escaped = self._is_closed = self._is_object = False

    def _read(self, text: str) -> int:
        """Follow the text to its object's end, and look there whether it is one; gives the place behind it."""
        begin = 1 if self._is_escaped and text else 0
        self._is_escaped = self._is_escaped and not text
        for mark in _MARKS.finditer(text, begin):
            self._mark(mark.group())
            if self._is_closed:
                before = len(self.text) - len(text) + mark.end()
                self._is_object = is_object(self.text[:before])
                return mark.end()
        return len(text)

    def _mark(self, mark: str) -> None:
        if mark == '"':
            self._is_quoted = not self._is_quoted
        elif mark == "\\":
            self._is_escaped = True
        elif not self._is_quoted and mark in "{[":
            self._depth += 1
        elif not self._is_quoted and mark in "}]":
            self._depth -= 1
            self._is_closed = self._depth <= 0

"""The bounds of a provider's answer: its bytes are unpacked and counted as they come, never all at once."""

import zlib
from typing import Any

import aiohttp

from services.control_plane_client.models import LARGEST_ANSWER

#: Bytes of an answer that comes whole; of a stream, which has hundreds for each token; and of a refusal.
WHOLE_BYTES = LARGEST_ANSWER
STREAM_BYTES = 128 * 1024 * 1024
REFUSAL_BYTES = 64 * 1024
#: Bytes that are unpacked at once.
_PIECE_BYTES = 1024 * 1024
#: Both of zlib's forms, whichever it is.
_ANY_FORM = 47
_PACKED = frozenset({"gzip", "x-gzip", "deflate"})
_PLAIN = frozenset({"", "identity"})


class AnswerUnfit(Exception):
    """An answer that is not taken; the message says why."""


class AnswerTooLarge(AnswerUnfit):
    """There is more of it than anybody takes."""


class BoundedBody:
    """A response's body, piece by piece.

    Raises:
        AnswerUnfit: it is packed in a way that nobody asked for, or is too large.
    """

    def __init__(self, response: aiohttp.ClientResponse, most: int) -> None:
        self.most = most
        self.read_bytes = 0
        self._content = response.content
        coding = response.headers.get("content-encoding", "").strip().lower()
        if coding not in _PACKED | _PLAIN:
            raise AnswerUnfit(f"it is packed as '{coding[:40]}', which was not asked for")
        self._unpacker = zlib.decompressobj(_ANY_FORM) if coding in _PACKED else None

    async def read(self) -> bytes:
        """The next piece; empty at the end."""
        piece = await self._next()
        self.read_bytes += len(piece)
        if self.read_bytes > self.most:
            raise AnswerTooLarge(f"it is larger than {self.most} bytes, the most that is taken")
        return piece

    async def _next(self) -> bytes:
        unpacker = self._unpacker
        if unpacker is None:
            return await self._content.readany()
        while not unpacker.eof:
            packed = unpacker.unconsumed_tail or await self._content.readany()
            piece = _unpacked(unpacker, packed)
            if piece or not packed:
                return piece
        return b""


def _unpacked(unpacker: Any, packed: bytes) -> bytes:
    try:
        return unpacker.decompress(packed, _PIECE_BYTES)
    except zlib.error:
        raise AnswerUnfit("it cannot be unpacked") from None

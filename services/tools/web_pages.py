"""Text of what a web server answers."""

import codecs
import zlib
from collections.abc import AsyncIterator, Callable

from bs4 import BeautifulSoup
from markdownify import MarkdownConverter

from services.tools.spec import ToolFailed

#: Types of content that are text as they are, beside text/*.
_TEXTS = ("json", "xml", "yaml", "javascript", "x-www-form-urlencoded")
_HTML = ("text/html", "application/xhtml+xml")
#: Parts of a page that are not for reading.
_SILENT = ("script", "style", "noscript", "template", "svg", "iframe")
#: How zlib is told the form: by itself for gzip and zlib.
_BY_ITSELF = 32 + zlib.MAX_WBITS


async def body_of(chunks: AsyncIterator[bytes], encoding: str, limit: int) -> bytes:
    """A body, unpacked, of which no more than `limit` bytes are ever held.

    Raises:
        ToolFailed: it is larger, or packed in an unknown way.
    """
    if encoding.strip().lower() not in ("", "identity", "gzip", "deflate"):
        raise ToolFailed(f"The answer is packed as '{encoding[:40]}', which is not understood.")
    unpack = zlib.decompressobj(_BY_ITSELF).decompress if encoding.strip().lower() in ("gzip", "deflate") else None
    body = bytearray()
    async for chunk in chunks:
        body += _unpacked(unpack, chunk, limit + 1 - len(body)) if unpack else chunk
        if len(body) > limit:
            raise ToolFailed(f"The answer is larger than {limit} bytes, which are the most.")
    return bytes(body)


def _unpacked(unpack: Callable[[bytes, int], bytes], chunk: bytes, most: int) -> bytes:
    try:
        return unpack(chunk, most)
    except zlib.error:
        raise ToolFailed("The answer is packed in a way that cannot be undone.") from None


def text_of(body: bytes, content_type: str, charset: str | None) -> str:
    """What there is to read.

    Raises:
        ToolFailed: it is no text.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind in _HTML and b"<" in body and not body.lstrip().startswith(b"<?xml"):
        return _readable(body, charset)
    if not kind.startswith("text/") and not kind.endswith(_TEXTS):
        raise ToolFailed(f"The answer is of type '{kind[:100] or 'unknown'}': only text can be read.")
    return body.decode(_known(charset), errors="replace")


def _readable(body: bytes, charset: str | None) -> str:
    try:
        page = BeautifulSoup(body, "html.parser", from_encoding=charset)
        for silent in page.find_all(_SILENT):
            silent.decompose()
        lines = MarkdownConverter(heading_style="atx").convert_soup(page).splitlines()
    except RecursionError:
        raise ToolFailed("The page is nested too deeply to be read.") from None
    return "\n".join(line.rstrip() for line, before in zip(lines, ["", *lines], strict=False) if line or before).strip()


def _known(charset: str | None) -> str:
    try:
        return codecs.lookup(charset or "utf-8").name
    except LookupError:
        return "utf-8"

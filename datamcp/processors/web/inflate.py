"""Bodies as they were before they were compressed, never more than a limit. Pure.

A kilobyte of gzip may hold a megabyte, so it is decoded in small pieces and counted on the way.
"""

import zlib
from collections.abc import Iterable, Iterator

from datamcp.errors import ProcessingError

_GZIP = 16 + zlib.MAX_WBITS
_PIECE = 1 << 16  # bytes

GZIP = frozenset(["gzip", "x-gzip"])
PLAIN = frozenset(["", "identity"])


def decoded(chunks: Iterable[bytes], encoding: str, limit: int) -> Iterator[bytes]:
    """Yield a body without its `Content-Encoding`.

    ProcessingError for an encoding that was not asked for, a damaged one, and for a body of more
    than `limit` bytes, decoded or not.
    """
    name = encoding.strip().lower()
    if name not in GZIP | PLAIN:
        raise ProcessingError(f"it is encoded as {name[:40]!r}, and only gzip was asked for")
    bounded = _bounded(chunks, limit)
    yield from _bounded(_gunzipped(bounded), limit) if name in GZIP else bounded


def _bounded(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise ProcessingError(f"it is larger than the {limit:,} bytes that max_bytes leaves")
        yield chunk


def _gunzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    member = zlib.decompressobj(_GZIP)
    is_begun = False
    for chunk in chunks:
        rest = chunk
        while rest:
            if member.eof:  # another member follows
                member, is_begun = zlib.decompressobj(_GZIP), False
            try:
                piece = member.decompress(rest, _PIECE)
            except zlib.error as error:
                raise ProcessingError(f"its gzip is damaged: {error}") from error
            is_begun = True
            rest = member.unused_data if member.eof else member.unconsumed_tail
            yield piece
    yield from _rest(member)
    if is_begun and not member.eof:
        raise ProcessingError("its gzip is damaged: it ends too early")


def _rest(member: "zlib._Decompress") -> Iterator[bytes]:
    """Yield what zlib still holds back."""
    while not member.eof and (piece := member.decompress(b"", _PIECE)):
        yield piece

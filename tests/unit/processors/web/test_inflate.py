"""Bodies without their compression, within limits."""

import gzip
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.errors import ProcessingError
from datamcp.processors.web.inflate import decoded


def in_pieces(data: bytes, size: int) -> Iterator[bytes]:
    """Yield some bytes in pieces."""
    return (data[at : at + size] for at in range(0, len(data), size))


@given(st.binary(max_size=3000), st.integers(1, 500), st.sampled_from(["", "gzip", "x-gzip"]))
def test_what_was_compressed_comes_back(data: bytes, size: int, encoding: str) -> None:
    """However the bytes arrive, they are those that were sent."""
    sent = gzip.compress(data) if encoding else data
    assert b"".join(decoded(in_pieces(sent, size), encoding, 10_000)) == data


def test_several_members_are_one_body() -> None:
    """A server may have put files of gzip one after the other."""
    sent = gzip.compress(b"one ") + gzip.compress(b"two")
    assert b"".join(decoded(in_pieces(sent, 7), "gzip", 100)) == b"one two"


@pytest.mark.parametrize("size", [10, 1 << 20])
def test_a_bomb_is_noticed_in_small_pieces(size: int) -> None:
    """Of a gigabyte in a megabyte, hardly more than the limit is ever decoded."""
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    sent = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(64)) + bomb.flush()
    sizes: list[int] = []
    pieces = decoded(in_pieces(sent, size), "gzip", 100_000)
    with pytest.raises(ProcessingError, match="larger than the 100,000 bytes"):
        sizes.extend(map(len, pieces))
    assert max(sizes) <= 1 << 16
    assert sum(sizes) <= 100_000


def test_gzip_that_never_gives_anything_is_bounded() -> None:
    """What is read counts as well as what comes out of it."""
    empty = gzip.compress(b"")
    with pytest.raises(ProcessingError, match="larger than"):
        list(decoded((empty for _ in range(1000)), "gzip", 5_000))


@pytest.mark.parametrize(
    ("data", "encoding", "message"),
    [
        (b"no gzip", "gzip", "its gzip is damaged"),
        (gzip.compress(b"x" * 100, mtime=0)[:-3], "gzip", "its gzip is damaged: it ends too early"),
        (b"x", "br", "encoded as 'br', and only gzip was asked for"),
        (b"x", "gzip, gzip", "only gzip was asked for"),
        (b"x" * 101, "", "larger than the 100 bytes"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, encoding: str, message: str) -> None:
    """Damage, an unknown encoding and too much of it are told apart."""
    with pytest.raises(ProcessingError, match=message):
        list(decoded([data], encoding, 100))

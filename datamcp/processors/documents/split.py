"""A text in pieces: of a size, cut between sentences or words, and one in a document's blocks. Pure.

Positions are counted in characters of the document's text, which is its blocks with an empty line
between them.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from datamcp.processors.documents.document import Block, BlockKind
from datamcp.processors.documents.sentences import spans

BETWEEN = "\n\n"
"""What stands between two blocks in a document's text."""

_WORD = re.compile(r"(?<=\s)\S")
_ENDS = "。！？｡।॥؟۔」』”）"  # noqa: RUF001  they end a sentence without a space


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text: `start` to `end`; what lies before `fresh` is of the piece before it, too."""

    start: int
    fresh: int
    end: int


def by_size(text: str, size: int, overlap: int = 0) -> Iterator[Piece]:
    """Yield the pieces of a text, of at most `size` characters each.

    Their parts from `fresh` on, joined, are the text. No sentence is cut that fits in a piece, and
    no word at all: one that is longer than `size` is a piece of its own. A piece begins with whole
    sentences from the end of the one before it, or else whole words: at most `overlap` characters,
    and fewer where the next sentence needs the room.
    """
    words = _word_starts(text)
    cuts = _Cuts(_sentence_starts(text), words, len(text))
    fresh = 0
    while fresh < len(text):
        start = cuts.first_from(fresh - overlap, fresh) if fresh else 0
        end = cuts.last_within(fresh, start + size)
        if end is None or cuts.is_inside_sentence(end):
            roomier = cuts.last_within(fresh, fresh + size)
            is_whole = roomier and not any(map(cuts.is_inside_sentence, (fresh, roomier)))
            if end is None or is_whole:
                start, end = fresh, roomier or cuts.next_after(fresh)
        yield Piece(start, fresh, end)
        fresh = end


def _sentence_starts(text: str) -> list[int]:
    starts = (start for start, _ in spans(text))
    return [at for at in starts if at and (text[at - 1].isspace() or text[at - 1] in _ENDS)]


def _word_starts(text: str) -> list[int]:
    return [found.start() for found in _WORD.finditer(text)]


class _Cuts:
    """Where a text may be cut: where sentences begin, else where words do, and at its end."""

    def __init__(self, sentences: Sequence[int], words: Sequence[int], end: int) -> None:
        self._sentences = [*sentences, end]
        self._words = [*words, end]

    def last_within(self, after: int, most: int) -> int | None:
        """Return the last cut after a place, at most at another; between sentences, if there is."""
        return _last(self._sentences, after, most) or _last(self._words, after, most)

    def next_after(self, place: int) -> int:
        at = bisect_right(self._words, place)
        return self._words[at]

    def first_from(self, least: int, before: int) -> int:
        """Return the first cut from a place on, before another; that one itself if there is none."""
        for cuts in (self._sentences, self._words):
            at = bisect_left(cuts, least)
            if at < len(cuts) and cuts[at] < before:
                return cuts[at]
        return before

    def is_inside_sentence(self, place: int) -> bool:
        at = bisect_left(self._sentences, place)
        return place > 0 and self._sentences[at] != place


def _last(cuts: Sequence[int], after: int, most: int) -> int | None:
    at = bisect_right(cuts, most) - 1
    return cuts[at] if at >= 0 and cuts[at] > after else None


@dataclass(frozen=True, slots=True)
class Placed:
    """A block of a document, and where it begins in the document's text."""

    block: Block
    start: int
    section: str  # the heading that it stands below, or is

    @property
    def end(self) -> int:
        """Return where it ends."""
        return self.start + len(self.block.text)


def placed(blocks: Sequence[Block]) -> list[Placed]:
    """Return the blocks of a document with their places."""
    found = []
    start, section = 0, ""
    for block in blocks:
        section = block.text if block.kind is BlockKind.HEADING else section
        found.append(Placed(block, start, section))
        start += len(block.text) + len(BETWEEN)
    return found


def sections(blocks: Sequence[Placed]) -> Iterator[Sequence[Placed]]:
    """Yield the blocks of a document by section: a heading, and what follows up to the next one."""
    begins = [0] + [
        index for index, one in enumerate(blocks) if index and one.block.kind is BlockKind.HEADING
    ]
    for begin, end in pairwise([*begins, len(blocks)]):
        if begin < end:
            yield blocks[begin:end]

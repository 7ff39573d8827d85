"""Documents as passages: what a search ranks and shows. Pure.

A passage is a paragraph or some short ones that follow each other below the same headings. A list
stays with the sentence before it while there is room. What is too long is cut between sentences.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from datamcp.processors.documents.document import Block, BlockKind, Document
from datamcp.processors.documents.sentences import spans

FEWEST_WORDS = 40  # below, a passage takes in the paragraph that follows
MOST_WORDS = 150  # above, it is cut
_SHORT_ITEM = 20  # words of an item that says little alone

_LISTED = frozenset([BlockKind.ITEM, BlockKind.TABLE])
_ROWS = frozenset([BlockKind.TABLE, BlockKind.CODE])
_TABLE_RULE = frozenset("|-: \t+")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, or a row of a table or line of code; white space is a single blank."""

    text: str
    kind: BlockKind
    line: int | None = None
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """Blocks that follow each other, and the headings above them, from the outermost one."""

    headings: tuple[str, ...]
    blocks: tuple[Block, ...]

    @property
    def text(self) -> str:
        """Return the text as it is shown: a paragraph in one line, tables and code by line."""
        parts = []
        previous: Block | None = None
        for block in self.blocks:
            if previous is not None:
                is_list = previous.kind is block.kind and block.kind in _LISTED
                parts.append("\n" if is_list else "\n\n")
            parts.append(block.text if block.kind in _ROWS else " ".join(block.text.split()))
            previous = block
        return "".join(parts)

    @property
    def first_line(self) -> int | None:
        """Return the line in which it begins."""
        return self.blocks[0].line

    @property
    def last_line(self) -> int | None:
        """Return the line in which it ends."""
        return self.blocks[-1].last_line

    @property
    def page(self) -> int | None:
        """Return the page on which it begins."""
        return self.blocks[0].page

    def sentences(self) -> Iterator[Sentence]:
        """Yield its sentences in order."""
        for block in self.blocks:
            yield from sentences_of(block)


def sentences_of(block: Block) -> Iterator[Sentence]:
    """Yield the sentences of a block: of a table its rows, of code its lines."""
    if block.kind in _ROWS:
        for number, row in enumerate(block.text.split("\n")):
            if row.strip() and not _TABLE_RULE.issuperset(row):
                line = None if block.line is None else block.line + number
                yield Sentence(" ".join(row.split()).strip("| "), block.kind, line, block.page)
        return
    line, counted = block.line, 0
    for start, end in spans(block.text):
        if line is not None:
            line += block.text.count("\n", counted, start)
            counted = start
        yield Sentence(" ".join(block.text[start:end].split()), block.kind, line, block.page)


def passages(document: Document) -> Iterator[Passage]:
    """Yield the passages of a document in order."""
    above: list[tuple[int, str]] = []
    section: list[Block] = []
    bare: Block | None = None  # a heading without anything below it, so far
    for block in document.blocks:
        if block.kind is not BlockKind.HEADING:
            section.append(block)
            bare = None
            continue
        yield from _section(above, section)
        if bare is not None and block.level <= bare.level:
            yield Passage(_texts(above[:-1]), (bare,))
        section, bare = [], block
        above = [(level, text) for level, text in above if level < block.level]
        above.append((block.level, block.text))
    yield from _section(above, section)
    if bare is not None:
        yield Passage(_texts(above[:-1]), (bare,))


def _texts(above: Sequence[tuple[int, str]]) -> tuple[str, ...]:
    return tuple(text for _, text in above)


def _section(above: Sequence[tuple[int, str]], section: Sequence[Block]) -> Iterator[Passage]:
    headings = _texts(above)
    group: list[Block] = []
    size = 0
    for block in section:
        for part in _parts(block):
            words = _words(part.text)
            is_full = size >= FEWEST_WORDS and not _belongs(part, group)
            if group and (is_full or size + words > MOST_WORDS):
                yield Passage(headings, tuple(group))
                group, size = [], 0
            group.append(part)
            size += words
    if group:
        yield Passage(headings, tuple(group))


def _belongs(block: Block, group: Sequence[Block]) -> bool:
    """Tell whether a block goes on with what stands before it: a short item, or after a colon."""
    is_item = block.kind is BlockKind.ITEM and _words(block.text) <= _SHORT_ITEM
    is_row = block.kind is group[-1].kind is BlockKind.TABLE
    return is_item or is_row or group[-1].text.rstrip().endswith(":")


def _words(text: str) -> int:
    return text.count(" ") + text.count("\n") + 1


def _parts(block: Block) -> Iterator[Block]:
    """Yield a block, cut where it is too long."""
    if _words(block.text) <= MOST_WORDS and len(block.text) <= 12 * MOST_WORDS:
        yield block
        return
    begin = end = size = 0
    line = block.line
    for start, stop in _ends(block):
        words = max(_words(block.text[start:stop]), (stop - start) // 12)
        if size and size + words > MOST_WORDS:
            yield Block(block.kind, block.text[begin:end], line, block.page)
            if line is not None:
                line += block.text.count("\n", begin, start)
            begin, size = start, 0
        size += words
        end = stop
    if size:
        yield Block(block.kind, block.text[begin:end], line, block.page)


def _ends(block: Block) -> Iterator[tuple[int, int]]:
    """Yield where a block may be cut: the spans of its sentences, or of its lines."""
    if block.kind not in _ROWS:
        yield from spans(block.text)
        return
    start = 0
    for line in block.text.split("\n"):
        yield start, start + len(line)
        start += len(line) + 1

"""Plain text as blocks: paragraphs between empty lines, lists, and what looks like a heading. Pure.

A heading is a line with a rule of `=`, `-`, `~` … below it, as in reStructuredText, or a short line
between empty lines that is no sentence. AsciiDoc's `== Heading` and Org's `* Heading` are read, too.
"""

import re
from collections.abc import Iterator, Sequence

from datamcp.processors.documents.document import Block, BlockKind, Parsed
from datamcp.processors.documents.lines import (
    item_marker,
    looks_like_heading,
    rule_character,
    starts_list,
)

_MARKED_HEADING = re.compile(r"(={1,6}|#{1,6})[ \t]+(\S.*?)(?:[ \t]+\1)?[ \t]*")
_RULES = "=-~^\"'`*+#."  # from the outermost heading's to the innermost one's


def parse(text: str) -> Parsed:
    """Return the blocks of a plain text; its title is its first heading, if it begins with one."""
    blocks = tuple(_blocks(text.split("\n")))
    starts_with_heading = bool(blocks) and blocks[0].kind is BlockKind.HEADING
    return Parsed(blocks, title=blocks[0].text if starts_with_heading else "")


def _blocks(lines: Sequence[str]) -> Iterator[Block]:
    for start, end in _chunks(lines):
        yield from _chunk(lines, start, end)


def _chunks(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield where the runs of lines with text begin and end."""
    start = None
    for number, line in enumerate(lines):
        if line.strip():
            start = number if start is None else start
        elif start is not None:
            yield start, number
            start = None
    if start is not None:
        yield start, len(lines)


def _chunk(lines: Sequence[str], start: int, end: int) -> Iterator[Block]:
    if rule_character(lines[start]) and end - start > 1:
        start += 1  # a rule above the heading, or around a table
    first = lines[start]
    if marked := _MARKED_HEADING.fullmatch(first):
        yield _heading(marked[2], start, level=len(marked[1]))
        start += 1
    elif end - start >= 2 and (rule := rule_character(lines[start + 1])):
        yield _heading(first, start, level=1 + _RULES.index(rule))
        start += 2
    elif end - start == 1 and looks_like_heading(first) and not item_marker(first):
        yield _heading(first, start, level=1 if start == 0 else 2)
        return
    yield from _paragraphs(lines, start, end)


def _heading(line: str, number: int, level: int) -> Block:
    return Block(BlockKind.HEADING, " ".join(line.split()), line=number + 1, level=level)


def _paragraphs(lines: Sequence[str], start: int, end: int) -> Iterator[Block]:
    """Yield a run of lines as one paragraph, or as what stands before a list and its items."""
    begin, kind = start, BlockKind.PARAGRAPH
    for number in range(start, end):
        is_first = number == start or kind is BlockKind.ITEM
        if item_marker(lines[number]) and (is_first or starts_list(lines[number])):
            yield from _block(kind, lines, begin, number)
            begin, kind = number, BlockKind.ITEM
    yield from _block(kind, lines, begin, end)


def _block(kind: BlockKind, lines: Sequence[str], start: int, end: int) -> Iterator[Block]:
    if start == end:
        return
    head = lines[start][item_marker(lines[start]) if kind is BlockKind.ITEM else 0 :]
    texts = [head, *lines[start + 1 : end]]
    if any(char.isalnum() for text in texts for char in text):
        yield Block(kind, "\n".join(text.strip() for text in texts), line=start + 1)

"""Markdown as blocks: headings, paragraphs, lists, tables and code, by line. Pure.

It follows CommonMark 0.31 and GitHub's tables as far as a reader of text needs it: what is nested
in a quote or an item is read as its text. The front matter, between two `---` (or `+++`) at the very
start, becomes metadata.
"""

import re
from collections.abc import Iterator, Sequence

from datamcp.processors.documents.document import Block, BlockKind, Parsed
from datamcp.processors.documents.inline import shown, without_comments
from datamcp.processors.documents.lines import (
    is_table_rule,
    item_marker,
    rule_character,
    starts_list,
)

_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*")
_FENCE = re.compile(r"[ \t]{0,12}(?:[-*+][ \t]+)?(`{3,}|~{3,})[^`]*")
_QUOTE = re.compile(r"(?: {0,3}>[ \t]?){1,20}")
_DEFINITION = re.compile(r" {0,3}\[[^\[\]]{1,300}\]:[ \t]*(?!$)")
_NOTE = re.compile(r" {0,3}\[\^[^\[\]\s]{1,60}\]:[ \t]*")
_BREAK = re.compile(r" {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})")
_FIELD = re.compile(r"([A-Za-z][\w -]{0,60}?)[ \t]*[:=][ \t]*(\S.{0,2000})?")
_AFTER_LETTER = frozenset([".", ")"])  # of an item: `a.`, `b)`
_INDENTED = ("    ", "\t")
_MAX_FIELDS = 200  # lines of front matter


def parse(text: str) -> Parsed:
    """Return the blocks of a Markdown text; its title is the front matter's, or its first heading.

    Only a heading of level 1, or one that the text begins with, is a title.
    """
    lines = text.split("\n")
    metadata, start = _front_matter(lines)
    if "<!--" in text:
        lines[start:] = without_comments("\n".join(lines[start:])).split("\n")
    blocks = tuple(_Lines(lines, start).blocks())
    return Parsed(blocks, title=metadata.get("title", "") or _title(blocks), metadata=metadata)


def _front_matter(lines: Sequence[str]) -> tuple[dict[str, str], int]:
    """Return the fields before the text, and the index of the line where the text begins."""
    mark = lines[0].rstrip() if lines else ""
    if mark not in {"---", "+++"}:
        return {}, 0
    for number, line in enumerate(lines[1 : _MAX_FIELDS + 1], start=1):
        if line.rstrip() in {mark, "..."}:
            fields = [_FIELD.fullmatch(one.rstrip()) for one in lines[1:number]]
            return {found[1].lower(): _scalar(found[2] or "") for found in fields if found}, (
                number + 1
            )
    return {}, 0


def _scalar(text: str) -> str:
    is_quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if is_quoted else text


def _title(blocks: Sequence[Block]) -> str:
    headings = [block for block in blocks if block.kind is BlockKind.HEADING]
    if headings and (headings[0].level == 1 or headings[0] is blocks[0]):
        return headings[0].text
    return ""


class _Lines:
    """Reads lines from top to bottom, each of them once."""

    def __init__(self, lines: Sequence[str], start: int) -> None:
        self._lines = lines
        self._at = start
        self._open: list[str] = []  # the paragraph or item that may go on
        self._kind = BlockKind.PARAGRAPH
        self._begin = start

    def blocks(self) -> Iterator[Block]:
        while self._at < len(self._lines):
            yield from self._line(self._lines[self._at])
        yield from self._close()

    def _line(self, raw: str) -> Iterator[Block]:
        if self._open and raw[:1].isalpha() and raw[1:2] not in _AFTER_LETTER and "|" not in raw:
            self._open.append(raw)  # as most lines: the paragraph or item goes on
            self._at += 1
            return
        line = _QUOTE.sub("", raw, count=1) if raw.lstrip().startswith(">") else raw
        if not line.strip():
            yield from self._close()
            self._at += 1
        elif fence := _FENCE.fullmatch(line):
            yield from self._close()
            yield from self._fenced(fence[1])
        elif heading := _HEADING.fullmatch(line):
            yield from self._close()
            yield from self._heading(heading[2] or "", self._at, len(heading[1]))
            self._kind = BlockKind.PARAGRAPH
            self._at += 1
        elif (
            self._open and self._kind is BlockKind.PARAGRAPH and rule_character(line) in {"=", "-"}
        ):
            yield from self._underlined(1 if "=" in line else 2)
        elif _BREAK.fullmatch(line):
            yield from self._close()
            self._at += 1
        elif self._is_table():
            yield from self._close()
            yield from self._table()
        else:
            yield from self._text(line)

    def _underlined(self, level: int) -> Iterator[Block]:
        text, begin = " ".join(part.strip() for part in self._open), self._begin
        self._open = []
        yield from self._heading(text, begin, level)
        self._at += 1

    def _heading(self, text: str, number: int, level: int) -> Iterator[Block]:
        if heading := " ".join(shown(text).split()):
            yield Block(BlockKind.HEADING, heading, line=number + 1, level=level)

    def _fenced(self, fence: str) -> Iterator[Block]:
        start = self._at = self._at + 1
        while self._at < len(self._lines):
            line = self._lines[self._at].lstrip(" \t>")
            if line.startswith(fence) and not line.strip().strip(fence[0]):
                break
            self._at += 1
        yield from _code(self._lines, start, self._at)
        self._at += 1

    def _is_table(self) -> bool:
        following = self._lines[self._at + 1] if self._at + 1 < len(self._lines) else ""
        return "|" in self._lines[self._at] and is_table_rule(following)

    def _table(self) -> Iterator[Block]:
        start = self._at
        while self._at < len(self._lines) and "|" in self._lines[self._at]:
            self._at += 1
        # The rule stays, so that lines can be counted; who reads rows leaves it out.
        text = "\n".join(shown(line).strip() for line in self._lines[start : self._at])
        yield Block(BlockKind.TABLE, text, line=start + 1)

    def _text(self, line: str) -> Iterator[Block]:
        is_indented = line.startswith(_INDENTED)
        if is_indented and not self._open and self._kind is not BlockKind.ITEM:
            yield from self._indented()
            return
        marker = item_marker(line)
        if marker and self._open and self._kind is not BlockKind.ITEM and not starts_list(line):
            marker = 0
        if marker or _NOTE.match(line):
            yield from self._close()
            line = line[marker:].removeprefix("[ ] ").removeprefix("[x] ")
        if not self._open:
            self._begin = self._at
            # What is indented after an item, with an empty line between, still belongs to it.
            is_item = marker or (is_indented and self._kind is BlockKind.ITEM)
            self._kind = BlockKind.ITEM if is_item else BlockKind.PARAGRAPH
        self._open.append(line)
        self._at += 1

    def _indented(self) -> Iterator[Block]:
        start = self._at
        while self._at < len(self._lines) and self._lines[self._at].startswith(_INDENTED):
            self._at += 1
        yield from _code(self._lines, start, self._at)

    def _close(self) -> Iterator[Block]:
        lines, self._open = self._open, []
        first = next((at for at, line in enumerate(lines) if not _is_definition(line)), len(lines))
        if first < len(lines):
            lines[first] = _NOTE.sub("", lines[first], count=1)
            text = shown("\n".join(line.strip() for line in lines[first:]))
            if any(char.isalnum() for char in text):
                yield Block(self._kind, text, line=self._begin + first + 1)


def _is_definition(line: str) -> bool:
    """Tell whether a line only says where a link leads; that of a note is text."""
    return _DEFINITION.match(line) is not None and not _NOTE.match(line)


def _code(lines: Sequence[str], start: int, end: int) -> Iterator[Block]:
    text = "\n".join(line.rstrip() for line in lines[start:end])
    if text.strip():
        yield Block(BlockKind.CODE, text, line=start + 1)

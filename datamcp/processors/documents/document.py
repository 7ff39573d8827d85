"""A document that has been read: its title, its blocks in order, and where each of them is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class BlockKind(StrEnum):
    """What a block of a document is."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    ITEM = "item"  # of a list
    TABLE = "table"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a document, without markup; its lines are those of the source.

    `line` is its first line, from 1; None where the format has no lines. `page` is set for a PDF.
    `level` is a heading's: 1 is the outermost.
    """

    kind: BlockKind
    text: str
    line: int | None = None
    page: int | None = None
    level: int = 0

    @property
    def last_line(self) -> int | None:
        """Return the last line, from 1."""
        return None if self.line is None else self.line + self.text.count("\n")


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a format's module makes of a file: its title, if it tells one, and its blocks."""

    blocks: tuple[Block, ...]
    title: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A document; `source` is its path relative to the folder that was read, parts joined by `/`.

    `title` is never empty: without any, it is the file's name in words. `metadata` holds what the
    file says of itself, such as the front matter of Markdown. `size` is in bytes.
    """

    source: str
    title: str
    blocks: tuple[Block, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    size: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was not read, and why."""

    source: str
    reason: str

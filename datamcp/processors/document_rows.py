"""Documents as rows: how they may be split, and what a row says. Pure."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from datamcp.processors.documents.document import Document
from datamcp.processors.documents.split import BETWEEN, Placed, by_size, placed, sections
from datamcp.types import JSONValue

COLUMNS = {
    "document": "VARCHAR",
    "title": "VARCHAR",
    "kind": "VARCHAR",
    "page": "INTEGER",
    "section": "VARCHAR",
    "number": "INTEGER",
    "position": "BIGINT",
    "text": "VARCHAR",
}
"""The columns of the table, and their types in SQL."""

Row = dict[str, JSONValue]


class SplitParagraphs(BaseModel):
    """A row for each paragraph, heading, item of a list, table and piece of code."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Literal["paragraph"] = "paragraph"


class SplitSections(BaseModel):
    """A row for each heading together with what follows, up to the next heading."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Literal["section"]


class SplitSize(BaseModel):
    """A row for each piece of at most `size` characters, cut between sentences, else words.

    A piece begins with the last sentences of the one before it, else with its last words, of at
    most `overlap` characters; they count for its size. A longer word is a piece of its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Literal["size"]
    size: int = Field(ge=20, le=1_000_000)
    overlap: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _moves_on(self) -> Self:
        if self.overlap > self.size // 2:
            raise ValueError(f"overlap: at most half of size, {self.size // 2}, got {self.overlap}")
        return self


Split = Annotated[SplitParagraphs | SplitSections | SplitSize, Field(discriminator="by")]


def rows_of(document: Document, split: Split) -> Iterator[Row]:
    """Yield the rows of a document, numbered from 1."""
    blocks = placed(document.blocks)
    for number, row in enumerate(_pieces(blocks, split), start=1):
        yield {"document": document.source, "title": document.title, "number": number, **row}


def _pieces(blocks: list[Placed], split: Split) -> Iterator[Row]:
    match split:
        case SplitParagraphs():
            for one in blocks:
                yield _row(one, one.block.kind, one.start, one.block.text)
        case SplitSections():
            for group in sections(blocks):
                text = BETWEEN.join(one.block.text for one in group)
                yield _row(group[0], "section", group[0].start, text)
        case SplitSize(size=size, overlap=overlap):
            text = BETWEEN.join(one.block.text for one in blocks)
            yield from _of_size(blocks, text, size, overlap)


def _of_size(blocks: list[Placed], text: str, size: int, overlap: int) -> Iterator[Row]:
    at = 0
    for piece in by_size(text, size, overlap):
        shown = text[piece.start : piece.end]
        start = piece.start + len(shown) - len(shown.lstrip())
        while blocks[at].end <= start and at + 1 < len(blocks):
            at += 1
        if shown.strip():
            yield _row(blocks[at], "piece", start, shown.strip())


def _row(first: Placed, kind: str, start: int, text: str) -> Row:
    """Return a row that begins in a block."""
    return {
        "kind": str(kind),
        "page": first.block.page,
        "section": first.section or None,
        "position": start,
        "text": text,
    }

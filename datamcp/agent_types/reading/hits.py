"""Hits as documents again, so that what was found can be summarized. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from datamcp.agent_types.reading.passages import Passage, passages
from datamcp.agent_types.reading.results import Hit
from datamcp.processors.documents.document import Block, BlockKind, Document
from datamcp.processors.documents.plain import parse


def by_source(hits: Sequence[Hit]) -> dict[str, list[Hit]]:
    """Return the hits of each source, in their order there; the sources in the order of rank."""
    found: dict[str, list[Hit]] = {}
    for hit in hits:
        found.setdefault(hit.source, []).append(hit)
    return {source: sorted(some, key=_place) for source, some in found.items()}


def _place(hit: Hit) -> tuple[int, int, int]:
    return hit.page or 0, hit.first_line or 0, hit.rank


def document_of(hits: Sequence[Hit], original: Document | None) -> Document:
    """Return one source's hits as a document that has nothing else.

    `original` is the source, read once more: where it still has a hit's passage, lines and kinds of
    blocks are its own. Without it they are told from the passage.
    """
    known: Mapping[str, Passage] = {}
    if original is not None:
        known = {passage.text: passage for passage in passages(original)}
    blocks = [block for hit in hits for block in _blocks(hit, known.get(hit.passage))]
    return Document(source=hits[0].source, title=hits[0].title, blocks=tuple(blocks))


def _blocks(hit: Hit, passage: Passage | None) -> Iterator[Block]:
    headings = passage.headings if passage else tuple(filter(None, hit.heading.split(" > ")))
    for level, heading in enumerate(headings, start=1):
        yield Block(BlockKind.HEADING, heading, hit.first_line, hit.page, level)
    if passage:
        yield from passage.blocks
        return
    for block in parse(hit.passage).blocks:
        kind = BlockKind.PARAGRAPH if block.kind is BlockKind.HEADING else block.kind
        yield Block(kind, block.text, hit.first_line, hit.page)

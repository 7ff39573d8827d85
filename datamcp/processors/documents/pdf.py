"""PDF as blocks: the paragraphs of each page.

pypdf reads the file; it comes with the extra `documents` and is imported when a file of this kind
is read. A PDF has no headings or paragraphs, only text at places: they are told from empty lines
and from how lines end. What stands at the top or bottom of most pages is left out.
"""

import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from datamcp.errors import ProcessingError
from datamcp.processors.documents.document import Block, BlockKind, Parsed
from datamcp.processors.documents.lines import item_marker, looks_like_heading

if TYPE_CHECKING:
    from pypdf import PdfReader

MISSING = "pypdf is not installed; PDF needs `pip install 'datamcp[documents]'`"
MAX_PAGES = 2_000
MAX_TEXT = 20_000_000  # characters

_HYPHENATED = re.compile(r"(?<=[^\W\d_])-\n(?=[^\W\d_])")
_DIGITS = re.compile(r"\d+")
_EDGE = 2  # lines at the top and bottom of a page that may be repeated on others
_FEWEST_PAGES = 4  # below, nothing can be told from repetition
_SHORT = 0.7  # of the longest line: a shorter one that ends a sentence ends its paragraph


def parse(data: bytes, on_page: Callable[[], None] = lambda: None) -> Parsed:
    """Return the blocks of a PDF, page by page; `on_page` is called before each of them.

    ProcessingError if it cannot be read, needs a password, or has no text.
    """
    try:
        import pypdf
    except ImportError as error:
        raise ProcessingError(MISSING) from error
    try:
        reader = pypdf.PdfReader(io.BytesIO(data), strict=False)
        _open(reader)
        pages, warnings = _pages(reader, on_page)
        title = str(reader.metadata.get("/Title") or "") if reader.metadata else ""
    except ProcessingError:
        raise
    except Exception as error:
        raise ProcessingError(f"not a PDF that can be read: {_reason(error)}") from error
    blocks = tuple(_blocks(pages))
    if not blocks:
        raise ProcessingError("no text in it; are its pages images?")
    return Parsed(blocks, title=" ".join(title.split())[:300], warnings=warnings)


def _open(reader: "PdfReader") -> None:
    if reader.is_encrypted and not reader.decrypt(""):
        raise ProcessingError("encrypted: it needs a password")


def _pages(reader: "PdfReader", on_page: Callable[[], None]) -> tuple[list[str], tuple[str, ...]]:
    texts: list[str] = []
    warnings: list[str] = []
    size = 0
    for number, page in enumerate(reader.pages):
        if number >= MAX_PAGES or size > MAX_TEXT:
            warnings.append(f"only its first {number} pages were read")
            break
        on_page()
        try:
            texts.append(page.extract_text())
        except Exception as error:  # noqa: BLE001  one broken page does not hide the others
            texts.append("")
            warnings.append(f"page {number + 1} could not be read: {_reason(error)}")
        size += len(texts[-1])
    return texts, tuple(warnings)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def _blocks(pages: Sequence[str]) -> Iterator[Block]:
    lines = [[line.strip() for line in _cleaned(page).split("\n")] for page in pages]
    repeated = _repeated(lines)
    for number, page in enumerate(lines, start=1):
        edges = {*range(_EDGE), *range(len(page) - _EDGE, len(page))}
        kept = [
            "" if index in edges and _shape(line) in repeated else line
            for index, line in enumerate(page)
        ]
        for paragraph in _paragraphs(kept):
            yield from _block(paragraph, number)


def _cleaned(text: str) -> str:
    """Return a page without hyphens at line ends, and without characters that are no text."""
    printable = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    return _HYPHENATED.sub("", printable)


def _repeated(pages: Sequence[Sequence[str]]) -> set[str]:
    """Return the shapes of lines that stand at the edge of most pages."""
    if len(pages) < _FEWEST_PAGES:
        return set()
    seen = Counter(
        shape for page in pages for shape in {_shape(line) for line in _edges_of(page) if line}
    )
    return {shape for shape, count in seen.items() if 2 * count > len(pages)}


def _edges_of(page: Sequence[str]) -> Sequence[str]:
    return [*page[:_EDGE], *page[-_EDGE:]]


def _shape(line: str) -> str:
    return _DIGITS.sub("0", line)


def _paragraphs(lines: Sequence[str]) -> Iterator[list[str]]:
    longest = max(map(len, lines), default=0)
    paragraph: list[str] = []
    for line in lines:
        if not line or item_marker(line):
            yield paragraph
            paragraph = []
        if line:
            paragraph.append(line)
            if len(line) < _SHORT * longest and line.endswith((".", "!", "?", ":")):
                yield paragraph
                paragraph = []
    yield paragraph


def _block(lines: Sequence[str], page: int) -> Iterator[Block]:
    text = " ".join(lines)
    if not any(char.isalnum() for char in text):
        return
    marker = item_marker(text)
    if marker:
        yield Block(BlockKind.ITEM, text[marker:], page=page)
    elif len(lines) == 1 and looks_like_heading(text):
        yield Block(BlockKind.HEADING, text, page=page, level=2)
    else:
        yield Block(BlockKind.PARAGRAPH, text, page=page)

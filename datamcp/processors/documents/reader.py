"""Reads one file as a document, by the ending of its name."""

import os
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from datamcp.errors import ProcessingError
from datamcp.processors.documents import html, markdown, pdf, plain
from datamcp.processors.documents.decode import decode
from datamcp.processors.documents.document import Document, Parsed

_TEXT = frozenset([".txt", ".text", ".rst", ".adoc", ".asciidoc", ".org", ".log"])
_MARKDOWN = frozenset([".md", ".markdown", ".mdown", ".mkd", ".mdx"])
_HTML = frozenset([".html", ".htm", ".xhtml"])
_PDF = frozenset([".pdf"])
_WITHOUT_ENDING = ""  # README, NOTES: text, unless it turns out to be binary
ENDINGS = sorted(_TEXT | _MARKDOWN | _HTML | _PDF)

_SEPARATORS = re.compile(r"[\s_\-.]+")


def read(path: Path, source: str, *, on_page: Callable[[], None] = lambda: None) -> Document:
    """Read the file at `path` as the document `source`; ProcessingError if it is none."""
    return document(_bytes(path), source, on_page=on_page)


def _bytes(path: Path) -> bytes:
    try:
        # Neither a link nor a pipe that has taken the file's place since it was looked at.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            return file.read()
    except OSError as error:
        raise ProcessingError(f"cannot be read: {error.strerror}") from error


def document(data: bytes, source: str, *, on_page: Callable[[], None] = lambda: None) -> Document:
    """Return the document that a file of this name and content is; ProcessingError if it is none."""
    check_name(source)
    parsed, warnings = _parse(data, PurePosixPath(source).suffix.lower(), on_page)
    return Document(
        source=source,
        title=parsed.title or _in_words(source),
        blocks=parsed.blocks,
        metadata=parsed.metadata,
        size=len(data),
        warnings=(*warnings, *parsed.warnings),
    )


def check_name(source: str) -> None:
    """Raise ProcessingError for a name whose ending tells no format that can be read."""
    ending = PurePosixPath(source).suffix.lower()
    if ending != _WITHOUT_ENDING and ending not in ENDINGS:
        raise ProcessingError(f"unknown type {ending}: only text, Markdown, HTML and PDF are read")


def _parse(data: bytes, ending: str, on_page: Callable[[], None]) -> tuple[Parsed, tuple[str, ...]]:
    if ending in _PDF:
        return pdf.parse(data, on_page), ()
    declared = html.declared_encoding(data) if ending in _HTML else None
    decoded = decode(data, declared)
    if ending in _HTML:
        return html.parse(decoded.text), decoded.warnings
    parse = markdown.parse if ending in _MARKDOWN else plain.parse
    return parse(decoded.text), decoded.warnings


def _in_words(source: str) -> str:
    """Return a file's name without its ending, in words."""
    name = PurePosixPath(source)
    stem = name.stem if name.suffix.lower() in ENDINGS else name.name
    return _SEPARATORS.sub(" ", stem).strip() or source

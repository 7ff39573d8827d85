"""HTML as blocks: headings, paragraphs, lists, table rows and code; navigation and scripts left out.

Beautiful Soup builds the tree; it comes with the extra `documents` and is imported when a file of
this kind is read. The tree is walked without recursion, however deep it is.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datamcp.errors import ProcessingError
from datamcp.processors.documents.document import Block, BlockKind, Parsed

if TYPE_CHECKING:
    from bs4 import Tag

MISSING = "Beautiful Soup is not installed; HTML needs `pip install 'datamcp[documents]'`"

_DROPPED = {
    *("head", "script", "style", "noscript", "template", "nav", "aside", "footer", "dialog"),
    *("form", "button", "select", "option", "textarea", "iframe", "object", "embed"),
    *("svg", "math", "canvas", "audio", "video", "map"),
}
_DROPPED_ROLES = {"navigation", "banner", "contentinfo", "search", "complementary"}
_BLOCKS = {
    *("html", "body", "main", "article", "section", "header", "hr", "div", "p", "pre"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "address", "blockquote", "center", "details", "summary"),
    *("ul", "ol", "li", "dl", "dt", "dd", "figure", "figcaption", "fieldset", "legend"),
    *("table", "caption", "thead", "tbody", "tfoot", "tr"),
}
_KINDS = {"li": BlockKind.ITEM, "dd": BlockKind.ITEM, "tr": BlockKind.TABLE, "pre": BlockKind.CODE}
_HEADING = re.compile(r"h([1-6])")
_DECLARATION = re.compile(r"<\?xml[^>]{0,500}>")
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{1,40})", re.IGNORECASE)


def declared_encoding(data: bytes) -> str | None:
    """Return the encoding that an HTML file says it has."""
    found = _CHARSET.search(data, 0, 4096)
    return found[1].decode("ascii") if found else None


def parse(text: str) -> Parsed:
    """Return the blocks of an HTML text; its title is that of its head, else its first heading.

    Each row of a table is a block of its own. A block's line is that of its first word, as far as
    the source tells: line breaks inside of tags are not counted. ProcessingError if Beautiful Soup
    is not installed or cannot read the text.
    """
    try:
        from bs4 import BeautifulSoup
        from bs4.exceptions import ParserRejectedMarkup
    except ImportError as error:
        raise ProcessingError(MISSING) from error
    try:
        # A declaration of XML, or a text that could be a file's name, would only make it warn.
        soup = BeautifulSoup(f"{_DECLARATION.sub('', text)}\n<br>", "html.parser")
    except (ParserRejectedMarkup, RecursionError, AssertionError) as error:
        raise ProcessingError("not HTML that can be read") from error
    blocks = tuple(_Walk(soup).blocks())
    title = _title(soup) or next((b.text for b in blocks if b.kind is BlockKind.HEADING), "")
    return Parsed(blocks, title=title, metadata=_metadata(soup))


def _title(soup: "Tag") -> str:
    found = soup.find("title")
    return " ".join(found.get_text(" ").split())[:300] if found else ""


def _metadata(soup: "Tag") -> dict[str, str]:
    fields = {}
    for tag in soup.find_all("meta", limit=100):
        name, content = tag.get("name"), tag.get("content")
        if isinstance(name, str) and isinstance(content, str):
            fields[name.lower()[:100]] = content[:2000]
    return fields


@dataclass(frozen=True, slots=True)
class _Frame:
    """What the text of an element is: the kind of its block, and the level of a heading."""

    kind: BlockKind = BlockKind.PARAGRAPH
    level: int = 0


class _Walk:
    """Goes through a tree in the order of its text."""

    def __init__(self, root: "Tag") -> None:
        self._root = root
        self._parts: list[str] = []
        self._at = 1  # the line that has been reached
        self._line: int | None = None  # in which the block begins
        self._frames = [_Frame()]  # of the elements that are blocks, outermost first

    def blocks(self) -> Iterator[Block]:
        from bs4.element import NavigableString, Tag

        path: list[Iterator[object]] = [iter(self._root.contents)]
        owners = [self._root]
        while path:
            node = next(path[-1], None)
            if node is None:
                path.pop()
                yield from self._leave(owners.pop())
            elif isinstance(node, Tag):
                self._at = node.sourceline or self._at
                if _is_dropped(node):
                    self._at += (node.string or "").count("\n")
                    continue
                yield from self._enter(node)
                path.append(iter(node.contents))
                owners.append(node)
            elif type(node) is NavigableString:
                self._text(str(node))
            else:  # a comment or a declaration
                self._at += str(node).count("\n")
        yield from self._flush()

    def _enter(self, tag: "Tag") -> Iterator[Block]:
        if tag.name in _BLOCKS:
            yield from self._flush()
            self._frames.append(self._frame(tag))
        elif tag.name in {"td", "th"}:
            self._parts.append(" | " if self._line is not None else "")
        elif tag.name == "br":
            self._parts.append("\n" if self._frames[-1].kind is BlockKind.CODE else " ")

    def _frame(self, tag: "Tag") -> _Frame:
        if heading := _HEADING.fullmatch(tag.name):
            return _Frame(BlockKind.HEADING, int(heading[1]))
        return _Frame(_KINDS[tag.name]) if tag.name in _KINDS else self._frames[-1]

    def _leave(self, tag: "Tag") -> Iterator[Block]:
        if tag.name in _BLOCKS:
            yield from self._flush()
            self._frames.pop()

    def _text(self, text: str) -> None:
        if self._line is None and text.strip():
            before = text[: len(text) - len(text.lstrip())]
            self._line = self._at + before.count("\n")
        self._at += text.count("\n")
        self._parts.append(text)

    def _flush(self) -> Iterator[Block]:
        if not self._parts:
            return
        text, line, frame = "".join(self._parts), self._line, self._frames[-1]
        self._parts, self._line = [], None
        text = _WHITE[frame.kind](text)
        if any(char.isalnum() for char in text):
            yield Block(frame.kind, text, line=line, level=frame.level)


def _in_one_line(text: str) -> str:
    return " ".join(text.split())


def _line_by_line(text: str) -> str:
    return "\n".join(" ".join(line.split()) for line in text.strip().split("\n"))


def _as_it_is(text: str) -> str:
    return text.strip("\n").rstrip()


_WHITE = {
    BlockKind.HEADING: _in_one_line,
    BlockKind.TABLE: _in_one_line,
    BlockKind.PARAGRAPH: _line_by_line,
    BlockKind.ITEM: _line_by_line,
    BlockKind.CODE: _as_it_is,
}
"""What is done with white space; line breaks of prose stay, to tell the line of a sentence."""


def _is_dropped(tag: "Tag") -> bool:
    return (
        tag.name in _DROPPED
        or tag.get("role") in _DROPPED_ROLES
        or tag.has_attr("hidden")
        or tag.get("aria-hidden") == "true"
    )

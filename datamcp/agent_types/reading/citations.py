"""Numbers for what is cited, and the list of it. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from datamcp.agent_types.reading.markup import inline, paragraph

Lines = tuple[int, int]


@dataclass(slots=True)
class _Cited:
    title: str
    lines: set[Lines] = field(default_factory=set)
    pages: set[int] = field(default_factory=set)


class Citations:
    """The documents that a report cites, numbered in the order in which it first does so."""

    def __init__(self) -> None:
        """Begin with none."""
        self._cited: dict[str, _Cited] = {}

    def cite(
        self, path: str, title: str, *, lines: Lines | None = None, page: int | None = None
    ) -> str:
        """Return the mark of a document, such as `[1]`, and note the place in it."""
        cited = self._cited.setdefault(path, _Cited(title))
        if lines:
            cited.lines.add(lines)
        if page:
            cited.pages.add(page)
        return f"[{list(self._cited).index(path) + 1}]"

    def __bool__(self) -> bool:
        """Tell whether anything is cited."""
        return bool(self._cited)

    def listed(self) -> Iterator[str]:
        """Yield a line for each document: its number, its title, its path, and the places in it."""
        for number, (path, cited) in enumerate(self._cited.items(), start=1):
            places = [*_lines(sorted(cited.lines)), *_pages(sorted(cited.pages))]
            yield ", ".join([f"{number}. {paragraph(cited.title)}: {inline(path)}", *places])


def _lines(ranges: Sequence[Lines]) -> Iterator[str]:
    """Yield ranges of lines, those joined that touch each other."""
    joined: list[Lines] = []
    for first, last in ranges:
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    if joined:
        word = "line" if len(joined) == 1 and joined[0][0] == joined[0][1] else "lines"
        yield f"{word} {', '.join(str(a) if a == b else f'{a}-{b}' for a, b in joined)}"


def _pages(pages: Sequence[int]) -> Iterator[str]:
    if pages:
        yield f"{'page' if len(pages) == 1 else 'pages'} {', '.join(map(str, pages))}"

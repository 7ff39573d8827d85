"""The text of a report: its sections, what they cite, and the sources. Pure.

A section's title and text are the author's; a value is data, and shown as such. What a search or a
summary gave back is told from its `kind`, and becomes a text with citations.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from datamcp.agent_types.reading.citations import Citations
from datamcp.agent_types.reading.facts import facts
from datamcp.agent_types.reading.markup import inline, link, paragraph, table
from datamcp.agent_types.reading.results import Hit, SearchResult, Summary, SummarySentence
from datamcp.types import JSONValue

_RESULTS: Mapping[str, type[SearchResult] | type[Summary]] = {
    "search": SearchResult,
    "summary": Summary,
}


@dataclass(frozen=True, slots=True)
class Table:
    """The first rows of a table, and how many it has, where that is known."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    records: int | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where data come from, as the author of a report says."""

    title: str
    path: str = ""
    url: str = ""
    note: str = ""


@dataclass
class ReportText:
    """A report as it grows, section by section."""

    title: str
    _parts: list[str] = field(default_factory=list)
    _citations: Citations = field(default_factory=Citations)

    def add(self, heading: str, text: str, lines: Sequence[str]) -> None:
        """Add a section: its heading, what its author says, and the lines of what it shows."""
        parts = [f"## {inline(heading)}\n"]
        if text:
            parts.append(f"{text}\n")
        self._parts.append("\n".join([*parts, *lines]).rstrip() + "\n")

    def value(self, value: JSONValue, limit: int) -> list[str]:
        """Return the lines that show a value, at most `limit` rows or hits of it."""
        match as_result(value):
            case SearchResult() as found:
                return list(self._found(found, limit))
            case Summary() as summary:
                return list(self._summary(summary))
        return facts(value, limit)

    def finished(self, sources: Sequence[Source] = ()) -> str:
        """Return the whole text, with the sources at its end."""
        parts = [f"# {inline(self.title)}\n", *self._parts]
        if self._citations or sources:
            parts.append("\n".join(["## Sources\n", *self._sources(sources)]) + "\n")
        return "\n".join(parts)

    def _found(self, found: SearchResult, limit: int) -> Iterator[str]:
        yield f"Found for “{inline(found.query)}”:"
        yield ""
        if not found.hits:
            yield f"Nothing in {found.documents:,} documents."
            yield ""
        for hit in found.hits[:limit]:
            mark = self._cited_hit(found.folder, hit)
            above = f", {inline(hit.heading)}" if hit.heading else ""
            text = " … ".join(sentence.text for sentence in hit.sentences) or hit.passage
            yield f"**{inline(hit.title)}**{above} {mark}"
            yield ""
            yield f"> {paragraph(text)}"
            yield ""

    def _cited_hit(self, folder: str, hit: Hit) -> str:
        path, lines = path_of(folder, hit.source), None
        if hit.first_line and hit.last_line:
            lines = (hit.first_line, hit.last_line)
        return self._citations.cite(path, hit.title, lines=lines, page=hit.page)

    def _summary(self, summary: Summary) -> Iterator[str]:
        told = [
            f"{inline(sentence.text)} {self._cited_sentence(summary.folder, sentence)}".rstrip()
            for sentence in summary.sentences
        ]
        # The mark of a list or a heading can only stand before the first sentence.
        first = [paragraph(one.text) for one in summary.sentences[:1]]
        if first:
            told[0] = first[0] + told[0][len(inline(summary.sentences[0].text)) :]
        yield " ".join(told) or "Nothing to summarize."
        yield ""

    def _cited_sentence(self, folder: str, sentence: SummarySentence) -> str:
        if not sentence.source:
            return ""
        lines = (sentence.line, sentence.line) if sentence.line else None
        path = path_of(folder, sentence.source)
        return self._citations.cite(path, sentence.title, lines=lines, page=sentence.page)

    def _sources(self, sources: Sequence[Source]) -> Iterator[str]:
        yield from self._citations.listed()
        if self._citations and sources:
            yield ""
        for source in sources:
            where = ", ".join(
                filter(None, (inline(source.path), link(source.url) if source.url else ""))
            )
            told = ": ".join(filter(None, (paragraph(source.title), where)))
            yield f"- {told}{f'. {inline(source.note)}' if source.note else ''}"


def as_result(value: Any) -> SearchResult | Summary | None:
    """Return what a search or a summary gave back, if a value is that."""
    if not isinstance(value, Mapping):
        return None
    model = _RESULTS.get(str(value.get("kind")))
    try:
        return model.model_validate(value) if model else None
    except ValidationError:
        return None


def path_of(folder: str, source: str) -> str:
    """Return the path of a source as the report shows it."""
    return f"{folder.rstrip('/')}/{source}" if folder else source


def table_lines(found: Table) -> list[str]:
    """Return the lines of a table, and how much of it they are."""
    lines = table(found.columns, found.rows)
    if found.records is not None and found.records > len(found.rows):
        lines.append(f"\n{len(found.rows):,} of {found.records:,} rows.")
    return lines

"""The research agent: finds passages in documents, summarizes, and writes reports."""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from datamcp.agent_types.reading.results import Hit, SearchResult, Summary, SummarySentence
from datamcp.agents.agent import BaseAgent
from datamcp.agents.capability import capability
from datamcp.config.size import Size
from datamcp.errors import ProcessingError
from datamcp.processors.engine import EngineLimits, open_engine, parquet
from datamcp.processors.processor import Output
from datamcp.types import JSONValue

_LIMITS = EngineLimits(threads=1, memory_limit="512MB")
REPORT = "report.md"
MAX_ROWS = 1000
FILE_LIMIT = Size("10MB")
TOTAL_LIMIT = Size("200MB")


class Section(BaseModel):
    """A part of a report: a heading, a text, and one thing to show below it.

    `input` names an input step: its table, or else its value, is shown. `value` is any JSON value,
    such as `${outputs.signals}`: a mapping becomes a table of facts, a list of mappings a table,
    and what `search` or `summarize` gave back a text with citations. `limit` is how many rows or
    hits are shown.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    heading: str
    text: str = ""
    input: str | None = None
    value: JSONValue = None
    limit: int = Field(default=100, ge=1, le=MAX_ROWS)


class DataSource(BaseModel):
    """Where the data of a report come from: a title, a path or URL, and a note."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    path: str = ""
    url: str = ""
    note: str = ""


class ResearchAgent(BaseAgent):
    """Finds passages in documents, summarizes them, and turns what was found into a report."""

    agent_type = "research"

    @capability
    def search(
        self,
        query: str,
        folder: str,
        limit: Annotated[int, Field(ge=1, le=100)] = 5,
        *,
        max_file_size: Size = FILE_LIMIT,
        max_total_size: Size = TOTAL_LIMIT,
    ) -> SearchResult:
        """Find the passages of the documents below a folder that answer a question."""
        root = self.context.find(folder)
        words = set(re.findall(r"\w+", query.casefold()))
        found = []
        paths = sorted(root.rglob("*.md"))
        passages = 0
        for path in paths:
            text = path.read_text(encoding="utf-8")
            for part in text.split("\n\n"):
                passages += 1
                score = len(words & set(re.findall(r"\w+", part.casefold())))
                found.append((-score, str(path.relative_to(root)), part))
        found.sort()
        return SearchResult(
            query=query,
            folder=folder,
            documents=len(paths),
            passages=passages,
            hits=tuple(
                Hit(rank=i, score=-score, source=source, title=source, passage=part)
                for i, (score, source, part) in enumerate(found[:limit], start=1)
                if score
            ),
        )

    @capability
    def summarize(
        self,
        folder: str | None = None,
        *,
        sources: list[str] | None = None,
        found: SearchResult | None = None,
        text: str | None = None,
        query: str | None = None,
        sentences: Annotated[int, Field(ge=1, le=100)] = 5,
        max_file_size: Size = FILE_LIMIT,
        max_total_size: Size = TOTAL_LIMIT,
    ) -> Summary:
        """Pick the sentences that say most of what some documents say.

        Give a `folder`, `sources` (paths of documents), the `found` of a search, or a `text`. With
        a `query`, the sentences that bear on it are preferred; that of `found` is taken where none
        is given.
        """
        if found is None:
            raise ProcessingError("give what a search has found")
        hits = found.hits[:sentences]
        return Summary(
            query=query or found.query,
            folder=found.folder,
            text=" ".join(hit.passage for hit in hits),
            sentences=tuple(
                SummarySentence(text=hit.passage, source=hit.source, title=hit.title)
                for hit in hits
            ),
            documents=len(hits),
        )

    @capability
    def report(
        self,
        title: str,
        sections: list[Section],
        inputs: dict[str, Output] | None = None,
        sources: list[DataSource] | None = None,
    ) -> Output:
        """Write a Markdown report of tables, values and what documents say, and return where it is.

        `inputs` maps each step that a section names to its output. What documents said is cited by
        number, and listed under Sources with the data sources that `sources` names.
        """
        inputs = inputs or {}
        missing = [part.input for part in sections if part.input and part.input not in inputs]
        if missing:
            raise ProcessingError(f"no output of {', '.join(missing)}; inputs: {', '.join(inputs)}")
        parts = [f"# {title}\n"]
        for number, section in enumerate(sections, start=1):
            parts.append(self._section(section, inputs.get(section.input or "")))
            self.context.heartbeat(number / len(sections))
        text = "\n".join(parts)
        with self.context.workspace.publish(REPORT) as path:
            path.write_text(text, encoding="utf-8")
        written = self.context.workspace.path_of(REPORT)
        return Output(path=str(written), bytes_out=len(text.encode()))

    def _section(self, section: Section, table: Output | None) -> str:
        if table is None or table.path is None:
            value = table.value if table else section.value
            shown = json.dumps(value, indent=2)
            return f"## {section.heading}\n\n{section.text}\n\n```json\n{shown}\n```\n"
        columns, rows = self._read(Path(table.path), section.limit)
        lines = [f"## {section.heading}\n"]
        if section.text:
            lines.append(f"{section.text}\n")
        lines += markdown_table(columns, rows)
        if table.records_out is not None and table.records_out > len(rows):
            lines.append(f"\n{len(rows):,} of {table.records_out:,} rows.")
        return "\n".join(lines) + "\n"

    def _read(self, path: Path, limit: int) -> tuple[list[str], list[tuple[Any, ...]]]:
        scratch = self.context.workspace.scratch()
        with scratch as folder, open_engine(_LIMITS, scratch=folder, files=[path]) as engine:
            found = engine.execute(f"SELECT * FROM {parquet(path)} LIMIT {limit}")  # noqa: S608
            return [column[0] for column in found.description or ()], found.fetchall()


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return a table in Markdown, numbers to the right and rounded for people."""
    is_number = [
        any(row[index] is not None for row in rows)
        and all(_is_number(row[index]) for row in rows if row[index] is not None)
        for index in range(len(columns))
    ]
    return [
        _row(name.replace("_", " ") for name in columns),
        _row("---:" if number else "---" for number in is_number),
        *(_row(_cell(value) for value in row) for row in rows),
    ]


def _row(cells: Iterator[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float() | Decimal():
            number = float(value)
            return f"{number:,.2f}" if abs(number) >= 1 or number == 0 else f"{number:.3f}"
        case datetime() | date():
            return value.isoformat()
    return str(value).replace("|", "\\|").replace("\n", " ")

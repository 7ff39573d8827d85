"""The research agent: for now it writes reports of tables."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from datamcp.agents.agent import BaseAgent
from datamcp.agents.capability import capability
from datamcp.errors import ProcessingError
from datamcp.processors.engine import EngineLimits, open_engine, parquet
from datamcp.processors.processor import Output

_LIMITS = EngineLimits(threads=1, memory_limit="512MB")
REPORT = "report.md"
MAX_ROWS = 1000


class Section(BaseModel):
    """A part of a report: a heading, a text, and the table that a step left behind.

    `input` names the step; `limit` is how many of its rows are shown.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    heading: str
    input: str
    text: str = ""
    limit: int = Field(default=100, ge=1, le=MAX_ROWS)


class ResearchAgent(BaseAgent):
    """Turns what was found into something to read."""

    agent_type = "research"

    @capability
    def report(self, title: str, sections: list[Section], inputs: dict[str, Output]) -> Output:
        """Write a Markdown report of tables, and return where it is.

        `inputs` maps each step that a section names to its output, a Parquet file.
        """
        missing = [part.input for part in sections if part.input not in inputs]
        if missing:
            raise ProcessingError(f"no table for {', '.join(missing)}; inputs: {', '.join(inputs)}")
        parts = [f"# {title}\n"]
        for number, section in enumerate(sections, start=1):
            parts.append(self._section(section, inputs[section.input]))
            self.context.heartbeat(number / len(sections))
        text = "\n".join(parts)
        with self.context.workspace.publish(REPORT) as path:
            path.write_text(text, encoding="utf-8")
        written = self.context.workspace.path_of(REPORT)
        return Output(path=str(written), bytes_out=len(text.encode()))

    def _section(self, section: Section, table: Output) -> str:
        if table.path is None:
            raise ProcessingError(f"step {section.input} left no table")
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

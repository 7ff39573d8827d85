"""The research agent: finds passages in documents, summarizes, and writes reports with sources."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from datamcp.agent_types.library import Library
from datamcp.agent_types.reading.digest import digest
from datamcp.agent_types.reading.report import ReportText, Source, Table, table_lines
from datamcp.agent_types.reading.results import SearchResult, Summary
from datamcp.agent_types.reading.search import search as answers
from datamcp.agent_types.reading.selection import Choice, selected
from datamcp.agents.agent import BaseAgent
from datamcp.agents.capability import capability
from datamcp.config.size import Size
from datamcp.errors import ProcessingError
from datamcp.processors.documents.document import Document
from datamcp.processors.documents.plain import parse as parse_text
from datamcp.processors.engine import EngineLimits, open_engine, parquet
from datamcp.processors.processor import Output
from datamcp.types import JSONValue

_LIMITS = EngineLimits(threads=1, memory_limit="512MB")
REPORT = "report.md"
MAX_ROWS = 1000
FILE_LIMIT = Size("10MB")
TOTAL_LIMIT = Size("200MB")


class Fact(BaseModel):
    """One field of a value: its label, its path, and whether to show its number in percent.

    A path is names and, in lists, places from 0, between dots: `worst.0.value`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str
    path: str = Field(min_length=1)
    percent: bool = False


class Section(BaseModel):
    """A part of a report: a heading, a text, and one thing to show below it.

    `input` names an input step: its table, or else its value, is shown. `value` is any JSON value,
    such as `${outputs.signals}`: a mapping becomes a table of facts, a list of mappings a table,
    and what `search` or `summarize` gave back a text with citations. `facts` are the fields
    to show of a large value. `limit` is how many rows or hits are shown.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    heading: str
    text: str = ""
    input: str | None = None
    value: JSONValue = None
    facts: list[Fact] = Field(default_factory=list)
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
        """Find the passages of the documents below a folder that answer a question.

        Text, Markdown, HTML and PDF are read, HTML and PDF with the extra `documents`; every other
        file is in `skipped`, with the reason. `"quoted words"` are a phrase. A file larger than
        `max_file_size` is not read, nor one with which all have more than `max_total_size`.
        """
        library = Library(self.context, max_file_size.bytes, max_total_size.bytes)
        documents = library.read(folder)
        answered = answers(query, documents, limit, watched=library.watched)
        return SearchResult(
            query=query,
            folder=library.folder,
            documents=len(documents),
            passages=answered.passages,
            hits=answered.hits,
            skipped=library.skipped,
            warnings=(*library.warnings, *answered.warnings),
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

        Give one of them: a `folder`, `sources` (paths of documents or folders), the `found` of a
        search, or a `text`. With a `query`, the sentences that bear on it are preferred; that of
        `found` is taken where none is given.
        """
        _check_one(folder=folder, sources=sources, found=found, text=text)
        library = Library(self.context, max_file_size.bytes, max_total_size.bytes)
        if folder is not None:
            documents = library.read(folder)
        elif sources is not None:
            documents = library.read_all(sources)
        elif found is not None:
            documents = library.read_hits(found)
            query = found.query if query is None else query
        else:
            documents = [Document(source="", title="", blocks=parse_text(text or "").blocks)]
        told = digest(documents, sentences, query or "", watched=library.watched)
        return Summary(
            query=query or "",
            folder=library.folder,
            text=" ".join(sentence.text for sentence in told.sentences),
            sentences=told.sentences,
            sources=told.sources if text is None else (),
            documents=len(documents),
            skipped=library.skipped,
            warnings=library.warnings,
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
        number, and listed under Sources; `sources`, where other data come from, follow there.
        """
        outputs = inputs or {}
        missing = [part.input for part in sections if part.input and part.input not in outputs]
        if missing:
            raise ProcessingError(
                f"no output of {', '.join(missing)}; inputs: {', '.join(outputs)}"
            )
        text = ReportText(title)
        for number, section in enumerate(sections, start=1):
            text.add(section.heading, section.text, self._shown(text, section, outputs))
            self.context.heartbeat(number / len(sections))
        told = [Source(one.title, one.path, one.url, one.note) for one in sources or ()]
        return self._published(text.finished(told))

    def _shown(
        self, text: ReportText, section: Section, outputs: Mapping[str, Output]
    ) -> Sequence[str]:
        if section.facts:
            return self._chosen(section, outputs)
        if section.input is None:
            is_given = "value" in section.model_fields_set
            return text.value(section.value, section.limit) if is_given else ()
        output = outputs[section.input]
        if output.path is None:
            if output.value is None:
                raise ProcessingError(f"step {section.input} left neither a table nor a value")
            return text.value(output.value, section.limit)
        columns, rows = self._read(Path(output.path), section.limit)
        return table_lines(Table(columns, rows, output.records_out))

    def _chosen(self, section: Section, outputs: Mapping[str, Output]) -> Sequence[str]:
        value = section.value if section.input is None else outputs[section.input].value
        if value is None:
            raise ProcessingError(
                f"section {section.heading!r}: there is no value to take facts of"
            )
        choices = [Choice(one.label, one.path, one.percent) for one in section.facts]
        return selected(value, choices)

    def _read(self, path: Path, limit: int) -> tuple[list[str], list[tuple[Any, ...]]]:
        scratch = self.context.workspace.scratch()
        with scratch as folder, open_engine(_LIMITS, scratch=folder, files=[path]) as engine:
            found = engine.execute(f"SELECT * FROM {parquet(path)} LIMIT {limit}")  # noqa: S608
            return [column[0] for column in found.description or ()], found.fetchall()

    def _published(self, text: str) -> Output:
        with self.context.workspace.publish(REPORT) as path:
            path.write_text(text, encoding="utf-8")
        written = self.context.workspace.path_of(REPORT)
        return Output(path=written, bytes_out=len(text.encode()))


def _check_one(**given: object) -> None:
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        told = ", ".join(names) or "none of them"
        raise ProcessingError(f"give one of {', '.join(given)}; got {told}")

"""The research agent: what it finds, summarizes and reports, and what is wrong with its input."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pytest
from support.pdfs import pdf

from datamcp.agent_types.reading.markup import table as markdown_table
from datamcp.agent_types.research import DataSource, ResearchAgent, Section
from datamcp.agents.agent import capabilities_of
from datamcp.config.size import Size
from datamcp.errors import InvalidParametersError, ProcessingError
from datamcp.processors.processor import Output
from datamcp.storage.artifacts import ArtifactStore
from datamcp.storage.roots import AllowedRoots
from datamcp.tasks import context as contexts
from datamcp.tasks.context import TaskContext
from datamcp.tasks.parameters import Parameters
from datamcp.tasks.task import Task


@dataclass
class Running:
    """A task that runs here: what it reports as progress, and after how many reports to cancel it."""

    progress: list[float | None] = field(default_factory=list)
    cancelled_after: int | None = None

    def beat(self, progress: float | None, _details: object = None) -> bool:
        """Note a report."""
        self.progress.append(progress)
        return self.cancelled_after is not None and len(self.progress) >= self.cancelled_after


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """Have a task running here."""
    task = Running()
    context = TaskContext(
        task_id="1",
        idempotency_key="1",
        attempt=1,
        deadline=None,
        agent_id="research-1@here",
        logger=logging.LoggerAdapter(logging.getLogger("test"), {}),
        _task=lambda: Task(task_type="research.report"),
        _workspace=lambda: ArtifactStore(str(tmp_path / "artifacts")).workspace("run", "a", 1),
        _beat=task.beat,
        _find=AllowedRoots([tmp_path]).find,
    )
    token = contexts.current.set(context)
    yield task
    contexts.current.reset(token)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Have a folder of documents, some of which can't be read."""
    root = tmp_path / "docs"
    (root / "sub").mkdir(parents=True)
    (root / "lamp.md").write_text("# The lamp\n\n## Lighting\n\nThe lamp was lit in 1838.\n")
    (root / "sub" / "oil.txt").write_text("The price of oil fell by half in May. Tanks were full.")
    (root / "sub" / "gas.html").write_text("<title>Gas</title><p>The price of gas rose in June.")
    (root / "report.pdf").write_bytes(pdf([["The price of coal was flat in the winter."]]))
    (root / "latin.txt").write_bytes("The café in Zürich sells the lamp.".encode("cp1252"))
    (root / "photo.png").write_bytes(b"\x89PNG\0")
    (root / "broken.pdf").write_bytes(b"%PDF-1.4")
    return root


@pytest.fixture
def agent(running: Running) -> ResearchAgent:
    """Have an agent, and a task for it."""
    return ResearchAgent()


# Searching.


def test_search_finds_what_answers_in_any_kind_of_file(agent: ResearchAgent, folder: Path) -> None:
    """Text, Markdown, HTML and PDF are ranked together."""
    sources = {
        "When was the lamp lit?": "lamp.md",
        "price of oil": "sub/oil.txt",
        "price of gas": "sub/gas.html",
        "price of coal": "report.pdf",
        "cafe in zurich": "latin.txt",
    }
    for query, source in sources.items():
        assert agent.search(query, "docs").hits[0].source == source


def test_search_accounts_for_every_file(agent: ResearchAgent, folder: Path) -> None:
    """What was read is counted, what was not is named with the reason."""
    found = agent.search("lamp", "docs", limit=1)
    assert (found.query, found.folder, found.documents, found.passages) == ("lamp", "docs", 5, 5)
    assert len(found.hits) == 1
    assert {one.source for one in found.skipped} == {"photo.png", "broken.pdf"}
    assert found.warnings == ("latin.txt: not UTF-8; read as Windows-1252",)


def test_a_hit_of_a_pdf_has_a_page(agent: ResearchAgent, folder: Path) -> None:
    """And no lines; all others have lines."""
    (coal, *others) = agent.search("price of coal", "docs").hits
    assert (coal.page, coal.first_line) == (1, None)
    assert all(hit.page is None and hit.first_line for hit in others)


def test_sizes_are_limited_by_parameters(agent: ResearchAgent, folder: Path) -> None:
    """As text with a unit; what is too large is reported."""
    (folder / "big.md").write_text("lamp " * 1_000)
    small = agent.search("lamp", "docs", max_file_size=Size("4kB"))
    assert "too large" in {one.source: one.reason for one in small.skipped}["big.md"]
    assert agent.search("lamp", "docs", max_total_size=Size("1B")).documents == 0


def test_one_document_may_be_searched(agent: ResearchAgent, folder: Path) -> None:
    """Its folder is the one it lies in."""
    found = agent.search("oil", "docs/sub/oil.txt")
    assert (found.folder, [hit.source for hit in found.hits]) == ("docs/sub", ["oil.txt"])


@pytest.mark.parametrize("path", ["nowhere", "../outside", "/etc"])
def test_only_allowed_folders_are_read(agent: ResearchAgent, path: str) -> None:
    """What is not there, and what lies outside, is refused."""
    with pytest.raises(ProcessingError, match=r"no file or folder|allowed_roots"):
        agent.search("x", path)


def test_an_empty_folder_has_no_answers(agent: ResearchAgent, tmp_path: Path) -> None:
    """That is a result, not an error."""
    (tmp_path / "empty").mkdir()
    assert agent.search("anything", "empty").hits == ()


def test_very_many_skipped_files_are_counted(agent: ResearchAgent, tmp_path: Path) -> None:
    """The first thousand are listed, and the warning tells of the others."""
    (tmp_path / "many").mkdir()
    for number in range(1_003):
        (tmp_path / "many" / f"{number:04}.bin").touch()
    found = agent.search("x", "many")
    assert len(found.skipped) == 1_000
    assert found.warnings == ("3 more files were skipped",)


def test_progress_is_told_and_grows(agent: ResearchAgent, running: Running, folder: Path) -> None:
    """Reading is the first part of the work, looking through the rest."""
    for number in range(50):
        (folder / f"{number}.txt").write_text("The lamp was lit, the lamp is old.")
    agent.search("lamp", "docs")
    told = [value for value in running.progress if value is not None]
    assert told == sorted(told)
    assert 20 < len(told) <= 101
    assert 0 <= told[0] < 0.1
    assert told[-1] > 0.9


@pytest.mark.parametrize("after", [1, 10, 70])
@pytest.mark.parametrize("name", ["search", "summarize"])
def test_a_cancelled_task_stops(
    agent: ResearchAgent, running: Running, folder: Path, name: str, after: int
) -> None:
    """At the next report of progress, while files are read or looked through."""
    for number in range(100):
        (folder / f"{number}.txt").write_text("The lamp was lit, the lamp is old.")
    running.cancelled_after = after
    call: Callable[..., object] = getattr(agent, name)
    with pytest.raises(ProcessingError, match="cancelled"):
        call(query="lamp", folder="docs")
    assert len(running.progress) == after


# Summarizing.


def test_a_folder_is_summarized(agent: ResearchAgent, folder: Path) -> None:
    """With its sources, and with what was skipped."""
    summary = agent.summarize("docs", sentences=3)
    assert len(summary.sentences) == 3
    assert summary.text == " ".join(one.text for one in summary.sentences)
    assert (summary.folder, summary.documents, len(summary.skipped)) == ("docs", 5, 2)
    cited = {one.source for one in summary.sources if one.is_cited}
    assert cited == {one.source for one in summary.sentences}


def test_what_was_found_is_summarized_with_its_question(agent: ResearchAgent, folder: Path) -> None:
    """As a pipeline hands it on: as JSON; lines are those of the files."""
    (folder / "long.md").write_text(
        "# Lamps\n\nA lamp needs oil, and its wick has to be cut\nevery day by the keeper. "
        "The lamp of the tower was lit by the keeper\nat dusk in every season of the year.\n"
    )
    handed = json.loads(agent.search("lamp keeper", "docs", limit=2).model_dump_json())
    parameters = Parameters.of("research.summarize", _capability("summarize"))
    loaded = parameters.load(json.dumps({"found": handed, "sentences": 2}))

    summary = agent.summarize(**loaded)

    assert summary.query == "lamp keeper"
    assert [(one.source, one.line) for one in summary.sentences] == [("long.md", 3), ("long.md", 4)]
    (folder / "long.md").unlink()
    assert [one.line for one in agent.summarize(**loaded).sentences] == [3, 3]


def test_several_sources_are_known_by_their_paths(agent: ResearchAgent, folder: Path) -> None:
    """Documents and folders may be mixed; nothing is read twice."""
    summary = agent.summarize(sources=["docs/sub", "docs/lamp.md", "docs/sub/oil.txt"])
    assert [one.source for one in summary.sources] == [
        "docs/sub/gas.html",
        "docs/sub/oil.txt",
        "docs/lamp.md",
    ]


def test_a_plain_text_is_summarized(agent: ResearchAgent) -> None:
    """It has no source."""
    text = "The price of oil fell by half in May. The tanks of the port were full by then."
    summary = agent.summarize(text=text, sentences=1)
    assert summary.text in text
    assert summary.sources == ()
    assert (summary.sentences[0].source, summary.sentences[0].line) == ("", 1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give one of folder, sources, found, text; got none of them"),
        ({"folder": "docs", "text": "x"}, "got folder, text"),
        ({"sources": ["docs/lamp.md", "gone.md"]}, "no file or folder 'gone.md'"),
    ],
)
def test_there_must_be_one_thing_to_summarize(
    agent: ResearchAgent, folder: Path, given: dict[str, object], message: str
) -> None:
    """Neither none nor two, and it has to exist."""
    call: Callable[..., object] = agent.summarize
    with pytest.raises(ProcessingError, match=message):
        call(**given)


# Reporting.


def table(path: Path, sql: str) -> Output:
    """Return the output of a step that left the rows of a query."""
    duckdb.sql(sql).write_parquet(str(path))
    return Output(path=str(path), records_out=len(duckdb.sql(sql).fetchall()))


def text_of(output: Output) -> str:
    """Return what a report says."""
    return Path(str(output.path)).read_text(encoding="utf-8")


def test_writes_what_its_inputs_hold(
    tmp_path: Path, agent: ResearchAgent, running: Running
) -> None:
    """Each section has its heading, its text and its step's table; numbers are for people."""
    rows = table(
        tmp_path / "t.parquet", "select 'a|b' as full_name, 1234567 as n, 0.12345 as share"
    )
    section = Section(heading="All", input="rows", text="What there is.")

    output = agent.report("Title", [section, section], {"rows": rows})

    text = text_of(output)
    assert text.startswith("# Title\n\n## All\n\nWhat there is.\n\n")
    assert "| full name | n | share |\n| --- | ---: | ---: |\n| a\\|b | 1,234,567 | 0.123 |" in text
    assert output.bytes_out == len(text.encode())
    assert running.progress == [0.5, 1.0]


def test_says_how_much_of_a_long_table_it_shows(tmp_path: Path, agent: ResearchAgent) -> None:
    """A table over the limit is cut, and the report says so."""
    rows = table(tmp_path / "t.parquet", "select range as i from range(5000)")

    text = text_of(agent.report("T", [Section(heading="H", input="r", limit=3)], {"r": rows}))

    assert "3 of 5,000 rows." in text
    assert text.count("\n| ") == 5


def test_reports_values_and_cites_what_was_found(agent: ResearchAgent, folder: Path) -> None:
    """By reference or as input, a value is shown; results of a search get numbers and sources."""
    found = agent.search("When was the lamp lit?", "docs", limit=1).model_dump(mode="json")
    summary = agent.summarize("docs", sentences=1, query="lamp lit").model_dump(mode="json")
    text = text_of(
        agent.report(
            "T",
            [
                Section(heading="Risk", value={"var_95": 0.03}),
                Section(heading="Summary", input="summary"),
                Section(heading="Found", value=found),
                Section(heading="Note", text="Only a text."),
            ],
            {"summary": Output(value=summary)},
            [DataSource(title="EIA", url="https://www.eia.gov", note="Prices.")],
        )
    )
    assert "| var 95 | 0.03 |" in text
    assert "The lamp was lit in 1838. [1]\n\n## Found" in text
    assert "**The lamp**, Lighting [1]\n\n> The lamp was lit in 1838.\n" in text
    assert text.endswith(
        "## Note\n\nOnly a text.\n\n## Sources\n\n1. The lamp: docs/lamp.md, line 5\n\n"
        "- EIA: <https://www.eia.gov>. Prices.\n"
    )


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "no output of rows"),
        ({"rows": Output()}, "step rows left neither a table nor a value"),
        ({"rows": Output(path="/nowhere/t.parquet")}, "t.parquet"),
    ],
)
def test_an_input_that_is_not_there_is_one_clear_error(
    agent: ResearchAgent, inputs: dict[str, Output], message: str
) -> None:
    """A report of nothing is refused, and names the step or the file."""
    with pytest.raises(ProcessingError, match=message):
        agent.report("T", [Section(heading="H", input="rows")], inputs)


def test_cells_are_written_for_people() -> None:
    """Empty, true and false, thousands, small and large fractions."""
    rows = [(None, True, 1000, 0.5), ("line\nbreak", False, -2, 1234.5)]

    assert markdown_table(["a", "b", "c", "d"], rows)[2:] == [
        "|  | yes | 1,000 | 0.500 |",
        "| line break | no | -2 | 1,234.50 |",
    ]


# Parameters, as they come from a pipeline or a command line.


def _capability(name: str) -> Callable[..., object]:
    return capabilities_of(ResearchAgent, "research")[f"research.{name}"].function


@pytest.mark.parametrize(
    ("name", "parameters", "path"),
    [
        ("search", {"query": "x"}, "folder"),
        ("search", {"query": "x", "folder": "y", "limit": 0}, "limit"),
        ("search", {"query": "x", "folder": "y", "limit": 101}, "limit"),
        ("search", {"query": "x", "folder": "y", "max_file_size": "much"}, "max_file_size"),
        ("summarize", {"found": {"query": "x"}}, "found.folder"),
        ("summarize", {"text": "x", "sentences": 0}, "sentences"),
        ("report", {"title": "T", "sections": [{"heading": "H", "table": 1}]}, "sections.0.table"),
    ],
)
def test_wrong_parameters_are_refused_by_name(
    name: str, parameters: dict[str, object], path: str
) -> None:
    """Before any work is done."""
    checked = Parameters.of(f"research.{name}", _capability(name))
    with pytest.raises(InvalidParametersError) as caught:
        checked.load(json.dumps(parameters))
    assert [problem.path for problem in caught.value.problems][:1] == [path]

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datamcp.agent_types.reading.selection import Choice, percent, selected
from datamcp.agent_types.research import Fact, ResearchAgent, Section
from datamcp.errors import ProcessingError
from datamcp.processors.processor import Output
from datamcp.storage.artifacts import ArtifactStore
from datamcp.tasks import context as contexts
from datamcp.tasks.context import TaskContext
from datamcp.tasks.task import Task

VALUE: Any = {
    "price": 46.92,
    "rows": 8321,
    "trend": "down|up",
    "returns": {"week": {"value": 0.0549}, "year": None},
    "worst": [{"value": -0.334}, {"value": -0.17}],
    "rules": ["rsi", "macd"],
    "is_open": True,
    "why": {"a.b": "too short", "c": 2},
    "none": {},
}


def shown(path: str, *, is_percent: bool = False) -> str:
    """Return what is shown of one path."""
    (_, _, line, _) = selected(VALUE, [Choice("What", path, is_percent)])
    assert line.startswith("| What | ")
    return line.removeprefix("| What | ").removesuffix(" |")


@pytest.mark.parametrize(
    ("path", "text"),
    [("price", "46.92"), ("rows", "8321"), ("trend", "down\\|up"), ("worst.1.value", "-0.170"),
     ("rules", "rsi, macd"), ("why", "a.b: too short; c: 2"), ("none", ""), ("is_open", "yes"), ("returns.week.value", "0.0549"),
     ("returns.year.value", ""), ("worst.2.value", "")],
)  # fmt: skip
def test_a_path_leads_to_what_it_names(path: str, text: str) -> None:
    """Through names and places; what is null, or beyond the end of a list, is empty."""
    assert shown(path) == text


@pytest.mark.parametrize(
    ("part", "text"),
    [(0.0371, "3.71 %"), (-0.82, "-82.0 %"), (0.0, "0.00 %"), (13.5, "1,350.0 %")],
)
def test_parts_are_shown_in_percent(part: float, text: str) -> None:
    """With as many digits as say something."""
    assert percent(part) == text
    assert shown("returns.week.value", is_percent=True) == "5.49 %"
    assert shown("returns.year.value", is_percent=True) == ""


@pytest.mark.parametrize(
    ("path", "is_percent", "said"),
    [
        ("retruns.week", False, "fact 'What': no 'retruns' for 'retruns.week'; there are price, "),
        ("price.x", False, "fact 'What': no 'x' for 'price.x'; there are no fields"),
        ("worst.first", False, "fact 'What': no 'first' for 'worst.first'; there are no fields"),
        ("returns", False, "fact 'What': 'returns' is nested too deep"),
        ("worst", False, "fact 'What': 'worst' is nested too deep"),
        ("trend", True, "fact 'What': 'trend' is no number for percent"),
    ],
)
def test_a_path_that_leads_nowhere_is_one_clear_line(
    path: str, is_percent: bool, said: str
) -> None:
    """It names the fact, the path and what there is."""
    with pytest.raises(ProcessingError) as refused:
        shown(path, is_percent=is_percent)
    assert str(refused.value).startswith(said)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[ResearchAgent]:
    """Return an agent inside of a task."""
    context = TaskContext(
        task_id="1",
        idempotency_key="1",
        attempt=1,
        deadline=None,
        agent_id="research-1@here",
        logger=logging.LoggerAdapter(logging.getLogger("test"), {}),
        _task=lambda: Task(task_type="research.report"),
        _workspace=lambda: ArtifactStore(str(tmp_path)).workspace("run", "a", 1),
        _beat=lambda _progress, _details: False,
        _find=Path,
    )
    token = contexts.current.set(context)
    yield ResearchAgent()
    contexts.current.reset(token)


def test_a_section_shows_chosen_facts(agent: ResearchAgent) -> None:
    """Of a value, or of the value of an input that has a table, too."""
    week = Fact(label="One week", path="returns.week.value", percent=True)
    facts = [week, Fact(label="Price", path="price")]
    sections = [
        Section(heading="Given", value=VALUE, facts=facts),
        Section(heading="Left", input="step", facts=facts),
    ]
    step = Output(path="/nowhere.parquet", value=VALUE)
    output = agent.report("T", sections, {"step": step})
    text = Path(str(output.path)).read_text()
    table = "| fact | value |\n| --- | --- |\n| One week | 5.49 % |\n| Price | 46.92 |\n"
    assert text.count(table) == 2


def test_facts_need_a_value(agent: ResearchAgent) -> None:
    """A table has no fields to choose."""
    section = Section(heading="H", input="step", facts=[Fact(label="Price", path="price")])
    with pytest.raises(ProcessingError, match="section 'H': there is no value to take facts of"):
        agent.report("T", [section], {"step": Output(path="/nowhere.parquet")})

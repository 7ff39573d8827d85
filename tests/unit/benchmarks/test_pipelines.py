from pathlib import Path

import pytest
from rich.console import Console
from support.source import REPOSITORY

from benchmarks import report as marks
from benchmarks.measure import Verdict
from benchmarks.pipelines import report
from benchmarks.pipelines.ours import definition_of
from benchmarks.pipelines.outcome import Aim, Found, Outcome, Side, load
from benchmarks.pipelines.scenarios import SCENARIOS
from benchmarks.pipelines.shapes import N_SHAPE, chain, diamond, layered, random_shape
from benchmarks.pipelines.statements import per_step
from benchmarks.pipelines.table_input import make_input
from benchmarks.pipelines.tables import TABLES
from benchmarks.tally import WrongResultError
from datamcp.pipelines.check import check
from datamcp.pipelines.graph import Graph

PAGE = REPOSITORY / "docs" / "reference" / "benchmarks-pipelines.md"

WALL = Aim(name="wall", unit="ms", bound=1.0, is_ratio=True)
RATE = Aim(name="rate", unit="Mbit/s", bound=1000.0, wants_more=True)


def outcome() -> Outcome:
    """Return a run of two rounds with two scenarios."""
    ours = Side(
        values={"wall": [0.9, 1.5]},
        cpu={"pool": 0.003, "others": 0.5},
        requests={"commits": 2.1},
        statements={"UPDATE tasks": 1.0},
    )
    return Outcome(
        started_at="2026-11-30T12:00:00+00:00",
        revision="abc1234",
        rounds=2,
        quick=True,
        load_before=[0.1, 0.2, 0.3],
        load_after=[1.0, 0.5, 0.3],
        slots={"prefork": 2},
        settings={"raw": {"a": 1}},
        prefetch={"prefork": {"4": 900.0}},
        commits=[0.001, 0.002],
        scenarios=[
            Found(
                name="chain",
                title="chain of 50",
                size="1 run, 50 steps",
                aims=[WALL],
                sides={"raw": Side(values={"wall": [1.0, 1.0]}), "datamcp, PostgreSQL": ours},
            ),
            Found(
                name="tables",
                title="tables",
                size="2 files",
                aims=[RATE],
                sides={
                    "DuckDB alone": Side(values={"rate": [2000.0, 2000.0]}),
                    "datamcp, PostgreSQL": Side(values={"rate": [900.0, 990.0]}),
                },
            ),
        ],
    )


def test_shapes_are_numbered_level_by_level() -> None:
    """A level waits for all of the one before; a diamond's middle lies side by side."""
    assert layered(2, 2).upstreams == [(), (), (0, 1), (0, 1)]
    assert diamond(4).upstreams == [(), (0,), (0,), (1, 2)]
    assert len(chain(50)) == 50


def test_the_longest_way_is_that_of_the_most_seconds() -> None:
    """Of the N shape that is a and c: a second, and one hop."""
    assert N_SHAPE.critical_path == (1.0, 1)
    assert random_shape(1, 40, 0.5).critical_path[0] >= 2.5


@pytest.mark.parametrize("seed", range(20))
def test_random_shapes_have_each_step_one_level_below_its_upstreams(seed: int) -> None:
    """So that a canvas of levels, which names the steps in that order, respects all edges."""
    shape = random_shape(seed, 40, 0.02)
    level: list[int] = []
    for ups in shape.upstreams:
        level.append(max((level[up] for up in ups), default=-1) + 1)
    assert [level.count(depth) for depth in range(max(level) + 1)] == list(shape.layers)
    assert level == sorted(level)
    assert shape == random_shape(seed, 40, 0.02)


def test_what_is_run_can_be_registered() -> None:
    """Each shape is a pipeline without problems, with its edges, gated or not."""
    for scenario in SCENARIOS:
        for shape in (*scenario.size.shapes, *scenario.quick.shapes):
            definition = definition_of(shape, "bench.step", "true")
            assert check(definition, {"bench.step"}, most_retries=3) == []
            upstreams = Graph.of(definition).upstreams
            assert [
                sorted(int(up[1:]) for up in upstreams[f"s{number}"])
                for number in range(len(shape))
            ] == [sorted(ups) for ups in shape.upstreams]
    assert check(TABLES, {"file.read", "sql.transform"}, most_retries=3) == []


def test_the_input_is_as_large_as_asked_for_and_knows_its_aggregate(tmp_path: Path) -> None:
    """Twice the month has twice the flights of each carrier, and the same mean delay."""
    one, two = make_input(tmp_path, "1.csv", 1), make_input(tmp_path, "2.csv", 4_000_000)
    assert (one.rows, two.rows) == (27_004, 54_008)
    assert two.size >= 4_000_000
    assert [row[0] for row in one.expected] == [row[0] for row in two.expected]
    assert [(row[1] * 2, row[2]) for row in one.expected] == [row[1:] for row in two.expected]
    one.check("us", one.rows, list(one.expected))
    with pytest.raises(WrongResultError, match="us: 27003 rows"):
        one.check("us", one.rows - 1, list(one.expected))


def test_targets_are_judged_by_the_ratio_or_by_the_figure_itself() -> None:
    """The rival has no target, and DuckDB none either."""
    chain_found, tables = outcome().scenarios
    assert chain_found.judged("datamcp, PostgreSQL", WALL) is Verdict.MISSED
    assert chain_found.judged("raw", WALL) is None
    assert tables.judged("datamcp, PostgreSQL", RATE) is Verdict.MISSED
    assert tables.judged("DuckDB alone", RATE) is None
    assert [str(WALL), str(RATE)] == ["≤ 1 x raw", "≥ 1000 Mbit/s"]
    assert str(Aim(name="p95", unit="ms", bound=0.2)) == "≤ 200 ms"


def test_figures_survive_json_and_are_shown(tmp_path: Path) -> None:
    """What is written is read again, on a terminal and on the page."""
    file = tmp_path / "figures.json"
    file.write_text(outcome().to_json())
    assert load(file) == outcome()
    console = Console(width=200, force_terminal=True, no_color=True)
    with console.capture() as captured:
        report.show(console, load(file), with_statements=True)
    shown = captured.get()
    assert "1,200 (900..1,500) ms" in shown
    assert "1.00  UPDATE tasks" in shown
    assert "quick: not to be quoted" in shown
    page = marks.put(PAGE.read_text(), report.markdown(outcome()))
    assert "| | datamcp, PostgreSQL | rate | 945 (900..990) Mbit/s |" in page


def test_other_files_are_refused(tmp_path: Path) -> None:
    """Only figures of this format can be shown."""
    file = tmp_path / "other.json"
    file.write_text('{"format": 1}')
    with pytest.raises(ValueError, match="no figures of format"):
        load(file)


def test_statements_that_differ_in_values_alone_are_one(tmp_path: Path) -> None:
    """Lists, parameters and columns are left out; what was counted before does not count."""
    file = tmp_path / "statements"
    file.write_text(
        "SELECT before FROM tasks\n"
        "SELECT a, b FROM tasks WHERE a IN (%(a_1)s, %(a_2)s)\n"
        "SELECT a FROM tasks WHERE a IN (%(a_1)s)\n"
        "COMMIT\n"
        "= commit\n"
    )
    found = per_step([(file, 25), (tmp_path / "none", 0)], 2)
    assert found == {"SELECT … FROM tasks WHERE a IN (…)": 1.0, "COMMIT": 0.5}

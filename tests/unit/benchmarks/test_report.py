from pathlib import Path

import pytest
from rich.console import Console
from support.source import REPOSITORY

from benchmarks import report
from benchmarks.measure import Measure
from benchmarks.outcome import Found, Outcome, Side, load

PUBLISHED = REPOSITORY / "benchmarks" / "figures" / "published.json"
PAGE = REPOSITORY / "docs" / "reference" / "benchmarks.md"


def outcome(*, ours: list[float]) -> Outcome:
    """Return a run of one scenario in two rounds."""
    raw = Side(costs=[0.001, 0.002], cpu={"producer": 0.0005, "others": 0.1})
    side = Side(costs=ours, requests={"commands": 3.0, "statements": 2.0})
    found = Found(
        name="enqueue",
        title="enqueue, one at a time",
        size="2",
        measure=Measure.RATE_LESS_COMMIT,
        bound=1.0,
        is_rate=True,
        note="",
        commits={"postgresql": [0.001, 0.002]},
        sides={"raw": raw, "datamcp": side},
    )
    return Outcome(
        started_at="2026-11-22T12:00:00+00:00",
        revision="abc1234",
        rounds=2,
        slots=2,
        quick=True,
        machine={
            "cpus": 2,
            "cpu": "a processor",
            "memory_gib": 4,
            "system": "Linux",
            "python": "3.11",
            "servers": {"redis": "valkey 8"},
            "packages": {"celery": "5.7.0"},
            "hiredis_in_use": True,
        },
        load_before=[0.1, 0.2, 0.3],
        load_after=[1.0, 0.5, 0.3],
        settings={"raw": {"worker": "--without-gossip"}},
        ledgers={"raw": None, "datamcp": "postgresql"},
        calibration={"prefork": {"1": 900.0, "64": 1100.0}},
        scenarios=[found],
    )


def test_figures_come_back_out_of_json(tmp_path: Path) -> None:
    """What is written is what is read."""
    file = tmp_path / "figures.json"
    written = outcome(ours=[0.002, 0.004])
    file.write_text(written.to_json())
    assert load(file) == written


def test_another_file_is_no_figures(tmp_path: Path) -> None:
    """A file of another form is refused by name."""
    file = tmp_path / "other.json"
    file.write_text("[]")
    with pytest.raises(ValueError, match=r"other\.json holds no figures"):
        load(file)


def test_a_table_says_all_that_a_figure_needs() -> None:
    """Figures, ratios with their ranges, the verdict, the settings and the load stand together."""
    console = Console(record=True, file=None, quiet=False, width=150)
    with console.capture() as captured:
        report.show(console, outcome(ours=[0.002, 0.004]))
    shown = captured.get()
    for words in (
        "375 (250..500)",
        "0.50 (0.50..0.50)",
        "1.00 (1.00..1.00) met",
        "rate less one commit ≥ 1",
        "--without-gossip",
        "Load average before 0.1/0.2/0.3, after 1/0.5/0.3",
        "not to be quoted",
    ):
        assert words in shown


def test_two_runs_are_compared_by_their_ratios() -> None:
    """It says whether the ranges of the ratios overlap."""
    console = Console(width=150)
    with console.capture() as captured:
        slower = outcome(ours=[0.004, 0.008])
        report.show_comparison(console, outcome(ours=[0.002, 0.004]), slower)
        report.show_comparison(console, slower, slower)
    shown = captured.get()
    assert "0.25 (0.25..0.25)" in shown
    assert shown.count("apart") == shown.count("overlap") == 1


def test_a_page_takes_the_tables_between_its_marks() -> None:
    """The rest of the page stays as it is; a page without marks is refused."""
    page = "before\n<!-- measured: figures -->\nold\n<!-- measured. -->\nafter\n"
    filled = report.filled(page, outcome(ours=[0.002, 0.004]))
    assert filled.startswith("before\n<!-- measured: figures -->\n")
    assert filled.endswith("<!-- measured. -->\nafter\n")
    assert "old" not in filled
    assert "| | datamcp | 375 (250..500) |" in filled
    with pytest.raises(ValueError, match="no part"):
        report.filled("no marks", outcome(ours=[1.0, 1.0]))


def test_the_page_shows_the_published_figures() -> None:
    """`python -m benchmarks --from … --page …` was run after the figures were published."""
    text = PAGE.read_text(encoding="utf-8")
    assert report.filled(text, load(PUBLISHED)) == text

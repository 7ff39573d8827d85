"""The market pipeline on real workers, against an independent computation over the same prices."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.market_oracle import MarketOracle, assert_figures_equal
from support.prices import assert_lines_equal, walk, wti
from support.runs import Bench
from support.source import REPOSITORY
from support.steps import Row, read_parquet

from datamcp.agent_types.reading.selection import percent
from datamcp.pipelines.loader import load
from datamcp.pipelines.status import PipelineStatus, RunState
from datamcp.storage.roots import PACKAGE_ROOT

MARKET = load(REPOSITORY / "config" / "pipelines" / "market.yaml")

pytestmark = pytest.mark.parametrize("bench", ["sqlite"], indirect=True, scope="module")


@dataclass(frozen=True)
class Ran:
    """A run of the pipeline that has ended, and what each of its steps left."""

    status: PipelineStatus
    bench: Bench

    def value(self, step: str) -> Any:
        """Return the value that a step returned."""
        data = self.bench.runtime.tasks.result(self.status.tasks[step].task_id).data
        return data.get("value", data)

    def rows(self, step: str) -> list[Row]:
        """Return the table that a step left."""
        return read_parquet(str(self.status.tasks[step].output))


def ran(bench: Bench, **parameters: object) -> Ran:
    """Run the pipeline to its end."""
    run_id = bench.run(MARKET, **parameters)
    return Ran(bench.runtime.pipelines.sync.monitor_execution(run_id), bench)


def assert_equal_to_oracle(found: Ran, oracle: MarketOracle) -> None:
    """Compare the figures of every step that has some."""
    assert found.status.state is RunState.SUCCEEDED, found.status.error_message
    assert_figures_equal(found.value("analysis"), oracle.analysis())
    assert_figures_equal(found.value("risk"), oracle.risk())
    table = found.rows("analysis")
    assert [row["date"] for row in table] == oracle.dates
    for name, line in oracle.lines().items():
        assert_lines_equal([row[name] for row in table], line, rel=1e-6, scale=max(oracle.close))
    crossed = [row["date"] for row in found.rows("signals") if "sma_crossover" in row["rules"]]
    assert crossed == oracle.crossovers()


def test_the_shipped_oil_price(bench: Bench) -> None:
    """Raw lines, American dates and days without a price give the oracle's figures."""
    dates, closes = zip(*wti(), strict=True)

    found = ran(bench)

    assert_equal_to_oracle(found, MarketOracle(list(dates), list(closes)))
    steps = found.status.tasks
    assert steps["checked"].records_rejected == 0
    assert (steps["read_prices"].records_out, steps["prices"].records_out) == (8611, 8321)
    years = found.rows("by_year")
    assert [row["year"] for row in years] == [str(year) for year in range(1986, 2020)]
    assert sum(row["days"] for row in years) == 8321
    last = {day.year: price for day, price in wti()}
    assert [row["last"] for row in years] == list(last.values())
    assert years[0]["return_percent"] is None
    assert years[22]["return_percent"] == pytest.approx(100 * (last[2008] / last[2007] - 1))
    newest = found.value("signals")["signals"]
    assert [str(row["date"]) for row in found.rows("latest_signals")] == [
        signal["date"] for signal in reversed(newest)
    ]


def assert_reported(found: Ran, *parts: str) -> str:
    """Compare what the report shows with what the steps left, and return its text."""
    text = Path(str(found.status.tasks["report"].output)).read_text()
    analysis, signals, risk = (found.value(step) for step in ("analysis", "signals", "risk"))
    facts = {
        "Last price": f"{analysis['last_price']:,.2f}",
        "Trend": analysis["trend"],
        "RSI, 14 days": f"{analysis['indicators']['rsi']:.2f}",
        "Stance": signals["stance"]["action"],
        "Rules that say buy": ", ".join(signals["stance"]["buy"]),
        "Following the signals": percent(signals["backtest"]["strategy_return"]),
        "Buying and holding": percent(signals["backtest"]["buy_and_hold_return"]),
        "Level": risk["level"],
        "Value at risk (95 %)": percent(risk["tail"]["historical_var"]),
        "Deepest fall": percent(risk["max_drawdown"]["depth"]),
    }
    for label, shown in facts.items():
        assert f"| {label} | {shown} |" in text
    for part in parts:
        assert part in text
    return text


def test_the_report_cites_documents_and_data(bench: Bench) -> None:
    """Figures, signals and risk; what the documents say, each sentence with its source."""
    found = ran(bench)
    text = assert_reported(
        found,
        "# WTI crude oil: market report",
        "Why did the price of oil fall at the end of 2018?",
        "- WTI crude oil, daily prices: data/wti_1986_2018.csv.gz. US Energy Information",
    )
    summary = found.value("summary")
    assert summary["sentences"]
    cited = {PACKAGE_ROOT / summary["folder"] / one["source"] for one in summary["sentences"]}
    for path in cited:
        assert path.is_file()
        title = path.read_text().splitlines()[0].removeprefix("# ")
        assert f"{title}: data/documents/{path.name}, lines " in text
    for sentence in summary["sentences"]:
        words = " ".join(
            (PACKAGE_ROOT / summary["folder"] / sentence["source"]).read_text().split()
        )
        assert sentence["text"] in words
        assert f"{sentence['text']} [" in text


def write_bars(path: Path, rows: Mapping[str, list[Any]]) -> None:
    """Write columns as a CSV file."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows)
        writer.writerows(zip(*rows.values(), strict=True))


def test_another_series_with_highs_lows_and_volumes(bench: Bench) -> None:
    """Other names and dates, rows out of order, a date twice, a date that is none."""
    one = walk(9, 900)
    columns: dict[str, list[Any]] = {
        "Day": [day.strftime("%d.%m.%Y") for day in one.dates],
        "High": one.high,
        "Low": one.low,
        "Last": one.close,
        "Volume": one.volume,
    }
    bad = {"Day": ["31.02.2000", columns["Day"][5]], "High": [1, 1], "Low": [1, 1], "Last": [1, 1]}
    bad["Volume"] = [1, 1]
    folder = bench.notes.parent
    write_bars(folder / "bars.csv", {k: [*v[::-1], *bad[k]] for k, v in columns.items()})

    (folder / "notes").mkdir()
    (folder / "notes" / "walk.md").write_text(
        "# The walk\n\nThe walk is random and goes nowhere.\n"
    )

    found = ran(
        bench,
        prices="bars.csv",
        name="A walk",
        source="A test",
        date_column="Day",
        date_format="%d.%m.%Y",
        close_column="Last",
        documents="notes",
        question="Where does the walk go?",
    )

    oracle = MarketOracle(one.dates, one.close, one.high, one.low, one.volume)
    assert_equal_to_oracle(found, oracle)
    checked = found.status.tasks["checked"]
    assert checked.warnings == ("2 rows set aside: date not of type date (1), date not unique (1)",)
    assert_reported(
        found,
        "The walk is random and goes nowhere. [1]",
        "1. The walk: notes/walk.md, line 3",
        "- A walk, daily prices: bars.csv. A test",
    )


@pytest.mark.parametrize(
    ("text", "step", "said"),
    [
        ("Date,DCOILWTICO\n1/2/1986,\n", "analysis", "no prices: none of 0 rows has one"),
        ("Date,price\n1/2/1986,1\n", "named", 'Referenced column "DCOILWTICO" not found'),
        ("Date,DCOILWTICO\nsoon,1\n", "checked", "1 row set aside: date not of type date (1)"),
    ],
)
def test_a_file_of_another_kind_fails_in_one_line(
    bench: Bench, text: str, step: str, said: str
) -> None:
    """The line names the step, and what it lacks."""
    (bench.notes.parent / "other.csv").write_text(text)
    status = ran(bench, prices="other.csv").status
    assert status.state is RunState.FAILED
    steps = status.tasks
    assert steps[step].error_message is not None
    assert said in steps[step].error_message
    assert "\n" not in steps[step].error_message

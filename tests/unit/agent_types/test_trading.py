import csv
import gzip
import logging
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.prices import WTI, walk
from support.steps import read_parquet

from datamcp.agent_types.markets.analysis import MarketAnalysis
from datamcp.agent_types.markets.indicators import rsi, sma
from datamcp.agent_types.markets.risk import RiskAssessment
from datamcp.agent_types.markets.rules import Rule
from datamcp.agent_types.markets.series import Bar
from datamcp.agent_types.markets.signals import MarketSignals
from datamcp.agent_types.trading import TradingAgent
from datamcp.agents.agent import capabilities_of
from datamcp.errors import InvalidParametersError, ProcessingError
from datamcp.processors.processor import Output
from datamcp.storage.artifacts import ArtifactStore
from datamcp.storage.roots import AllowedRoots
from datamcp.tasks import context as contexts
from datamcp.tasks.context import TaskContext
from datamcp.tasks.parameters import Parameters
from datamcp.tasks.task import Task

WALK = walk(1, 300)
BARS = [
    Bar(date=day, close=close, high=high, low=low, volume=volume)
    for day, close, high, low, volume in zip(
        WALK.dates, WALK.close, WALK.high, WALK.low, WALK.volume, strict=True
    )
]


@pytest.fixture
def progress(tmp_path: Path) -> Iterator[list[float | None]]:
    """Have a task running here; what it reports as progress is in the list."""
    reported: list[float | None] = []
    context = TaskContext(
        task_id="1",
        idempotency_key="1",
        attempt=1,
        deadline=None,
        agent_id="trading-1@here",
        logger=logging.LoggerAdapter(logging.getLogger("test"), {}),
        _task=lambda: Task(task_type="trading.analyze_market"),
        _workspace=lambda: ArtifactStore(str(tmp_path / "artifacts")).workspace("run", "a", 1),
        _beat=lambda value, _details: bool(reported.append(value)),
        _find=AllowedRoots([tmp_path]).find,
    )
    token = contexts.current.set(context)
    yield reported
    contexts.current.reset(token)


@pytest.fixture
def agent(progress: list[float | None]) -> TradingAgent:
    """Return an agent inside of a task."""
    return TradingAgent()


def checked(name: str, **values: Any) -> Any:
    """Return values as a worker reads them for a capability."""
    method = capabilities_of(TradingAgent, "trading")[f"trading.{name}"]
    parameters = Parameters.of(f"trading.{name}", method.function)
    return parameters.load(parameters.dump(values))


WRITERS: dict[str, Callable[[Path], None]] = {
    "prices.parquet": lambda path: _copy(path, "format parquet"),
    "prices.csv": lambda path: _copy(path, "format csv, header"),
    "prices.csv.gz": lambda path: _copy(path, "format csv, header, compression gzip"),
}


def _copy(path: Path, options: str) -> None:
    with duckdb.connect() as connection:
        connection.execute(
            "create table bars as select unnest(?::date[]) as Date, unnest(?::double[]) as Open, "
            "unnest(?::double[]) as High, unnest(?::double[]) as Low, "
            "unnest(?::double[]) as Close, unnest(?::bigint[]) as Volume",
            [WALK.dates, WALK.close, WALK.high, WALK.low, WALK.close, WALK.volume],
        )
        connection.execute(f"copy bars to '{path}' ({options})")


@pytest.mark.parametrize("name", WRITERS)
def test_a_table_is_read_as_its_bars_are(agent: TradingAgent, tmp_path: Path, name: str) -> None:
    """Parquet, CSV and compressed CSV give what the same bars give; Date is as good as date."""
    WRITERS[name](tmp_path / name)
    assert agent.analyze_market(name) == agent.analyze_market(BARS)
    assert agent.generate_signals(name) == agent.generate_signals(BARS)
    assert agent.assess_risk(name) == agent.assess_risk(BARS)


def test_closing_prices_alone_are_enough(agent: TradingAgent, progress: list[float | None]) -> None:
    """Without dates the results have none; how far the work is, is told."""
    analysis = agent.analyze_market(WALK.close)
    assert isinstance(analysis, MarketAnalysis)
    assert (analysis.last_date, analysis.last_price) == (None, WALK.close[-1])
    assert progress == [0.2, 0.7]
    found = agent.generate_signals(WALK.close, rules=(Rule.BREAKOUT, Rule.BREAKOUT), limit=3)
    assert isinstance(found, MarketSignals)
    assert len(found.signals) == 3 < found.count
    risk = agent.assess_risk(WALK.close, position=1000.0, worst=2)
    assert isinstance(risk, RiskAssessment)
    assert len(risk.worst) == 2


def test_all_indicators_are_left_as_a_table(agent: TradingAgent) -> None:
    """A row for each price, with null where an indicator has no value; the analysis is the value."""
    output = agent.analyze_market(BARS, fast=20, slow=100, table=True)
    assert isinstance(output, Output)
    rows = read_parquet(str(output.path))
    assert output.records_out == len(rows) == 300
    assert [row["date"] for row in rows] == WALK.dates
    assert [row["close"] for row in rows] == WALK.close
    assert [row["sma_fast"] for row in rows] == sma(WALK.close, 20)
    assert [row["rsi"] for row in rows] == rsi(WALK.close, 14)
    analysis = agent.analyze_market(BARS, fast=20, slow=100)
    assert isinstance(analysis, MarketAnalysis)
    assert output.value == analysis.model_dump(mode="json")
    assert {name: rows[-1][name] for name, _ in analysis.indicators} == dict(analysis.indicators)


def test_a_table_has_no_columns_of_what_the_series_lacks(agent: TradingAgent) -> None:
    """Neither dates nor what highs, lows and volumes give."""
    output = agent.analyze_market(WALK.close, table=True)
    assert isinstance(output, Output)
    lacking = {"date", "true_range", "atr", "stochastic_k", "stochastic_d", "on_balance_volume"}
    assert lacking.isdisjoint(read_parquet(str(output.path))[0])


@pytest.mark.parametrize("prices", [BARS, WALK.close], ids=["dated", "without dates"])
def test_all_signals_are_left_as_a_table(agent: TradingAgent, prices: list[Any]) -> None:
    """Those that are not listed, too."""
    output = agent.generate_signals(prices, limit=1, table=True)
    everything = agent.generate_signals(prices)
    assert isinstance(output, Output)
    assert isinstance(everything, MarketSignals)
    expected = [
        {"date": s.date, "row": s.row, "price": s.price, "action": s.action, "strength": s.strength,
         "rules": ", ".join(word.rule for word in s.rules)}
        for s in everything.signals
    ]  # fmt: skip
    if prices is WALK.close:
        expected = [{k: v for k, v in row.items() if k != "date"} for row in expected]
    assert read_parquet(str(output.path)) == expected
    assert isinstance(output.value, dict)
    assert output.value["count"] == output.records_out == everything.count
    assert output.value["signals"] == everything.newest(1).model_dump(mode="json")["signals"]


def test_a_series_without_signals_leaves_an_empty_table(agent: TradingAgent) -> None:
    """It has the same columns."""
    output = agent.generate_signals(BARS[:5], table=True)
    assert isinstance(output, Output)
    assert output.records_out == 0
    with duckdb.connect() as connection:
        described = connection.execute("describe from read_parquet(?)", [output.path]).fetchall()
    names = ["date", "row", "price", "action", "strength", "rules"]
    assert [column[0] for column in described] == names


def test_columns_may_have_other_names(agent: TradingAgent, tmp_path: Path) -> None:
    """Those of highs and lows, too; text that is a number is one."""
    path = tmp_path / "own.csv"
    rows = [["Tag", "it's the price", "hoch", "tief", "close"]]
    rows += [[str(bar.date), repr(bar.close), repr(bar.high), repr(bar.low), "x"] for bar in BARS]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    found = agent.analyze_market(
        "own.csv",
        date_column="tag",
        close_column="it's the price",
        high_column="hoch",
        low_column="tief",
    )
    plain = [bar.model_copy(update={"volume": None}) for bar in BARS]
    assert found == agent.analyze_market(plain)


def test_empty_cells_and_instants(agent: TradingAgent, tmp_path: Path) -> None:
    """A row without a price is left out; instants are read as UTC, midnights as days."""
    path = tmp_path / "hours.csv"
    path.write_text(
        "date,close\n2020-01-01T10:00:00+02:00,1\n2020-01-01 09:00:00,\n2020-01-01T10:00:00Z,2\n"
    )
    found = agent.analyze_market("hours.csv")
    assert isinstance(found, MarketAnalysis)
    assert found.first_date == datetime(2020, 1, 1, 8)  # noqa: DTZ001  UTC without its zone
    assert (found.rows, found.rows_dropped) == (2, 1)
    (tmp_path / "days.csv").write_text("date,close\n2020-01-01T00:00:00Z,1\n2020-01-02,2\n")
    days = agent.analyze_market("days.csv")
    assert isinstance(days, MarketAnalysis)
    assert days.last_date == date(2020, 1, 2)


FILES = {
    "nan.csv": ("date,close\n2020-01-01,1\n2020-01-02,NaN\n", "nan.csv: row 2: close: 'NaN' is not a finite number"),
    "dot.csv": ("date,close\n2020-01-01,.\n", "dot.csv: row 1: close: '.' is not a finite number"),
    "us.csv": ("date,close\n1/2/1986,25\n", "us.csv: row 1: date: '1/2/1986' is not a date"),
    "names.csv": ("day,price\n2020-01-01,1\n", "names.csv has no column 'date'; it has day, price; set date_column"),
    "empty.csv": ("date,close\n", "no prices: none of 0 rows has one"),
    "twice.csv": ("date,close\n2020-01-01,1\n2020-01-01,2\n", "the dates must rise from row to row, but 2020-01-01 comes twice"),
    "ragged.csv": ("date,close\n2020-01-01,1,2\n", "ragged.csv: line 2: expected 2 columns, found 3"),
    "plain.parquet": ("PAR", "plain.parquet: not a Parquet file"),
    "prices.jsonl": ("{}", "prices.jsonl: prices are read from Parquet or CSV; see file.read"),
    "prices.txt": ("x", "the format of 'prices.txt' cannot be told from its ending (.csv, .parquet, .jsonl, .ndjson, the text formats also with .gz); set format"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_read_is_one_clear_line(
    agent: TradingAgent, tmp_path: Path, name: str
) -> None:
    """The line names the file, the row and the value."""
    text, said = FILES[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(ProcessingError) as refused:
        agent.analyze_market(name)
    assert str(refused.value) == said


def test_damaged_gzip_folders_and_strange_places_are_refused(
    agent: TradingAgent, tmp_path: Path
) -> None:
    """As they are by the steps that read files."""
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"date,close\n" * 100)[:40])
    with pytest.raises(ProcessingError, match="the gzip file is damaged"):
        agent.assess_risk("cut.csv.gz")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ProcessingError, match="folder is a folder; prices are read from one file"):
        agent.assess_risk("folder")
    with pytest.raises(ProcessingError, match=r"outside of storage\.allowed_roots"):
        agent.assess_risk("/etc/hostname")
    with pytest.raises(ProcessingError, match=r"no file or folder 'gone\.csv'"):
        agent.assess_risk("gone.csv")
    (tmp_path / "a*.csv").write_text("date,close\n")
    with pytest.raises(ProcessingError, match="may not have any of"):
        agent.assess_risk("a*.csv")


def test_the_shipped_oil_price_is_raw(agent: TradingAgent) -> None:
    """Its dates are not ISO 8601: the `market` pipeline reads it first."""
    with pytest.raises(ProcessingError, match="'1/2/1986' is not a date"):
        agent.analyze_market(f"data/{WTI.name}", date_column="Date", close_column="DCOILWTICO")


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("analyze_market", {"fast": 1}, "fast: input should be greater than or equal to 2, got 1"),
        ("analyze_market", {"periods_per_year": 0.0}, "periods_per_year: input should be greater"),
        ("analyze_market", {"bollinger_width": -1.0}, "bollinger_width: input should be greater"),
        ("generate_signals", {"rules": []}, "rules: tuple should have at least 1 item"),
        ("generate_signals", {"rules": ["sma"]}, "rules.0: input should be 'sma_crossover', "),
        ("generate_signals", {"cost_bps": -1.0}, "cost_bps: input should be greater than or equal"),
        ("generate_signals", {"oversold": 101.0}, "oversold: input should be less than or equal"),
        ("assess_risk", {"confidence": 95.0}, "confidence: input should be less than or equal to"),
        ("assess_risk", {"confidence": 0.0}, "confidence: input should be greater than or equal"),
        ("assess_risk", {"horizon": 0}, "horizon: input should be greater than or equal to 1"),
        ("assess_risk", {"position": -5.0}, "position: input should be greater than 0, got -5"),
        ("assess_risk", {"prices": [1, "x"]}, "prices.closes.1: input should be a valid number"),
        ("assess_risk", {"prices": [{"close": 1}]}, "prices.bars.0.date: is required"),
        ("assess_risk", {"prices": [1, float("nan")]}, "prices.closes.1: input should be a finite"),
    ],
)
def test_wrong_parameters_are_refused_before_they_are_enqueued(
    name: str, wrong: dict[str, Any], said: str
) -> None:
    """Each by its name, with the rule and the value."""
    with pytest.raises(InvalidParametersError) as refused:
        checked(name, **{"prices": [1.0], **wrong})
    assert said in str(refused.value)


def test_parameters_that_do_not_fit_each_other(agent: TradingAgent) -> None:
    """What no single parameter can tell is an error of the task."""
    with pytest.raises(ProcessingError, match="fast must be below slow, got 200 and 200"):
        agent.analyze_market([1.0], fast=200)
    with pytest.raises(ProcessingError, match="oversold must be below overbought, got 80 and 70"):
        agent.generate_signals([1.0], oversold=80)


def test_what_a_worker_reads_is_what_was_given(agent: TradingAgent) -> None:
    """Bars, closing prices, rules and numbers survive JSON."""
    given = checked(
        "generate_signals",
        prices=[bar.model_dump(mode="json") for bar in BARS],
        rules=["rsi"],
        oversold=25,
    )
    assert given == {"prices": BARS, "rules": (Rule.RSI,), "oversold": 25.0}
    assert agent.generate_signals(**given) == agent.generate_signals(
        BARS, rules=(Rule.RSI,), oversold=25.0
    )


def test_capabilities_are_described() -> None:
    """With their parameters, defaults and limits, for whoever asks."""
    found = {one.name: one for one in TradingAgent().get_capabilities()}
    assert list(found) == [
        "trading.analyze_market",
        "trading.generate_signals",
        "trading.assess_risk",
    ]
    risk = found["trading.assess_risk"].parameters
    assert risk["prices"].required
    assert risk["confidence"].default == 0.95
    assert risk["confidence"].type["maximum"] == 0.999999

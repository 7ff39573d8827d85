"""What the demo prints of each pipeline that it ran."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from datamcp.cli.output import duration, fields_table, list_table, state_text
from datamcp.cli.tables import parquet_table
from datamcp.pipelines.status import PipelineStatus

_DELAYS = {
    "flights": "flights",
    "cancelled": "can-\ncelled",
    "mean_departure_delay": "dep.\nmean",
    "median_departure_delay": "\nmedian",
    "mean_arrival_delay": "arr.\nmean",
    "share_over_15_min": "late",
}
TABLES = {
    "by_carrier": (
        "Delay by carrier, in minutes (late: departed over 15 minutes after its time)",
        {"airline": "airline", **_DELAYS},
    ),
    "by_hour": ("Delay by scheduled hour of departure", {"hour": "hour", **_DELAYS}),
    "by_weather": (
        "Delay against wind and precipitation at the airport",
        {"factor": "factor", "band": "band", **_DELAYS},
    ),
}
"""The tables of the flights that are printed, each with its title and its columns' headings."""


Values = Callable[[str], Any]
"""Returns the JSON value that a step of the run ended with."""


def flights(status: PipelineStatus, _values: Values) -> Iterator[RenderableType]:
    """Yield the tables of a run of `flights`."""
    for step, (title, columns) in TABLES.items():
        yield parquet_table(str(status.tasks[step].output), title, columns)


SIGNALS = {"date": "date", "price": "price", "action": "signal", "strength": "strength"}


def market(status: PipelineStatus, values: Values) -> Iterator[RenderableType]:
    """Yield the figures of a run of `market`, its newest signals, and what the documents say."""
    yield Text(f"{status.parameters['name']}, in {status.parameters['unit']}", style="bold")
    yield fields_table(list(_figures(values("analysis"), values("signals"), values("risk"))))
    yield parquet_table(str(status.tasks["latest_signals"].output), "The newest signals", SIGNALS)
    yield _summary(values("findings")["query"], values("summary"))


def _figures(
    analysis: dict[str, Any], signals: dict[str, Any], risk: dict[str, Any]
) -> Iterator[tuple[str, str]]:
    indicators, tail, stance = analysis["indicators"], risk["tail"], signals["stance"]
    yield "price", f"{analysis['last_price']:,.2f} on {analysis['last_date']}"
    yield "rows", f"{analysis['rows']:,} since {analysis['first_date']}"
    yield "trend", str(analysis["trend"])
    yield "RSI", f"{indicators['rsi']:.1f}"
    yield "volatility", f"{indicators['volatility']:.1%} a year: {analysis['volatility_regime']}"
    yield "stance", f"{stance['action']} ({', '.join(_calls(stance['rules']))})"
    yield "risk", f"{risk['level']}: {'; '.join(risk['level_reasons'])}"
    yield (
        "one day",
        (
            f"value at risk {tail['historical_var']:.2%}, expected shortfall "
            f"{tail['historical_shortfall']:.2%} (confidence {risk['confidence']:.0%})"
        ),
    )


def _summary(question: str, summary: dict[str, Any]) -> Text:
    """Return what the documents say, each sentence with the number of the document it is from."""
    sources = [source["source"] for source in summary["sources"] if source["is_cited"]]
    numbers = {source: place for place, source in enumerate(sources, start=1)}
    said = " ".join(f"{one['text']} [{numbers[one['source']]}]" for one in summary["sentences"])
    cited = [f"\n[{place}] {source}" for source, place in numbers.items()]
    return Text.assemble((question, "bold"), "\n\n", said, "\n", *cited)


def _calls(rules: Sequence[dict[str, Any]]) -> Iterator[str]:
    for rule in rules:
        yield f"{rule['rule']}: {rule['action']}"


def punctuality(runs: Sequence[PipelineStatus]) -> Table:
    """Return when each run was due, and when it began."""
    table = list_table(["run", "due", "began", "late", "took", "state"], whole=("due", "began"))
    for run in runs:
        due, began = run.scheduled_at or run.created_at, run.started_at
        table.add_row(
            run.pipeline_id,
            _clock(due) if run.scheduled_at else f"{_clock(due)} (at once)",
            _clock(began),
            duration(due, began),
            duration(began, run.finished_at),
            state_text(run.state),
        )
    return table


def _clock(instant: datetime | None) -> str:
    return "" if instant is None else f"{instant.astimezone():%H:%M:%S.%f}"[:-3]


RESULTS: Mapping[str, Callable[[PipelineStatus, Values], Iterator[RenderableType]]] = {
    "flights": flights,
    "market": market,
}
"""By pipeline."""

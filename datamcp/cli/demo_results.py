"""What the demo prints of each pipeline that it ran."""

from collections.abc import Callable, Iterator, Mapping

from rich.console import RenderableType

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


def flights(status: PipelineStatus) -> Iterator[RenderableType]:
    """Yield the tables of a run of `flights`."""
    for step, (title, columns) in TABLES.items():
        yield parquet_table(str(status.tasks[step].output), title, columns)


RESULTS: Mapping[str, Callable[[PipelineStatus], Iterator[RenderableType]]] = {"flights": flights}
"""By pipeline."""

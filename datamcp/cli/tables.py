"""Parquet files as tables on a terminal."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rich import box
from rich.table import Table

MAX_ROWS = 40


def parquet_table(path: str, title: str, columns: Mapping[str, str]) -> Table:
    """Return the first rows of a Parquet file: these columns, under these headings.

    Numbers stand to the right and are rounded; a column whose name begins with `share` is shown
    in per cent.
    """
    rows = _read(path, list(columns))
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for index, heading in enumerate(columns.values()):
        is_number = any(isinstance(row[index], int | float | Decimal) for row in rows)
        table.add_column(heading, justify="right" if is_number else "left", no_wrap=not is_number)
    for row in rows:
        cells = zip(columns, row, strict=True)
        table.add_row(*(_cell(value, is_share=name.startswith("share")) for name, value in cells))
    return table


def _read(path: str, columns: list[str]) -> list[tuple[Any, ...]]:
    import duckdb

    names = ", ".join('"' + name.replace('"', '""') + '"' for name in columns)
    with duckdb.connect() as connection:
        query = f"SELECT {names} FROM read_parquet(?) LIMIT ?"  # noqa: S608  the names are ours
        return connection.execute(query, [path, MAX_ROWS]).fetchall()


def _cell(value: Any, *, is_share: bool) -> str:
    match value:
        case None:
            return ""
        case float() | Decimal() if is_share:
            return f"{value:.1%}"
        case float() | Decimal():
            return f"{value:,.2f}"
        case int():
            return f"{value:,}"
    return str(value)

"""Databases of others, which steps read from and write to."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Connection, NullPool, create_engine, text

from datamcp.config.integrations import IntegrationConfig
from datamcp.processors.registry import ProcessorRegistry
from datamcp.storage.roots import AllowedRoots
from support.steps import StepRunner

NAME = "warehouse"
"""The name of the connection."""


@dataclass(frozen=True)
class Warehouse:
    """A database without tables, and a runner of steps that knows it as `warehouse`."""

    url: str
    runner: StepRunner

    @property
    def is_sqlite(self) -> bool:
        """Tell whether it is a SQLite file."""
        return self.url.startswith("sqlite")

    @property
    def is_mysql(self) -> bool:
        """Tell whether it is one of MySQL or MariaDB."""
        return self.url.startswith("mysql")

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """Have a connection that commits at the end."""
        engine = create_engine(self.url, poolclass=NullPool)
        with engine.begin() as connection:
            if engine.dialect.name == "mysql":  # so that what tests say is SQL there, too
                connection.execute(text("set sql_mode = concat(@@sql_mode, ',ANSI')"))
            yield connection
        engine.dispose()

    def execute(self, *statements: str) -> None:
        """Run these statements, and commit."""
        with self.connected() as connection:
            cursor = connection.connection.cursor()
            for statement in statements:
                cursor.execute(statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self.connected() as connection:
            return [tuple(row) for row in connection.execute(text(query))]


def warehouse(url: str, folder: Path) -> Warehouse:
    """Return a database at hand; `folder` is the one allowed root."""
    runner = StepRunner(folder)
    roots = AllowedRoots([folder])
    integrations = {NAME: integration(url)}
    runner.registry = ProcessorRegistry(
        roots=roots,
        integrations=integrations,
        threads=2,
        memory_limit="512MB",
    )
    return Warehouse(url, runner)


def integration(url: str, **settings: Any) -> IntegrationConfig:
    """Return the settings of a connection."""
    return IntegrationConfig(**{"type": "sql", "url": SecretStr(url), **settings})

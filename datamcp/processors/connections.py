"""Databases by name: the connections of the section `integrations`, as SQLAlchemy's engines.

A step names a connection and never sees its address. An engine lives for one block, in the process
that runs the step: no socket is carried through a fork, and nothing stays open afterwards.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url
from sqlalchemy.pool import NullPool

from datamcp.config.integrations import IntegrationConfig
from datamcp.errors import ConfigError, ProcessingError
from datamcp.naming import did_you_mean
from datamcp.processors.sql_fault import translated
from datamcp.storage.roots import AllowedRoots

_LIBPQ: Mapping[str, int | str] = {
    "connect_timeout": 10,  # seconds
    "keepalives_idle": 30,  # seconds until a server that is silent is asked whether it is there
    "keepalives_interval": 10,  # seconds
    "keepalives_count": 3,
    "application_name": "datamcp",
}
_PATIENCE: Mapping[str, Mapping[str, int | str]] = {
    "psycopg2": _LIBPQ,
    "psycopg": _LIBPQ,
    "pymysql": {"connect_timeout": 10},
    "mysqldb": {"connect_timeout": 10},
    "mysqlconnector": {"connection_timeout": 10},
}
"""What drivers are told where neither the URL nor `connect_args` says it."""

_BUSY_TIMEOUT = 30  # seconds that SQLite waits for another writer
_ANY_DATABASE = frozenset({"sql", "database"})  # types that leave the kind to the URL
_SERVERS = frozenset({"http", "https"})
_OPTIONS = frozenset({"connect_args"})
_POSTGRESQL = "postgresql+psycopg2"


class Connections:
    """Opens the databases that `integrations` names, and no other.

    The URL's scheme says which database it is; its driver has to be installed. A SQLite file lies
    inside `storage.allowed_roots`, as every other file that a pipeline may touch. The one option
    is `connect_args`: what the driver takes beside the URL.
    """

    def __init__(self, integrations: Mapping[str, IntegrationConfig], roots: AllowedRoots) -> None:
        """Take the connections by name, and where files may be; nothing is opened."""
        self._integrations = integrations
        self._roots = roots

    def fault(self, name: str) -> str:
        """Return why no database can have this name, as far as it can be told unasked; or nothing."""
        try:
            kind = self._integration(name).type
        except ConfigError as error:
            return str(error)
        if kind in _SERVERS:
            return f"integrations.{name} is a server, of type {kind!r}, and no database"
        return ""

    @contextmanager
    def open(self, name: str, *, is_read_only: bool = False) -> Iterator[Engine]:
        """Give the engine of a connection for the block; what its driver raises is translated.

        ConfigError if `integrations` does not say how to reach it, ProcessingError if the database
        refuses what the block asks of it, BackendUnavailable if it does not answer. None of them
        shows any part of the URL.
        """
        integration = self._integration(name)
        url = self._url(name, integration, must_exist=is_read_only)
        with translated(name, url):
            engine = _made(name, url, _arguments(name, integration), is_read_only=is_read_only)
            try:
                yield engine
            finally:
                engine.dispose()

    def _integration(self, name: str) -> IntegrationConfig:
        if name not in self._integrations:
            listed = ", ".join(sorted(self._integrations)) or "none"
            hint = did_you_mean(name, self._integrations)
            raise ConfigError(f"no connection {name!r} in integrations (there: {listed}){hint}")
        return self._integrations[name]

    def _url(self, name: str, integration: IntegrationConfig, *, must_exist: bool) -> URL:
        if integration.url is None:
            variable = f"DATAMCP_INTEGRATIONS__{name.upper()}__URL"
            raise ConfigError(f"integrations.{name}.url is not set; set {variable}")
        try:
            url = _with_driver(make_url(integration.url.get_secret_value()))
        except (exc.ArgumentError, ValueError):
            raise ConfigError(f"integrations.{name}.url is not a database URL") from None
        kind = url.get_backend_name()
        if integration.type not in {kind, url.drivername, *_ANY_DATABASE}:
            raise ConfigError(
                f"integrations.{name}: its type is {integration.type!r}, but its URL means {kind!r}"
            )
        return url if kind != "sqlite" else self._sqlite(name, url, must_exist=must_exist)

    def _sqlite(self, name: str, url: URL, *, must_exist: bool) -> URL:
        file = url.database or ""
        if file in {"", ":memory:"} or file.startswith("file:") or url.query:
            raise ConfigError(
                f"integrations.{name}: a SQLite URL is sqlite:///path, without a query; a database "
                "in memory would be empty each time"
            )
        try:
            path = self._roots.destination(str(Path(file).absolute()))
        except ProcessingError:
            raise ConfigError(
                f"integrations.{name}: its SQLite file is outside of storage.allowed_roots, or no "
                "file; add its folder there"
            ) from None
        if must_exist and not path.is_file():
            raise ProcessingError(f"connection {name!r}: its SQLite file does not exist")
        return url.set(database=str(path))


def _with_driver(url: URL) -> URL:
    """Return the URL with the driver of PostgreSQL that is always there, where it names none."""
    is_plain = url.drivername in {"postgresql", "postgres"}
    return url.set(drivername=_POSTGRESQL) if is_plain else url


def _arguments(name: str, integration: IntegrationConfig) -> dict[str, Any]:
    unknown = sorted(set(integration.options) - _OPTIONS)
    given = integration.options.get("connect_args", {})
    if unknown or not isinstance(given, Mapping):
        wrong = ", ".join(unknown) or "connect_args"
        raise ConfigError(
            f"integrations.{name}.options: {wrong} cannot be used; a database takes connect_args, "
            "a mapping for its driver"
        )
    return dict(given)


def _made(name: str, url: URL, arguments: dict[str, Any], *, is_read_only: bool) -> Engine:
    kind = url.get_backend_name()
    if kind == "sqlite":
        arguments = {"timeout": _BUSY_TIMEOUT, **arguments}
    try:
        usual = _PATIENCE.get(url.get_driver_name(), {})
        unsaid = {key: value for key, value in usual.items() if key not in url.query}
        engine = create_engine(
            url, poolclass=NullPool, hide_parameters=True, connect_args={**unsaid, **arguments}
        )
    except exc.NoSuchModuleError:
        raise ConfigError(f"integrations.{name}: nothing is installed for {kind!r}") from None
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"integrations.{name}: the driver {error.name!r} is not installed; pip install it"
        ) from error
    if engine.dialect.is_async:
        raise ConfigError(f"integrations.{name}: {url.drivername!r} is for event loops; use {kind}")
    if kind == "sqlite":
        _prepare_sqlite(engine, is_read_only=is_read_only)
    return engine


def _prepare_sqlite(engine: Engine, *, is_read_only: bool) -> None:
    def set_up(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver's own BEGINs come too late: we send them
        if is_read_only:
            connection.execute("PRAGMA query_only = ON")

    def begin(connection: Connection) -> None:
        # IMMEDIATE takes the write lock at once: a transaction that read first could not wait.
        connection.exec_driver_sql("BEGIN" if is_read_only else "BEGIN IMMEDIATE")

    event.listen(engine, "connect", set_up)
    event.listen(engine, "begin", begin)

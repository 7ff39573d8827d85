import sqlite3
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from support.sources import integration

from datamcp.config.integrations import IntegrationConfig
from datamcp.errors import BackendUnavailable, ConfigError, DatamcpError, ProcessingError
from datamcp.processors.connections import Connections
from datamcp.storage.roots import AllowedRoots

PASSWORD = "s3cr3t/p@ss"  # noqa: S105  of nobody
SPELLED = "s3cr3t%2Fp%40ss"


def opened(folder: Path, given: IntegrationConfig, *, is_read_only: bool = False) -> object:
    """Run a query on a connection, and return what it answers."""
    connections = Connections({"one": given}, AllowedRoots([folder]))
    with (
        connections.open("one", is_read_only=is_read_only) as engine,
        engine.connect() as connection,
    ):
        return connection.execute(text("select 1")).scalar()


def refusal(folder: Path, given: IntegrationConfig, *, is_read_only: bool = False) -> str:
    """Return why a connection cannot be opened."""
    with pytest.raises(DatamcpError) as caught:
        opened(folder, given, is_read_only=is_read_only)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_sqlite_file_inside_a_root(tmp_path: Path) -> None:
    """A file is made where it is to be written to, and has to be there to be read."""
    given = integration(f"sqlite:///{tmp_path}/a.db", type="sqlite")
    assert "its SQLite file does not exist" in refusal(tmp_path, given, is_read_only=True)
    assert opened(tmp_path, given) == 1
    assert opened(tmp_path, given, is_read_only=True) == 1
    assert opened(tmp_path, integration("sqlite:///a.db")) == 1  # of the current folder


def test_sqlite_elsewhere_is_refused(tmp_path: Path) -> None:
    """Another folder, a link that leads there, memory and URIs are refused, without the path."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.db").symlink_to(tmp_path / "out.db")
    outside = (f"{tmp_path}/out.db", f"{tmp_path}/in/../out.db", f"{tmp_path}/in/link.db", "/etc/x")
    for path in (*outside, str(tmp_path / "in")):
        told = refusal(tmp_path / "in", integration(f"sqlite:///{path}"))
        assert told.startswith("integrations.one: its SQLite file is outside of storage.allowed_")
        assert path not in told
    for url in ("sqlite://", "sqlite:///:memory:", "sqlite:///file:x.db?uri=true&mode=rwc"):
        assert "without a query; a database in memory" in refusal(tmp_path, integration(url))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (IntegrationConfig(type="sql"), "set DATAMCP_INTEGRATIONS__ONE__URL"),
        (integration(f"nonsense {PASSWORD}"), "integrations.one.url is not a database URL"),
        (integration(f"postgresql://u:{SPELLED}@h:port/d"), "one.url is not a database URL"),
        (integration(f"slack://u:{SPELLED}@h/d"), "nothing is installed for 'slack'"),
        (integration("mysql+nosuch://h/d"), "nothing is installed for 'mysql'"),
        (integration(f"mysql://u:{SPELLED}@h/d"), "the driver 'MySQLdb' is not installed; pip"),
        (
            integration("postgresql://h/d", type="sqlite"),
            "its type is 'sqlite', but its URL means 'postgresql'",
        ),
        (
            integration("postgresql://h/d", options={"pool": 1}),
            "integrations.one.options: pool cannot be used; a database takes connect_args",
        ),
        (
            integration("postgresql://h/d", options={"connect_args": 1}),
            "integrations.one.options: connect_args cannot be used",
        ),
    ],
)
def test_connections_that_cannot_be_used(
    tmp_path: Path, given: IntegrationConfig, reason: str
) -> None:
    """What is wrong with a connection is one line that says what to do, without its URL."""
    told = refusal(tmp_path, given)
    assert reason in told
    assert PASSWORD not in told
    assert SPELLED not in told


def test_an_unknown_name(tmp_path: Path) -> None:
    """An unknown name is refused with those that exist and the nearest one."""
    roots = AllowedRoots([tmp_path])
    connections = Connections({"warehouse": integration("sqlite:///a.db")}, roots)
    reason = r"no connection 'warehose' in integrations \(there: warehouse\); did you mean"
    with pytest.raises(ConfigError, match=reason), connections.open("warehose"):
        pass
    with (
        pytest.raises(ConfigError, match=r"\(there: none\)$"),
        Connections({}, roots).open("x"),
    ):
        pass


def test_a_server_that_is_away(tmp_path: Path) -> None:
    """A server that does not answer may answer later; neither its URL nor its password is told."""
    url = f"postgresql://me:{SPELLED}@127.0.0.1:1/shop?sslmode=disable"
    with pytest.raises(BackendUnavailable, match=r"connection 'one' is unreachable: ") as caught:
        opened(tmp_path, integration(url))
    told = str(caught.value)
    assert not any(secret in told for secret in (PASSWORD, SPELLED, "postgresql://", "\n"))
    assert caught.value.__suppress_context__


def test_what_a_driver_tells_of_the_password_is_hidden(tmp_path: Path) -> None:
    """A driver that shows the password, in whatever spelling, is not repeated."""
    connections = Connections(
        {"one": IntegrationConfig(type="sql", url=SecretStr(f"postgresql://u:{SPELLED}@h/d"))},
        AllowedRoots([tmp_path]),
    )
    said = f"bad {PASSWORD} in postgresql+psycopg2://u:{SPELLED}@h/d"
    with pytest.raises(ProcessingError) as caught, connections.open("one"):
        raise ValueError(said)
    assert str(caught.value) == "connection 'one': bad ******** in ********"


def test_reading_changes_nothing(tmp_path: Path) -> None:
    """A SQLite file that is opened to be read cannot be written to."""
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as made:
        made.execute("create table t (a)")
    made.close()
    connections = Connections({"one": integration(f"sqlite:///{path}")}, AllowedRoots([tmp_path]))
    with (
        pytest.raises(ProcessingError, match=r"attempt to write a readonly database$"),
        connections.open("one", is_read_only=True) as engine,
        engine.begin() as connection,
    ):
        connection.execute(text("insert into t values (1)"))

"""Taking servers away from the programs under test, and giving them back."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, create_engine, make_url, text

from datamcp.infra.database import parse


@contextmanager
def database_away(admin_url: str, url: str) -> Iterator[None]:
    """Cut everybody off from a PostgreSQL database, and let nobody in until the block ends."""
    name = make_url(url).database
    with _as_admin(admin_url) as admin:
        admin.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'))
        try:
            cut_off(admin, url)
            yield
        finally:
            admin.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'))


def interrupt_database(admin_url: str, url: str) -> None:
    """Cut everybody off from a PostgreSQL database, as its restart does."""
    with _as_admin(admin_url) as admin:
        cut_off(admin, url)


def cut_off(admin: Connection, url: str) -> None:
    """End all sessions of a database."""
    ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = :name"
    admin.execute(text(ended), {"name": make_url(url).database}).all()


@contextmanager
def _as_admin(admin_url: str) -> Iterator[Connection]:
    engine = create_engine(parse(admin_url), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()

"""Bring the ledger's tables to the version that this program needs (Alembic).

Two processes that migrate at once are safe: one holds a lock, the other waits and finds the work
done. Everything happens in one transaction, so a migration that fails leaves nothing behind.

Every process looks at the version when it starts; Alembic, which takes long to import, is there only
where something has to be done. A migration's file begins with its version: `0001_ledger.py`.
"""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, exc, inspect, text

from datamcp.errors import SchemaVersionError
from datamcp.infra.database import Database, means_unavailable, reason

_SCRIPTS = Path(__file__).with_name("migrations")
_LOCK = 0x64617461  # any number that only we use


@dataclass(frozen=True, slots=True)
class Schema:
    """The version of a database's tables, and the one this program needs; None if there is none."""

    found: str | None
    needed: str

    @property
    def is_current(self) -> bool:
        """Tell whether the program can work with these tables."""
        return self.found == self.needed


def upgrade(url: str) -> Schema:
    """Bring the database at this URL to the newest version; return what it was before."""
    database = Database(url)
    try:
        return migrate(database)
    finally:
        database.close()


def migrate(database: Database) -> Schema:
    """Bring a database to the newest version; return what it was before.

    Raises SchemaVersionError for a ledger of a newer program, or tables that are not ours.
    """
    with database.transaction() as connection:
        if database.dialect == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        before = _look(connection)
        if not before.is_current:
            _refuse_newer(before)
            _upgrade(connection)
        return before


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    settings.attributes["connection"] = connection
    try:
        command.upgrade(settings, "head")
    except (exc.OperationalError, exc.ProgrammingError) as error:
        if isinstance(error, exc.OperationalError) and means_unavailable(error):
            raise
        raise SchemaVersionError(f"the ledger can't be made here: {reason(error)}") from error


def look(database: Database) -> Schema:
    """Return the version of a database's tables, without changing anything."""
    with database.transaction() as connection:
        return _look(connection)


def require(database: Database, *, may_create: bool) -> None:
    """Make sure that the tables fit this program; an empty database may be filled.

    Raises SchemaVersionError, in one line that says what to do, if they do not.
    """
    schema = look(database)
    if schema.is_current:
        return
    if schema.found is None and may_create:
        migrate(database)
        return
    if schema.found is None:
        raise SchemaVersionError("the database has no ledger yet; run `datamcp migrate`")
    _refuse_newer(schema)
    raise SchemaVersionError(
        f"the ledger is at version {schema.found}, this program needs {schema.needed}; "
        "run `datamcp migrate`"
    )


def _refuse_newer(schema: Schema) -> None:
    if schema.found is not None and schema.found not in versions():
        raise SchemaVersionError(
            f"the ledger is at version {schema.found}, which is newer than this program "
            f"({schema.needed}); upgrade datamcp"
        )


def _look(connection: Connection) -> Schema:
    has_table = inspect(connection).has_table("alembic_version")
    found = None
    if has_table:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    known = versions()
    if not known:
        raise SchemaVersionError("the program was installed without its migrations")
    return Schema(found, known[-1])


def versions() -> list[str]:
    """Return the versions that this program knows, the oldest first."""
    files = (_SCRIPTS / "versions").glob("[0-9]*_*.py")
    return sorted(path.name.partition("_")[0] for path in files)

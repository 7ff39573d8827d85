"""Empty ledgers, one for each test: copies of one that was made once."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import copyfile
from types import TracebackType
from typing import Self

from datamcp.infra.database import parse
from datamcp.infra.embedded.postgres import EmbeddedPostgres, create_database, drop_database
from datamcp.infra.migrate import upgrade

SQLITE = "sqlite"
POSTGRESQL = "postgresql"


class Ledgers:
    """Makes ledgers by kind: `sqlite`, `postgresql` (an embedded server), or a server's URL.

    Of a server it needs a user who may make databases; their names begin with `datamcp_test_`. As
    a context manager it leaves nothing behind.
    """

    def __init__(self, folder: Path) -> None:
        """Take a folder of one's own; the template of a kind is made when it is first needed."""
        self._folder = folder
        self._cleanup = ExitStack()
        self._servers: dict[str, _PostgresLedgers] = {}

    def __enter__(self) -> Self:
        """Return the maker of ledgers."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the templates, and stop the server that was started."""
        self._cleanup.close()

    @contextmanager
    def ledger(self, kind: str, folder: Path) -> Iterator[str]:
        """Have the URL of an empty ledger; with SQLite, it is a file in the folder.

        Raises ConfigError for another kind.
        """
        if kind == SQLITE:
            path = folder / "ledger.db"
            copyfile(self._sqlite_template(), path)
            yield f"sqlite:///{path}"
            return
        with self._server(kind).ledger() as url:
            yield url

    def _sqlite_template(self) -> Path:
        path = self._folder / "template.db"
        if not path.exists():
            upgrade(f"sqlite:///{path}")
        return path

    def _server(self, kind: str) -> "_PostgresLedgers":
        if kind not in self._servers:
            url = kind
            if kind == POSTGRESQL:
                url = self._cleanup.enter_context(EmbeddedPostgres()).url
            server = _PostgresLedgers(parse(url).render_as_string(hide_password=False))
            self._servers[kind] = self._cleanup.enter_context(server)
        return self._servers[kind]


class _PostgresLedgers:
    """Clones of a template on one server."""

    def __init__(self, admin_url: str) -> None:
        self._admin_url = admin_url
        self._prefix = f"datamcp_test_{secrets.token_hex(6)}"
        self._count = 0

    def __enter__(self) -> Self:
        upgrade(create_database(self._admin_url, self._prefix))
        return self

    def __exit__(self, *_: object) -> None:
        drop_database(self._admin_url, self._prefix)

    @contextmanager
    def ledger(self) -> Iterator[str]:
        self._count += 1
        name = f"{self._prefix}_{self._count}"
        yield create_database(self._admin_url, name, template=self._prefix)
        drop_database(self._admin_url, name)

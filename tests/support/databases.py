"""The databases of a test run: one template, one clone per test."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

from datamcp.infra.embedded.postgres import create_database, drop_database


@dataclass(frozen=True, slots=True)
class TestDatabases:
    """Databases on one PostgreSQL server whose names start with this run's own prefix."""

    __test__ = False  # its name is no test's

    admin_url: str
    prefix: str
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def template(self) -> str:
        """The name of the database that tests get clones of."""
        return f"{self.prefix}_template"

    @contextmanager
    def prepared(self, fill: Callable[[str], object]) -> Iterator[None]:
        """Have the template, filled by `fill(url)`, which leaves no connection open."""
        fill(create_database(self.admin_url, self.template))
        try:
            yield
        finally:
            drop_database(self.admin_url, self.template)

    @contextmanager
    def database(self, *, template: str | None = None) -> Iterator[str]:
        """Have the URL of a database of one's own; whoever is still connected is cut off."""
        name = f"{self.prefix}_{next(self._numbers)}"
        url = create_database(self.admin_url, name, template=template)
        try:
            yield url
        finally:
            drop_database(self.admin_url, name)

"""Which servers the environment names; nothing else of it reaches a test."""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Self

_PREFIXES = ("DATAMCP_", "CELERY_", "FLOWER_")


@dataclass(frozen=True, slots=True)
class TestServers:
    """The servers to test against, by URL; None where the run starts its own or does without."""

    __test__ = False  # its name is no test's

    redis_url: str | None
    database_url: str | None
    amqp_url: str | None
    mysql_url: str | None

    @classmethod
    def named_in(cls, environment: Mapping[str, str]) -> Self:
        """Read `DATAMCP_TEST_REDIS_URL`, `…_DATABASE_URL`, `…_AMQP_URL` and `…_MYSQL_URL`."""
        return cls(
            redis_url=environment.get("DATAMCP_TEST_REDIS_URL") or None,
            database_url=environment.get("DATAMCP_TEST_DATABASE_URL") or None,
            amqp_url=environment.get("DATAMCP_TEST_AMQP_URL") or None,
            mysql_url=environment.get("DATAMCP_TEST_MYSQL_URL") or None,
        )


def remove_settings(environment: MutableMapping[str, str]) -> None:
    """Remove what would configure the programs under test, and those that they start."""
    for name in [name for name in environment if name.startswith(_PREFIXES)]:
        del environment[name]

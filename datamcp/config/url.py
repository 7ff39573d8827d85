"""Addresses of brokers, databases and caches: what they may look like, and what they tell.

A `Url` is ordinary text to the drivers that it is given to. Its repr and its JSON form have no
password, so a configuration may be printed or dumped without care.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from datamcp.config.redaction import redact_url

PRIMARY_BACKENDS = {
    "postgresql": "postgresql",
    "postgresql+psycopg2": "postgresql",
    "postgres": "postgresql",
    "sqlite": "sqlite",
    "mongodb": "mongodb",
    "mongodb+srv": "mongodb",
}
"""URL schemes of primary stores, and the backend that each one means."""

CACHE_BACKENDS = {
    "redis": "redis",
    "rediss": "redis",
    "redis+socket": "redis",
    "unix": "redis",
    "sentinel": "redis",
}
"""URL schemes of caches, and the backend that each one means."""

BROKER_SCHEMES = ("redis", "rediss", "redis+socket", "sentinel", "amqp", "amqps", "pyamqp")
"""URL schemes of the brokers that are known to work."""

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_TLS_SCHEMES = frozenset({"rediss", "amqps", "mongodb+srv"})
_TLS_MODES = frozenset({"require", "verify-ca", "verify-full"})
_MALFORMED = (
    "is not a valid URL; characters such as / @ : # ? in a user name or password must be "
    "percent-encoded"
)


class Url(str):
    """An address that may hold a password; shown without it."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return the address without its password."""
        return repr(redact_url(str(self)))

    @property
    def scheme(self) -> str:
        """Return what stands before `://`, in lower case."""
        return scheme_of(self)

    @property
    def has_password(self) -> bool:
        """Tell whether the address holds a password, or names a file that does."""
        query = parse_qs(urlsplit(self).query)
        return bool(urlsplit(self).password) or bool({"password", "passfile"} & query.keys())

    @property
    def has_tls(self) -> bool:
        """Tell whether the address asks for an encrypted connection."""
        query = parse_qs(urlsplit(self).query)
        asked = {value.lower() for name in ("tls", "ssl") for value in query.get(name, ())}
        return (
            self.scheme in _TLS_SCHEMES
            or bool(_TLS_MODES & set(query.get("sslmode", ())))
            or "true" in asked
        )

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: Any, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Accept text with a scheme; serialize to JSON without the password."""
        return core_schema.no_info_after_validator_function(
            cls._parse,
            core_schema.str_schema(strict=True),
            serialization=core_schema.plain_serializer_function_ser_schema(
                redact_url, when_used="json"
            ),
        )

    @classmethod
    def _parse(cls, value: str) -> "Url":
        if not scheme_of(value):
            raise PydanticCustomError(
                "url", "must be a URL: scheme://host, such as redis://host:6379/0"
            )
        if any(ord(letter) < 32 for letter in value) or not _is_well_formed(value):
            raise PydanticCustomError("url", _MALFORMED)
        return cls(value)


def scheme_of(url: str) -> str:
    """Return what stands before `://` in lower case, or nothing if the text is no URL."""
    found = _SCHEME.match(url)
    return found[1].lower() if found else ""


def _is_well_formed(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port, parts.password
    except ValueError:
        return False
    has_stray_user = "@" in parts.path and not parts.username and ":" in parts.netloc
    return not has_stray_user and "@" not in (parts.fragment or "")


def _one_of(*schemes: str) -> Callable[[Url], Url]:
    def check(url: Url) -> Url:
        if url.scheme not in schemes:
            raise PydanticCustomError(
                "url_scheme",
                "has the scheme {scheme}, which is none of {schemes}",
                {"scheme": repr(url.scheme), "schemes": ", ".join(schemes)},
            )
        return url

    return check


def _name_postgresql(url: Url) -> Url:
    return Url("postgresql" + url[len("postgres") :]) if url.scheme == "postgres" else url


BrokerUrl = Annotated[Url, AfterValidator(_one_of(*BROKER_SCHEMES))]
"""The address of a Redis, Valkey or RabbitMQ broker."""

DatabaseUrl = Annotated[
    Url, AfterValidator(_one_of(*PRIMARY_BACKENDS)), AfterValidator(_name_postgresql)
]
"""The address of a primary store; `postgres://` is taken as `postgresql://`."""

CacheUrl = Annotated[Url, AfterValidator(_one_of(*CACHE_BACKENDS))]
"""The address of a Redis or Valkey cache."""

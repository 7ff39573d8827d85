import pytest
from pydantic import TypeAdapter, ValidationError

from datamcp.config.url import BrokerUrl, DatabaseUrl, Url

_URLS: TypeAdapter[Url] = TypeAdapter(Url)


@pytest.mark.parametrize(
    ("url", "has_password", "has_tls"),
    [
        ("redis://host/0", False, False),
        ("redis://:pw@host/0", True, False),
        ("redis://:@host/0", False, False),
        ("rediss://host/0", False, True),
        ("amqps://me:pw@host//", True, True),
        ("postgresql://me@host/db?sslmode=verify-full", False, True),
        ("postgresql://me@host/db?sslmode=prefer", False, False),
        ("postgresql:///db?host=/run/postgresql&passfile=/etc/pgpass", True, False),
        ("mongodb://host/?tls=true", False, True),
        ("mongodb+srv://host/", False, True),
    ],
)
def test_a_url_tells_how_it_is_guarded(url: str, *, has_password: bool, has_tls: bool) -> None:
    """Passwords and TLS are found in scheme, user part and query."""
    parsed = _URLS.validate_python(url)
    assert (parsed.has_password, parsed.has_tls) == (has_password, has_tls)


def test_repr_and_json_have_no_password() -> None:
    """A URL is text to a driver, and has no password where it is printed or dumped."""
    url = _URLS.validate_python("redis://:hunter2@host/0")
    assert url == "redis://:hunter2@host/0"
    assert "hunter2" not in repr(url)
    assert "hunter2" not in _URLS.dump_json(url).decode()


@pytest.mark.parametrize(
    "wrong",
    ["hunter2", "://host", "redis://:pa/ss@host", "redis://host:port/0", "redis://h\n/0", 5],
)
def test_what_is_no_url_is_refused_without_repeating_it(wrong: object) -> None:
    """The message never repeats the value, as it may be a password in the wrong place."""
    with pytest.raises(ValidationError) as caught:
        _URLS.validate_python(wrong)
    assert "hunter2" not in caught.value.errors()[0]["msg"]


def test_a_broker_must_be_one_that_is_known() -> None:
    """A scheme that no broker has is an error that lists those that work."""
    with pytest.raises(ValidationError, match="has the scheme 'http', which is none of redis"):
        TypeAdapter(BrokerUrl).validate_python("http://host")


def test_postgres_is_taken_as_postgresql() -> None:
    """The short scheme that hosting services hand out is accepted."""
    assert TypeAdapter(DatabaseUrl).validate_python("postgres://h/db") == "postgresql://h/db"

"""What a step may say of a request."""

from typing import Any

import pytest
from pydantic import ValidationError

from datamcp.processors.http_get import HttpGetConfig

URL = "https://example.org/x"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "one of url and connection"),
        ({"url": URL, "connection": "crm"}, "one of url and connection"),
        ({"url": URL, "path": "y"}, "path goes with connection"),
        ({"url": "ftp://example.org"}, "must begin with http:// or https://"),
        ({"url": "file:///etc/passwd"}, "must begin with http:// or https://"),
        ({"url": "gopher://127.0.0.1:6379/_x"}, "must begin with http:// or https://"),
        ({"url": "//example.org"}, "must begin with http:// or https://"),
        ({"url": "https:///x"}, "and a host"),
        ({"url": "https://[::1"}, "cannot be read"),
        ({"url": "https://anna:hunter2@example.org"}, "name an integration"),
        ({"url": "https://hunter2@example.org"}, "name an integration"),
        ({"url": f"{URL}?api_key=hunter2"}, "name an integration"),
        ({"url": URL, "headers": {"Authorization": "hunter2"}}, "is a credential"),
        ({"url": URL, "headers": {"Cookie": "hunter2"}}, "is a credential"),
        ({"url": URL, "headers": {"X-Api-Key": "hunter2"}}, "is a credential"),
        ({"url": URL, "headers": {"Host": "localhost"}}, "is set here"),
        ({"url": URL, "headers": {"a": "b\r\nc: d"}}, "headers.a"),
        ({"url": URL, "headers": {"a b": "c"}}, "headers.a b"),
        ({"url": URL, "params": {"token": "hunter2"}}, "looks like a credential"),
        ({"connection": "crm", "path": "//evil.example"}, "only a path"),
        ({"connection": "crm", "path": "https://evil.example"}, "only a path"),
        ({"connection": "crm", "path": "@evil.example"}, "only a path"),
        ({"connection": "crm", "path": "\\evil.example"}, "only a path"),
        ({"connection": "crm", "path": "a?b=c"}, "only a path"),
        ({"connection": "crm", "path": "../admin"}, "are not allowed"),
        ({"connection": "crm", "path": "a/%2E%2e/b"}, "are not allowed"),
        ({"url": URL, "expect": "csv", "records": "x"}, "expect is csv"),
        ({"url": URL, "expect": "text", "pages": {"kind": "link"}}, "expect is text"),
        ({"url": URL, "records": "x", "file": "x.json"}, "becomes a table"),
        ({"url": URL, "file": "../x"}, "file"),
        ({"url": URL, "pages": {"kind": "nonsense"}}, "pages"),
        ({"url": URL, "timeout": 0}, "timeout"),
    ],
)
def test_what_is_refused_and_why(options: dict[str, Any], message: str) -> None:
    """Each rule has its message, and no message has a secret in it."""
    with pytest.raises(ValidationError) as caught:
        HttpGetConfig.model_validate(options)
    told = str(caught.value)
    assert message in told
    assert "hunter2" not in told
    values = [item.get("input") for item in caught.value.errors() if item["loc"] == ()]
    assert all(not isinstance(value, str) for value in values)


@pytest.mark.parametrize(
    "options",
    [
        {"url": URL},
        {"url": "HTTPS://EXAMPLE.org:8443/x?limit=3"},
        {"connection": "crm", "path": "/v2/contacts/a%20b"},
        {"url": URL, "params": {"page_token_size": 3, "ids": [1, 2], "all": True}},
        {"url": URL, "headers": {"Accept": "application/vnd.x+json"}},
        {"url": URL, "pages": {"kind": "next", "path": "@odata.nextLink"}},
    ],
)
def test_what_is_accepted(options: dict[str, Any]) -> None:
    """What is usual causes no complaint."""
    assert HttpGetConfig.model_validate(options)

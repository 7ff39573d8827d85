"""`http.get` and `http.post`, asking a server of this process."""

import datetime as dt
import gzip
import json
import logging
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from support.distribution import run_with
from support.site import Answer, Asked, Site, json_of, serving
from support.steps import StepRunner

from datamcp.config.integrations import IntegrationConfig
from datamcp.errors import BackendUnavailable, ProcessingError
from datamcp.processors.http_get import HttpGetConfig

PEOPLE = [
    {"id": 1, "name": "Anna", "born": "1990-02-03", "tags": ["a", "b"], "mixed": 1},
    {"id": 2, "name": "Bo", "born": None, "address": {"city": "Zürich"}, "mixed": "x"},
]


@pytest.fixture
def site() -> Iterator[Site]:
    """Have a server on the loopback interface."""
    with serving() as site:
        yield site


@pytest.fixture
def runner(tmp_path: Path, site: Site) -> StepRunner:
    """Have what runs steps, and an integration that names the site as `crm`."""
    return StepRunner(tmp_path, integrations={"crm": connection(f"{site.url}/v1")})


def connection(url: str, **options: Any) -> IntegrationConfig:
    """Return an integration of type http, whose server may be private."""
    given = {"allow_private": True, **options}
    return IntegrationConfig(type="http", url=SecretStr(url), options=given)


def get(runner: StepRunner, path: str = "people", **options: Any) -> Any:
    """Ask the site."""
    return runner.run("got", "http.get", connection="crm", path=path, **options)


# What becomes of an answer.


@pytest.mark.parametrize(
    ("answer", "options"),
    [
        (PEOPLE, {}),
        ({"data": {"items": PEOPLE}, "total": 2}, {"records": "data.items"}),
        ({"@odata.context": "x", "value": PEOPLE}, {"records": "value"}),
    ],
)
def test_records_become_a_flat_table(
    runner: StepRunner, site: Site, answer: Any, options: dict[str, Any]
) -> None:
    """Types are found, what is nested is JSON text, and a column of several kinds is text."""
    site.say("/v1/people", json_of(answer))
    result = get(runner, **options)
    assert runner.rows("got") == [
        {
            "id": 1,
            "name": "Anna",
            "born": dt.date(1990, 2, 3),
            "tags": '["a","b"]',
            "mixed": "1",
            "address": None,
        },
        {
            "id": 2,
            "name": "Bo",
            "born": None,
            "tags": None,
            "mixed": "x",
            "address": '{"city":"Zürich"}',
        },
    ]
    assert (result.records_out, result.output.records_out, result.warnings) == (2, 2, ())
    assert result.bytes_in == len(json.dumps(answer))


def test_a_list_of_values_is_a_table_of_one_column(runner: StepRunner, site: Site) -> None:
    """Items that are no objects have the column `value`."""
    site.say("/v1/people", json_of([3, 4.5]))
    get(runner)
    assert runner.rows("got") == [{"value": 3.0}, {"value": 4.5}]


def test_a_small_answer_is_a_value(runner: StepRunner, site: Site) -> None:
    """An object is the output's value, and not a file."""
    site.say("/v1/people", json_of({"count": 2, "rate": 1.25}))
    output = get(runner).output
    assert (output.value, output.path) == ({"count": 2, "rate": 1.25}, None)


def test_a_large_answer_is_a_file(runner: StepRunner, site: Site) -> None:
    """Above 64 KB, or where a file is named, the answer is a file of the run."""
    large = {"text": "x" * 70_000}
    site.say("/v1/people", json_of(large))
    output = get(runner).output
    assert json.loads(Path(str(output.path)).read_text()) == large
    site.say("/v1/people", Answer(b"%PDF-1.4 \x00\xff"))
    output = get(runner, expect="bytes", file="report.pdf").output
    assert Path(str(output.path)).name == "report.pdf"
    assert Path(str(output.path)).read_bytes() == b"%PDF-1.4 \x00\xff"


def test_text_is_a_value(runner: StepRunner, site: Site) -> None:
    """Its encoding is that which the server names."""
    headers = {"Content-Type": "text/plain; charset=iso-8859-1"}
    site.say("/v1/people", Answer("Grüße".encode("latin-1"), headers=headers))
    assert get(runner, expect="text").output.value == "Grüße"


def test_csv_is_a_table_of_text(runner: StepRunner, site: Site) -> None:
    """As `file.read` makes it."""
    body = gzip.compress(b"id,name\n01,Anna\n02,\n")
    site.say("/v1/people", Answer(body, headers={"Content-Encoding": "gzip"}))
    get(runner, expect="csv")
    assert runner.rows("got") == [{"id": "01", "name": "Anna"}, {"id": "02", "name": None}]


def test_no_records_are_an_empty_table_with_a_warning(runner: StepRunner, site: Site) -> None:
    """Nobody knows what columns there would have been."""
    site.say("/v1/people", json_of({"items": []}))
    result = get(runner, records="items")
    assert runner.rows("got") == []
    assert result.warnings == ("no records, so their columns are not known",)


@pytest.mark.parametrize(
    ("body", "options", "message"),
    [
        (b"<html>", {}, r"the answer \(text/x, 6 bytes\) is not JSON: lexical error"),
        (b"", {}, "is not JSON: parse error: premature EOF"),
        (b'{"a": NaN}', {}, "is not JSON"),
        (b'[{"a": 1}', {}, "is not JSON"),
        (b'["\xff"]', {}, "is not JSON: lexical error: invalid bytes in UTF8 string"),
        (b"[1] [2]", {}, "is not JSON"),
        (b"[" * 300 + b"]" * 300, {}, "is nested more than 200 levels deep"),
        (b"[" * 500_000, {}, "is nested more than 200 levels deep"),
        (b"[1e999]", {}, "record 1 has a number that is none"),
        (b'{"a": {"b": 1}}', {"records": "a.b"}, "'a.b' is no list in the answer, but a number"),
        (b'{"a": 1, "c": 2}', {"records": "b"}, "no 'b' in the answer, which begins with a, c"),
        (b'[{"a": 1, "A": 2}]', {}, "the same in SQL"),
        (b'[{" ": 1}]', {}, "record 1 has a value without a name"),
    ],
)
def test_an_answer_that_can_t_be_used(
    runner: StepRunner, site: Site, body: bytes, options: dict[str, Any], message: str
) -> None:
    """Every message says what is wrong, and who answered."""
    site.say("/v1/people", Answer(body, headers={"Content-Type": "text/x; a=b"}))
    with pytest.raises(ProcessingError, match=message) as caught:
        get(runner, **options)
    assert str(caught.value).startswith("connection 'crm' /people: ")


def test_more_columns_than_a_table_can_have(runner: StepRunner, site: Site) -> None:
    """Data as names of columns is not taken for a table."""
    site.say("/v1/people", json_of([{f"c{number}": 1} for number in range(2001)]))
    with pytest.raises(ProcessingError, match="more than 2,000 different columns"):
        get(runner)


def test_what_is_too_large_fails(runner: StepRunner, site: Site) -> None:
    """`max_bytes` holds for all pages together."""
    site.say("/v1/people", lambda asked: json_of(["x" * 60, asked.query["page"]]))
    with pytest.raises(ProcessingError, match="larger than the 12 bytes that max_bytes leaves"):
        get(runner, pages={"kind": "page"}, max_bytes=150)
    assert len(site.asked) == 3


# Pages.


def numbers(asked: Asked, *, size: int = 2, many: int = 5, name: str = "offset") -> list[int]:
    """Return one page of numbers."""
    start = int(asked.query.get(name, 0))
    return list(range(start, min(many, start + size)))


def linked(asked: Asked) -> Answer:
    """Answer with a header that names the next page, among others."""
    found = numbers(asked)
    more = {"Link": f'</v1/people>; rel="first", <?offset={found[-1] + 1}>; rel="next last"'}
    return json_of(found, **(more if found[-1] < 4 else {}))


def with_url(asked: Asked) -> Answer:
    """Answer with the next page's URL."""
    found = numbers(asked)
    url = f"/v1/people?offset={found[-1] + 1}" if found[-1] < 4 else None
    return json_of({"items": found, "paging": {"next": url}})


def with_cursor(asked: Asked) -> Answer:
    """Answer with a cursor, empty at the end."""
    found = numbers(asked, name="cursor")
    return json_of({"items": found, "next": found[-1] + 1 if found[-1] < 4 else ""})


def by_offset(asked: Asked) -> Answer:
    """Answer with as many as asked for, but never more than two."""
    return json_of({"items": numbers(asked, size=min(2, int(asked.query["limit"])))})


def by_page(asked: Asked) -> Answer:
    """Answer with a page of two by its number, from 1."""
    start = 2 * (int(asked.query["page"]) - 1)
    return json_of({"items": list(range(start, min(5, start + 2)))})


@pytest.mark.parametrize(
    ("say", "pages", "asked"),
    [
        (linked, {"kind": "link"}, 3),
        (with_url, {"kind": "next", "path": "paging.next"}, 3),
        (with_cursor, {"kind": "next", "path": "next", "cursor_parameter": "cursor"}, 3),
        (by_offset, {"kind": "offset", "limit": 2}, 3),
        (by_offset, {"kind": "offset", "limit": 3, "until": "empty"}, 4),
        (by_page, {"kind": "page"}, 4),
        (by_page, {"kind": "page", "size": 2}, 3),
    ],
)
def test_all_pages_are_read(
    runner: StepRunner, site: Site, say: Callable[[Asked], Answer], pages: Any, asked: int
) -> None:
    """Each kind of paging gives every record once, in order, with no question too many."""
    site.say("/v1/people", say)
    records = None if say is linked else "items"
    result = get(runner, pages=pages, records=records, params={"kind": "x"})
    assert [row["value"] for row in runner.rows("got")] == [0, 1, 2, 3, 4]
    assert (result.records_out, len(site.asked)) == (5, asked)
    if say in {with_cursor, by_offset, by_page}:
        assert {one.query["kind"] for one in site.asked} == {"x"}


def test_pages_that_lead_in_a_circle(runner: StepRunner, site: Site) -> None:
    """A page that was read already is noticed."""
    site.say("/v1/people", json_of({"items": [1], "next": "/v1/people?again=1"}))
    with pytest.raises(ProcessingError, match="page 3 is one that was read already"):
        get(runner, records="items", pages={"kind": "next", "path": "next"})


def test_a_server_that_knows_no_pages(runner: StepRunner, site: Site) -> None:
    """The same page again and again is no answer of many pages."""
    site.say("/v1/people", json_of([1, 2]))
    with pytest.raises(ProcessingError, match="page 2 is the same as the one before"):
        get(runner, pages={"kind": "page"})


def test_more_pages_than_allowed(runner: StepRunner, site: Site) -> None:
    """It is an error, and no table that lacks the rest."""
    site.say("/v1/people", lambda asked: json_of([asked.query["page"]]))
    with pytest.raises(ProcessingError, match=r"more than 4 pages \(max_pages\)"):
        get(runner, pages={"kind": "page"}, max_pages=4)


def test_a_next_page_that_is_no_page(runner: StepRunner, site: Site) -> None:
    """A cursor that is an object is refused, and so is a page of another scheme."""
    site.say("/v1/people", json_of({"items": [1], "next": {"a": 1}}))
    with pytest.raises(ProcessingError, match="names no next page"):
        get(runner, records="items", pages={"kind": "next", "path": "next"})
    site.say("/v1/people", json_of({"items": [1], "next": "file:///etc/passwd"}))
    with pytest.raises(ProcessingError, match="next page must be a URL of http or https"):
        get(runner, records="items", pages={"kind": "next", "path": "next"})


def test_the_next_page_may_not_be_private(runner: StepRunner, site: Site) -> None:
    """The integration's own server may be; what it names may not."""
    site.say("/v1/people", json_of({"items": [1], "next": "http://127.0.0.1:1/"}))
    with pytest.raises(ProcessingError, match="refused to connect"):
        get(runner, records="items", pages={"kind": "next", "path": "next"})


# Connections.


@pytest.mark.parametrize(
    ("userinfo", "options", "header", "value"),
    [
        ("", {"token": "hunter2"}, "authorization", "Bearer hunter2"),
        ("", {"token": "hunter2", "header": "X-Api-Key"}, "x-api-key", "hunter2"),
        ("anna:hunter2@", {}, "authorization", "Basic YW5uYTpodW50ZXIy"),
        ("anna:h%40nter2@", {}, "authorization", "Basic YW5uYTpoQG50ZXIy"),
    ],
)
def test_credentials_are_the_integration_s(
    tmp_path: Path, site: Site, userinfo: str, options: Any, header: str, value: str
) -> None:
    """A token, or a user and password, are sent; no message shows them."""
    crm = connection(site.url.replace("//", f"//{userinfo}"), **options)
    runner = StepRunner(tmp_path, integrations={"crm": crm})
    with pytest.raises(ProcessingError) as caught:
        get(runner)
    assert str(caught.value) == "connection 'crm' /people: it answered 404 Not Found"
    assert site.asked[0].headers[header] == value
    assert site.asked[0].path == "/people"


def test_no_log_shows_a_credential(
    tmp_path: Path, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even where everything is logged that libraries have to say."""
    site.say("/people", json_of([1]))
    crm = connection(f"{site.url}?key=hunter2", token="hunter2")  # noqa: S106
    with caplog.at_level(logging.DEBUG):
        get(StepRunner(tmp_path, integrations={"crm": crm}))
    assert site.asked[0].query == {"key": "hunter2"}
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    ("integration", "message"),
    [
        (IntegrationConfig(type="http"), "DATAMCP_INTEGRATIONS__CRM__URL"),
        (IntegrationConfig(type="postgresql", url=SecretStr("x")), "of type 'postgresql', and not"),
        (connection("redis://anna:hunter2@x"), "integrations.crm.url must be a URL of http"),
        (connection("http://anna:hunter2@x", token="t"), "both a token and a url"),  # noqa: S106
        (connection("http://x", token="a\nb"), "token must be text"),  # noqa: S106
        (connection("http://x", token=3), "token must be text"),
        (connection("http://x", token="t", header="a b"), "header must be the name"),  # noqa: S106
        (connection("http://x", tokn="t"), "tokn unknown; there are allow_private, header, token"),
    ],
)
def test_integrations_that_can_t_be_used(
    tmp_path: Path, integration: IntegrationConfig, message: str
) -> None:
    """What is wrong is said, without what is secret."""
    runner = StepRunner(tmp_path, integrations={"crm": integration})
    with pytest.raises(ProcessingError, match=message) as caught:
        get(runner)
    assert "hunter2" not in str(caught.value)


def test_an_unknown_connection_is_told_before_anything_is_done(runner: StepRunner) -> None:
    """`validate_config` names the one that is near."""
    processor = runner.registry.create("http.get")
    judged = processor.validate_config(HttpGetConfig(connection="crmm"))
    assert [(one.path, "did you mean 'crm'?" in one.message) for one in judged.errors] == [
        ("connection", True)
    ]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1"])
def test_a_bare_url_is_never_private(runner: StepRunner, site: Site, host: str) -> None:
    """Not even where an integration names the same server."""
    site.say("/", json_of([1]))
    url = f"http://{host}:{site.server.server_port}/"
    with pytest.raises(ProcessingError, match=r"refused to connect to .*: a loopback address"):
        runner.run("got", "http.get", url=url)
    assert site.asked == []


@pytest.mark.parametrize("url", ["http://0177.0.0.1/", "http://①②⑦.⓪.⓪.①/"])
def test_addresses_that_are_none(runner: StepRunner, url: str) -> None:
    """What looks like an address and is none is refused."""
    with pytest.raises(ProcessingError, match="no URL that can be read"):
        runner.run("got", "http.get", url=url)


def test_a_server_is_who_its_certificate_says(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over TLS, the certificate is checked, by the name of the host and not by its address."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([openssl, *made, *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    site.server.socket = context.wrap_socket(
        site.server.socket, server_side=True, do_handshake_on_connect=False
    )
    site.say("/people", json_of([1]))

    def ask(host: str) -> Any:
        crm = connection(f"https://{host}:{site.server.server_port}")
        return get(StepRunner(tmp_path, integrations={"crm": crm}), retries=0)

    with pytest.raises(BackendUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        ask("localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    assert ask("localhost").records_out == 1
    with pytest.raises(BackendUnavailable, match=r"not valid for '127\.0\.0\.1'"):
        ask("127.0.0.1")


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    """HTTP needs libraries that not every installation has."""
    program = """
import sys
sys.modules["httpx"] = None
from pathlib import Path
from support.steps import StepRunner
StepRunner(Path.cwd()).run("got", "http.get", url="https://example.org")
"""
    told = run_with(tmp_path, program)
    assert "ProcessingError: httpx, ijson or tenacity is not installed" in told.stderr
    assert "pip install 'datamcp[http]'" in told.stderr


def test_a_server_that_is_away_can_be_asked_later(runner: StepRunner, site: Site) -> None:
    """The task may be repeated."""
    site.say("/v1/people", Answer(status=502))
    with pytest.raises(BackendUnavailable, match="502 Bad Gateway"):
        get(runner, retries=0)


# http.post


def post(runner: StepRunner, **options: Any) -> Any:
    """Send something to the site."""
    return runner.run("sent", "http.post", connection="crm", path="people", **options)


def test_a_body_is_posted_as_json(runner: StepRunner, site: Site) -> None:
    """With the step's key, so that the server can tell a repetition."""
    site.say("/v1/people", json_of({"id": 7}))
    assert post(runner, body={"name": "Zoë", "n": [1, None]}).output.value == {"id": 7}
    asked = site.asked[0]
    assert (asked.method, json.loads(asked.body)) == ("POST", {"name": "Zoë", "n": [1, None]})
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["idempotency-key"] == "key of sent"
    assert asked.headers["user-agent"] == "datamcp"


@pytest.mark.parametrize("status", [200, 202, 204])
def test_who_takes_what_is_posted_may_say_nothing(
    runner: StepRunner, site: Site, status: int
) -> None:
    """An answer without a body is the value null."""
    site.say("/v1/people", Answer(status=status))
    output = post(runner).output
    assert (output.value, output.path) == (None, None)
    assert site.asked[0].body == b""


def test_a_post_is_repeated_only_where_it_does_no_harm(runner: StepRunner, site: Site) -> None:
    """500 ends the task, unless the step is idempotent; then the same key is sent again."""
    busy = Answer(status=500)
    site.say_in_turn("/v1/people", [busy, busy, json_of({})])
    with pytest.raises(ProcessingError, match="may have been carried out"):
        post(runner, body=1)
    with pytest.raises(BackendUnavailable, match="500"):
        post(runner, body=1, idempotent=True, retries=0)
    post(runner, body=1, idempotent=True, retries=0)
    assert {one.headers["idempotency-key"] for one in site.asked} == {"key of sent"}


def test_each_page_of_what_is_posted_has_a_key_of_its_own(runner: StepRunner, site: Site) -> None:
    """Else a server would give the first page again."""
    site.say("/v1/people", by_page)
    post(runner, body={"q": "x"}, records="items", pages={"kind": "page", "size": 2})
    keys = [one.headers["idempotency-key"] for one in site.asked]
    assert keys == ["key of sent", "key of sent:2", "key of sent:3"]

"""What a step's configuration says of a request: where to, with what, and what is in the answer."""

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from datamcp.config.redaction import has_secret, is_secret_name
from datamcp.processors.processor import ProcessingConfig

Scalar = str | int | float | bool
DottedPath = Annotated[str, StringConstraints(pattern=r"^[^.\s]\S*$", max_length=300)]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$")]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e\t]*$", max_length=4000)]

_OURS = frozenset(
    {
        *("host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade"),
        *("expect", "accept-encoding", "proxy-connection", "keep-alive", "idempotency-key"),
    }
)
_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie"})
_UNSAFE_PATH = re.compile(r"[\\?#\x00-\x20\x7f]|://|^//|@")
_DOTS = re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)


class _Paging(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LinkPages(_Paging):
    """The header `Link` with `rel="next"` names the next page (RFC 8288)."""

    kind: Literal["link"]


class NextPages(_Paging):
    """The answer names the next page; `path` leads there, its names joined by dots.

    It is a URL, or the value of `cursor_parameter`; the last page has none, or an empty one.
    """

    kind: Literal["next"]
    path: DottedPath
    cursor_parameter: str | None = Field(default=None, min_length=1)


class OffsetPages(_Paging):
    """Pages of `limit` records each are asked for by how many come before.

    The last page is the first one with fewer records: with none where `until` is `empty`, for
    servers that give fewer than they are asked for.
    """

    kind: Literal["offset"]
    limit: int = Field(ge=1, le=1_000_000)
    start: int = Field(default=0, ge=0)
    offset_parameter: str = Field(default="offset", min_length=1)
    limit_parameter: str = Field(default="limit", min_length=1)
    until: Literal["short", "empty"] = "short"


class NumberedPages(_Paging):
    """Pages are asked for by their number, until one has no records.

    With `size`, how many records a page has is asked for, too, and a page with fewer is the last.
    """

    kind: Literal["page"]
    start: int = Field(default=1, ge=0)
    page_parameter: str = Field(default="page", min_length=1)
    size: int | None = Field(default=None, ge=1)
    size_parameter: str = Field(default="per_page", min_length=1)


Pages = Annotated[LinkPages | NextPages | OffsetPages | NumberedPages, Field(discriminator="kind")]


class HttpOptions(ProcessingConfig):
    """What `http.get` and `http.post` have in common."""

    model_config = ConfigDict(hide_input_in_errors=True)

    url: str | None = None
    connection: str | None = Field(default=None, min_length=1)
    path: str = Field(default="", max_length=4000)
    params: dict[str, Scalar | list[Scalar]] = Field(default_factory=dict)
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
    expect: Literal["json", "csv", "text", "bytes"] = "json"
    records: DottedPath | None = None
    pages: Pages | None = None
    file: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")
    timeout: float = Field(default=60.0, gt=0, le=86_400)
    retries: int = Field(default=3, ge=0, le=10)
    max_bytes: int = Field(default=100_000_000, ge=1)
    max_pages: int = Field(default=1_000, ge=1)

    @model_validator(mode="after")
    def _usable(self) -> Self:
        # Of the whole, not of a field: a message about a field repeats its value.
        for wrong in (_wrong_place(self), _wrong_names(self), _wrong_answer(self)):
            if wrong:
                raise ValueError(wrong)
        return self


def _wrong_place(options: HttpOptions) -> str:
    if (options.url is None) == (options.connection is None):
        return "give one of url and connection (a name of `integrations`)"
    if options.url is not None:
        return "path goes with connection; write it into url" if options.path else _url(options.url)
    if _UNSAFE_PATH.search(options.path):
        return "path: only a path below the integration's url; a query goes into params"
    return "path: . and .. are not allowed" if _DOTS.search(options.path) else ""


def _url(url: str) -> str:
    if not re.match(r"https?://[^/?#\s]", url, re.IGNORECASE):
        return "url: must begin with http:// or https:// and a host"
    try:
        parts = urlsplit(url)
    except ValueError:
        return "url: cannot be read"
    if "@" in parts.netloc or has_secret(url):
        return "url: has a password or a key in it; name an integration as connection"
    return ""


def _wrong_names(options: HttpOptions) -> str:
    for name in options.headers:
        if name.lower() in _OURS:
            return f"headers: {name} is set here, not by a step"
        if name.lower() in _CREDENTIALS or is_secret_name(name):
            return f"headers: {name} is a credential; it belongs to an integration"
    for name in options.params:
        if is_secret_name(name):
            return f"params: {name} looks like a credential; it belongs to an integration"
    return ""


def _wrong_answer(options: HttpOptions) -> str:
    if options.expect != "json" and (options.records is not None or options.pages is not None):
        return f"records and pages are of JSON, and expect is {options.expect}"
    is_table = options.records is not None or options.pages is not None or options.expect == "csv"
    return "file: the answer becomes a table, not a file" if options.file and is_table else ""

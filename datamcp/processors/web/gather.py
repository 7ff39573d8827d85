"""The records of all pages of an answer, one after the other, in a file of rows."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datamcp.errors import ProcessingError
from datamcp.processors.json_rows import RowWriter
from datamcp.processors.web import paging
from datamcp.processors.web.handover import described, is_empty
from datamcp.processors.web.options import (
    HttpOptions,
    NextPages,
    NumberedPages,
    OffsetPages,
)
from datamcp.types import JSONValue

if TYPE_CHECKING:
    import httpx

    from datamcp.processors.web.question import Reply

Ask = Callable[["httpx.URL", int, int], "Reply"]
"""Asks for a URL, as the page of this number, and keeps at most so many bytes."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was gathered: how many records, whether their columns are known, and bytes read."""

    records: int
    has_columns: bool
    size: int


def gather(
    ask: Ask, options: HttpOptions, begin: "httpx.URL", *, body: Path, rows: Path
) -> Gathered:
    """Ask for page after page, and write their records to `rows`; `body` holds one page.

    ProcessingError if pages lead back to one that was read, or if there are too many.
    """
    url: httpx.URL | None = paging.first(options.pages, begin)
    begin, size, number = url or begin, 0, 0
    seen: set[str] = set()
    same = _Same()
    with rows.open("w", encoding="utf-8", errors="replace") as file:
        writer = RowWriter(file)
        while url is not None:
            number += 1
            _require_new(url, seen, number, options.max_pages)
            reply = ask(url, number, options.max_bytes - size)
            size += reply.size
            before = writer.count
            cursor = _read(reply, body, options, writer, number)
            count = writer.count - before
            if isinstance(options.pages, OffsetPages | NumberedPages) and count:
                same.refuse(body, number)
            page = paging.Page(number, reply.url, count, writer.count, reply.link, cursor)
            url = None if options.pages is None else paging.after(options.pages, page, begin)
        return Gathered(writer.count, bool(writer.columns), size)


def _read(
    reply: "Reply", body: Path, options: HttpOptions, writer: RowWriter, number: int
) -> JSONValue:
    """Write the records of a page, and return what it says of the next one."""
    from datamcp.processors.web import json_body

    if is_empty(reply):
        return None
    json_body.check(body, f"page {number}" if options.pages else described(reply))
    records = options.records or ""
    kind = json_body.kind_at(body, records)
    if kind != "array":
        raise ProcessingError(_no_list(body, records, kind))
    for item in json_body.items(body, records):
        writer.write(item)
    return (
        json_body.value_at(body, options.pages.path)
        if isinstance(options.pages, NextPages)
        else None
    )


def _no_list(body: Path, records: str, kind: str) -> str:
    from datamcp.processors.web import json_body

    if not records:
        return "the answer is no list; `records` says where in it the list is"
    if kind:
        return f"records: {records!r} is no list in the answer, but a {kind}"
    there = ", ".join(json_body.keys(body)) or "no names"
    return f"records: there is no {records!r} in the answer, which begins with {there}"


def _require_new(url: "httpx.URL", seen: set[str], number: int, most: int) -> None:
    if str(url) in seen:
        raise ProcessingError(f"page {number} is one that was read already: the pages are a loop")
    if number > most:
        raise ProcessingError(f"there are more than {most:,} pages (max_pages)")
    seen.add(str(url))


class _Same:
    """Notices a server that gives the same page for every number."""

    def __init__(self) -> None:
        self._last = b""

    def refuse(self, body: Path, number: int) -> None:
        with body.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
        if digest == self._last:
            raise ProcessingError(
                f"page {number} is the same as the one before; does the server know the "
                "parameters of `pages`?"
            )
        self._last = digest

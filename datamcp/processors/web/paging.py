"""Where the next page is. Pure."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from datamcp.errors import ProcessingError
from datamcp.processors.web.options import (
    LinkPages,
    NextPages,
    NumberedPages,
    OffsetPages,
)
from datamcp.processors.web.target import readable
from datamcp.types import JSONValue

if TYPE_CHECKING:
    import httpx

Paging = LinkPages | NextPages | OffsetPages | NumberedPages


@dataclass(frozen=True, slots=True)
class Page:
    """What is known of a page: its place among the others, from 1, and what it says of the next.

    `records` are its own, `total` those of all pages up to it.
    """

    number: int
    url: "httpx.URL"
    records: int
    total: int
    link: str | None = None
    cursor: JSONValue = None


def first(pages: Paging | None, url: "httpx.URL") -> "httpx.URL":
    """Return the URL of the first page."""
    match pages:
        case OffsetPages():
            sized = url.copy_set_param(pages.limit_parameter, pages.limit)
            return sized.copy_set_param(pages.offset_parameter, pages.start)
        case NumberedPages():
            sized = (
                url if pages.size is None else url.copy_set_param(pages.size_parameter, pages.size)
            )
            return sized.copy_set_param(pages.page_parameter, pages.start)
    return url


def after(pages: Paging, page: Page, begin: "httpx.URL") -> "httpx.URL | None":
    """Return the URL of the page after this one; None if it was the last. `begin` is the first's.

    ProcessingError if the answer names a next page in a way that is not understood.
    """
    match pages:
        case LinkPages():
            return None if page.link is None else _joined(page.url, page.link)
        case NextPages():
            return _next(pages, page, begin)
        case OffsetPages():
            if page.records == 0 or (pages.until == "short" and page.records < pages.limit):
                return None
            return begin.copy_set_param(pages.offset_parameter, pages.start + page.total)
        case NumberedPages():
            if page.records == 0 or (pages.size is not None and page.records < pages.size):
                return None
            return begin.copy_set_param(pages.page_parameter, pages.start + page.number)


def _next(pages: NextPages, page: Page, begin: "httpx.URL") -> "httpx.URL | None":
    cursor = page.cursor
    if cursor is None or cursor is False or cursor == "":
        return None
    if not isinstance(cursor, str | int) or cursor is True:
        raise ProcessingError(f"{pages.path} is neither text nor a number, and names no next page")
    if pages.cursor_parameter is not None:
        return begin.copy_set_param(pages.cursor_parameter, str(cursor))
    return _joined(page.url, str(cursor))


def _joined(url: "httpx.URL", text: str) -> "httpx.URL":
    """Return the URL that an answer names, by itself or relative to its own."""
    import httpx

    try:
        found = url.join(text)
    except (httpx.InvalidURL, ValueError) as error:
        raise ProcessingError("the next page's URL cannot be read") from error
    return readable(str(found.copy_with(username=None, password=None, fragment=None)), "next page")

"""What is asked, what came back, and where an answer points to. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import httpx

from datamcp.errors import ProcessingError
from datamcp.processors.web.target import origin, readable

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEEP_METHOD = frozenset({307, 308})


@dataclass(frozen=True, slots=True)
class Question:
    """A request.

    `is_safe`: it does no harm if it is carried out twice. `is_done`: something was carried out that
    does, and this only asks for the answer to it.
    """

    method: str
    url: httpx.URL
    headers: Mapping[str, str]
    content: bytes = b""
    is_safe: bool = True
    is_done: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; the body is in a file. `url` is where it is from, after redirects."""

    method: str
    status: int
    url: httpx.URL
    content_type: str
    link: str | None  # of the header `Link`, the one with rel="next"
    size: int  # bytes of the body


def is_redirect(answer: httpx.Response) -> bool:
    """Tell whether an answer points to another place."""
    return answer.status_code in _REDIRECTS and "location" in answer.headers


def redirected(question: Question, answer: httpx.Response) -> Question:
    """Return the question to ask where an answer points to.

    ProcessingError if it points to nowhere, or would carry what is posted to another server.
    """
    try:
        url = question.url.join(answer.headers["location"])
    except (httpx.InvalidURL, ValueError) as error:
        raise ProcessingError("it redirects to a URL that cannot be read") from error
    url = readable(
        str(url.copy_with(username=None, password=None, fragment=None)), "what it redirects to"
    )
    if question.method == "GET":
        return replace(question, url=url)
    if answer.status_code not in _KEEP_METHOD:
        kept = {
            name: question.headers[name] for name in ("Accept", "Accept-Encoding", "User-Agent")
        }
        return Question("GET", url, kept, is_safe=question.is_safe, is_done=not question.is_safe)
    if origin(url) != origin(question.url):
        raise ProcessingError(f"it redirects what is posted to {url.host}, another server")
    return replace(question, url=url)


def next_link(answer: httpx.Response) -> str | None:
    """Return what the header `Link` calls the next page (RFC 8288)."""
    for relation, link in answer.links.items():
        if relation and "next" in relation.lower().split():
            return link.get("url")
    return None

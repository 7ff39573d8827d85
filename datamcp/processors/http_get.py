"""`http.get`: what a server answers becomes a table, a value or a file of the run."""

from typing import TYPE_CHECKING

from datamcp.processors.processor import Inputs
from datamcp.processors.web.exchange import Exchange, usual_headers
from datamcp.processors.web.options import HttpOptions

if TYPE_CHECKING:
    import httpx

    from datamcp.processors.web.question import Question


class HttpGetConfig(HttpOptions):
    """Whom to ask, and what is in the answer.

    `url` is a public address without credentials; else `connection` names one of `integrations`
    of type `http`, and `path` leads on from its address. Its address may hold a user and a
    password; its `options` may hold a `token`, sent as a bearer token or in the `header` that they
    name, and `allow_private: true` for a server that is not public.

    The records of an answer, which is a list or has one at `records` (names joined by dots), become
    a table; what is nested in a record is JSON text. CSV becomes a table of text. Any other answer
    is the output's value up to 64 KB, else a file; `file` names it, and always makes one.

    `timeout` is in seconds and for each request, its answer included. No answer, 429 and 5xx are
    asked for again, `retries` times at most, after the time that `Retry-After` says. `max_bytes`
    holds for all pages together, after decompression.
    """


class HttpGet(Exchange[HttpGetConfig]):
    """Asks a server, page by page where it answers in pages, and keeps the answer."""

    config_model = HttpGetConfig

    def question(
        self, config: HttpGetConfig, inputs: Inputs, url: "httpx.URL", number: int
    ) -> "Question":
        """Return what is asked."""
        del inputs, number  # all pages are asked for alike
        from datamcp.processors.web.question import Question

        return Question("GET", url, usual_headers(config.expect))

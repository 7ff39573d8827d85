"""`http.post`: sends JSON to a server; its answer becomes a table, a value or a file of the run."""

from typing import TYPE_CHECKING

from pydantic_core import to_json

from datamcp.processors.processor import Inputs
from datamcp.processors.web.exchange import Exchange, usual_headers
from datamcp.processors.web.options import HttpOptions
from datamcp.types import JSONValue

if TYPE_CHECKING:
    import httpx

    from datamcp.processors.web.question import Question


class HttpPostConfig(HttpOptions):
    """What to send to whom, and what is in the answer.

    `body` is sent as JSON, and nothing is without it; the other options are those of `http.get`.
    Each attempt of a step sends the same `Idempotency-Key`, by which a server can tell that it has
    done this before.

    Unless `idempotent` says that it does no harm to do it twice, nothing is sent again that may
    have been carried out: only when no connection was made, and after 429 and 503.
    """

    body: JSONValue = None
    idempotent: bool = False


class HttpPost(Exchange[HttpPostConfig]):
    """Sends JSON to a server, and keeps the answer."""

    config_model = HttpPostConfig

    def question(
        self, config: HttpPostConfig, inputs: Inputs, url: "httpx.URL", number: int
    ) -> "Question":
        """Return what is sent; each page has a key of its own."""
        from datamcp.processors.web.question import Question

        content = b"" if config.body is None else to_json(config.body)
        headers = usual_headers(config.expect)
        if content:
            headers["Content-Type"] = "application/json"
        if inputs.idempotency_key:
            key = inputs.idempotency_key if number == 1 else f"{inputs.idempotency_key}:{number}"
            headers["Idempotency-Key"] = key
        return Question("POST", url, headers, content, is_safe=config.idempotent)

"""What Flower asks of workers, and shows of their answers."""

from typing import Any

from flower.inspector import Inspector

from datamcp.config.redaction import redact


class DiscreetInspector(Inspector):  # type: ignore[misc]
    """Flower's inspector, which keeps no password.

    Celery 5.7 takes the password out of what a worker says of its broker, except where the
    broker's address is a whole URL, as with `redis+socket://`.
    """

    def _on_update(self, workername: str, method: str, response: Any) -> None:
        super()._on_update(workername, method, redact(response))

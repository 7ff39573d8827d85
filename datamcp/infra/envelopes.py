"""Reading what comes out of queues: whatever somebody put there, no worker dies of it.

kombu 5.7 takes for granted that each entry of a queue in Redis is an envelope of its own making,
and Celery 5.7 that a task's name is text. Anything else raises in the worker's event loop, which
ends the worker. Here it is read as a message without content, or of an unknown task, which Celery
reports and drops. Only workers import this module.
"""

from base64 import b64decode
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from celery.worker.consumer import Consumer
from kombu.transport import redis
from kombu.transport.virtual import Transport
from kombu.utils import json


def install() -> None:
    """Have kombu and Celery read so, in this process."""
    kombu: Any = redis
    kombu.bytes_to_str, kombu.loads = _text_of, _value_of
    kombu.Transport._deliver = _deliver  # noqa: SLF001  there is no other place between
    Consumer.Strategies = _Strategies


class _Strategies(dict[Any, Any]):
    """How a worker receives each task, by name; anything else than a name is an unknown task."""

    def __getitem__(self, name: object) -> Any:
        if not isinstance(name, str):
            raise KeyError(str(name))
        return super().__getitem__(name)


def _text_of(entry: Any) -> Any:
    return entry.decode(errors="replace") if isinstance(entry, bytes) else entry


def _value_of(text: str) -> Any:
    try:
        return json.loads(text)  # type: ignore[no-untyped-call]
    except (ValueError, RecursionError):
        return None


def _deliver(transport: Any, entry: Any, queue: str) -> None:
    """Hand what came out of a queue to its consumer, as an envelope."""
    as_before: Any = Transport._deliver  # noqa: SLF001  what it stands for
    as_before(transport, envelope_of(entry), queue)


def envelope_of(entry: Any) -> Any:
    """Return an entry that is an envelope; an empty one in place of anything else."""
    try:
        return entry if _is_envelope(entry) else _empty()
    except ValueError:
        return _empty()


def _is_envelope(found: Any) -> bool:
    """Tell whether kombu can read this; raises ValueError for a body that can't be decoded."""
    if not isinstance(found, Mapping):
        return False
    properties, headers = found.get("properties"), found.get("headers")
    if not isinstance(properties, Mapping) or not isinstance(headers, Mapping | None):
        return False
    return (
        _is_body(found.get("body"), properties.get("body_encoding"))
        and isinstance(properties.get("delivery_tag"), str)
        and _tells_where_to(properties.get("delivery_info"))
    )


def _is_body(body: Any, encoding: Any) -> bool:
    """Tell whether kombu can decode this; raises ValueError for what is no base64."""
    if not isinstance(body, str) or not isinstance(encoding, str | None):
        return False
    name = (encoding or "utf-8").lower()
    if name == "base64":
        b64decode(body)
    return name in {"base64", "utf-8"}


def _tells_where_to(found: Any) -> bool:
    """Tell whether this says where a message was sent to: that is kept until it is acknowledged."""
    return isinstance(found, Mapping) and all(
        isinstance(found.get(name), str) for name in ("exchange", "routing_key")
    )


def _empty() -> dict[str, Any]:
    properties: dict[str, Any] = {
        "delivery_tag": str(uuid4()),
        "delivery_info": {"exchange": "", "routing_key": ""},
        "body_encoding": None,
    }
    return {"body": "", "headers": {}, "content-type": "text/plain", "properties": properties}

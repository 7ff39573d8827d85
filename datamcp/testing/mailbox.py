"""The broker of a runtime that has none: messages wait in memory, in the order of their priority.

What is sent takes the same road as ever (`BrokerPublisher`, canvases, `.delay()`): only kombu's
producer, at its end, is another one. Messages are kept as text, as on the wire.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from threading import Lock
from typing import Any

from celery import Celery
from kombu.connection import Connection
from kombu.message import Message
from kombu.serialization import dumps, prepare_accept_content

from datamcp.tasks.publish import transport_of
from datamcp.tasks.queues import our_priority


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that was sent: which task it names, and where it went."""

    task_id: str
    task_type: str
    queue: str
    priority: int  # ours: 0 to 9, 9 first
    message: Message


class Mailbox:
    """Messages that no worker has taken yet. Safe to share between threads."""

    def __init__(self) -> None:
        """Begin with none."""
        self.sent: list[Letter] = []
        """Everything that was ever sent, in order."""
        self._waiting: list[Letter] = []
        self._lock = Lock()

    def put(self, letter: Letter) -> None:
        """Take a message in."""
        with self._lock:
            self.sent.append(letter)
            self._waiting.append(letter)

    def take(self, queue: str | None = None, *, wanted: str | None = None) -> Letter | None:
        """Return the next message, of one queue or of any; None if there is none.

        The one that names the task `wanted` comes first; then the highest priority, and of that
        the longest waiting.
        """
        with self._lock:
            letters = [one for one in self._waiting if queue in {None, one.queue}]
            if not letters:
                return None
            letter = max(letters, key=lambda one: (one.task_id == wanted, one.priority))
            self._waiting.remove(letter)
            return letter

    def ready(self, queue: str) -> int:
        """Return how many messages wait in a queue."""
        with self._lock:
            return sum(letter.queue == queue for letter in self._waiting)

    @contextmanager
    def arranged(self, task_ids: Sequence[str]) -> Iterator[None]:
        """Put what arrives in the block in the order of these tasks; others come after them."""
        with self._lock:
            count = len(self._waiting)
        yield
        places = {task_id: place for place, task_id in enumerate(task_ids)}
        with self._lock:
            arrived = self._waiting[count:]
            arrived.sort(key=lambda letter: places.get(letter.task_id, len(places)))
            self._waiting[count:] = arrived


class MailboxProducer:
    """Stands in for kombu's producer: what is published goes into a mailbox."""

    def __init__(self, app: Celery, mailbox: Mailbox) -> None:
        """Take the app that sends, and where its messages go."""
        self._app = app
        self._mailbox = mailbox

    @property
    def connection(self) -> Connection:
        """The connection of an app without a broker, which is never opened."""
        connection: Connection = self._app.connection_for_write()
        return connection

    def batch(self) -> AbstractContextManager[None]:
        """Do nothing: each message is kept as it is published."""
        return nullcontext()

    def publish(
        self,
        body: Any,
        *,
        routing_key: str,
        headers: Mapping[str, Any],
        serializer: str,
        priority: int = 0,
        correlation_id: str | None = None,
        reply_to: str | None = None,
        **_of_a_broker: Any,
    ) -> None:
        """Keep a task's message, as `kombu.Producer.publish` would send it to a queue."""
        content_type, encoding, text = dumps(body, serializer=serializer)  # type: ignore[no-untyped-call]
        message = Message(  # type: ignore[no-untyped-call]
            text,
            content_type=content_type,
            content_encoding=encoding,
            delivery_info={"exchange": "", "routing_key": routing_key},
            properties={
                "priority": priority,
                "correlation_id": correlation_id,
                "reply_to": reply_to,
            },
            headers={**headers},
            accept=prepare_accept_content(self._app.conf.accept_content),  # type: ignore[no-untyped-call]
        )
        priority = our_priority(priority, transport_of(self._app))
        self._mailbox.put(Letter(headers["id"], headers["task"], routing_key, priority, message))

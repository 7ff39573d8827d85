"""Many hints at once: how they leave for Redis in few round trips.

Messages of one kind differ by ids alone. kombu makes the first of a kind, and the others are its
text with other ids; many go in few commands.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from threading import Lock
from typing import Any

from celery import Celery, signals
from kombu.exceptions import BatchPublishError, OperationalError

from datamcp.tasks.ledger import Hint
from datamcp.types import new_token

AT_ONCE = 500  # messages of one command

MOST_KINDS = 256  # of messages whose text is kept

_IDS = ("task_id", "root_id", "parent_id", "step_id")
_PLACES = {name: f"datamcp-place-of-{name}" for name in _IDS}
_HEARD = (signals.before_task_publish, signals.after_task_publish, signals.task_sent)

Send = Callable[[Any, Hint], None]


def send_together(
    app: Celery, producer: Any, hints: Sequence[Hint], send: Send, stencils: "Stencils"
) -> None:
    """Send hints in order; `send(producer, hint)` is how one is sent."""
    channel = getattr(producer, "channel", None)
    if hasattr(channel, "create_publish_batch"):
        _push(app, producer, hints, send, stencils)
    else:
        for hint in hints:
            send(producer, hint)


@contextmanager
def _told_by_its_cause() -> Iterator[None]:
    """Raise what made a batch fail: whether some of it has arrived does not matter to hints."""
    try:
        yield
    except BatchPublishError as error:
        raise (error.__cause__ or OperationalError(str(error))) from error


def _push(
    app: Celery, producer: Any, hints: Sequence[Hint], send: Send, stencils: "Stencils"
) -> None:
    """Send hints to Redis: those of one kind as copies, those that somebody looks at one by one."""
    for kind, group in groupby(hints, _kind):
        alike = list(group)
        is_copied = kind is not None and not is_watched(app)
        stencil = stencils.of(producer, alike[0], send) if is_copied else None
        if stencil is None:
            with _told_by_its_cause(), producer.batch():
                for hint in alike:
                    send(producer, hint)
            continue
        for start in range(0, len(alike), AT_ONCE):
            stencil.push(producer, alike[start : start + AT_ONCE])


def is_watched(app: Celery) -> bool:
    """Tell whether somebody looks at each message that is sent, so that Celery has to send it."""
    return bool(app.conf.task_send_sent_event or any(signal.receivers for signal in _HEARD))


def _kind(hint: Hint) -> tuple[Any, ...] | None:
    """Return what a hint has in common with others; None for one that is like no other."""
    if hint.canvas is not None or hint.others:
        return None
    return (
        hint.task_type,
        hint.queue,
        hint.priority,
        hint.celery_result,
        hint.attempt,
        *(getattr(hint, name) is None for name in _IDS),
    )


class Stencil:
    """The text of a message on Redis, but for its ids."""

    def __init__(self, key: str, text: str, tag: str) -> None:
        """Take the list that it goes to, the text of one message, and its delivery tag."""
        self._key = key
        places = "|".join(re.escape(place) for place in (*_PLACES.values(), tag))
        self._pieces = re.split(f"({places})", text)
        self._tag = tag

    def text(self, hint: Hint) -> str:
        """Return the message of a hint."""
        ids = {
            place: json.dumps(value)[1:-1]
            for name, place in _PLACES.items()
            if (value := getattr(hint, name)) is not None
        }
        ids[self._tag] = new_token()
        pieces = list(self._pieces)
        pieces[1::2] = [ids[piece] for piece in pieces[1::2]]
        return "".join(pieces)

    def push(self, producer: Any, hints: Sequence[Hint]) -> None:
        """Send hints in one command."""
        producer.channel.client.lpush(self._key, *[self.text(hint) for hint in hints])


class Stencils:
    """The stencils of an app, each made when it is first wanted. Safe to share between threads."""

    def __init__(self) -> None:
        """Begin with none."""
        self._made: dict[tuple[Any, ...], Stencil | None] = {}
        self._lock = Lock()

    def of(self, producer: Any, hint: Hint, send: Send) -> Stencil | None:
        """Return the stencil of a hint; None if Celery has to send it."""
        kind = _kind(hint)
        channel = getattr(producer, "channel", None)
        if kind is None or not hasattr(channel, "create_publish_batch"):
            return None
        if kind not in self._made:
            stencil = _stencil(producer, _with_places(hint), send)
            with self._lock:
                if len(self._made) >= MOST_KINDS:
                    self._made.clear()
                self._made[kind] = stencil
            return stencil
        return self._made[kind]


def _with_places(hint: Hint) -> Hint:
    """Return a hint with a mark in the place of each of its ids."""
    marks: dict[str, Any] = {
        name: place for name, place in _PLACES.items() if getattr(hint, name) is not None
    }
    return replace(hint, **marks)


class _Recorder:
    """Takes in what kombu would send to Redis, in the place of a batch of its own."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.commands: list[tuple[str, ...]] = []

    def add(self, *command: str) -> None:
        """Take in a command."""
        self.commands.append(command)


def _stencil(producer: Any, kind: Hint, send: Send) -> Stencil | None:
    """Have kombu make a message; None if it sends more than that."""
    channel, recorder, made = producer.channel, _Recorder(), []

    def basic_publish(message: Any, **to: Any) -> None:
        type(channel).basic_publish(channel, message, **to, _publish_batch=recorder)
        made.append(message)

    with _acting(channel, "basic_publish", basic_publish):
        send(producer, kind)
    match recorder.commands, made:
        case [("lpush", key, text)], [{"properties": {"delivery_tag": tag}}]:
            return Stencil(key, text, tag)
    return None


@contextmanager
def _acting(channel: Any, name: str, method: Callable[..., Any]) -> Iterator[None]:
    """Put a method in the place of one of a channel's."""
    setattr(channel, name, method)
    try:
        yield
    finally:
        delattr(channel, name)

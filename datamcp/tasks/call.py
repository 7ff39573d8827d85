"""What a plain Celery call asks for, read from its options; what can't be kept is refused. Pure.

The options are those of `Task.apply_async`, by Celery's names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from datamcp.errors import TaskError
from datamcp.naming import did_you_mean
from datamcp.tasks.ports import TaskType

_JSON = frozenset({"json", "application/json"})


@dataclass(frozen=True, slots=True)
class Limits:
    """The time limits of a call, in seconds: when its process is killed, and when it is told."""

    hard: float | None = None
    soft: float | None = None

    @property
    def timeout(self) -> float | None:
        """The seconds that an attempt may take."""
        return self.soft or self.hard

    @property
    def carried(self) -> list[float | None] | None:
        """The limits as a message has them; None if there are none."""
        return [self.hard, self.soft] if self.timeout else None


def with_defaults(options: Mapping[str, Any], kind: TaskType) -> dict[str, Any]:
    """Return the options of a call by name, with those that the task itself has."""
    own = {} if kind.celery_task is None else kind.celery_task._get_exec_options()  # noqa: SLF001
    given = {name: value for name, value in own.items() if value is not None}
    return {**given, **options}


def refuse(name: str, options: Mapping[str, Any]) -> None:
    """Raise TaskError for what would not be done."""
    serializer = options.get("serializer")
    if serializer is not None and serializer not in _JSON:
        message = f"{name}: serializer {serializer!r} is refused; tasks are JSON, nothing else"
        raise TaskError(message)
    if options.get("exchange"):
        message = f"{name}: `exchange` is not supported; name a queue, or leave it to the task"
        raise TaskError(message)


def queue_of(kind: TaskType, wanted: Any) -> str:
    """Return the queue of a call that names one, or none; raises TaskError if nobody serves it."""
    name = getattr(wanted, "name", wanted)  # a kombu.Queue, or its name
    served = (kind.queue, *kind.also_on)
    if name is None or name in served:
        return str(name or kind.queue)
    hint = did_you_mean(str(name), served)
    raise TaskError(
        f"{kind.name}: no worker that has it serves queue {name!r}; leave `queue` out, "
        f"or add it to `agents.{kind.queue}.queues`{hint}"
    )


def limits_of_call(options: Mapping[str, Any]) -> Limits:
    """Return the time limits that a call asks for."""
    return Limits(options.get("time_limit"), options.get("soft_time_limit"))


def instant(value: Any, *, now: datetime | None = None, zone: tzinfo = UTC) -> datetime | None:
    """Return an instant that Celery would take: one, its ISO 8601 text, or seconds from now.

    One without a zone is in `zone`. Raises TaskError for anything else.
    """
    match value:
        case None:
            return None
        case str():
            try:
                value = datetime.fromisoformat(value)
            except ValueError as error:
                raise TaskError(f"not an instant: {value!r}") from error
        case timedelta() if now is not None:
            value = now + value
        case int() | float() if now is not None:
            value = now + timedelta(seconds=value)
    if not isinstance(value, datetime):
        raise TaskError(f"not an instant: {value!r}")
    return value if value.tzinfo is not None else value.replace(tzinfo=zone)


def parts_of(options: Mapping[str, Any], limits: Limits | None = None) -> dict[str, Any]:
    """Return what a call's message carries, under the names that it has in a message."""
    stamped = options.get("stamped_headers") or []
    return {
        **options,
        "callbacks": _listed(options.get("link")),
        "errbacks": _listed(options.get("link_error")),
        "stamps": {name: options[name] for name in stamped if name in options},
        "timelimit": None if limits is None else limits.carried,
    }


def _listed(value: Any) -> Sequence[Any] | None:
    return value if value is None or isinstance(value, list | tuple) else [value]

"""Celery's settings for our processes; why each is as it is.

Facts: Celery 5.7 and kombu 5.7, their documentation and their source.
"""

from collections.abc import Sequence
from typing import Any

from celery.utils.nodenames import gethostname
from kombu.entity import Exchange, Queue

PATIENCE = 3.0  # seconds that a broker has to answer who publishes

_CONNECT = 4  # seconds to connect to a broker
_SOCKET = 10  # seconds without an answer; must exceed the 1 s of a blocking pop
_HEARTBEAT = 20  # seconds; RabbitMQ and a worker give each other up after two that are missed
_VISIBILITY = 60  # seconds; safe to be short, as durable tasks are acknowledged at once

_MAX_PRIORITY = 9

PUBLISH_RETRY = {"max_retries": 2, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.5}
"""How often, and after how many seconds, Celery's own sending is tried again."""


def settings(
    *,
    broker_url: str,
    result_url: str | None,
    key_prefix: str,
    queues: Sequence[str],
    send_events: bool,
    consumer: str,
    beat_scheduler: str,
) -> dict[str, Any]:
    """Return the configuration of an app that talks to this broker."""
    return {
        "broker_url": broker_url,
        "result_backend": result_url,
        "broker_transport_options": _transport(broker_url, key_prefix),
        "result_backend_transport_options": {
            "visibility_timeout": _VISIBILITY,
            "global_keyprefix": key_prefix,
            "retry_policy": {"timeout": 5.0, "max_retries": 3},
        },
        "visibility_timeout": _VISIBILITY,
        # A connection that is gone is built anew, for ever; publishing gives up soon.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # RabbitMQ closes a channel on which a message was kept for too long: no reason to end.
        "broker_channel_error_retry": True,
        "broker_heartbeat": _HEARTBEAT,
        "broker_connection_timeout": _CONNECT,
        "broker_pool_acquire_timeout": _CONNECT,
        "task_publish_retry_policy": PUBLISH_RETRY,
        "redis_socket_timeout": _SOCKET,
        "redis_socket_connect_timeout": _CONNECT,
        "redis_retry_on_timeout": True,
        # JSON only, both ways: anything else could be code.
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        # A worker holds no message without a free slot (protocol R5).
        "worker_consumer": consumer,
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": _is_redis(broker_url),
        # Where the broker sends messages by itself, `tasks.intake` counts them.
        "worker_enable_prefetch_count_reduction": _is_redis(broker_url),
        # The ledger owns a running task, not the connection (protocol R5).
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "task_reject_on_worker_lost": False,
        "worker_send_task_events": send_events,
        "task_send_sent_event": send_events,
        "worker_lost_wait": 1.0,  # seconds; a result that comes after it is refused by its fence
        "worker_soft_shutdown_timeout": 10.0,
        "result_expires": 86_400,
        "task_default_queue": queues[0] if queues else "default",
        "task_queues": [_queue(name, broker_url) for name in queues],
        "task_create_missing_queues": True,
        "beat_scheduler": beat_scheduler,
        "enable_utc": True,  # and `timezone` is UTC where a project does not choose its own
    }


def _queue(name: str, broker_url: str) -> Queue:
    # RabbitMQ orders only queues that were declared with levels, and refuses to add them later.
    levels = {} if _is_redis(broker_url) else {"max_priority": _MAX_PRIORITY}
    return Queue(name, Exchange(""), routing_key=name, **levels)  # type: ignore[no-untyped-call]


def _is_redis(broker_url: str) -> bool:
    return broker_url.startswith(("redis", "rediss", "sentinel", "valkey"))


def _transport(broker_url: str, key_prefix: str) -> dict[str, Any]:
    if not _is_redis(broker_url):
        return {"read_timeout": _SOCKET, "write_timeout": _SOCKET, **PUBLISH_RETRY}
    return {
        "visibility_timeout": _VISIBILITY,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "priority_steps": list(range(10)),
        "queue_order_strategy": "priority",
        "global_keyprefix": key_prefix,
        "socket_timeout": _SOCKET,
        "socket_connect_timeout": _CONNECT,
        "socket_keepalive": not broker_url.startswith("redis+socket"),
        "health_check_interval": 10,
        **PUBLISH_RETRY,
    }


def publishing(broker_url: str) -> dict[str, Any]:
    """Return what differs for connections that publish: nobody shall wait long for the broker.

    RabbitMQ confirms what they send, and they wait for it, but for hints; not the events of a
    worker, whose one thread that talks to the broker would wait for it each time.
    """
    limits: dict[str, Any] = (
        {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE}
        if _is_redis(broker_url)
        else {"read_timeout": PATIENCE, "write_timeout": PATIENCE, "confirm_publish": True}
    )
    return {
        "connect_timeout": PATIENCE,
        "transport_options": {**limits, "max_retries": 0},
    }


def host() -> str:
    """Return what this machine is called in names of workers."""
    return str(gethostname())


def nodename(pool: str, pid: int) -> str:
    """Return the name of a worker of this machine: under it, it claims tasks."""
    return f"{pool}-{pid}@{host()}"

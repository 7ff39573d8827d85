"""Which queue a task goes to, and what its priority is called there. Pure.

A queue is named after the agent type that serves it; steps that no agent owns go to `pipelines`.
Our priorities run from 0 to 9, 9 first, on every broker. Redis serves the lowest number first and
RabbitMQ the highest, so the number is turned round here and nowhere else (kombu 5.7,
`kombu/transport/redis.py`, "priority_steps").
"""

LOWEST, DEFAULT, HIGHEST = 0, 5, 9
PRIORITY_LEVELS = 10

PIPELINES = "pipelines"
"""The queue, and the pool, of pipeline steps that no agent owns."""


def broker_priority(priority: int, transport: str) -> int:
    """Return what this transport calls one of our priorities."""
    return HIGHEST - priority if is_redis(transport) else priority


def our_priority(number: int, transport: str) -> int:
    """Return our name of a transport's priority; the inverse of `broker_priority`."""
    return HIGHEST - number if is_redis(transport) else number


def is_redis(transport: str) -> bool:
    """Tell whether a transport's or a URL scheme's name means Redis or Valkey."""
    return transport.partition("+")[0] in {"redis", "rediss", "sentinel", "valkey", "unix"}


def split_task_type(task_type: str) -> tuple[str, str]:
    """Return the owner and the name of a task type: `bench.add` is `add` of `bench`."""
    owner, _, name = task_type.partition(".")
    return owner, name

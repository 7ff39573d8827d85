"""Layers of tasks as a plain Celery canvas, as right as raw Celery can do it."""

from collections.abc import Callable

from celery import Celery, Signature, chain, group

from benchmarks.rival import Layers, numbered

Noop = Callable[[int], Signature]


def canvas_of(app: Celery, noop: Noop, layers: Layers) -> Signature:
    """Return the canvas; `noop` makes the immutable signature of a number.

    After a group comes a single task: the next layer, or else a no-op of its own. Two groups in a
    row Celery 5.7 runs wrongly; and whoever waits for a group at the end of a chain learns of its
    end up to half a second late.
    """
    joins = iter(range(sum(layers), sum(layers) + extras_of(layers)))
    links: list[Signature] = []
    for index, numbers in enumerate(numbered(layers)):
        tasks = [noop(number) for number in numbers]
        links.append(group(tasks, app=app) if len(tasks) > 1 else tasks[0])
        if _needs_join(layers, index):
            links.append(noop(next(joins)))
    return chain(*links, app=app)


def extras_of(layers: Layers) -> int:
    """Return how many no-ops of their own stand after groups."""
    return sum(_needs_join(layers, index) for index in range(len(layers)))


def last_of(layers: Layers) -> int:
    """Return the number of the last task, which is the result of the canvas."""
    is_join = layers[-1] > 1  # or else a task of the last layer
    return sum(layers) - 1 + (extras_of(layers) if is_join else 0)


def _needs_join(layers: Layers, index: int) -> bool:
    return layers[index] > 1 and (index + 1 == len(layers) or layers[index + 1] > 1)

"""Where a plan becomes a Celery canvas.

Only the three shapes of a unit are known here: never two groups in a row, which Celery 5.7 runs
wrongly, and nothing nested.
"""

from collections.abc import Callable

from celery import Signature, chain, chord, group

from datamcp.pipelines.tree import Gated, Parallel, Plan, Series, Step, series

Signatures = Callable[[str], Signature]


def to_canvas(tree: Plan, signature: Signatures) -> Signature:
    """Return the canvas of a unit's tree; `signature` makes the immutable message of a step.

    Raises ValueError for a gate: it is the ledger that opens it.
    """
    match tree:
        case Step(step_id):
            return signature(step_id)
        case Parallel(branches):
            return group([to_canvas(branch, signature) for branch in branches])
        case Series(parts):
            return _in_series(parts, signature)
        case Gated():
            raise ValueError("a gate has no canvas")


def _in_series(parts: tuple[Plan, ...], signature: Signatures) -> Signature:
    links = []
    for index, part in enumerate(parts):
        link = to_canvas(part, signature)
        if isinstance(part, Parallel):
            body = to_canvas(series(parts[index + 1 :]), signature)
            links.append(chord(link, body))
            break
        links.append(link)
    return links[0] if len(links) == 1 else chain(links)

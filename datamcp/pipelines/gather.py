"""What a step leaves that was repeated for each element of a list. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from datamcp.pipelines.step_ledger import Left
from datamcp.tasks.states import State

_SHOWN = 5  # failures that a message names


@dataclass(frozen=True, slots=True)
class Gathered:
    """How all of them together have ended; `output` is JSON."""

    state: State
    output: str | None
    error_code: str | None = None
    error_message: str | None = None


def gather(left: Sequence[Left], step_id: str) -> Gathered:
    """Put together what each has left, in the order of the list.

    The value is a list: of each its value or, where it has none, its path; null where it was
    forgiven. One that was not forgiven fails all.
    """
    failed = [(index, one) for index, one in enumerate(left) if not one.counts_as_success]
    if failed:
        named = ", ".join(f"{step_id}[{index}]" for index, _ in failed[:_SHOWN])
        more = f" and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
        first = failed[0][1]
        reason = first.error_message or first.state
        message = f"{len(failed)} of {len(left)} did not succeed ({named}{more}): {reason}"
        return Gathered(State.FAILED, None, "map_failed", message)
    outputs = [json.loads(one.output) if one.output else {} for one in left]
    records = [one["records_out"] for one in outputs if one.get("records_out") is not None]
    sizes = [one["bytes_out"] for one in outputs if one.get("bytes_out") is not None]
    value = [one.get("path") if one.get("value") is None else one["value"] for one in outputs]
    output = {
        "value": value,
        "records_out": sum(records) if records else None,
        "bytes_out": sum(sizes) if sizes else None,
    }
    return Gathered(State.SUCCEEDED, json.dumps(output))

"""Identifiers and JSON values, shared by every layer.

New things get a UUIDv7 (RFC 9562, section 5.7), so that ids sort by time. Where the same input
must give the same id, such as the step of a run, it is a UUIDv5 of that input.
"""

import json
import secrets
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from pydantic import JsonValue

JSONValue = JsonValue
"""What JSON can hold: null, booleans, numbers, strings, lists and objects of these."""

JSONObject = dict[str, JSONValue]
"""A JSON object: names to JSON values."""

STEP_NAMESPACE = UUID("0192f0c4-6a51-5d3b-9c55-6d6174616d63")
CALL_NAMESPACE = UUID("0192f0c4-6a51-5d3b-9c55-63616c6c6564")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_RANDOM_BITS = 74  # 12 of rand_a and 62 of rand_b


def new_id(now: datetime) -> str:
    """Return a new UUIDv7 of this instant, as text; ids of one millisecond come in any order."""
    milliseconds = (now - _EPOCH) // _MILLISECOND & (1 << 48) - 1
    noise = secrets.randbits(_RANDOM_BITS)
    rand_a, rand_b = noise >> 62, noise & (1 << 62) - 1
    digits = f"{milliseconds << 80 | 7 << 76 | rand_a << 64 | 2 << 62 | rand_b:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def new_token() -> str:
    """Return a value that nobody else has made or can guess: 128 random bits as 32 hex digits."""
    return secrets.token_hex(16)


def step_task_id(run_id: str, step_id: str) -> str:
    """Return the id of the task that a step of a run is; the same for the same input."""
    return str(uuid5(STEP_NAMESPACE, f"{run_id}/{step_id}"))


def called_task_id(caller_id: str, *parts: object) -> str:
    """Return the id of a task that another one calls; the same for the same parts, JSON values."""
    return str(uuid5(CALL_NAMESPACE, json.dumps([caller_id, *parts])))

"""When an attempt that failed shall be made again. Pure.

`RetryPolicy` is how callers and pipelines write it. This version makes one attempt at every task
of an agent or a processor; a task or a pipeline that asks for more is refused. Celery tasks decide
for themselves (`autoretry_for`, `self.retry`).
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

LONGEST = 10 * 366 * 86_400.0
"""Seconds after which no attempt is put off: ten years."""

_MAX_DOUBLINGS = 64  # beyond it any delay is above any limit

Strategy = Literal["constant", "linear", "exponential", "jittered"]


class RetryPolicy(BaseModel):
    """How often a task is tried, and how long it rests in between.

    `max_attempts` counts the first attempt too. `delay` and `max_delay` are seconds. `retry_on`
    and `give_up_on` list error codes; an empty `retry_on` means every code. With
    `continue_on_error` a pipeline step that failed counts as succeeded for what follows it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_attempts: int = Field(default=1, ge=1, le=1000)
    delay: float = Field(default=60.0, ge=0)
    strategy: Strategy = "exponential"
    max_delay: float = Field(default=3600.0, ge=0)
    retry_on: tuple[str, ...] = ()
    give_up_on: tuple[str, ...] = ()
    continue_on_error: bool = False


def rest(policy: RetryPolicy, attempt: int, code: str, chance: float) -> float | None:
    """Return the seconds until the next attempt; None if there is to be none.

    `attempt` is the one that has just failed, from 1; `code` says why. `chance` is a random number
    from 0 to 1, which only `jittered` uses: it rests between half and the whole of its delay.
    """
    is_spent = attempt >= policy.max_attempts
    is_wanted = not policy.retry_on or code in policy.retry_on
    if is_spent or code in policy.give_up_on or not is_wanted:
        return None
    delay = delay_after(policy, attempt)
    return delay * (0.5 + chance / 2) if policy.strategy == "jittered" else delay


def delay_after(policy: RetryPolicy, attempt: int) -> float:
    """Return the seconds to rest after an attempt (from 1), before any jitter.

    Never less than after the attempt before, and never more than `max_delay`.
    """
    match policy.strategy:
        case "constant":
            delay = policy.delay
        case "linear":
            delay = policy.delay * attempt
        case "exponential" | "jittered":
            delay = policy.delay * 2.0 ** min(attempt - 1, _MAX_DOUBLINGS)
    return min(delay, policy.max_delay, LONGEST)


def within_bounds(seconds: float) -> float:
    """Return a delay that somebody asked for, as one that can be kept: from 0 to ten years."""
    return min(max(seconds, 0.0), LONGEST) if seconds == seconds else 0.0  # noqa: PLR0124  NaN

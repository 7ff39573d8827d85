"""When an attempt that failed shall be made again. Pure.

`RetryPolicy` is how callers, capabilities and pipelines write it; `overridden` lays what is said
nearer to a task over what is said in general. Celery tasks decide for themselves (`autoretry_for`,
`self.retry`).
"""

from collections.abc import Collection
from functools import lru_cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_ATTEMPTS = 1000

LONGEST = 10 * 366 * 86_400.0
"""Seconds after which no attempt is put off: ten years."""

_MAX_DOUBLINGS = 64  # beyond it any delay is above any limit

Strategy = Literal["constant", "linear", "exponential", "jittered"]


class RetryPolicy(BaseModel):
    """How often a task is tried, and how long it rests in between.

    `max_attempts` counts the first attempt too. `delay` and `max_delay` are seconds. `retry_on`
    and `give_up_on` list error codes, or names of exception classes, which mean their subclasses
    too; an empty `retry_on` means every error. Wrong parameters are never tried again. With
    `continue_on_error` a pipeline step that failed counts as succeeded for what follows it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_attempts: int = Field(default=1, ge=1, le=MOST_ATTEMPTS)
    delay: float = Field(default=60.0, ge=0)
    strategy: Strategy = "exponential"
    max_delay: float = Field(default=3600.0, ge=0)
    retry_on: tuple[str, ...] = ()
    give_up_on: tuple[str, ...] = ()
    continue_on_error: bool = False


def overridden(base: RetryPolicy, policy: RetryPolicy | None, count: int | None) -> RetryPolicy:
    """Return what holds where something nearer to the task has a policy, or a number of retries.

    A number changes how often, and leaves the rest as it was. Of both, the policy counts.
    """
    if policy is not None:
        return policy
    if count is None:
        return base
    return base.model_copy(update={"max_attempts": min(count + 1, MOST_ATTEMPTS)})


@lru_cache
def kept(policy: RetryPolicy) -> str | None:
    """Return a policy as a task's row keeps it, as JSON; None where it has nothing to decide."""
    return policy.model_dump_json() if policy.max_attempts > 1 else None


def rest(policy: RetryPolicy, attempt: int, codes: Collection[str], chance: float) -> float | None:
    """Return the seconds until the next attempt; None if there is to be none.

    `attempt` is the one that has just failed, from 1; `codes` are all names of its error. `chance`
    is a random number from 0 to 1, which only `jittered` uses: it rests between half and the whole
    of its delay.
    """
    is_wanted = not policy.retry_on or not set(policy.retry_on).isdisjoint(codes)
    if not is_wanted or not set(policy.give_up_on).isdisjoint(codes):
        return None
    return rest_unless_spent(policy, attempt, chance)


def rest_unless_spent(policy: RetryPolicy, attempt: int, chance: float) -> float | None:
    """Return the seconds until the next attempt, whatever the error; None if none is left."""
    if attempt >= policy.max_attempts:
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

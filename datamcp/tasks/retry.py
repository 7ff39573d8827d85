"""When an attempt that failed shall be tried again, as callers and pipelines write it.

This version makes one attempt at every task; a task or a pipeline that asks for more is refused.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

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

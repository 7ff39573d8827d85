"""What every section of the configuration has in common, and the number types they share."""

from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

TEN_YEARS = 315_360_000

Seconds = Annotated[int, Field(ge=1, le=TEN_YEARS)]
"""A duration in whole seconds, from one second to ten years."""

Delay = Annotated[int, Field(ge=0, le=TEN_YEARS)]
"""A duration in whole seconds that may be nothing."""

Count = Annotated[int, Field(ge=1, le=1_000_000)]
"""How many of something there may be; at least one."""

Retries = Annotated[int, Field(ge=0, le=1000)]
"""How often something is tried again after its first attempt."""


class Section(BaseModel):
    """A part of the configuration: frozen, and closed to keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_booleans_as_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        annotation = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and bool not in {annotation, *get_args(annotation)}:
            raise PydanticCustomError("boolean", "must not be a boolean")
        return value

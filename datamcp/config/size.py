"""Amounts of memory as people write them: `10GB`, `512MiB`.

Units follow IEC 80000-13: kB, MB, GB and TB count in thousands; KiB, MiB, GiB and TiB in 1024s.
Case does not matter. A bare letter (`10G`) means one thing to some tools and another to others,
so it is refused. A number without a unit counts bytes.
"""

import re
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

_UNITS = {"": 1, "b": 1} | {
    f"{prefix}{suffix}": base ** (power + 1)
    for power, prefix in enumerate("kmgt")
    for suffix, base in (("b", 1000), ("ib", 1024))
}
_WRITTEN = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([a-z]*)", re.ASCII | re.IGNORECASE)


class Size(str):
    """An amount of memory; the text is as it was written, `bytes` is what it comes to."""

    __slots__ = ()

    @property
    def bytes(self) -> int:
        """Return the number of bytes."""
        found = _WRITTEN.fullmatch(self)
        if found is None or found[2].lower() not in _UNITS:
            raise ValueError(f"not a size: {str(self)!r}")
        return int(float(found[1]) * _UNITS[found[2].lower()])

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: Any, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Accept text, or a whole number of bytes."""
        schema = core_schema.union_schema(
            [core_schema.str_schema(strict=True), core_schema.int_schema(strict=True, ge=0)],
            custom_error_type="size",
            custom_error_message="must be a size such as 512MB, 10GB or 4GiB",
        )
        return core_schema.no_info_after_validator_function(cls._parse, schema)

    @classmethod
    def _parse(cls, value: str | int) -> "Size":
        size = cls(str(value).strip())
        try:
            amount = size.bytes
        except ValueError:
            raise PydanticCustomError(
                "size", "must be a size such as 512MB, 10GB or 4GiB"
            ) from None
        if amount < 1:
            raise PydanticCustomError("size", "must be a size of at least one byte")
        return size

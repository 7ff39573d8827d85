import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from datamcp.config.size import Size

_SIZES: TypeAdapter[Size] = TypeAdapter(Size)


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("10GB", 10_000_000_000),
        ("10 gb", 10_000_000_000),
        ("512MiB", 512 * 1024**2),
        ("1.5kB", 1500),
        ("4GiB", 4 * 1024**3),
        ("1TB", 10**12),
        ("77", 77),
        ("77B", 77),
    ],
)
def test_units_count_in_thousands_or_in_1024s(written: str, amount: int) -> None:
    """GB is decimal, GiB is binary, and no unit means bytes."""
    assert _SIZES.validate_python(written).bytes == amount


def test_a_size_stays_as_it_was_written() -> None:
    """The specification's default compares equal to its text."""
    assert _SIZES.validate_python("10GB") == "10GB"


def test_a_number_counts_bytes() -> None:
    """A plain number, as YAML gives it, is a number of bytes."""
    assert _SIZES.validate_python(4096).bytes == 4096


@pytest.mark.parametrize("wrong", ["10G", "", "GB", "-1GB", "0", "1e3", "10PB", -1, 1.5, None, []])
def test_what_is_no_size_is_refused(wrong: object) -> None:
    """Ambiguous units, nothing at all, and other types are errors that show the right form."""
    with pytest.raises(ValidationError, match="must be a size"):
        _SIZES.validate_python(wrong)


@given(st.integers(min_value=1, max_value=10**9), st.sampled_from(["kB", "MB", "GB", "TB"]))
def test_binary_units_are_larger_than_decimal_ones(count: int, unit: str) -> None:
    """The same number of KiB is always more than that of kB, and so on up."""
    binary = unit[0] + "iB"
    assert Size(f"{count}{binary}").bytes > Size(f"{count}{unit}").bytes

import pytest

from datamcp.naming import did_you_mean


@pytest.mark.parametrize("name", ["bench.ad", "bench.addd", "bench.dad"])
def test_suggests_the_nearest_name(name: str) -> None:
    """A slip of the finger is answered with what was meant."""
    assert did_you_mean(name, ["bench.add", "research.report"]) == "; did you mean 'bench.add'?"


@pytest.mark.parametrize("names", [[], ["research.report"]])
def test_suggests_nothing_where_nothing_is_near(names: list[str]) -> None:
    """A wild guess would mislead."""
    assert did_you_mean("bench.add", names) == ""

from dataclasses import replace
from datetime import date
from math import sqrt
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.prices import closes, walk, wti, wti_series

from datamcp.agent_types.markets.risk import RiskAssessment, RiskSettings, assess
from datamcp.agent_types.markets.series import Series
from datamcp.agent_types.markets.tail import (
    Shape,
    historical_shortfall,
    historical_var,
    is_cornish_fisher_valid,
    quantile,
    shape_of,
)

OIL = np.asarray([price for _, price in wti()])
SETTINGS = RiskSettings()

returns = st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=200)
confidences = st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.975, 0.99])


def assessed(series: Series, position: float | None = None, **changes: float) -> RiskAssessment:
    """Return the risk of a series."""
    return assess(series, replace(SETTINGS, **changes), position)  # type: ignore[arg-type]


@given(returns, st.floats(0, 1))
def test_quantiles_are_those_of_numpy(values: list[float], part: float) -> None:
    """Linear between two values, of any number of them."""
    assert quantile(sorted(values), part) == pytest.approx(np.quantile(values, part), abs=1e-8)


@given(returns, confidences)
def test_a_shortfall_is_at_least_the_value_at_risk(values: list[float], confidence: float) -> None:
    """And the more so, the surer one wants to be."""
    ordered = sorted(values)
    risk = historical_var(ordered, confidence)
    shortfall = historical_shortfall(ordered, confidence)
    assert shortfall >= risk - 1e-12
    assert historical_var(ordered, 0.995) >= risk - 1e-12
    assert shortfall == pytest.approx(-np.mean([one for one in values if one <= -risk]))


def test_the_tail_at_a_round_place_is_all_of_it() -> None:
    """1 - 0.9 is a little less than 0.1; the eleventh of 101 returns belongs to the tail."""
    ordered = [float(number) for number in range(-50, 51)]
    assert historical_var(ordered, 0.9) == 40
    assert historical_shortfall(ordered, 0.9) == sum(range(40, 51)) / 11


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("horizon", [1, 10])
def test_the_tail_of_the_oil_price(confidence: float, horizon: int) -> None:
    """Every figure is what its formula gives; amounts are for what is held."""
    found = assessed(wti_series(), 250_000.0, confidence=confidence, horizon=horizon)
    past = OIL[horizon:] / OIL[:-horizon] - 1
    limit = np.quantile(past, 1 - confidence)
    tail = found.tail
    assert tail.historical_var == pytest.approx(-limit, rel=1e-9)
    assert tail.historical_shortfall == pytest.approx(-past[past <= limit].mean(), rel=1e-9)
    daily = OIL[1:] / OIL[:-1] - 1
    mean, deviation = daily.mean() * horizon, daily.std(ddof=1) * sqrt(horizon)
    z = NormalDist().inv_cdf(1 - confidence)
    assert tail.normal_var == pytest.approx(-(mean + z * deviation), rel=1e-9)
    beyond = deviation * NormalDist().pdf(z) / (1 - confidence) - mean
    assert tail.normal_shortfall == pytest.approx(beyond, rel=1e-9)
    away = daily - daily.mean()
    s = (away**3).mean() / daily.std() ** 3 / sqrt(horizon)
    k = ((away**4).mean() / daily.std() ** 4 - 3) / horizon
    w = z + (z**2 - 1) * s / 6 + (z**3 - 3 * z) * k / 24 - (2 * z**3 - 5 * z) * s**2 / 36
    assert tail.cornish_fisher_var == pytest.approx(-(mean + w * deviation), rel=1e-9)
    assert found.amounts is not None
    for name, share in tail:
        assert getattr(found.amounts, name) == share * 250_000


def test_the_figures_of_the_oil_price() -> None:
    """Against NumPy, with a rate of four percent."""
    found = assessed(wti_series(), risk_free_rate=0.04)
    daily, logs = OIL[1:] / OIL[:-1] - 1, np.diff(np.log(OIL))
    target, away = 0.04 / 252, daily - daily.mean()
    downside = sqrt((np.minimum(daily - target, 0) ** 2).mean() * 252)
    weights = 0.94 ** np.arange(len(logs))[::-1]
    expected = {
        "returns": len(daily),
        "mean_return": daily.mean(),
        "skewness": (away**3).mean() / daily.std() ** 3,
        "excess_kurtosis": (away**4).mean() / daily.std() ** 4 - 3,
        "volatility": logs.std(ddof=1) * sqrt(252),
        "ewma_volatility": sqrt((weights * logs**2).sum() / weights.sum() * 252),
        "downside_deviation": downside,
        "sharpe_ratio": (daily.mean() - target) / daily.std(ddof=1) * sqrt(252),
        "sortino_ratio": (daily.mean() - target) * 252 / downside,
        "current_drawdown": OIL[-1] / OIL.max() - 1,
    }
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-9), name
    days = [day for day, _ in wti()]
    assert [one.date for one in found.worst] == [days[n + 1] for n in np.argsort(daily)[:5]]
    assert found.worst[0].date == date(1991, 1, 17)
    assert found.missing == {}
    assert RiskAssessment.model_validate_json(found.model_dump_json()) == found


def test_the_weighted_volatility_is_riskmetrics_recursion() -> None:
    """Begun long ago, the recursion with any first variance comes to the same."""
    variance = 0.01
    for one in np.diff(np.log(OIL)):
        variance = 0.94 * variance + 0.06 * one**2
    assert assessed(wti_series()).ewma_volatility == pytest.approx(sqrt(variance * 252), rel=1e-9)


@pytest.mark.parametrize(
    ("step", "last", "level", "reasons"),
    [
        (0.005, 1.0, "low", 2),
        (0.005, 0.85, "medium", 1),
        (0.013, 1.0, "medium", 1),
        (0.005, 0.7, "high", 1),
        (0.03, 1.0, "high", 1),
        (0.03, 0.5, "high", 2),
    ],
)
def test_levels_by_their_rule(step: float, last: float, level: str, reasons: int) -> None:
    """The worse of volatility and fall decides; each figure that decided is told."""
    series = [100.0 * (1 + step) ** (number % 2) for number in range(1, 1000)]
    slow = [series[-1] * last ** (number / 400) for number in range(1, 401)]
    wavy = [price * (1 + step) ** (number % 2) for number, price in enumerate(slow)]
    found = assessed(closes([*series, *wavy]))
    assert found.level == level
    assert len(found.level_reasons) == reasons


def test_a_short_series_says_what_it_lacks() -> None:
    """Twenty returns for one to lie beyond 95 %, two for a deviation, thirty for weights."""
    found = assessed(walk(1, 15).series)
    assert found.missing == {
        "tail.historical_var": "needs 20 returns, there are 14",
        "tail.historical_shortfall": "needs 20 returns, there are 14",
        "ewma_volatility": "needs 30 returns of positive prices in a row, there are 14",
        "level": "needs 30 returns of positive prices in a row, there are 14",
    }
    assert assessed(walk(1, 21).series).tail.historical_var is not None
    one = assessed(closes([5.0]))
    assert one.missing["sharpe_ratio"] == "needs 2 returns, there are 0"
    assert (one.current_drawdown, one.max_drawdown, one.worst) == (0.0, None, ())
    ahead = assessed(walk(1, 25).series, horizon=10)
    assert ahead.missing["tail.historical_var"] == "needs 20 returns over 10 rows, there are 15"


def test_returns_that_do_not_vary_have_no_ratio() -> None:
    """Neither of a price that stands still, nor of one that grows by the same part each day."""
    still = assessed(closes([0.1] * 100))
    assert still.missing["sharpe_ratio"] == "all returns are the same"
    assert still.missing["sortino_ratio"] == "no return is below the risk-free rate"
    assert (still.volatility, still.tail.historical_var) == (0.0, 0.0)
    growing = assessed(closes([1.01**number for number in range(100)]))
    assert growing.sharpe_ratio is None
    assert growing.tail.historical_var == pytest.approx(-0.01)


def test_prices_below_zero() -> None:
    """The fall below counts, the way back has no return, and log returns begin anew after it."""
    prices = [*walk(3, 200).close, -37.63, *walk(4, 200).close]
    found = assessed(closes(prices))
    assert found.worst[0].value == -37.63 / prices[199] - 1 < -1
    assert found.returns == 399
    assert "returns left out, as their first price is not positive: 1" in found.warnings
    assert found.missing["volatility"] == "a price is not positive"
    later = assessed(walk(4, 200).series)
    assert found.ewma_volatility == pytest.approx(later.ewma_volatility, rel=1e-12)
    assert found.max_drawdown is not None
    assert found.max_drawdown.depth < -1


@pytest.mark.parametrize("power", [-30, -7, 1, 30])
def test_another_unit_changes_nothing(power: int) -> None:
    """Returns are parts."""
    one = assessed(walk(5, 300).series)
    other = assessed(walk(5, 300, start=100.0 * 2.0**power).series)
    unit = {"max_drawdown"}
    assert one.model_dump(exclude=unit) == other.model_dump(exclude=unit)


@given(st.floats(-4, 4), st.floats(-3, 30))
def test_the_domain_of_the_correction(skewness: float, kurtosis: float) -> None:
    """Valid exactly where the corrected quantile rises with the normal one."""
    z = np.linspace(-4, 4, 8001)
    s, k = skewness, kurtosis
    w = z + (z**2 - 1) * s / 6 + (z**3 - 3 * z) * k / 24 - (2 * z**3 - 5 * z) * s**2 / 36
    steepest_fall = np.diff(w).min() / 0.001
    if is_cornish_fisher_valid(Shape(0.0, 1.0, skewness, kurtosis)):
        assert steepest_fall >= -1e-9
    else:
        assert steepest_fall < 0.05


def test_a_correction_outside_of_its_domain_is_told() -> None:
    """Of the oil price it is; of a tame walk it is not."""
    assert any("cornish_fisher" in one for one in assessed(wti_series()).warnings)
    assert assessed(walk(6, 2000, step=0.01).series).warnings == ()


@given(returns)
@example([0.0, 5e-85])
def test_shapes_are_those_of_numpy(values: list[float]) -> None:
    """Mean, deviation with n - 1, and the moment coefficients."""
    shape = shape_of(values)
    if shape is None:
        return
    array = np.asarray(values)
    away = array - array.mean()
    assert shape.mean == pytest.approx(array.mean(), abs=1e-12)
    assert shape.deviation == pytest.approx(array.std(ddof=1), rel=1e-6)
    if array.std() > 1e-6:
        third, fourth = (away**3).mean() / array.std() ** 3, (away**4).mean() / array.std() ** 4
        assert shape.skewness == pytest.approx(third, rel=1e-6, abs=1e-6)
        assert shape.excess_kurtosis == pytest.approx(fourth - 3, rel=1e-6, abs=1e-6)

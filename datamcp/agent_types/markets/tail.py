"""How bad returns can get: value at risk and expected shortfall, by definition. Pure.

Returns are fractions, losses are positive: a value at risk of 0.03 at a confidence of 0.95 says
that a loss was, or is held to be, larger than 3 % one time in twenty. A negative one is a gain.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, sqrt
from statistics import NormalDist, fmean

_NORMAL = NormalDist()
_ROUNDING = 1e-12  # of the largest return


def quantile(ordered: Sequence[float], part: float) -> float:
    """Return the quantile of values in rising order.

    Between two values it is interpolated: type 7 of Hyndman and Fan (1996), the default of R and
    of NumPy.
    """
    place = round(part * (len(ordered) - 1), 9)  # 1 - 0.9 is not quite 0.1
    below, above = ordered[floor(place)], ordered[ceil(place)]
    return below + (above - below) * (place - floor(place))


def rows_needed(confidence: float) -> int:
    """Return how many returns there must be for one of them to lie beyond the value at risk."""
    return ceil(round(1 / (1 - confidence), 9))


def historical_var(ordered: Sequence[float], confidence: float) -> float:
    """Return the loss that only a part of 1 - `confidence` of past returns exceeds."""
    return -quantile(ordered, 1 - confidence)


def historical_shortfall(ordered: Sequence[float], confidence: float) -> float:
    """Return the mean loss of the returns that are not above the quantile of the value at risk."""
    limit = quantile(ordered, 1 - confidence)
    return -fmean(value for value in ordered if value <= limit)


@dataclass(frozen=True, slots=True)
class Shape:
    """Mean and sample standard deviation of returns, their skewness and excess kurtosis.

    The last two are the moment coefficients g1 and g2 of Joanes and Gill (1998): 0 of a normal
    distribution.
    """

    mean: float
    deviation: float
    skewness: float
    excess_kurtosis: float

    def over(self, rows: int) -> "Shape":
        """Return the shape of the sum of as many independent returns of this shape."""
        return Shape(
            self.mean * rows,
            self.deviation * sqrt(rows),
            self.skewness / sqrt(rows),
            self.excess_kurtosis / rows,
        )


def shape_of(returns: Sequence[float]) -> Shape | None:
    """Return the shape of returns; None if there are not two different ones.

    Returns that differ by less than rounding does are the same.
    """
    if len(returns) < 2:
        return None
    mean = fmean(returns)
    spread = sqrt(fmean((value - mean) ** 2 for value in returns))
    if spread <= _ROUNDING * max(abs(value) for value in returns):
        return None
    away = [(value - mean) / spread for value in returns]
    return Shape(
        mean,
        spread * sqrt(len(returns) / (len(returns) - 1)),
        fmean(value**3 for value in away),
        fmean(value**4 for value in away) - 3,
    )


def normal_var(shape: Shape, confidence: float) -> float:
    """Return the value at risk of a normal distribution of this mean and deviation."""
    return -(shape.mean + _NORMAL.inv_cdf(1 - confidence) * shape.deviation)


def normal_shortfall(shape: Shape, confidence: float) -> float:
    """Return the expected shortfall of a normal distribution of this mean and deviation."""
    density = _NORMAL.pdf(_NORMAL.inv_cdf(1 - confidence))
    return -shape.mean + shape.deviation * density / (1 - confidence)


def cornish_fisher_var(shape: Shape, confidence: float) -> float:
    """Return the value at risk with the normal quantile corrected for skewness and kurtosis.

    The expansion of Cornish and Fisher (1937) up to the fourth moment, as in Favre and Galeano
    (2002), who call it modified value at risk.
    """
    z, s, k = _NORMAL.inv_cdf(1 - confidence), shape.skewness, shape.excess_kurtosis
    corrected = z + (z**2 - 1) * s / 6 + (z**3 - 3 * z) * k / 24 - (2 * z**3 - 5 * z) * s**2 / 36
    return -(shape.mean + corrected * shape.deviation)


def is_cornish_fisher_valid(shape: Shape) -> bool:
    """Tell whether the corrected quantile rises with the normal one, as a quantile must.

    Looked at within four standard deviations: outside of its domain of skewness and kurtosis the
    expansion falls somewhere, and orders losses wrongly there (Maillard 2012).
    """
    s, k = shape.skewness, shape.excess_kurtosis
    square, linear, level = k / 8 - s**2 / 6, s / 3, 1 - k / 8 + 5 * s**2 / 36
    places = [-4.0, 4.0]
    if square > 0:
        places.append(min(4.0, max(-4.0, -linear / (2 * square))))
    return all(square * z**2 + linear * z + level >= 0 for z in places)

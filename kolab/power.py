"""How many runs a claim needs: paired differences, their interval, and the power of a paired t-test.

Two settings are compared run by run: same split, same seed. What counts is how much the *differences* scatter, not how
much the scores do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import nct
from scipy.stats import t as student

from kolab.errors import ConfigError, DataError


class Paired(NamedTuple):
    """Mean and standard deviation of the differences, their number, and the ends of the mean's interval."""

    mean: float
    sd: float
    runs: int
    low: float
    high: float


def paired(differences: Sequence[float], *, level: float = 0.95, folds: int | None = None) -> Paired:
    """What paired differences say about the true one: their mean with its t interval.

    Args:
        differences: one a run; at least two.
        level: of the interval.
        folds: give the number of folds where the differences come from k-fold cross-validation. Two folds share most of
            their training texts, so their errors go together, and five folds tell less than five independent runs:
            the variance of the mean is taken as (1/n + 1/(k - 1)) · sd² in place of sd²/n (Nadeau and Bengio, 2003,
            *Inference for the Generalization Error*).

    >>> paired([1.0, 2.0, 3.0])
    Paired(mean=2.0, sd=1.0, runs=3, low=-0.48..., high=4.48...)
    """
    values = np.asarray(differences, dtype=float)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise DataError("an interval needs at least two differences, all of them finite numbers.")
    if folds is not None and folds < 2:
        raise ConfigError(f"folds is {folds}; cross-validation has at least 2.")
    _check_level(level)
    mean, sd, count = float(values.mean()), float(values.std(ddof=1)), len(values)
    error = sd * math.sqrt(1 / count + (0 if folds is None else 1 / (folds - 1)))
    reach = float(student.ppf((1 + level) / 2, count - 1)) * error
    return Paired(mean, sd, count, mean - reach, mean + reach)


def power_of(runs: int, difference: float, sd: float, *, level: float = 0.05) -> float:
    """How likely a two-sided paired t-test over so many runs finds a true difference, from `level` to 1.

    difference, sd: of the paired differences, in the same unit. The test statistic follows a noncentral t distribution
    with `runs` - 1 degrees of freedom (Cohen, 1988, *Statistical Power Analysis*, chapter 2).

    >>> round(power_of(34, 0.5, 1.0), 2)
    0.81
    """
    if runs < 2 or sd <= 0:
        raise ConfigError(f"runs is {runs} and sd {sd}; a t-test needs at least 2 runs and an sd above 0.")
    _check_level(level)
    shift = abs(difference) / sd * math.sqrt(runs)
    limit = student.ppf(1 - level / 2, runs - 1)
    other = np.nan_to_num(
        nct.cdf(-limit, runs - 1, shift)
    )  # scipy gives nan where it is too small to compute
    return float(nct.sf(limit, runs - 1, shift) + other)


def runs_needed(
    difference: float, sd: float, *, power: float = 0.8, level: float = 0.05, most: int = 100_000
) -> int:
    """The fewest paired runs in which a true difference is found with the probability `power`.

    >>> runs_needed(0.5, 1.0), runs_needed(2.0, 1.0), runs_needed(2.0, 0.0)
    (34, 5, 2)
    """
    if difference == 0 or sd < 0:
        raise ConfigError(f"difference is {difference} and sd {sd}: nothing cannot be found, give another.")
    if not level < power < 1:
        raise ConfigError(f"power is {power}; it has to lie between the level, {level}, and 1.")
    if sd == 0 or power_of(2, difference, sd, level=level) >= power:
        return 2
    low, high = 2, 4  # not enough, perhaps enough
    while power_of(high, difference, sd, level=level) < power:
        low, high = high, 2 * high
        if low > most:
            raise ConfigError(f"more than {most:,} runs are needed: the difference is lost in the noise.")
    while high - low > 1:  # power grows with the runs
        middle = (low + high) // 2
        if power_of(middle, difference, sd, level=level) >= power:
            high = middle
        else:
            low = middle
    return high


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ConfigError(f"level is {level}; it has to lie between 0 and 1.")

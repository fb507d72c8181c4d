"""Intervals and power against simulation, scipy's own test and Cohen's tables."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kolab.errors import ConfigError, DataError
from kolab.power import paired, power_of, runs_needed


@given(st.lists(st.floats(-10, 10).map(lambda x: round(x, 3)), min_size=2, max_size=30), st.floats(0.5, 0.99))
def test_the_interval_is_scipys(values, level):
    found = paired(values, level=level)
    if found.sd > 0:
        low, high = stats.t.interval(level, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
        assert (found.low, found.high) == pytest.approx((low, high))
    assert found.runs == len(values) and found.mean == pytest.approx(np.mean(values))


def test_folds_that_share_texts_tell_less():
    values = [1.0, 2.0, 4.0, 3.0, 2.5]
    plain, folded = paired(values), paired(values, folds=5)
    assert (folded.high - folded.low) / (plain.high - plain.low) == pytest.approx(
        math.sqrt((1 / 5 + 1 / 4) / (1 / 5))
    )
    assert folded.mean == plain.mean


@pytest.mark.parametrize("effect, runs", [(0.2, 199), (0.5, 34), (0.8, 15)])  # Cohen (1988); also G*Power's
def test_known_numbers_of_runs(effect, runs):
    assert runs_needed(effect, 1.0) == runs


def test_power_is_what_a_simulation_gives():
    random = np.random.default_rng(0)
    draws = random.normal(1.5, 2.0, size=(20_000, 9))
    found = stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05
    assert power_of(9, 1.5, 2.0) == pytest.approx(found.mean(), abs=0.012)


@given(difference=st.floats(0.3, 5), sd=st.floats(0.1, 5), power=st.floats(0.1, 0.95))
def test_one_run_fewer_is_not_enough(difference, sd, power):
    runs = runs_needed(difference, sd, power=power)
    assert power_of(runs, difference, sd) >= power
    assert runs == 2 or power_of(runs - 1, difference, sd) < power


def test_a_huge_difference_is_found_whatever_scipy_thinks_of_the_other_tail():
    assert power_of(2, 6.0, 1.0) == pytest.approx(0.494, abs=0.001)
    assert power_of(100, 3.0, 1.0) == pytest.approx(1)


def test_without_a_difference_only_the_level_is_left():
    assert power_of(10, 0.0, 1.0, level=0.05) == pytest.approx(0.05)
    assert power_of(10, -1.0, 1.0) == pytest.approx(power_of(10, 1.0, 1.0))
    assert runs_needed(-0.5, 1.0) == 34


@pytest.mark.parametrize(
    "wrong, error, words",
    [
        (lambda: paired([1.0]), DataError, "at least two"),
        (lambda: paired([1.0, np.nan]), DataError, "finite"),
        (lambda: paired([1.0, 2.0], folds=1), ConfigError, "at least 2"),
        (lambda: paired([1.0, 2.0], level=1.0), ConfigError, "between 0 and 1"),
        (lambda: power_of(1, 1.0, 1.0), ConfigError, "at least 2 runs"),
        (lambda: runs_needed(0.0, 1.0), ConfigError, "nothing cannot be found"),
        (lambda: runs_needed(1.0, 1.0, power=0.01), ConfigError, "between the level"),
        (lambda: runs_needed(1e-4, 1.0), ConfigError, "lost in the noise"),
    ],
)
def test_what_cannot_be_is_said(wrong, error, words):
    with pytest.raises(error, match=words):
        wrong()

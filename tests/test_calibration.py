"""Reliability, ECE and temperature against plain loops, laws and an independent optimum."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from kolab.calibration import draw, ece, fit_temperature, nll, reliability
from kolab.errors import ConfigError, DataError


def case(seed: int, count: int = 200, classes: int = 4, scale: float = 2.0):
    random = np.random.default_rng(seed)
    logits = scale * random.normal(size=(count, classes))
    return logits, random.integers(classes, size=count)


def slow_ece(probabilities, labels, bins):
    total = 0.0
    for b in range(bins):
        inside = [
            i
            for i, row in enumerate(probabilities)
            if b / bins < row.max() <= (b + 1) / bins or (b == 0 and row.max() == 0)
        ]
        if inside:
            sure = np.mean([probabilities[i].max() for i in inside])
            right = np.mean([probabilities[i].argmax() == labels[i] for i in inside])
            total += len(inside) / len(labels) * abs(sure - right)
    return total


@given(seed=st.integers(0, 10_000), bins=st.integers(1, 30), scale=st.floats(0.1, 20))
def test_ece_is_what_a_plain_loop_gives(seed, bins, scale):
    logits, labels = case(seed, 60, scale=scale)
    probabilities = softmax(logits, axis=1)
    assert ece(probabilities, labels, bins) == pytest.approx(slow_ece(probabilities, labels, bins), abs=1e-12)


def test_the_table_counts_every_example_once_certain_ones_too():
    probabilities = np.array([[1.0, 0.0], [0.5, 0.5], [0.55, 0.45], [0.0, 1.0]])
    table = reliability(probabilities, [0, 0, 1, 0])
    assert table["count"].sum() == 4 and table["count"].iloc[-1] == 2
    assert table["accuracy"].iloc[-1] == 0.5 and table["confidence"].iloc[-1] == 1.0
    assert table["count"].iloc[4] == 1, "an edge belongs to the bin below"
    assert table["accuracy"].isna().sum() == 7
    assert reliability(torch.tensor(probabilities), torch.tensor([0, 0, 1, 0])).equals(table)


@given(seed=st.integers(0, 10_000), factor=st.floats(0.2, 5))
def test_a_scaled_model_is_scaled_back(seed, factor):
    logits, labels = case(seed)
    base = fit_temperature(logits, labels)
    if 0.3 < base * factor < 15 and 0.3 < base < 15:
        assert fit_temperature(factor * logits, labels) == pytest.approx(factor * base, rel=1e-2)


@given(seed=st.integers(0, 10_000))
def test_no_other_temperature_is_likelier_and_no_answer_changes(seed):
    logits, labels = case(seed)
    best = fit_temperature(logits, labels)
    for other in np.geomspace(0.06, 19, 40):
        assert nll(logits, labels, best) <= nll(logits, labels, other) + 1e-6
    assert (softmax(logits / best, axis=1).argmax(1) == logits.argmax(1)).all()


def test_nll_is_torchs_cross_entropy():
    logits, labels = case(3)
    expected = torch.nn.functional.cross_entropy(torch.tensor(logits) / 1.7, torch.tensor(labels))
    assert nll(torch.tensor(logits), torch.tensor(labels), 1.7) == pytest.approx(float(expected))


def test_a_calibrated_model_has_little_to_mend():
    random = np.random.default_rng(0)
    logits = random.normal(size=(20_000, 5))
    probabilities = softmax(logits, axis=1)
    labels = (random.random((20_000, 1)) < probabilities.cumsum(1)).argmax(1)
    assert ece(probabilities, labels) < 0.015 and fit_temperature(logits, labels) == pytest.approx(
        1, abs=0.05
    )
    assert ece(softmax(3 * logits, axis=1), labels) > 0.15


def test_where_all_is_right_the_lower_end_comes_back():
    assert fit_temperature(np.eye(3), [0, 1, 2]) == pytest.approx(0.05, rel=1e-3)


@pytest.mark.parametrize(
    "wrong, words",
    [
        (lambda: ece(np.array([[2.0, -1.0]]), [0]), "take the softmax"),
        (lambda: ece(np.ones((2, 2)) / 2, [0]), r"shape \(1,\)"),
        (lambda: nll(np.ones((1, 2)), [2]), "class outside 0 … 1"),
        (lambda: fit_temperature(np.full((1, 2), np.nan), [0]), "not finite"),
        (lambda: fit_temperature(np.ones((0, 2)), []), "at least one row"),
    ],
)
def test_what_cannot_be_is_said(wrong, words):
    with pytest.raises(DataError, match=words):
        wrong()


def test_no_bins():
    with pytest.raises(ConfigError, match="bins is 0"):
        ece(np.ones((1, 2)) / 2, [0], bins=0)


def test_the_diagram_has_a_curve_a_name():
    logits, labels = case(1)
    figure = draw(
        {
            "가": reliability(softmax(logits, axis=1), labels),
            "나": reliability(softmax(logits / 3, axis=1), labels),
        }
    )
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["가", "나"]
    assert len(axes.lines) == 3 and axes.get_xlabel() == "confidence"

"""kolab/decide.py against trying every threshold, its laws, and what cross-fitting must not see."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import accuracy_score, f1_score

from kolab.decide import apply_thresholds, cross_fit, fit_thresholds
from kolab.errors import ConfigError, DataError

# Few different values, so that ties are common; the ends and 0.5 among them.
values = st.one_of(st.sampled_from([0.0, 0.25, 0.5, np.nextafter(0.5, 1), 0.75, 1.0]), st.floats(0, 1))


@st.composite
def cases(draw, least=1):
    shape = (draw(st.integers(least, 25)), draw(st.integers(1, 4)))
    probabilities = draw(hnp.arrays(np.float64, shape, elements=values))
    return probabilities, draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 1)))


def score(labels, decided, metric):
    if metric == "accuracy":
        return accuracy_score(labels, decided)
    return f1_score(labels, decided, zero_division=0.0)


@given(cases(), st.sampled_from(["f1", "accuracy"]))
def test_no_threshold_is_better(case, metric):
    probabilities, labels = case
    thresholds = fit_thresholds(probabilities, labels, metric=metric)
    assert thresholds.shape == (labels.shape[1],) and (thresholds >= 0).all() and (thresholds <= 1).all()
    decided = apply_thresholds(probabilities, thresholds)
    for c in range(labels.shape[1]):
        tried = np.unique(np.concatenate([[0.0, 0.5, 1.0], probabilities[:, c]]))
        best = max(score(labels[:, c], (probabilities[:, c] > t).astype(int), metric) for t in tried)
        assert score(labels[:, c], decided[:, c], metric) == pytest.approx(best)


@given(cases())
def test_never_worse_than_a_half_on_the_same_rows(case):
    probabilities, labels = case
    fitted = apply_thresholds(probabilities, fit_thresholds(probabilities, labels))
    plain = apply_thresholds(probabilities, 0.5)
    for c in range(labels.shape[1]):
        assert score(labels[:, c], fitted[:, c], "f1") >= score(labels[:, c], plain[:, c], "f1")
    macro = (
        [f1_score(labels, rows, average="macro", zero_division=0.0) for rows in (fitted, plain)]
        if (labels.shape[1] > 1)
        else [1, 0]
    )
    assert macro[0] >= macro[1] - 1e-12


@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(case, random):
    probabilities, labels = case
    order = list(range(len(labels)))
    random.shuffle(order)
    np.testing.assert_array_equal(
        fit_thresholds(probabilities, labels), fit_thresholds(probabilities[order], labels[order])
    )


@given(cases())
def test_a_half_stays_where_nothing_is_better(case):
    probabilities, labels = case
    thresholds = fit_thresholds(probabilities, labels)
    for c in range(labels.shape[1]):
        best = score(labels[:, c], (probabilities[:, c] > thresholds[c]).astype(int), "f1")
        if score(labels[:, c], (probabilities[:, c] > 0.5).astype(int), "f1") == best:
            assert thresholds[c] == 0.5


def test_an_absent_label_keeps_a_half_and_a_constant_one_is_always_yes():
    probabilities = np.array([[0.1, 0.2], [0.7, 0.4], [0.9, 0.3]])
    labels = np.array([[0, 1], [0, 1], [0, 1]])
    assert fit_thresholds(probabilities, labels)[0] == 0.5
    assert apply_thresholds(probabilities, fit_thresholds(probabilities, labels))[:, 1].tolist() == [1, 1, 1]


def test_neighbouring_floats_are_told_apart():
    low = 0.3
    high = np.nextafter(low, 1)
    threshold = fit_thresholds([[low], [high]], [[0], [1]])
    assert apply_thresholds([[low], [high]], threshold).ravel().tolist() == [0, 1]


def test_tensors_of_float32_give_the_same_decisions():
    random = torch.Generator().manual_seed(0)
    probabilities = torch.rand(50, 3, generator=random)
    labels = (torch.rand(50, 3, generator=random) < 0.3).float()
    thresholds = fit_thresholds(probabilities, labels)
    same = fit_thresholds(probabilities.double().numpy(), labels.numpy())
    np.testing.assert_array_equal(thresholds, same)
    by_torch = (probabilities > torch.from_numpy(thresholds)).numpy()
    np.testing.assert_array_equal(apply_thresholds(probabilities, thresholds), by_torch)


@given(cases(least=4), st.integers(2, 4), st.integers(0, 3), st.data())
def test_a_row_is_decided_without_its_own_label(case, folds, seed, data):
    """With given folds: flip all labels of a fold, and its decisions stay what they were."""
    probabilities, labels = case
    fold_of = np.array(
        data.draw(st.lists(st.integers(0, folds - 1), min_size=len(labels), max_size=len(labels)))
    )
    assume(len(np.unique(fold_of)) > 1)
    decided = cross_fit(probabilities, labels, folds=fold_of)
    held = fold_of == fold_of[0]
    flipped = labels.copy()
    flipped[held] = 1 - flipped[held]
    np.testing.assert_array_equal(cross_fit(probabilities, flipped, folds=fold_of)[held], decided[held])
    for fold in np.unique(fold_of):
        rest = fold_of != fold
        expected = apply_thresholds(probabilities[~rest], fit_thresholds(probabilities[rest], labels[rest]))
        np.testing.assert_array_equal(decided[~rest], expected)


def test_folds_spread_a_rare_label_evenly_and_follow_the_seed():
    from kolab.decide import _dealt

    labels = np.zeros(503, dtype=int)
    labels[:7] = 1
    dealt = [_dealt(labels, 5, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    for fold_of in dealt:
        assert np.ptp(np.bincount(fold_of[labels == 1], minlength=5)) <= 1
        assert np.ptp(np.bincount(fold_of, minlength=5)) <= 1
    assert (dealt[0] == dealt[1]).all() and (dealt[0] != dealt[2]).any()


def test_cross_fitting_shows_the_gain_on_noise_to_be_none():
    random = np.random.default_rng(0)
    probabilities, labels = random.random((400, 20)), (random.random((400, 20)) < 0.05).astype(int)

    def macro(decided):
        return f1_score(labels, decided, average="macro", zero_division=0.0)

    tuned = macro(apply_thresholds(probabilities, fit_thresholds(probabilities, labels)))
    crossed = macro(cross_fit(probabilities, labels))
    assert tuned > crossed + 0.03  # what was fitted is chance
    assert crossed == pytest.approx(macro(apply_thresholds(probabilities, 0.5)), abs=0.03)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: fit_thresholds([[2.0]], [[1]]), DataError, "sigmoid"),
        (lambda: fit_thresholds([[np.nan]], [[1]]), DataError, "between 0 and 1"),
        (lambda: fit_thresholds([[0.2, 0.3]], [[1]]), DataError, "must match"),
        (lambda: fit_thresholds([0.2], [1]), DataError, "rows, classes"),
        (lambda: fit_thresholds(np.zeros((0, 3)), np.zeros((0, 3))), DataError, "at least one"),
        (lambda: fit_thresholds([[0.2]], [[0.5]]), DataError, "0 and 1"),
        (lambda: fit_thresholds([[0.2], [0.1, 0.3]], [[1]]), DataError, "equal length"),
        (lambda: fit_thresholds([[0.2]], [[1]], metric="f2"), ConfigError, "f1, accuracy"),
        (lambda: apply_thresholds([[0.2, 0.3]], [0.5, 0.5, 0.5]), DataError, "2 classes"),
        (lambda: cross_fit([[0.2], [0.3]], [[1], [0]], folds=1), ConfigError, "from 2"),
        (lambda: cross_fit([[0.2], [0.3]], [[1], [0]]), ConfigError, "from 2 to the number of rows, 2"),
        (lambda: cross_fit([[0.2], [0.3]], [[1], [0]], folds=[1, 1]), ConfigError, "2 different"),
    ],
)
def test_what_cannot_be_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()

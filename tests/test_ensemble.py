"""Weights over models: on the simplex, never worse than what they are built from, and truly the best."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kolab.ensemble import blend, fit_weights, search_weights, simplex_grid
from kolab.errors import ConfigError, DataError
from kolab.metrics import macro_f1


def made(seed: int, models: int = 3, texts: int = 40, labels: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (M, N, C) of models that know more or less of multi-hot labels (N, C)."""
    random = np.random.default_rng(seed)
    truth = (random.random((texts, labels)) < 0.3).astype(int)
    noise = random.normal(scale=random.uniform(0.5, 3, size=(models, 1, 1)), size=(models, texts, labels))
    return 1 / (1 + np.exp(-(3 * truth - 1.5 + noise))), truth


def log_loss(stack: np.ndarray, weights: np.ndarray, truth: np.ndarray) -> float:
    """The plain definition, by loops."""
    total = 0.0
    for text, label in itertools.product(range(truth.shape[0]), range(truth.shape[1])):
        p = sum(w * stack[m, text, label] for m, w in enumerate(weights))
        total -= math.log(p if truth[text, label] else 1 - p)
    return total / truth.size


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), models=st.integers(1, 5))
def test_fitted_weights_are_on_the_simplex_and_nothing_on_a_grid_is_better(seed, models):
    stack, truth = made(seed, models, texts=25, labels=3)
    weights = fit_weights(stack, truth)
    assert weights.shape == (models,) and (weights >= 0).all() and weights.sum() == pytest.approx(1)
    found = log_loss(stack, weights, truth)
    step = 0.1 if models < 4 else 0.25
    assert all(found <= log_loss(stack, other, truth) + 2e-5 for other in simplex_grid(models, step))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_the_models_does_not_matter(seed):
    stack, truth = made(seed)
    order = np.random.default_rng(seed).permutation(3)
    shuffled = blend(stack[order], fit_weights(stack[order], truth))
    assert np.allclose(blend(stack, fit_weights(stack, truth)), shuffled, atol=0.01)


def test_a_model_that_knows_the_answer_gets_all_and_a_copy_shares():
    stack, truth = made(0)
    knows = np.where(truth == 1, 0.999, 0.001)
    assert fit_weights([knows, *stack], truth)[0] > 0.99
    equal = fit_weights([stack[0], stack[0]], truth)
    assert equal == pytest.approx([0.5, 0.5])


def test_class_numbers_are_taken_too_and_agree_with_torch():
    random = np.random.default_rng(3)
    stack, truth = random.dirichlet([1, 1, 1], size=(2, 30)), random.integers(3, size=30)
    weights = fit_weights(stack, truth)
    losses = [
        float(torch.nn.functional.nll_loss(torch.tensor(blend(stack, w)).log(), torch.tensor(truth)))
        for w in (weights, [1, 0], [0, 1], [0.5, 0.5])
    ]
    assert losses[0] <= min(losses[1:]) + 1e-5


def test_certainty_that_is_wrong_breaks_nothing():
    weights = fit_weights(np.array([[[0.0], [1.0]], [[0.5], [0.5]]]), np.array([[1], [0]]))
    assert np.isfinite(weights).all() and weights[1] > 0.99


def test_the_grid_holds_every_point_once():
    points = [tuple((w * 5).round().astype(int)) for w in simplex_grid(3, 0.2)]
    assert len(points) == len(set(points)) == math.comb(7, 2)
    assert all(sum(p) == 5 and min(p) >= 0 for p in points)
    with pytest.raises(ConfigError, match="multiple of the step"):
        list(simplex_grid(3, 0.3))


def test_the_search_returns_the_best_of_the_grid_and_prefers_equal_weights():
    stack, truth = made(5)

    def score(p):
        return macro_f1((p > 0.5).astype(int), truth)

    weights, best = search_weights(stack, score, step=0.25)
    assert best == max(score(blend(stack, w)) for w in simplex_grid(3, 0.25)) == score(blend(stack, weights))
    weights, _ = search_weights(stack, lambda p: 0.0, step=0.25)
    assert sorted(weights) == [0.25, 0.25, 0.5]


@given(seed=st.integers(0, 999))
def test_a_blend_lies_between_its_models(seed):
    stack, _ = made(seed, texts=6, labels=2)
    weights = np.random.default_rng(seed).dirichlet([1, 1, 1])
    mixed = blend(stack, weights)
    assert (mixed >= stack.min(0) - 1e-12).all() and (mixed <= stack.max(0) + 1e-12).all()
    assert np.allclose(blend(torch.tensor(stack)), stack.mean(0)) and np.allclose(
        blend(list(stack)), stack.mean(0)
    )


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda s, y: blend(s, [0.5, 0.5]), ConfigError, "3 models need 3 weights"),
        (lambda s, y: blend(s, [0.5, 0.5, 0.5]), ConfigError, "not on the simplex"),
        (lambda s, y: blend(s, [1.5, -0.5, 0]), ConfigError, "not on the simplex"),
        (lambda s, y: fit_weights(s * 8 - 4, y), DataError, "need a sigmoid"),
        (lambda s, y: fit_weights(s[0], y), DataError, "wanted are"),
        (lambda s, y: fit_weights(s, y[:-1]), DataError, "do not belong together"),
        (lambda s, y: fit_weights([s[0], s[1][:-1]], y), DataError, "different shapes"),
        (lambda s, y: fit_weights(np.where(s > 0.9, np.nan, s), y), DataError, "between 0 and 1"),
    ],
)
def test_what_cannot_be_is_refused(call, error, says):
    with pytest.raises(error, match=says):
        call(*made(0))

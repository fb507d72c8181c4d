"""Several models, one answer: weights on the simplex, the bootstrap of a difference, and a test set that opens once.

Probabilities of M models stand in one array (M, N, C): N texts, C labels. Weights are fitted on validation texts,
thresholds too (`kolab.decide`), and the test texts see nothing but a finished plan.

>>> stack = np.array([[[0.9], [0.2]], [[0.5], [0.6]]])              # two models, two texts, one label
>>> blend(stack, [0.75, 0.25]).round(2).tolist()
[[0.8], [0.3]]
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from kolab.errors import ConfigError, DataError
from kolab.sealed import Opened, SealedTest, SealError, bootstrap_scores, paired_interval

__all__ = [
    "Opened", "SealError", "SealedTest", "blend", "bootstrap_scores", "fit_weights", "paired_interval",
    "search_weights", "simplex_grid",
]  # fmt: skip
TINY = 1e-7  # a probability of 0 would cost infinitely much where it is wrong


# ---- weights


def blend(stack: Any, weights: Any = None) -> np.ndarray:
    """The weighted mean over the models: (M, …) and (M,) → (…). Without weights all count the same.

    Give probabilities for a mean of probabilities; give logits, and take the sigmoid (or softmax) of the result, for a
    mean of logits. Raises ConfigError for weights that are not on the simplex (at least 0, sum 1).
    """
    stack = _array(stack, "stack")
    if weights is None:
        return stack.mean(axis=0)
    weights = np.asarray(weights, dtype=float)
    if weights.shape != stack.shape[:1]:
        raise ConfigError(f"{len(stack)} models need {len(stack)} weights; these have shape {weights.shape}.")
    if not np.isfinite(weights).all() or (weights < -1e-9).any() or abs(weights.sum() - 1) > 1e-6:
        raise ConfigError(
            f"the weights {weights.round(4).tolist()} are not on the simplex: each at least 0, their sum 1 "
            "(else the blend of probabilities is no probability)."
        )
    return np.tensordot(weights, stack, axes=1)


def fit_weights(
    probabilities: Any, labels: Any, *, tolerance: float = 1e-5, rounds: int = 20_000
) -> np.ndarray:
    """The weights (M,) on the simplex whose blend of probabilities has the lowest log loss.

    probabilities: (M, N, C). labels: multi-hot (N, C), or class numbers (N,). Use validation texts.

    The loss is convex in the weights, so there is one best value and nothing to be lucky with. Each round multiplies a
    weight by how well its model does, on average, in comparison with the blend: the EM step of a mixture (Dempster,
    Laird and Rubin, 1977), which never leaves the simplex and never makes the loss worse. The largest of those factors,
    less one, bounds how far the loss still is from its minimum; `tolerance` ends the rounds there.

    >>> sure, vague = [[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.5, 0.5]]
    >>> fit_weights([sure, vague], [[1, 0], [0, 1]]).round(3).tolist()
    [1.0, 0.0]
    """
    right = _given_to_the_truth(_stack(probabilities), labels)
    weights = np.full(len(right), 1 / len(right))
    for _ in range(rounds):
        factors = (right / (weights @ right)).mean(axis=1)
        if factors.max() - 1 < tolerance:
            break
        weights = weights * factors
        weights /= weights.sum()  # it is 1 already, but for rounding
    return weights


def search_weights(
    probabilities: Any, score: Callable[[np.ndarray], float], *, step: float = 0.1
) -> tuple[np.ndarray, float]:
    """The weights of a grid on the simplex with the highest `score(blend)`, and that score: the usual search for F1.

    probabilities: (M, N, C). score: blend (N, C) → a number, higher is better. Of equally good weights the ones nearest
    to equal ones are taken. The score of the winner is too high as an estimate: it was picked for being high.
    """
    stack = _stack(probabilities)
    best, best_key = None, None
    for weights in simplex_grid(len(stack), step):
        key = (score(np.tensordot(weights, stack, axes=1)), -float(((weights - 1 / len(stack)) ** 2).sum()))
        if best_key is None or key > best_key:
            best, best_key = weights, key
    return best, float(best_key[0])


def simplex_grid(models: int, step: float = 0.1) -> Iterator[np.ndarray]:
    """All weights (models,) that are multiples of `step` and add up to 1; raises ConfigError if 1 is no multiple.

    >>> [w.tolist() for w in simplex_grid(2, 0.5)]
    [[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]
    """
    parts = round(1 / step) if step > 0 else 0
    if models < 1 or parts < 1 or abs(parts * step - 1) > 1e-9:
        raise ConfigError(
            f"a grid for {models} models in steps of {step}: 1 has to be a multiple of the step."
        )
    for bars in itertools.combinations(range(parts + models - 1), models - 1):  # stars and bars
        edges = np.array([-1, *bars, parts + models - 1])
        yield (np.diff(edges) - 1) / parts


def _given_to_the_truth(stack: np.ndarray, labels: Any) -> np.ndarray:
    """(M, answers): what each model gave to what was true; one answer a text and label, or a text."""
    labels = np.asarray(labels)
    if labels.shape == stack.shape[1:]:
        right = np.where(labels > 0, stack, 1 - stack).reshape(len(stack), -1)
    elif labels.shape == stack.shape[1:2]:
        right = stack[:, np.arange(len(labels)), labels.astype(int)]
    else:
        raise DataError(f"probabilities {stack.shape} and labels {labels.shape} do not belong together.")
    return right.clip(TINY, 1.0)


def _array(values: Any, name: str) -> np.ndarray:
    if isinstance(values, list | tuple):
        values = [v.detach().cpu().numpy() if hasattr(v, "detach") else np.asarray(v) for v in values]
        if len({v.shape for v in values}) > 1:
            raise DataError(f"{name} holds models of different shapes: {[v.shape for v in values]}.")
    elif hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    array = np.asarray(values, dtype=float)
    if array.ndim < 2 or not len(array):
        raise DataError(f"{name} has shape {array.shape}; the models come first: (M, N, C).")
    return array


def _stack(probabilities: Any) -> np.ndarray:
    stack = _array(probabilities, "probabilities")
    if stack.ndim != 3 or not np.isfinite(stack).all() or stack.min() < 0 or stack.max() > 1:
        raise DataError(
            f"probabilities have shape {stack.shape} and go from {stack.min():.3g} to {stack.max():.3g}; wanted are "
            "(models, texts, labels) between 0 and 1. Logits need a sigmoid or a softmax first."
        )
    return stack

"""From probabilities to decisions: one threshold for each class, and what fitting it is really worth.

A classifier of many labels gives each one a probability; somebody has to say from where on it counts as *yes*. 0.5 is
a convention. The threshold that scores best on some rows also fits the accidents of those rows, so its score there is
too high. `cross_fit` gives the score that can be believed: every row is decided by thresholds that never saw it.

>>> p, y = np.array([[0.9], [0.4], [0.3], [0.1]]), np.array([[1], [1], [0], [0]])
>>> fit_thresholds(p, y).round(3).tolist(), apply_thresholds(p, fit_thresholds(p, y)).ravel().tolist()
([0.35], [1, 1, 0, 0])
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kolab.errors import ConfigError, DataError

__all__ = ["METRICS", "apply_thresholds", "cross_fit", "fit_thresholds"]

METRICS = ("f1", "accuracy")


def fit_thresholds(probabilities: Any, labels: Any, *, metric: str = "f1") -> np.ndarray:
    """For each class the threshold that scores best on these rows: (C,) float64, each from 0 to 1.

    Args:
        probabilities: (N, C), from 0 to 1; an array or a tensor. labels: (N, C) of 0 and 1.
        metric: "f1" (of the class's own F1; so also best for macro-F1) or "accuracy" (best for Hamming accuracy).

    Exact: a threshold matters only by which rows lie above it, so the sorted probabilities hold every candidate there
    is, and all are scored (Lipton et al., 2014, Optimal thresholding of classifiers to maximize F1 measure). The
    threshold lies midway between two neighbouring probabilities. Where several are equally good it is the one nearest
    to 0.5, and 0.5 itself if it is one of them: so a class that no row carries, of which nothing can be learned,
    keeps 0.5. On these rows the result is never worse than 0.5. The order of the rows does not matter.

    Fit on rows that the model did not learn from, and report on rows that the thresholds were not fitted on.

    Raises: DataError for shapes that do not match, no rows, logits or labels other than 0 and 1; ConfigError for an
    unknown metric.
    """
    probabilities, labels = _checked(probabilities, labels)
    if metric not in METRICS:
        raise ConfigError(f"metric is {metric!r}; it has to be one of {', '.join(METRICS)}.")
    columns = range(labels.shape[1])
    return np.array([_best(probabilities[:, c], labels[:, c], metric) for c in columns], dtype=np.float64)


def apply_thresholds(probabilities: Any, thresholds: Any) -> np.ndarray:
    """(N, C) of 0 and 1: is the probability above its class's threshold (C,), or above the one threshold for all?

    >>> apply_thresholds([[0.5, 0.6], [0.51, 0.2]], [0.5, 0.55]).tolist()
    [[0, 1], [1, 0]]
    """
    probabilities, thresholds = _matrix(probabilities, "probabilities"), _numbers(thresholds, "thresholds")
    if not np.isfinite(thresholds).all():
        raise DataError(
            "thresholds hold something that is no finite number; fit_thresholds gives one a class."
        )
    if thresholds.shape not in ((), (probabilities.shape[1],)):
        raise DataError(
            f"thresholds have the shape {thresholds.shape}; {probabilities.shape[1]} classes need one each, or one "
            "number for all."
        )
    return (probabilities > thresholds).astype(np.int64)


def cross_fit(
    probabilities: Any,
    labels: Any,
    *,
    folds: int | Sequence[int] = 5,
    seed: int = 0,
    metric: str = "f1",
) -> np.ndarray:
    """(N, C) of 0 and 1: each row decided by thresholds that were fitted on the other folds' rows.

    Score these against `labels` and compare with 0.5: that is the gain a new row can expect. (Stone, 1974,
    Cross-validatory choice and assessment of statistical predictions.)

    folds: how many; each class is dealt out for itself, so that its rows with a yes are spread evenly however rare they
    are (thresholds are fitted class by class, so no class minds the folds of another). Or a fold for each row (N,),
    where rows belong together. seed: of the dealing.

    Raises: as `fit_thresholds`, and ConfigError for fewer than 2 folds or more than rows.
    """
    probabilities, labels = _checked(probabilities, labels)
    rows, classes = labels.shape
    if isinstance(folds, int | np.integer):
        if not 2 <= folds <= rows:
            raise ConfigError(f"folds is {folds}; it has to be from 2 to the number of rows, {rows}.")
        random = np.random.default_rng(seed)
        fold_of = np.stack([_dealt(labels[:, c], int(folds), random) for c in range(classes)], axis=1)
    else:
        fold_of = _given(folds, rows)[:, None].repeat(classes, axis=1)
    decided = np.zeros((rows, classes), dtype=np.int64)
    for c in range(classes):
        for fold in np.unique(fold_of[:, c]):
            held, rest = fold_of[:, c] == fold, fold_of[:, c] != fold
            threshold = fit_thresholds(probabilities[rest, c : c + 1], labels[rest, c : c + 1], metric=metric)
            decided[held, c] = probabilities[held, c] > threshold[0]
    return decided


def _best(probabilities: np.ndarray, labels: np.ndarray, metric: str) -> float:
    """The best threshold of one class; probabilities (N,), labels (N,)."""
    values, inverse, counts = np.unique(probabilities, return_inverse=True, return_counts=True)
    # A threshold from `lows[k]` up to, not including, `highs[k]` says yes to the values from number k on.
    lows, highs = np.concatenate([[0.0], values]), np.concatenate([values, [np.nextafter(1.0, 2.0)]])
    yes = np.bincount(inverse, weights=labels, minlength=len(values))
    right = np.concatenate([np.cumsum(yes[::-1])[::-1], [0.0]])  # of those above: how many truly are
    above = np.concatenate([np.cumsum(counts[::-1])[::-1], [0]])
    total = yes.sum()
    if metric == "f1":
        scores = np.divide(2 * right, above + total, out=np.zeros(len(above)), where=above + total > 0)
    else:
        scores = (2 * right - above - total) / len(labels)  # accuracy less 1: the share of mistakes, negative
    exists = lows < highs  # a probability of exactly 0 is above no threshold
    best = exists & (scores == scores[exists].max())
    middle = lows + (np.minimum(highs, 1.0) - lows) / 2
    middle = np.where(
        (middle >= lows) & (middle < highs), middle, lows
    )  # neighbours with no number in between
    middle = np.where((lows <= 0.5) & (highs > 0.5), 0.5, middle)
    candidates = middle[best]
    return float(candidates[np.argmin(np.abs(candidates - 0.5))])


def _dealt(labels: np.ndarray, folds: int, random: np.random.Generator) -> np.ndarray:
    """(N,) fold numbers: the rows with a yes dealt out like cards, then those with a no, both in random order."""
    order = random.permutation(len(labels))
    order = order[np.argsort(-labels[order], kind="stable")]
    fold_of = np.empty(len(labels), dtype=np.int64)
    fold_of[order] = np.arange(len(labels)) % folds
    return fold_of


def _given(folds: Any, rows: int) -> np.ndarray:
    folds = np.asarray(folds)
    if folds.shape != (rows,) or len(np.unique(folds)) < 2:
        raise ConfigError(
            f"folds has to be a number, or one fold for each of the {rows} rows with at least 2 different ones."
        )
    return folds


def _checked(probabilities: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    probabilities, labels = _matrix(probabilities, "probabilities"), _matrix(labels, "labels")
    if probabilities.shape != labels.shape:
        raise DataError(
            f"probabilities have the shape {probabilities.shape}, labels {labels.shape}; they must match."
        )
    if not ((labels == 0) | (labels == 1)).all():
        raise DataError("labels have to be rows of 0 and 1, one column a class.")
    return probabilities, labels


def _matrix(values: Any, name: str) -> np.ndarray:
    """(N, C) float64 from 0 to 1, or an error that says what it is."""
    array = _numbers(values, name)
    if array.ndim != 2 or not array.size:
        raise DataError(
            f"{name} must have the shape (rows, classes), at least one of each, not {array.shape}."
        )
    if not ((array >= 0) & (array <= 1)).all():  # also catches NaN
        raise DataError(f"{name} must lie between 0 and 1; of logits take the sigmoid first.")
    return array


def _numbers(values: Any, name: str) -> np.ndarray:
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} must be numbers in rows of equal length ({error}).") from error

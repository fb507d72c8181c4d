"""Accuracy, precision, recall and F1 that need no network, and how far to trust them.

The metrics are `evaluate.Metric` subclasses, so `evaluate.combine` takes them; `evaluate.load("f1")` would
download a script. All average over the classes with equal weight ("macro") unless told otherwise: a weighted
mean hides the class that is rare. They all come from one table, how often class r was predicted as class p.
"""

from collections.abc import Callable, Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

from kolab.errors import ConfigError, DataError

AVERAGES = ("macro", "weighted", "micro")


def _numbers(values: Any, name: str) -> np.ndarray:
    """Class numbers (N,) or multi-hot rows (N, C) as int64, or an error that says what they are."""
    if isinstance(values, tuple) and len(values) == 2 and all(hasattr(v, "shape") for v in values):
        raise DataError(
            f"{name} is a pair: torch.max(logits, dim=1) gives (values, indices); take [1], or argmax."
        )
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    array = np.asarray(values)
    if array.size == 0:
        raise DataError(f"{name} is empty: there is nothing to score.")
    if (
        array.ndim > 2
        or array.dtype.kind not in "iubf"
        or (array.dtype.kind == "f" and (array % 1 != 0).any())
    ):
        raise DataError(
            f"{name} has to hold class numbers or rows of 0 and 1, not {array.dtype} of shape {array.shape}; "
            "take logits.argmax(-1), or probabilities > threshold, first."
        )
    return array.astype(np.int64)


def _pair(predictions: Any, references: Any) -> tuple[np.ndarray, np.ndarray]:
    predictions, references = _numbers(predictions, "predictions"), _numbers(references, "references")
    if predictions.shape != references.shape:
        raise DataError(
            f"predictions have the shape {predictions.shape}, references {references.shape}; they must match."
        )
    return predictions, references


def _counts(
    predictions, references, labels: int | Sequence[int] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per class: right, predicted, present; each (C,). The classes: `labels`, or those that occur."""
    if predictions.ndim == 2:  # multi-hot: the columns are the classes
        return (predictions * references).sum(0), predictions.sum(0), references.sum(0)
    classes = np.arange(labels) if isinstance(labels, int | np.integer) else labels
    classes = np.union1d(predictions, references) if classes is None else np.asarray(classes)
    right = np.array([((predictions == c) & (references == c)).sum() for c in classes])
    predicted = np.array([(predictions == c).sum() for c in classes])
    return right, predicted, np.array([(references == c).sum() for c in classes])


def _ratio(above: np.ndarray, below: np.ndarray, zero_division: float) -> np.ndarray:
    below = np.asarray(below, dtype=float)
    return np.divide(above, below, out=np.full(below.shape, float(zero_division)), where=below > 0)


def _average(right, predicted, present, average: str, zero_division: float) -> dict[str, float]:
    if average not in AVERAGES:
        raise ConfigError(f"average is {average!r}; it has to be one of {AVERAGES}.")
    if average == "micro":
        right, predicted, present = (np.array([x.sum()]) for x in (right, predicted, present))
    scores = {
        "precision": _ratio(right, predicted, zero_division),
        "recall": _ratio(right, present, zero_division),
        "f1": _ratio(2 * right, predicted + present, zero_division),
    }
    weights = present if average == "weighted" and present.sum() else np.ones(len(right))
    return {name: float(np.average(values, weights=weights)) for name, values in scores.items()}


def classification_metrics(
    predictions: Any,
    references: Any,
    *,
    labels: int | Sequence[int] | None = None,
    average: str = "macro",
    zero_division: float = 0.0,
) -> dict[str, float]:
    """Accuracy, precision, recall and F1, each from 0 to 1: what `fit` computes after each epoch.

    Args:
        predictions, references: class numbers (N,), or multi-hot rows (N, C); lists, arrays or tensors.
        labels: how many classes there are, or which. Without it only the classes that occur are averaged, and
            a class the test set happens not to have is forgotten; with it, it counts with `zero_division`.
        average: "macro" (each class the same), "weighted" (by frequency) or "micro" (each example the same).
        zero_division: the score where nothing is there to divide by.

    Accuracy of multi-hot rows is the share of rows that are right in every column.

    Raises: DataError for shapes that do not match, empty input, or logits; ConfigError for an unknown
    average.

    >>> classification_metrics([0, 0, 0, 1], [0, 0, 1, 1])["f1"]
    0.7333333333333334
    """
    predictions, references = _pair(predictions, references)
    right = predictions == references
    accuracy = float((right.all(1) if right.ndim == 2 else right).mean())
    return {"accuracy": accuracy} | _average(
        *_counts(predictions, references, labels), average, zero_division
    )


def macro_f1(predictions: Any, references: Any, labels: int | Sequence[int] | None = None) -> float:
    """The mean of the classes' F1, each class with the same weight; arguments as in `classification_metrics`.

    >>> macro_f1([0, 0, 0, 0], [0, 0, 0, 1])          # never predicting the rare class costs half
    0.42857142857142855
    """
    return classification_metrics(predictions, references, labels=labels)["f1"]


class _Score(evaluate.Metric):
    """A metric that works offline, in memory, alone and inside `evaluate.combine`.

    Args:
        labels, average, zero_division: as in `classification_metrics`, fixed here, since
            `combine(...).compute(...)` hands its keywords to every member.
        multi_label: the rows are multi-hot.
    """

    name = ""

    def __init__(self, labels=None, *, average="macro", zero_division=0.0, multi_label=False, **kwargs):
        self.labels, self.average, self.zero_division = labels, average, zero_division
        kwargs = {"keep_in_memory": True, "config_name": "multilabel" if multi_label else "default"} | kwargs
        super().__init__(**kwargs)

    def _info(self) -> evaluate.MetricInfo:
        number = datasets.Value("int64")
        kind = datasets.Sequence(number) if self.config_name == "multilabel" else number
        return evaluate.MetricInfo(
            description=self.__doc__ or "",
            citation="",
            inputs_description="predictions and references: class numbers, or rows of 0 and 1",
            features=datasets.Features({"predictions": kind, "references": kind}),
        )

    def _compute(self, predictions, references) -> dict[str, float]:
        settings = {"labels": self.labels, "average": self.average, "zero_division": self.zero_division}
        return {self.name: classification_metrics(predictions, references, **settings)[self.name]}


class Accuracy(_Score):
    """The share of examples that are right."""

    name = "accuracy"


class Precision(_Score):
    """Of what was called a class, the share that is; the mean over the classes."""

    name = "precision"


class Recall(_Score):
    """Of what is a class, the share that was found; the mean over the classes."""

    name = "recall"


class F1(_Score):
    """The harmonic mean of precision and recall of each class; the mean over the classes."""

    name = "f1"


def combine(metrics: Sequence[evaluate.Metric | type]) -> evaluate.CombinedEvaluations:
    """Several metrics as one, fed once: `combine([Accuracy(), F1()]).compute(predictions=…, references=…)`.

    Classes may stand for their instances: `combine([Accuracy, F1])`.
    """
    return evaluate.combine([metric() if isinstance(metric, type) else metric for metric in metrics])


def bootstrap_interval(
    predictions: Any,
    references: Any,
    metric: Callable[[np.ndarray, np.ndarray], float] = macro_f1,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Between which values the score would lie on another test set of this size: (low, high).

    The percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13): draw
    N of the N examples with replacement, score them, repeat, and cut off the tails. It knows of the chance in
    the choice of test examples only, not of that in training: another seed may move the score further.

    For macro-F1 of class numbers the draws are made on the table of counts: N draws with replacement put a
    multinomial number of examples into each cell. The same distribution, without touching the examples a
    thousand times.

    Raises: DataError as `classification_metrics`; ConfigError for a level outside (0, 1) or no samples.
    """
    predictions, references = _pair(predictions, references)
    if not 0 < level < 1 or samples < 1:
        raise ConfigError(
            f"level is {level} and samples {samples}; give a level between 0 and 1 and at least 1 sample."
        )
    random, count = np.random.default_rng(seed), len(references)
    if metric is macro_f1 and references.ndim == 1:
        classes, flat = np.unique(np.concatenate([references, predictions]), return_inverse=True)
        size = len(classes)
        cells = np.bincount(flat[:count] * size + flat[count:], minlength=size * size)
        drawn = random.multinomial(count, cells / count, size=samples).reshape(samples, size, size)
        both = drawn.sum(1) + drawn.sum(2)  # predicted + present
        scores = _ratio(2 * np.diagonal(drawn, axis1=1, axis2=2), both, 0.0).mean(1)
    else:
        draws = (random.integers(count, size=count) for _ in range(samples))
        scores = np.array([metric(predictions[rows], references[rows]) for rows in draws])
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

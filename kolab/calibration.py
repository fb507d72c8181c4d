"""Whether a probability of 80 % is right eight times in ten, and a single number that mends it where it is not.

>>> import numpy as np
>>> sure, right = np.array([[0.9, 0.1]] * 10), np.array([0] * 7 + [1] * 3)      # says 90 %, is right in 7 of 10
>>> round(ece(sure, right), 3)
0.2
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from kolab.bucket import whole_number
from kolab.errors import ConfigError, DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RANGE = (0.05, 20.0)  # of temperatures that are looked at


def reliability(probabilities: Any, references: Any, bins: int = 10) -> pd.DataFrame:
    """How sure the model is of its answers, and how often they are right: one row for each bin of confidence.

    Args:
        probabilities: (N, C), rows that add up to 1. references: (N,) class numbers.
        bins: how many, equally wide, over the confidence (the largest probability of a row) from 0 to 1. A confidence
            on an edge belongs to the bin below it, as in Guo et al. (2017).

    Returns: low, high (the bin's edges), count, confidence (mean), accuracy; the last two are NaN where nothing is.

    Raises: DataError for shapes that do not fit, or rows that are no probabilities; ConfigError for fewer than 1 bin.
    """
    probabilities, references = _pair(probabilities, references)
    bins = whole_number("bins", bins, 1)
    if (probabilities < 0).any() or not np.allclose(probabilities.sum(axis=1), 1, atol=1e-3):
        raise DataError("the rows are no probabilities: take the softmax of the logits first.")
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == references
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    some = np.where(count > 0, count, np.nan)
    return pd.DataFrame(
        {
            "low": np.arange(bins) / bins,
            "high": np.arange(1, bins + 1) / bins,
            "count": count,
            "confidence": np.bincount(place, confidence, minlength=bins) / some,
            "accuracy": np.bincount(place, right, minlength=bins) / some,
        }
    )


def ece(probabilities: Any, references: Any, bins: int = 10) -> float:
    """Expected calibration error, from 0 to 1: how far confidence and accuracy are apart, on average over the examples.

    Each bin's gap counts by the examples in it (Naeini et al., 2015; Guo et al., 2017, *On Calibration of Modern Neural
    Networks*). It depends on the bins and is too high on few examples; compare it only at equal bins and numbers.
    Arguments and errors as for `reliability`.
    """
    table = reliability(probabilities, references, bins)
    gaps = (table["confidence"] - table["accuracy"]).abs() * table["count"]
    return float(gaps.sum() / table["count"].sum())


def nll(logits: Any, references: Any, temperature: float = 1.0) -> float:
    """Mean negative log-likelihood, in nats, of the right classes under softmax(logits / temperature)."""
    logits, references = _pair(logits, references)
    if not temperature > 0:
        raise ConfigError(f"temperature is {temperature!r}; it has to be above 0.")
    return float(-log_softmax(logits / temperature, axis=1)[np.arange(len(references)), references].mean())


def fit_temperature(logits: Any, references: Any) -> float:
    """The temperature T at which softmax(logits / T) gives the right classes the highest likelihood.

    Above 1 the model was too sure of itself. Dividing all logits by one number leaves every answer as it was. Fit it on
    examples that were not trained on, and report on others (Guo et al., 2017).

    logits: (N, C). references: (N,). T is looked for between 0.05 and 20; where every answer is right there is no best
    one, the smaller the better, and the lower end comes back.

    >>> from scipy.special import softmax
    >>> rng = np.random.default_rng(0)
    >>> logits = rng.normal(size=(4000, 3))
    >>> labels = [rng.choice(3, p=row) for row in softmax(logits, axis=1)]
    >>> round(fit_temperature(3 * logits, labels), 1)                        # three times too sure
    3.0
    """
    logits, references = _pair(logits, references)
    low, high = np.log(RANGE)
    # In 1/T the likelihood has a single maximum, so in log T, a monotone function of it, too.
    found = minimize_scalar(
        lambda t: nll(logits, references, np.exp(t)), bounds=(low, high), method="bounded"
    )
    return float(np.exp(found.x))


def draw(tables: Mapping[str, pd.DataFrame], *, title: str = "", ax: Axes | None = None) -> Figure:
    """A reliability diagram: accuracy over confidence, one curve a name; on the dashed line the two agree.

    tables: name → what `reliability` returned. The size of a dot tells the share of the examples in its bin.
    """
    from kolab import plots

    figure, axes = (ax.figure, ax) if ax is not None else plots.new(width=4.6, height=4.2)
    axes.plot([0, 1], [0, 1], color=plots.GREY, linestyle="--", linewidth=1)
    for colour, (name, table) in zip(plots.PALETTE, tables.items()):
        filled = table[table["count"] > 0]
        share = filled["count"] / filled["count"].sum()
        axes.plot(filled["confidence"], filled["accuracy"], color=colour, linewidth=1.4, label=name)
        axes.scatter(filled["confidence"], filled["accuracy"], s=12 + 260 * share, color=colour, alpha=0.7)
    axes.set(xlim=(0, 1.03), ylim=(0, 1.03), xlabel="confidence", ylabel="accuracy", title=title)
    axes.legend(fontsize=9, loc="upper left")
    return figure


def _pair(table: Any, references: Any) -> tuple[np.ndarray, np.ndarray]:
    table, references = (
        v.detach().cpu().double().numpy() if hasattr(v, "detach") else v for v in (table, references)
    )
    try:
        table, numbers = np.asarray(table, dtype=np.float64), np.asarray(references, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"the table has to be numbers, (N, C), and the references class numbers, (N,): {error}."
        ) from error
    references = np.asarray(references)
    if np.isfinite(numbers).all() and (numbers != np.floor(numbers)).any():
        raise DataError("a reference is no whole number; they have to be class numbers.")
    if table.ndim != 2 or references.shape != (len(table),) or not len(table):
        raise DataError(
            f"a table of shape {table.shape} and references of shape {references.shape}: they have to be (N, C) and "
            "(N,), with at least one row."
        )
    references = references.astype(np.int64)
    if not np.isfinite(table).all() or references.min() < 0 or references.max() >= table.shape[1]:
        raise DataError(
            f"there is a number that is not finite, or a class outside 0 … {table.shape[1] - 1}, among the rows."
        )
    return table, references

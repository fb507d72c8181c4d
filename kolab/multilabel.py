"""Data of which one text may carry several labels, or none: rows of 0 and 1, their names, weights and scores.

A data set of this kind has the columns `text` and `labels`, a row of C numbers 0.0 or 1.0 (float32, as binary
cross-entropy wants them). The names of the C columns travel in the data set's description, since a list of numbers has
no place for them; `label_names` reads them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value
from sklearn.metrics import label_ranking_average_precision_score
from torch import nn

from kolab.errors import ConfigError, DataError
from kolab.metrics import classification_metrics
from kolab.text import aeda

__all__ = [
    "CORPORA", "add_copies", "counts", "label_names", "load", "make_dataset", "multilabel_metrics", "pos_weight",
    "rarest_of_each", "start_at_prior",
]  # fmt: skip

CORPORA = ("aspects", "unsmile", "kote")


# ---- data sets


def make_dataset(
    texts: Sequence[str], labels: Any, names: Sequence[str], **columns: Sequence[Any]
) -> Dataset:
    """A data set of texts and rows of 0 and 1 (N, C), with the names of the C columns, and more columns if given.

    Raises: DataError for shapes that do not match, names that are no C different ones, or other values than 0 and 1.

    >>> label_names(make_dataset(["화면이 밝고 가벼워요"], [[1, 0, 1]], ["화면", "음질", "무게"]))
    ['화면', '음질', '무게']
    """
    labels, names = np.asarray(labels, dtype=np.float32).reshape(len(texts), -1), list(names)
    if labels.shape[1] != len(names) or len(set(names)) < len(names):
        raise DataError(
            f"{labels.shape[1]} columns of labels need as many different names, not {len(set(names))}."
        )
    if not np.isin(labels, (0, 1)).all():
        raise DataError("labels must be rows of 0 and 1: 1 where the text carries the label of that column.")
    rest = Dataset.from_dict(columns).features if columns else {}
    features = Features({"text": Value("string"), "labels": List(Value("float32"), length=len(names))} | rest)
    made = Dataset.from_dict({"text": list(texts), "labels": list(labels), **columns}, features=features)
    return _named(made, names)


def _named(dataset: Dataset, names: Sequence[str]) -> Dataset:
    dataset.info.description = json.dumps({"labels": list(names)}, ensure_ascii=False)
    return dataset


def label_names(data: Dataset | Mapping[str, Dataset]) -> list[str]:
    """The names of the classes in the order of their columns (`labels`) or numbers (`label`).

    Raises: DataError when the data set does not hold them.
    """
    part = next(iter(data.values())) if isinstance(data, Mapping) else data
    if isinstance(part.features.get("label"), ClassLabel):
        return list(part.features["label"].names)
    try:
        return list(json.loads(part.info.description or "")["labels"])
    except (ValueError, KeyError, TypeError):
        raise DataError(
            "this data set does not know the names of its labels; make it with "
            "kolab.multilabel.make_dataset(texts, labels, names)."
        ) from None


def load(name: str, *, seed: int = 0) -> DatasetDict:
    """A corpus of many labels by name: "aspects" (bundled), "unsmile" or "kote" (after `kolab fetch NAME`).

    Columns: text and labels; train, validation and test. Raises ConfigError for another name, DataError as the loaders.
    """
    if name not in CORPORA:
        raise ConfigError(f"there is no multi-label corpus {name!r}; there are {', '.join(CORPORA)}.")
    if name == "aspects":
        from kolab.data import load_aspects

        return load_aspects(seed=seed)
    from kolab import corpora

    return getattr(corpora, f"load_{name}")(seed=seed)


def rarest_of_each(labels: Any) -> np.ndarray:
    """For each row the column of its rarest label, -1 where it has none: (N,). What a split can be stratified by.

    >>> rarest_of_each([[1, 0], [1, 1], [0, 0], [1, 0]]).tolist()
    [0, 1, -1, 0]
    """
    labels = _matrix(labels)
    order = np.where(labels > 0, labels.sum(0), np.inf)
    return np.where(labels.any(1), order.argmin(1), -1)


# ---- weights and copies for what is rare


def counts(labels: Any) -> np.ndarray:
    """How many rows carry each label: (C,) int64."""
    return _matrix(labels).sum(0).astype(np.int64)


def pos_weight(labels: Any, *, most: float = 10.0) -> torch.Tensor:
    """For each label negatives / positives, at most `most`: (C,) float32, for `BinaryCrossEntropy(pos_weight=…)`.

    labels: (N, C) of 0 and 1. A label that no row carries counts as carried once, so the weight stays finite (and
    multiplies nothing); one that every row carries counts as lacking once, or its weight would be 0 and its yes never
    learned. Without the limit a label of one row in a thousand would weigh 999, and every such row would throw the
    model's weights about.

    >>> pos_weight([[1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]]).tolist()
    [0.3333333432674408, 3.0, 4.0]
    """
    if not most > 0:
        raise ConfigError(f"most is {most}; it has to be above 0.")
    labels = _matrix(labels)
    positives = labels.sum(0)
    ratio = np.maximum(len(labels) - positives, 1) / np.maximum(positives, 1)
    return torch.tensor(np.minimum(ratio, most), dtype=torch.float32)


def start_at_prior(model: nn.Module, labels: Any, pos_weight: torch.Tensor | None = None) -> None:
    """Set the bias of a Classifier's last layer so that it begins by saying how frequent each label is.

    A fresh head says 0.5 to everything where nearly all answers are no. All its first gradients then push the same way,
    through the whole encoder, which may end by giving every text the same answer. With a bias of ln(π / (1 - π)), and
    + ln w where the loss has a pos_weight w, the first gradients are about differences between texts already (Lin et
    al., 2017, Focal Loss for Dense Object Detection, section 4.1).

    labels: (N, C) of the training rows; a label of no row, or of all, counts as half a row more or less.
    Raises: ConfigError for a model without a linear head of C outputs.
    """
    labels = _matrix(labels)
    share = np.clip(labels.mean(0), 0.5 / len(labels), 1 - 0.5 / len(labels))
    bias = torch.tensor(np.log(share / (1 - share)), dtype=torch.float32)
    if pos_weight is not None:
        bias = bias + pos_weight.detach().cpu().float().log()
    layers = [m for m in getattr(model, "head", nn.Identity()).modules() if isinstance(m, nn.Linear)]
    if not layers or layers[-1].bias is None or layers[-1].bias.shape != bias.shape:
        raise ConfigError(
            f"the model needs a head that ends in a linear layer with a bias for {len(bias)} labels."
        )
    with torch.no_grad():
        layers[-1].bias.copy_(bias)


def add_copies(
    train: Dataset,
    rare: Sequence[str],
    *,
    copies: int = 2,
    seed: int = 0,
    change: Callable[..., str] | None = aeda,
) -> Dataset:
    """`train` and, of each row that carries one of the `rare` labels, so many copies, each with punctuation put in.

    A copy carries all labels of its row, the frequent ones as well. change: text, seed=… → text; None for the text as
    it is. Only ever for training rows: a copy of a test row among the training rows would be a leak.

    Raises: DataError for a label that there is not.
    """
    names = label_names(train)
    unknown = set(rare) - set(names)
    if unknown:
        raise DataError(f"there is no label {min(unknown)!r}; there are {', '.join(names)}.")
    labels = _matrix(train["labels"][:])
    rows = np.flatnonzero(labels[:, [names.index(name) for name in rare]].any(1))
    chosen, seeds = (
        rows.repeat(copies).tolist(),
        np.random.default_rng(seed).integers(2**31, size=len(rows) * copies),
    )
    columns = {name: train[name][:] for name in train.column_names}
    more = {name: [column[row] for row in chosen] for name, column in columns.items()}
    if change is not None:
        more["text"] = [change(text, seed=int(n)) for text, n in zip(more["text"], seeds, strict=True)]
    both = {name: [*columns[name], *more[name]] for name in columns}
    return _named(Dataset.from_dict(both, features=train.features), names)


# ---- scores


def multilabel_metrics(
    predictions: Any, references: Any, probabilities: Any | None = None
) -> dict[str, float]:
    """Scores of rows of 0 and 1 (N, C), each from 0 to 1; `fit(metrics=multilabel_metrics)` takes it.

    f1 (macro: the mean over the classes), micro_f1 (all answers in one pot), hamming (the share of all N · C answers
    that are right: high for whoever always says no), accuracy (the share of rows right in every column), and, if
    `probabilities` (or logits) are given, lrap: over each row's labels, the share of true ones among those ranked at
    least as high, averaged (Tsoumakas et al., 2010, Mining Multi-label Data, section 4). It needs no threshold, and
    a row without any label counts as 1.

    Raises: DataError as `classification_metrics`.
    """
    scores = classification_metrics(predictions, references)
    micro = classification_metrics(predictions, references, average="micro")["f1"]
    predictions, references = _matrix(predictions), _matrix(references)
    found = {
        "f1": scores["f1"],
        "micro_f1": micro,
        "hamming": float((predictions == references).mean()),
        "accuracy": scores["accuracy"],
    }
    if probabilities is not None:
        probabilities = _matrix(probabilities)
        if probabilities.shape != references.shape:
            raise DataError(
                f"probabilities have the shape {probabilities.shape}, references {references.shape}; they must match."
            )
        found["lrap"] = float(label_ranking_average_precision_score(references, probabilities))
    return found


def _matrix(values: Any) -> np.ndarray:
    """(N, C) float64, from a tensor, an array, or a list of rows."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2:
        raise DataError(f"rows of 0 and 1 are wanted, (N, C); these values have the shape {array.shape}.")
    return array

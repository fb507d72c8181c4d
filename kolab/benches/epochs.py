"""How many epochs, which of them to keep, and how much too high its score is: several splits, two lengths of training.

The claims: "15 epochs instead of 5 bring 5 to 8 points"; "the epoch with the best F1, not the one with the lowest loss,
is the one to keep". And a habit: the best of all epochs is picked on the very examples that its score is reported on.

Each split is drawn anew and has its own head, dropout and order of batches. The test split plays no part in training
nor in the choice of an epoch, so what it says of the chosen epochs can be believed.
"""

import numpy as np
import pandas as pd
import torch

from kolab import train
from kolab.batching import make_loaders
from kolab.data import load_reviews
from kolab.losses import CrossEntropy
from kolab.metrics import classification_metrics
from kolab.model import Classifier, load_encoder


def run(
    *, quick: bool = False, splits: int = 3, plans: tuple[int, ...] = (5, 15), lr: float = 4e-4
) -> tuple[pd.DataFrame, dict]:
    """One row a split, planned number of epochs and epoch: losses and scores on validation and test, and `optimism`.

    The learning rate falls to zero over the planned epochs, so epoch 5 of 5 is not epoch 5 of 15.
    quick: a look at whether it runs: one split, 64 reviews, 2 epochs.
    """
    if quick:
        splits, plans = 1, (2,)
    table = []
    for split in range(splits):
        for planned in plans:
            table += one(split, planned, lr, quick=quick)
            print(pd.DataFrame(table).groupby(["split", "planned"])[["f1", "test_f1"]].max(), flush=True)
    return pd.DataFrame(table), about(lr)


def one(split: int, planned: int, lr: float = 4e-4, *, quick: bool = False) -> list[dict]:
    """The rows of one training: one an epoch."""
    reviews = load_reviews(seed=split)
    if quick:
        reviews = {name: part.select(range(min(64, len(part)))) for name, part in reviews.items()}
    encoder, tokenizer = load_encoder()
    loaders = make_loaders(reviews, tokenizer, seed=split)
    model = Classifier.build(encoder, list(reviews["train"].features["label"].names), seed=split)
    watch = _Watch(loaders["test"])
    config = train.TrainConfig(epochs=planned, lr=lr, seed=split, keep_best=False, progress=False)
    history = train.fit(model, loaders, config, evaluator=watch)
    too_high = optimism(np.stack(watch.predictions), watch.references)
    left_out = ("step", "grad_norm", "lr", "seconds")
    return [
        {"split": split, "planned": planned}
        | {name: round(value, 6) for name, value in row.items() if name not in left_out}
        | {"optimism": round(high, 6)}
        for row, high in zip(history, too_high, strict=True)
    ]


def about(lr: float) -> dict:
    """What a reader needs to judge the table."""
    return {
        "data": "bundled reviews, split anew by each seed, 3,519 / 440 / 439",
        "encoder": "kolab-mini", "lr": lr, "batch_size": 32, "schedule": "linear, warm-up 0.1",
        "optimism": "macro-F1 of the best of the epochs so far on the half of validation + test that picked it, minus "
        "its macro-F1 on the other half: the mean over 1,000 random halves",
    }  # fmt: skip


class _Watch:
    """Called by `fit` after each epoch: scores validation and test, and keeps the predictions on both."""

    def __init__(self, test: torch.utils.data.DataLoader):
        self.test, self.predictions, self.references = test, [], None

    def __call__(self, model: torch.nn.Module, validation: torch.utils.data.DataLoader) -> dict[str, float]:
        found, row = [], {}
        for prefix, loader in (("", validation), ("test_", self.test)):
            part = train.predict(model, loader)
            total, weight = CrossEntropy()(part.logits, part.references)
            scores = classification_metrics(part.labels, part.references)
            row |= {f"{prefix}loss": float(total / weight)}
            row |= {f"{prefix}{name}": scores[name] for name in ("accuracy", "f1")}
            found.append(part)
        self.predictions.append(np.concatenate([part.labels for part in found]))
        self.references = np.concatenate([part.references.numpy() for part in found])
        return row


def optimism(
    predictions: np.ndarray, references: np.ndarray, halves: int = 1000, seed: int = 0
) -> np.ndarray:
    """By how much picking the best of the first e epochs flatters it, for e = 1 … E: (E,), in macro-F1.

    predictions (E, N) and references (N,) are class numbers. One half of the examples picks the epoch and scores it,
    the other half only scores it. What is left, on average over many random halves, is the reward for having picked.

    >>> luck = np.random.default_rng(0).integers(3, size=(20, 900))   # twenty epochs of pure guessing
    >>> references = np.arange(900) % 3
    >>> [round(abs(float(x)), 2) for x in optimism(luck, references)[[0, 19]]]
    [0.0, 0.05]
    """
    random, count = np.random.default_rng(seed), len(references)
    picks = np.stack([random.permutation(count) < count // 2 for _ in range(halves)], axis=1)  # (N, halves)
    a, b = (_macro_f1(predictions, references, part.astype(np.float64)) for part in (picks, ~picks))
    gaps = []
    for upto in range(1, len(predictions) + 1):
        best = a[:upto].argmax(axis=0)
        columns = np.arange(halves)
        gaps.append((a[best, columns] - b[best, columns]).mean())
    return np.array(gaps)


def _macro_f1(predictions: np.ndarray, references: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """(E, M): macro-F1 of each epoch on each of M parts of the examples, given as columns of 0 and 1."""
    scores = []
    for c in np.unique(references):
        predicted, true = (predictions == c).astype(np.float64), (references == c).astype(np.float64)
        scores.append(2 * ((predicted * true) @ parts) / np.maximum(predicted @ parts + true @ parts, 1))
    return np.mean(scores, axis=0)

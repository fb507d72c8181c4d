"""Losses as *sum and weight*, so that any split of a batch adds up exactly.

A mean hides what it divided by. These losses return the two parts, and whoever puts micro-batches together
divides once, by the weight of them all:

    loss of a window = (sum of the sums) / (sum of the weights)

>>> import torch
>>> loss = CrossEntropy(weight=torch.tensor([1.0, 3.0]))
>>> logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), torch.tensor([0, 1, 1])
>>> total, weight = loss(logits, labels)
>>> whole = torch.nn.functional.cross_entropy(logits, labels, weight=torch.tensor([1.0, 3.0]))
>>> bool(torch.isclose(total / weight, whole)), float(weight)
(True, 7.0)
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kolab.errors import ConfigError

IGNORED = -100  # torch's own default: an example with this label counts for nothing


class CrossEntropy(nn.Module):
    """Cross-entropy over single labels, weighted by class and smoothed if asked.

    weight: (C,) one weight a class, or None. smoothing: ε; the target is 1 - ε + ε/C for the true class and ε/C for
    every other, as in torch and in Szegedy et al. (2016), *Rethinking the Inception Architecture*.
    The weight of a batch is the sum of its labels' class weights (their number, without weights): what
    `torch.nn.functional.cross_entropy` divides by when it takes the mean.
    """

    def __init__(self, weight: Tensor | list[float] | None = None, smoothing: float = 0.0):
        super().__init__()
        if not isinstance(smoothing, int | float) or not 0.0 <= smoothing < 1.0:
            raise ConfigError(
                f"smoothing is {smoothing}; it has to be at least 0 and below 1 (0.1 is usual)."
            )
        self.register_buffer("weight", _weights(weight, "weight"))
        self.smoothing = smoothing

    def weight_of(self, labels: Tensor) -> Tensor:
        """What a batch of labels (B,) counts for: a scalar on their device."""
        kept = labels != IGNORED
        if self.weight is None:
            return kept.sum()
        return self.weight[labels.clamp_min(0)].mul(kept).sum()

    def forward(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """logits (B, C), labels (B,) → (sum, weight), both scalars; in float32 at least, whatever autocast did."""
        logits = _at_least_float32(logits)
        weight = None if self.weight is None else self.weight.to(logits.dtype)
        total = F.cross_entropy(
            logits,
            labels,
            weight=weight,
            reduction="sum",
            label_smoothing=self.smoothing,
            ignore_index=IGNORED,
        )
        return total, self.weight_of(labels)


class BinaryCrossEntropy(nn.Module):
    """One yes-or-no question a class: the loss of multi-label classification.

    pos_weight: (C,) factor on the positive side of each class, or None. The weight of a batch is its number of
    answers, B * C: what `binary_cross_entropy_with_logits` divides by when it takes the mean.
    """

    def __init__(self, pos_weight: Tensor | list[float] | None = None):
        super().__init__()
        self.register_buffer("pos_weight", _weights(pos_weight, "pos_weight"))

    def weight_of(self, labels: Tensor) -> Tensor:
        """What a batch of multi-hot labels (B, C) counts for: B * C."""
        return torch.tensor(float(labels.numel()), device=labels.device)

    def forward(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """logits (B, C), multi-hot labels (B, C) → (sum, weight), both scalars."""
        logits = _at_least_float32(logits)
        pos_weight = None if self.pos_weight is None else self.pos_weight.to(logits.dtype)
        total = F.binary_cross_entropy_with_logits(
            logits, labels.to(logits.dtype), pos_weight=pos_weight, reduction="sum"
        )
        return total, self.weight_of(labels)


def balanced_weights(labels: Sequence[int] | Tensor, classes: int) -> Tensor:
    """One weight a class, (classes,) float32: examples / (classes · examples of the class), scikit-learn's "balanced".

    Every class then has the same weight in all, and an example the weight 1 on average. A class that nobody carries is
    counted as if one example did: its weight is finite, and never used.

    >>> balanced_weights([0, 0, 0, 1], 2).tolist()
    [0.6666666865348816, 2.0]
    """
    counts = torch.bincount(torch.as_tensor(labels, dtype=torch.int64), minlength=classes)
    if len(counts) != classes or not counts.sum():
        raise ConfigError(f"the labels have to be class numbers below {classes}, at least one of them.")
    return counts.sum() / (classes * counts.clamp_min(1))


def _at_least_float32(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def _weights(values: Tensor | list[float] | None, name: str) -> Tensor | None:
    if values is None:
        return None
    values = (
        torch.as_tensor(values, dtype=torch.get_default_dtype())
        if not torch.is_tensor(values)
        else values.clone()
    )
    if values.ndim != 1 or not torch.isfinite(values).all() or (values < 0).any():
        raise ConfigError(
            f"{name} has to be one finite number of at least 0 for each class, but is {values.tolist()}. "
            "A class that nobody carries divides by zero: clamp its count to at least 1."
        )
    return values

"""Resampling against imbalance: every epoch has as many examples of each class, in batches of texts of like length."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader

from kolab.bucket import BucketBatchSampler
from kolab.errors import DataError


class BalancedBatchSampler(BucketBatchSampler):
    """An epoch of as many examples as there are, the classes equally often; batched as BucketBatchSampler does.

    A class has its share of the epoch, the same for all that occur. A rarer one repeats: all its examples equally
    often, give or take one. A commoner one leaves some out, others in each epoch. The draw depends on (seed, epoch)
    and on nothing else, so a run that is resumed sees the same examples.

    Args:
        lengths, batch_size, seed, pool: as for BucketBatchSampler.
        labels: (examples,) class numbers.

    >>> labels = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    >>> epoch = sum(BalancedBatchSampler([3] * 8, labels, 4), [])
    >>> np.bincount(labels[epoch]).tolist(), sorted(i for i in epoch if labels[i])
    ([4, 4], [6, 6, 7, 7])
    """

    def __init__(
        self, lengths: Sequence[int], labels: Sequence[int], batch_size: int, *, seed: int = 0, pool: int = 64
    ):
        super().__init__(lengths, batch_size, seed=seed, pool=pool)
        self.labels = np.asarray(labels)
        if self.labels.shape != self.lengths.shape:
            raise DataError(
                f"resampling needs one class number an example: {len(self.lengths)} examples, labels of shape "
                f"{self.labels.shape}."
            )

    def drawn(self) -> np.ndarray:
        """(examples,) which examples this epoch has, in random order; some are there several times."""
        random = np.random.default_rng(
            [self.seed, self.epoch, 9]
        )  # 9: others than those that order the batches
        classes = random.permutation(np.unique(self.labels))  # what does not divide evenly goes round
        quotas = np.diff(np.linspace(0, len(self.labels), len(classes) + 1).round().astype(int))
        parts = []
        for one, quota in zip(classes, quotas, strict=True):
            rows = np.flatnonzero(self.labels == one)
            rounds = [random.permutation(rows) for _ in range(-(-quota // len(rows)))]
            parts += [*rounds[:-1], rounds[-1][: quota - len(rows) * (len(rounds) - 1)]] if rounds else []
        return random.permutation(np.concatenate(parts))

    def _epoch(self) -> list[np.ndarray]:
        drawn = self.drawn()
        inner = BucketBatchSampler(self.lengths[drawn], self.batch_size, seed=self.seed, pool=self.pool)
        inner.set_epoch(self.epoch)
        return [drawn[batch] for batch in inner._epoch()]


def balanced(loader: DataLoader) -> DataLoader:
    """The same training examples with the classes equally often: a loader as `make_loaders` gives, resampled.

    Only for training: an evaluation has to see every example once. Raises DataError where the labels are not single.
    """
    data, sampler = loader.dataset, loader.batch_sampler
    if getattr(data, "labels", None) is None or np.ndim(data.labels) != 1:
        raise DataError("resampling needs one label a text; for several labels weight the loss instead.")
    fresh = BalancedBatchSampler(
        data.lengths, data.labels, sampler.batch_size, seed=sampler.seed, pool=sampler.pool
    )
    return DataLoader(
        data, batch_sampler=fresh, collate_fn=loader.collate_fn, num_workers=loader.num_workers,
        persistent_workers=loader.persistent_workers, pin_memory=loader.pin_memory,
        generator=torch.Generator().manual_seed(sampler.seed),
    )  # fmt: skip

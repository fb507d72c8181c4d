"""Which examples meet in a batch: chance decides, but texts of like length, and each once an epoch."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from kolab.errors import ConfigError, DataError


def whole_number(name: str, value: Any, least: int) -> int:
    """`value` as an int, or a ConfigError that names the setting (True is no number, 4.0 is no count)."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ConfigError(f"{name} is {value!r}; it has to be a whole number of at least {least}.")
    return int(value)


class BucketBatchSampler:
    """Batches of texts of like length, in an order that differs from epoch to epoch.

    All examples are shuffled, cut into pools of about `pool` batches, each pool is sorted by length and cut
    into batches, and the batches are shuffled. So each example comes exactly once an epoch, its neighbours
    differ each time, ties stand in random order, and texts of one batch are about equally long. The short
    batch, if there is one, comes last and may hold texts of any length. The order depends on (seed, epoch)
    and on nothing else.

    The idea is `group_by_length` in transformers and the bucket iterator of torchtext before it.

    Args:
        lengths: tokens of each example.
        batch_size: examples in a batch.
        shuffle: False for evaluation: sorted by length, ties and all in a fixed order.
        seed: with the epoch, the source of the order.
        pool: batches that are sorted together; more means less padding and less chance. 1 sorts nothing:
            random order, or, without `shuffle`, the dataset's.

    Iterating gives lists of indices; `set_epoch(e)` first, or every epoch has the order of epoch 0. After
    `sampler.skip = n` the next iteration begins at batch n (and only the next): that is how a run resumes.

    >>> sorted(sum(BucketBatchSampler([5, 3, 9, 3, 4], 2), []))
    [0, 1, 2, 3, 4]
    >>> list(BucketBatchSampler([5, 3, 9, 3, 4], 2, shuffle=False))
    [[1, 3], [4, 0], [2]]
    """

    drop_last = False

    def __init__(
        self, lengths: Sequence[int], batch_size: int, *, shuffle: bool = True, seed: int = 0, pool: int = 64
    ):
        self.lengths = np.asarray(lengths)
        if self.lengths.ndim != 1 or len(self.lengths) == 0:
            raise DataError("there are no examples to make batches of.")
        self.batch_size = whole_number("batch_size", batch_size, 1)
        self.pool = whole_number("pool", pool, 1)
        self.seed = whole_number("seed", seed, 0)
        self.shuffle, self.epoch, self.skip = bool(shuffle), 0, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration gives."""
        self.epoch = whole_number("epoch", epoch, 0)

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        return -(-len(self.lengths) // self.batch_size)

    def _sorted(self, indices: np.ndarray) -> np.ndarray:
        if self.pool == 1:
            return indices
        return indices[
            np.argsort(self.lengths[indices], kind="stable")
        ]  # stable: ties keep their random order

    def _epoch(self) -> list[np.ndarray]:
        count, size = len(self.lengths), self.batch_size
        if not self.shuffle:
            order = self._sorted(np.arange(count))
            return [order[start : start + size] for start in range(0, count, size)]
        random = np.random.default_rng([self.seed, self.epoch])
        order = random.permutation(count)
        pools = -(-len(self) // self.pool)
        bounds = (
            np.linspace(0, len(self), pools + 1).round().astype(int) * size
        )  # pools of about the same size
        batches: list[np.ndarray] = []
        for start, stop in pairwise(bounds):
            part = self._sorted(order[start:stop])
            short = len(part) % size
            # The short batch is cut out of a random place, or it would hold the longest texts in every epoch.
            cut = int(random.integers(len(part) // size + 1)) * size
            last = part[cut : cut + short]
            part = np.concatenate([part[:cut], part[cut + short :]])
            batches += list(part.reshape(-1, size))
        batches = [batches[i] for i in random.permutation(len(batches))]
        return batches + ([last] if short else [])

    def __iter__(self) -> Iterator[list[int]]:
        # A generator, so that `skip` is spent by whoever takes the first batch: a DataLoader with workers makes two
        # iterators and uses the second.
        skip, self.skip = self.skip, 0
        for batch in self._epoch()[skip:]:
            yield batch.tolist()

    def shard(self, rank: int, world: int) -> "ShardedBatchSampler":
        """The part of process `rank`: every `world`-th example of each batch, beginning with `rank`."""
        return ShardedBatchSampler(self, rank, world)


class ShardedBatchSampler:
    """One process's share of each global batch, so that a step sees the same examples however many processes
    share it.

    Its k-th batch is `global_batch[rank::world]`; in a short last batch that may be an empty list.
    """

    drop_last = False

    def __init__(self, sampler: BucketBatchSampler, rank: int, world: int):
        self.sampler, self.world = sampler, whole_number("world", world, 1)
        self.rank = whole_number("rank", rank, 0)
        if self.rank >= self.world:
            raise ConfigError(f"rank is {rank}, but of {world} processes the last is {world - 1}.")

    @property
    def batch_size(self) -> int:
        """Examples of the global batch."""
        return self.sampler.batch_size

    @property
    def skip(self) -> int:
        return self.sampler.skip

    @skip.setter
    def skip(self, batches: int) -> None:
        self.sampler.skip = batches

    def set_epoch(self, epoch: int) -> None:
        self.sampler.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[list[int]]:
        return (batch[self.rank :: self.world] for batch in self.sampler)

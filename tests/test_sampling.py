"""Resampled epochs: equal classes, nothing lost among the rare, the same again after a resume."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kolab.errors import DataError
from kolab.sampling import BalancedBatchSampler, balanced
from kolab.train import TrainConfig, fit
from tests import tiny


def made(seed: int, counts: list[int], batch_size: int = 8) -> BalancedBatchSampler:
    random = np.random.default_rng(seed)
    labels = random.permutation(np.repeat(np.arange(len(counts)), counts))
    return BalancedBatchSampler(random.integers(3, 40, size=len(labels)), labels, batch_size, seed=seed)


@given(
    seed=st.integers(0, 1000),
    counts=st.lists(st.integers(0, 30), min_size=1, max_size=6).filter(any),
    epoch=st.integers(0, 5),
)
def test_classes_are_equally_often_and_examples_of_one_class_too(seed, counts, epoch):
    sampler = made(seed, counts)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    drawn = np.concatenate(batches).astype(int)
    assert len(drawn) == sum(counts) and len(batches) == len(sampler)
    per_class = np.bincount(sampler.labels[drawn], minlength=len(counts))[np.array(counts) > 0]
    assert per_class.max() - per_class.min() <= 1
    times = np.bincount(drawn, minlength=len(sampler.labels))
    for one in np.unique(sampler.labels):
        own = times[sampler.labels == one]
        assert own.max() - own.min() <= 1


def test_the_epoch_decides_and_nothing_else():
    one, two = made(1, [40, 8, 16]), made(1, [40, 8, 16])
    torch.manual_seed(3), np.random.seed(3)
    first = list(one)
    torch.manual_seed(4), np.random.seed(4)
    assert list(two) == first
    two.set_epoch(1)
    assert list(two) != first
    two.set_epoch(0)
    two.skip = 3
    assert list(two) == first[3:] and list(two) == first
    shares = [list(one.shard(rank, 2)) for rank in range(2)]
    assert [sorted(a + b) for a, b in zip(*shares)] == [sorted(batch) for batch in first]


def test_the_commonest_class_leaves_out_others_in_each_epoch():
    sampler = made(0, [100, 10])
    seen = set()
    for epoch in range(8):
        sampler.set_epoch(epoch)
        seen |= set(sampler.drawn().tolist())
    assert len(seen) > 105


def test_batches_hold_texts_of_like_length():
    sampler = made(2, [300, 60, 40], batch_size=16)
    spread = np.mean([np.ptp(sampler.lengths[batch]) for batch in sampler])
    assert spread < 0.3 * np.ptp(sampler.lengths)


def test_a_loader_is_resampled_and_trains():
    loaders = tiny.loaders(count=48)
    plain = loaders["train"]
    loaders["train"] = balanced(plain)
    labels = np.asarray(plain.dataset.labels)
    seen = np.concatenate([batch["labels"].numpy() for batch in loaders["train"]])
    assert len(seen) == len(labels) and np.ptp(np.bincount(seen)) <= 1
    config = TrainConfig(epochs=2, lr=1e-2, progress=False, precision="fp32")
    model = tiny.model()
    history = fit(model, loaders, config)
    again = fit(tiny.model(), loaders, dataclasses.replace(config))
    assert [row["train_loss"] for row in history] == [row["train_loss"] for row in again]


def test_what_cannot_be_resampled_is_said():
    with pytest.raises(DataError, match="one class number an example"):
        BalancedBatchSampler([3, 4], [0], 2)
    with pytest.raises(DataError, match="one label a text"):
        balanced(tiny.loaders(multi_label=True)["train"])

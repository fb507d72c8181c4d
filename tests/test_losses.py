"""Sums and weights: any split of a batch adds up to the whole."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from kolab.errors import ConfigError
from kolab.losses import BinaryCrossEntropy, CrossEntropy

sizes = st.lists(st.integers(1, 6), min_size=1, max_size=5)


def examples(sizes: list[int], classes: int = 4, seed: int = 0):
    g = torch.Generator().manual_seed(seed)
    n = sum(sizes)
    return (
        torch.randn(n, classes, generator=g, dtype=torch.float64),
        torch.randint(classes, (n,), generator=g),
        (torch.rand(n, classes, generator=g) < 0.3).double(),
        torch.rand(classes, generator=g, dtype=torch.float64) * 3 + 0.1,
    )


@given(sizes, st.integers(0, 99), st.booleans(), st.sampled_from([0.0, 0.1, 0.3]))
def test_cross_entropy_of_parts_is_torchs_mean_over_the_whole(sizes, seed, weighted, smoothing):
    logits, labels, _, weight = examples(sizes, seed=seed)
    weight = weight if weighted else None
    loss = CrossEntropy(weight, smoothing)
    parts = [loss(lo, la) for lo, la in zip(logits.split(sizes), labels.split(sizes), strict=True)]
    mean = sum(s for s, _ in parts) / sum(w for _, w in parts)
    whole = F.cross_entropy(logits, labels, weight=weight, label_smoothing=smoothing)
    assert torch.allclose(mean, whole, rtol=1e-12)
    assert all(
        torch.equal(w, loss.weight_of(la)) for (_, w), la in zip(parts, labels.split(sizes), strict=True)
    )


@given(sizes, st.integers(0, 99), st.booleans())
def test_binary_cross_entropy_of_parts_is_torchs_mean_over_the_whole(sizes, seed, weighted):
    logits, _, labels, weight = examples(sizes, seed=seed)
    weight = weight if weighted else None
    loss = BinaryCrossEntropy(weight)
    parts = [loss(lo, la) for lo, la in zip(logits.split(sizes), labels.split(sizes), strict=True)]
    whole = F.binary_cross_entropy_with_logits(logits, labels, pos_weight=weight)
    assert torch.allclose(sum(s for s, _ in parts) / sum(w for _, w in parts), whole, rtol=1e-12)


def test_an_ignored_label_counts_for_nothing():
    logits = torch.randn(4, 3)
    labels = torch.tensor([0, -100, 2, -100])
    for weight in (None, torch.tensor([1.0, 2.0, 3.0])):
        total, counted = CrossEntropy(weight)(logits, labels)
        short, kept = CrossEntropy(weight)(logits[[0, 2]], labels[[0, 2]])
        assert torch.isclose(total, short) and counted == kept


def test_half_precision_logits_are_added_up_in_float32():
    logits = torch.randn(5, 3).bfloat16()
    assert CrossEntropy()(logits, torch.zeros(5, dtype=torch.long))[0].dtype == torch.float32


@pytest.mark.parametrize("weight", [[1.0, float("nan")], [1.0, float("inf")], [-1.0, 1.0], [[1.0], [2.0]]])
def test_impossible_weights_are_refused(weight):
    with pytest.raises(ConfigError, match="finite number"):
        CrossEntropy(weight)
    with pytest.raises(ConfigError, match="finite number"):
        BinaryCrossEntropy(weight)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_impossible_smoothing_is_refused(smoothing):
    with pytest.raises(ConfigError, match="smoothing"):
        CrossEntropy(smoothing=smoothing)
